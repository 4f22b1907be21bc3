"""What findings come to, on findings made by hand."""

from __future__ import annotations

import pytest

from modelpress.xray.advice import Subject, next_command
from modelpress.xray.findings import AxisFinding, Candidate, Latency, LayerFinding
from modelpress.xray.verdict import NOT_MEASURED, suggested, verdict, width_series
from modelpress.xray.warnings import warnings

SIZES = {1.0: 1.0, 0.75: 1.75, 0.5: 3.9, 0.25: 15.0}


def candidate(width: float, int8: bool, ratio: float | None, spread: float = 0.02, batch: int = 1) -> Candidate:
    """Of ``ratio`` times the dense model's speed; None where it was not measured."""
    latencies = () if ratio is None else (Latency(batch, 1 / ratio, ratio, ratio - spread, ratio + spread, 0.01),)
    size_ratio = SIZES[width] * (4 if int8 else 1)
    return Candidate(
        "", width, int8, round(1000 / size_ratio), size_ratio, 10, 10, latencies, ("attn",) if int8 else ()
    )


def candidates(int8: tuple[float | None, ...], floats: tuple[float | None, ...]) -> list[Candidate]:
    """Ratios at widths 1, 3/4, 1/2 and 1/4."""
    series = ((int8, True), (floats, False))
    return [candidate(w, is_int8, r) for ratios, is_int8 in series for w, r in zip(SIZES, ratios, strict=True)]


FLOATS = (1.0, 1.3, 2.0, 3.0)


@pytest.mark.parametrize(
    ("int8", "floats", "told"),
    [
        (
            (3.4, 5.0, 8.2, 8.3),
            FLOATS,
            "int8 alone: 3.40× faster and 4.00× smaller. Half the width on top: 8.20× faster and 15.6× smaller; "
            "below that nothing more is gained at batch 1.",
        ),
        (
            (3.4, 5.0, 8.2, 14.0),
            FLOATS,
            "int8 alone: 3.40× faster and 4.00× smaller. Half the width on top: 8.20× faster and 15.6× smaller; "
            "a quarter of the width: 14.0× faster and 60.0× smaller.",
        ),
        (
            (0.99, 1.0, 1.0, 1.0),
            FLOATS,
            "int8 alone: no gain at batch 1 (0.97 to 1.01×), 4.00× smaller. Half the width: 2.00× faster and 3.90× "
            "smaller; a quarter of the width: 3.00× faster and 15.0× smaller.",
        ),
        (
            (0.5, 0.5, 0.5, 0.5),
            (1.0, 1.02, 1.03, 1.05),
            "int8 alone: 2.00× slower at batch 1, 4.00× smaller. No width that was tried is for certain faster by a "
            "tenth at batch 1; a quarter of the width is 15.0× smaller.",
        ),
        (
            (3.0, 3.0, 3.1, 3.2),
            FLOATS,
            "int8 alone: 3.00× faster and 4.00× smaller. On top of it no width that was tried is for certain faster by "
            "a tenth at batch 1; a quarter of the width is 60.0× smaller.",
        ),
        (
            (3.0, 4.5, 4.6, 4.6),
            FLOATS,
            "int8 alone: 3.00× faster and 4.00× smaller. Three quarters of the width on top: 4.50× faster and 7.00× "
            "smaller; below that nothing more is gained at batch 1.",
        ),
        (
            (3.0, None, None, None),
            (1.0, None, None, None),
            "int8 alone: 3.00× faster and 4.00× smaller. Nothing narrower was built and measured.",
        ),
        (
            (3.0, None, 5.0, None),
            (1.0, None, 2.0, None),
            "int8 alone: 3.00× faster and 4.00× smaller. Half the width on top: 5.00× faster and 15.6× smaller; "
            "nothing narrower was measured.",
        ),
    ],
)
def test_two_sentences(int8: tuple[float | None, ...], floats: tuple[float | None, ...], told: str) -> None:
    assert verdict(candidates(int8, floats), 1) == told


