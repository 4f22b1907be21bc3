import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from modelpress.data.dataset import SPLITS, Augmentations, Dataset, SplitName
from modelpress.data.importers import import_data, import_idx_folder, import_npz
from modelpress.data.splits import ImportOptions
from modelpress.errors import DataError, InputError, NotFoundError
from tests.unit.data.sources import idx_bytes, images, labels, npz_arrays, write_idx_folder, write_npz


def sizes(dataset: Dataset) -> dict[str, int]:
    return {name: len(split) for name, split in dataset.splits.items()}


def rows(dataset: Dataset, name: SplitName) -> list[bytes]:
    return [row.numpy().tobytes() for row in dataset.splits[name].inputs]


@pytest.mark.parametrize("zipped", [True, False])
def test_a_folder_of_the_mnist_family_becomes_four_splits(tmp_path: Path, zipped: bool) -> None:
    dataset = import_idx_folder(write_idx_folder(tmp_path, zipped=zipped), ImportOptions(calibration_size=7))
    assert sizes(dataset) == {"train": 44, "calibration": 7, "validation": 4, "test": 10}
    assert dataset.description.input.shape == (1, 6, 5)
    assert dataset.description.class_names == ("0", "1", "2")
    assert sorted(rows(dataset, "train") + rows(dataset, "validation")) == sorted(x.tobytes() for x in images(48, 6, 5))
    assert np.array_equal(dataset.splits["test"].inputs[:, 0].numpy(), images(10, 6, 5, seed=1))
    assert dataset.splits["test"].targets.tolist() == labels(10).tolist()


def test_calibration_is_part_of_train_and_labels_stay_with_their_images(tmp_path: Path) -> None:
    dataset = import_data(str(write_idx_folder(tmp_path)), calibration_size=20)
    known = dict(zip((x.tobytes() for x in images(48, 6, 5)), labels(48).tolist(), strict=True))
    assert len(set(rows(dataset, "calibration"))) == 20
    assert set(rows(dataset, "calibration")) <= set(rows(dataset, "train"))
    for name in SPLITS[:3]:
        assert [known[row] for row in rows(dataset, name)] == dataset.splits[name].targets.tolist()


def test_calibration_is_all_of_a_train_split_that_is_smaller(tmp_path: Path) -> None:
    dataset = import_data(str(write_idx_folder(tmp_path)))
    assert torch.equal(dataset.splits["calibration"].inputs, dataset.splits["train"].inputs)


def test_the_seed_chooses_the_splits(tmp_path: Path) -> None:
    folder = str(write_idx_folder(tmp_path))
    one, same, other = (import_data(folder, seed=seed) for seed in (1, 1, 2))
    assert rows(one, "validation") == rows(same, "validation")
    assert rows(one, "validation") != rows(other, "validation")


