import pytest
import torch
from torch import Tensor

from modelpress.data.augment import Draws, apply, draw
from modelpress.data.dataset import Augmentations

IMAGE = torch.tensor([[[1, 2, 3], [4, 5, 6]]], dtype=torch.uint8)


def changed(image: Tensor, *, padding: int = 0, flip: bool = False, top: int = 0, left: int = 0) -> list[list[int]]:
    draws = Draws(padding, torch.tensor([flip]), torch.tensor([top]), torch.tensor([left]))
    out: list[list[int]] = apply(draws, image[None])[0, 0].tolist()
    return out


@pytest.mark.parametrize(
    ("top", "left", "expected"),
    [
        (1, 1, [[1, 2, 3], [4, 5, 6]]),
        (0, 0, [[0, 0, 0], [0, 1, 2]]),
        (2, 2, [[5, 6, 0], [0, 0, 0]]),
        (0, 2, [[0, 0, 0], [2, 3, 0]]),
    ],
)
def test_a_crop_moves_the_image_and_pads_it_with_raw_zeros(top: int, left: int, expected: list[list[int]]) -> None:
    assert changed(IMAGE, padding=1, top=top, left=left) == expected


def test_a_flip_mirrors_left_and_right() -> None:
    assert changed(IMAGE, flip=True) == [[3, 2, 1], [6, 5, 4]]


def test_a_flip_mirrors_what_was_cropped() -> None:
    assert changed(IMAGE, padding=1, top=0, left=0, flip=True) == [[0, 0, 0], [2, 1, 0]]


def test_each_sample_and_each_channel_gets_its_own_pixels() -> None:
    raw = torch.rand(6, 3, 5, 4)
    draws = draw(Augmentations(horizontal_flip=True, crop_padding=2), 6, torch.Generator().manual_seed(1))
    out = apply(draws, raw)
    assert out.shape == raw.shape
    assert out.dtype == raw.dtype
    padded = torch.nn.functional.pad(raw, (2, 2, 2, 2))
    for i in range(6):
        top, left = int(draws.top[i]), int(draws.left[i])
        expected = padded[i, :, top : top + 5, left : left + 4]
        assert torch.equal(out[i], expected.flip(-1) if draws.flip[i] else expected)


def test_draws_cover_every_crop_and_half_are_flipped() -> None:
    draws = draw(Augmentations(horizontal_flip=True, crop_padding=2), 4000, torch.Generator().manual_seed(0))
    assert set(draws.top.tolist()) == set(draws.left.tolist()) == {0, 1, 2, 3, 4}
    assert 0.45 < draws.flip.float().mean() < 0.55
    assert len({*zip(draws.top.tolist(), draws.left.tolist(), strict=True)}) == 25


def test_no_augmentation_changes_nothing() -> None:
    draws = draw(Augmentations(), 100, torch.Generator())
    assert not draws.changes_anything
    raw = torch.randint(0, 256, (100, 1, 4, 4), dtype=torch.uint8)
    assert torch.equal(apply(draws, raw), raw)