def test_nothing_measured_is_said() -> None:
    assert verdict([candidate(1.0, False, 1.0)], 1) == NOT_MEASURED


def test_a_wide_interval_is_no_gain() -> None:
    found = [candidate(1.0, True, 3.0), candidate(0.5, True, 4.0, spread=1.5)]
    assert suggested(width_series(found, 1), 1) is None
    assert "no gain at batch 1 (0.50 to 4.50×)" in verdict([candidate(1.0, True, 2.5, spread=2.0)], 1)


def layer(path: str, type: str, macs: int, dense_us: float | None, weight_bytes: int = 0) -> LayerFinding:
    return LayerFinding(path, type, (), weight_bytes // 4, macs, weight_bytes, 0, dense_us)


SLOW = [candidate(1.0, False, 1.0), candidate(1.0, True, 0.9)]


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ([layer("a", "Conv2d", 9, 5.0), layer("b", "Conv2d", 9, 6.0)], "overhead-bound"),
        ([layer("a", "Conv2d", 9, 500.0)], "memory-bound"),
        ([layer("a", "Conv2d", 9, 100.0), layer("sort", "sort", 0, 400.0)], "only 20% of the time"),
        ([layer("attn", "Attention", 9, 400.0), layer("a", "Linear", 9, 100.0)], "only 20% of the time"),
    ],
)
def test_why_int8_brings_nothing(layers: list[LayerFinding], told: str) -> None:
    found = warnings(SLOW, layers, [AxisFinding("a.out", 8, ("a",), 9)], (1,))
    assert found[0].startswith("int8 alone is slower at batch 1 (0.88 to 0.92×)")
    assert told in found[0]


def test_what_stays_in_floats_is_named_with_its_share() -> None:
    layers = [
        layer("attn", "Attention", 30, 1.0),
        layer("a", "Linear", 70, 1.0, 600),
        layer("e", "Embedding", 0, 1.0, 400),
    ]
    found = warnings([candidate(1.0, False, 1.0), candidate(1.0, True, 2.0)], layers, [], (1,))
    assert found[0] == "int8 leaves 30% of the multiplications in floats, for want of integer kernels: attn (Attention)"
    assert found[1] == "int8 leaves 40% of the weights' bytes in floats: e (Embedding, 400 B)"


def test_odd_widths_are_named_and_long_lists_cut() -> None:
    axes = [AxisFinding(f"l{n}.out", n, (), 9) for n in (84, 16, 3, 9, 10, 11, 12)]
    (found,) = warnings([candidate(1.0, False, 1.0)], [], axes, (1,))
    assert found.endswith("l84.out (84), l9.out (9), l10.out (10), l11.out (11) and 1 more")


def subject(**changes: object) -> Subject:
    facts = {"title": "m:f", "source": "m:f", "name": "m-f", "input_words": ("1,28,28",), "pushed": False}
    return Subject(**{**facts, "sample": (3, 32, 32), "has_norms": True, **changes})  # type: ignore[arg-type]


def test_the_next_command_is_as_much_as_there_is_to_do() -> None:
    half = candidate(0.5, True, 8.0)
    push = "modelpress push model m:f --input 1,28,28 --name m-f"
    data = "modelpress push data my-data.npz --name my-data"
    run = "modelpress run slim-distill-int8 --set sparsity=0.5 --set min_size_ratio=10.9 --model m-f --data my-data"
    assert next_command(subject(), half) == f"{push} && {data} && {run}"
    assert next_command(subject(has_norms=False), half).endswith("modelpress run int8 --model m-f --data my-data")
    assert next_command(subject(), None).endswith("modelpress run int8 --model m-f --data my-data")
    assert next_command(subject(sample=None), half) == push
    assert next_command(subject(sample=None, pushed=True, source="tag"), half) == "modelpress show tag"
    assert "push data fashion-mnist " in next_command(subject(sample=(1, 28, 28)), half)
    assert next_command(subject(pushed=True, source="a b"), half).startswith("modelpress push data")
