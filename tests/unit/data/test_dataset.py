import pytest
import torch
from torch import Tensor

from modelpress.data.dataset import Augmentations, Dataset
from modelpress.errors import DataError
from tests.unit.data.sources import tiny

AUGMENTED = Augmentations(horizontal_flip=True, crop_padding=1)


def epoch(dataset: Dataset, batch_size: int = 4, **options: bool | int) -> list[tuple[Tensor, Tensor]]:
    return list(dataset.batches("train", batch_size, **options))  # type: ignore[arg-type]


def joined(batches: list[tuple[Tensor, Tensor]]) -> Tensor:
    return torch.cat([inputs for inputs, _ in batches])


def test_plain_batches_are_the_split_in_order_and_whole() -> None:
    dataset = tiny(10)
    batches = epoch(dataset)
    assert [len(targets) for _, targets in batches] == [4, 4, 2]
    assert torch.equal(joined(batches), dataset.splits["train"].inputs.float())
    assert torch.equal(torch.cat([targets for _, targets in batches]), dataset.splits["train"].targets)
    assert batches[0][0].dtype == torch.float32
    assert batches[0][1].dtype == torch.int64


def test_inputs_are_scaled_and_normalised_by_channel() -> None:
    dataset = tiny(2, (2, 1, 1))
    description = dataset.description.input.model_copy(
        update={"scale": 0.5, "mean": (1.0, 2.0), "deviation": (1.0, 4.0)}
    )
    dataset = Dataset(dataset.description.model_copy(update={"input": description}), dataset.splits)
    assert dataset.splits["train"].inputs.flatten().tolist() == [0, 1, 2, 3]
    assert joined(epoch(dataset)).flatten().tolist() == [-1.0, -0.375, 0.0, -0.125]


def test_shuffled_batches_hold_each_sample_once_and_drop_an_incomplete_last_one() -> None:
    dataset = tiny(10)
    batches = epoch(dataset, shuffle=True)
    assert [len(targets) for _, targets in batches] == [4, 4]
    rows = {tuple(row.flatten().tolist()) for row in joined(batches)}
    assert len(rows) == 8
    assert rows <= {tuple(row.flatten().tolist()) for row in dataset.splits["train"].inputs.float()}
    assert not torch.equal(joined(batches), dataset.splits["train"].inputs[:8].float())


def test_labels_stay_with_their_inputs() -> None:
    dataset = tiny(9)
    by_input = {tuple(x.flatten().tolist()): int(y) for x, y in zip(*_train(dataset), strict=True)}
    for inputs, targets in epoch(dataset, shuffle=True, batch_size=3):
        assert [by_input[tuple(x.flatten().tolist())] for x in inputs] == targets.tolist()


def test_equal_seeds_and_epochs_give_equal_batches_whatever_ran_before() -> None:
    dataset = tiny(40, augmentations=AUGMENTED)
    first = joined(epoch(dataset, augment=True, shuffle=True, seed=3, epoch=5))
    torch.manual_seed(1)
    torch.rand(100)
    assert torch.equal(first, joined(epoch(dataset, augment=True, shuffle=True, seed=3, epoch=5)))


@pytest.mark.parametrize("other", [{"seed": 4, "epoch": 5}, {"seed": 3, "epoch": 6}, {"seed": 5, "epoch": 3}])
def test_other_seeds_and_epochs_give_other_batches(other: dict[str, int]) -> None:
    dataset = tiny(40, augmentations=AUGMENTED)
    first = joined(epoch(dataset, augment=True, shuffle=True, seed=3, epoch=5))
    assert not torch.equal(first, joined(epoch(dataset, augment=True, shuffle=True, **other)))


def test_the_global_random_state_is_left_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    epoch(tiny(40, augmentations=AUGMENTED), augment=True, shuffle=True)
    assert torch.equal(torch.rand(3), expected)


def test_the_batch_size_does_not_change_what_happens_to_a_sample() -> None:
    dataset = tiny(40, augmentations=AUGMENTED)
    by_four, by_ten = (joined(epoch(dataset, size, augment=True, shuffle=True, seed=1)) for size in (4, 10))
    assert torch.equal(by_four, by_ten)


def test_only_augmented_batches_are_changed_and_padding_is_raw_zero() -> None:
    dataset = tiny(60, augmentations=Augmentations(crop_padding=1))
    description = dataset.description.input.model_copy(update={"mean": (-1000.0,)})
    dataset = Dataset(dataset.description.model_copy(update={"input": description}), dataset.splits)
    plain, changed = joined(epoch(dataset)), joined(epoch(dataset, augment=True))
    assert torch.equal(plain, dataset.splits["train"].inputs.float() + 1000.0)
    assert not torch.equal(plain, changed)
    assert changed.min() == 1000.0, "a pixel that was padded is a raw zero, normalised like every other"


def test_splits_that_are_not_there_are_named_with_those_that_are() -> None:
    with pytest.raises(DataError, match="no split 'validation': it has train, test"):
        tiny().batches("validation", 4)


@pytest.mark.parametrize(("batch_size", "shuffle"), [(0, False), (-1, True), (11, True)])
def test_batches_that_cannot_be_made_are_refused_at_once(batch_size: int, shuffle: bool) -> None:
    with pytest.raises(DataError, match=f"batches of {batch_size} cannot be made of split 'train', which has 10"):
        tiny(10).batches("train", batch_size, shuffle=shuffle)


def _train(dataset: Dataset) -> tuple[Tensor, Tensor]:
    return dataset.splits["train"].inputs.float(), dataset.splits["train"].targets