def test_mean_and_deviation_are_those_of_train(tmp_path: Path) -> None:
    arrays = npz_arrays(x_train=images(48, 6, 5, 3), x_test=images(10, 6, 5, 3))
    dataset = import_npz(write_npz(tmp_path / "a.npz", **arrays))
    expected = dataset.splits["train"].inputs.double() / 255
    described = dataset.description.input
    assert described.scale == 1 / 255
    assert described.mean == pytest.approx(expected.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert described.deviation == pytest.approx(expected.std((0, 2, 3), correction=0).tolist(), abs=1e-6)
    prepared = dataset.prepare(dataset.splits["train"].inputs)
    assert prepared.mean((0, 2, 3)).tolist() == pytest.approx([0, 0, 0], abs=1e-4)
    assert prepared.std((0, 2, 3)).tolist() == pytest.approx([1, 1, 1], abs=1e-2)


def test_what_is_said_about_a_source_is_taken(tmp_path: Path) -> None:
    dataset = import_data(
        str(write_npz(tmp_path / "a.npz")),
        class_names=["x", "y", "z", "never seen"],
        augmentations={"horizontal_flip": True},
        validation_share=0.5,
        scale=1.0,
        mean=[3.0],
        deviation=[2.0],
    )
    assert dataset.description.class_names == ("x", "y", "z", "never seen")
    assert dataset.description.augmentations == Augmentations(horizontal_flip=True)
    described = dataset.description.input
    assert (described.scale, described.mean, described.deviation) == (1.0, (3.0,), (2.0,))
    assert sizes(dataset)["validation"] == 24


@pytest.mark.parametrize(
    ("shape", "layout", "channels_last"),
    [
        ((6, 5, 3), None, True),
        ((3, 6, 5), None, False),
        ((6, 5, 1), None, True),
        ((3, 5, 3), "nchw", False),
        ((4, 5, 3), "nhwc", True),
        ((2, 6, 5), "nchw", False),
    ],
)
def test_images_come_with_channels_first(
    tmp_path: Path, shape: tuple[int, ...], layout: str | None, channels_last: bool
) -> None:
    x_test = images(10, *shape)
    path = write_npz(tmp_path / "a.npz", x_train=images(48, *shape), x_test=x_test)
    dataset = import_data(str(path), layout=layout)
    expected = np.moveaxis(x_test, -1, 1) if channels_last else x_test
    assert np.array_equal(dataset.splits["test"].inputs.numpy(), expected)
    assert dataset.description.input.shape == expected.shape[1:]


def test_features_of_floats_are_normalised_one_by_one(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal([0, 100, 7], [1, 20, 0], (48, 3))
    dataset = import_npz(write_npz(tmp_path / "a.npz", x_train=x, x_test=x[:10].astype(np.float32)))
    described = dataset.description.input
    assert (described.dtype, described.scale, described.shape) == ("float32", 1.0, (3,))
    assert described.mean == pytest.approx((0, 100, 7), abs=10)
    assert described.deviation[2] == 1.0, "a constant is not divided by zero"
    assert dataset.prepare(dataset.splits["train"].inputs).std(0).tolist() == pytest.approx([1, 1, 0], abs=0.02)


def test_vectors_of_bytes_share_one_mean(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", x_train=images(48, 30), x_test=images(10, 30))
    assert len(import_npz(path).description.input.mean) == 1


@pytest.mark.parametrize(
    ("inputs", "targets", "validation"),
    [("x_{}", "y_{}", "val"), ("{}_inputs", "{}_targets", "validation"), ("{}_images", "{}_labels", "val")],
)
def test_the_usual_names_are_understood(tmp_path: Path, inputs: str, targets: str, validation: str) -> None:
    arrays: dict[str, Any] = {}
    for split, count in (("train", 48), (validation, 6), ("test", 10)):
        arrays |= {inputs.format(split): images(count, 4, 4), targets.format(split): labels(count)[:, None]}
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    dataset = import_npz(tmp_path / "a.npz")
    assert sizes(dataset) == {"train": 48, "calibration": 48, "validation": 6, "test": 10}


def test_inputs_that_are_not_finite_are_found(tmp_path: Path) -> None:
    x = np.zeros((48, 4), np.float64)
    x[5, 1] = 1e300
    with pytest.raises(DataError, match="sample 5 of split 'train' holds NaN or infinity"):
        import_npz(write_npz(tmp_path / "a.npz", x_train=x, x_test=x[:10] * 0))


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no test": ({"x_test": None, "y_test": None}, "has no test split"),
    "no train": ({"x_train": None, "y_train": None}, "has no train split"),
    "half a split": ({"y_test": None}, "has 'x_test' alone: expected both 'x_test' and 'y_test'"),
    "nothing known": (
        {"x_test": None, "y_test": None, "x_train": None, "y_train": None, "data": labels(3)},
        "has the arrays ['data']: expected x_train, y_train, x_test and y_test",
    ),
    "objects": ({"y_train": np.array([{}] * 48, dtype=object)}, "cannot be read: Object arrays"),
    "label unseen in train": ({"y_test": labels(10, 4)}, "label of sample 3 of split 'test' is 3: there are 3"),
    "negative label": ({"y_train": -labels(48).astype(np.int64)}, "label of sample 1 of split 'train' is -1"),
    "labels of floats": ({"y_train": labels(48).astype(np.float32)}, "labels of 'train' in"),
    "one-hot": ({"y_train": np.eye(3, dtype=np.uint8)[labels(48)]}, "48 samples, but labels of shape [48, 3]"),
    "lengths differ": ({"y_train": labels(47)}, "has 48 samples, but labels of shape [47]"),
    "inputs of words": ({"x_train": np.array(["a"] * 48)}, "expected uint8 or float32"),
    "no channels": ({"x_train": images(48, 6, 5, 2)}, "give layout='nchw' or layout='nhwc'"),
    "two readings": ({"x_train": images(48, 3, 5, 3)}, "give layout='nchw' or layout='nhwc'"),
    "five dimensions": ({"x_train": images(48, 2, 2, 2, 2)}, "expected [n, h, w], [n, h, w, c] or [n, c, h, w]"),
    "shapes differ": ({"x_test": images(10, 6, 6)}, "'test' has shape [1, 6, 6]: expected [1, 6, 5]"),
    "dtypes differ": ({"x_test": images(10, 6, 5).astype(np.float32)}, "split 'test' are float32: expected uint8"),
    "empty test": ({"x_test": images(0, 6, 5), "y_test": labels(0)}, "split 'test' is empty"),
    "empty train": ({"x_train": images(0, 6, 5), "y_train": labels(0)}, "split 'train' is empty"),
    "one sample": ({"x_train": images(1, 6, 5), "y_train": labels(1)}, "validation cannot be taken out of it"),
}


@pytest.mark.parametrize(("changes", "message"), FAULTS.values(), ids=FAULTS)
def test_data_that_cannot_be_used_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        import_npz(write_npz(tmp_path / "a.npz", **changes))
    assert message in str(caught.value)


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"a\.npz is no \.npz file"):
        import_npz(tmp_path / "a.npz")


def test_a_damaged_archive_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz")
    with zipfile.ZipFile(path) as archive:
        offset = archive.getinfo("x_train.npy").header_offset + 400
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="cannot be read: Bad CRC-32"):
        import_npz(path)


@pytest.mark.parametrize("missing", ["train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_a_folder_that_lacks_a_file_is_told_which(tmp_path: Path, missing: str) -> None:
    write_idx_folder(tmp_path)
    (tmp_path / f"{missing}.gz").unlink()
    with pytest.raises(DataError, match=f"has no file {missing} or"):
        import_data(str(tmp_path))


def test_a_folder_with_labels_out_of_range_is_refused(tmp_path: Path) -> None:
    write_idx_folder(tmp_path, zipped=False)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx_bytes(labels(10) + 200))
    with pytest.raises(DataError, match="label of sample 0 of split 'test' is 200"):
        import_data(str(tmp_path))


@pytest.mark.parametrize("name", ["nowhere", "fashion-mnits", ".", "a.csv"])
def test_an_unknown_source_is_told_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(NotFoundError, match=r"'fashion-mnist', a folder with IDX files .* an .npz file"):
        import_data(name)


@pytest.mark.parametrize(
    "options", [{"clas_names": ["a"]}, {"validation_share": 2}, {"augmentations": {"rotate": True}}, {"scale": 0}]
)
def test_an_option_that_cannot_be_is_named(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(options))):
        import_data(str(write_npz(tmp_path / "a.npz")), **options)
