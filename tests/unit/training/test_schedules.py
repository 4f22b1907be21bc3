from hypothesis import given
from hypothesis import strategies as st

from modelpress.training.schedules import START, one_cycle


def test_rises_from_a_share_of_the_peak_to_the_peak_and_falls_to_nearly_zero() -> None:
    rates = [one_cycle(step, 100, 0.2, 0.2) for step in range(100)]
    assert rates[0] == START * 0.2
    assert max(rates) == rates[20] or max(rates) == rates[19]
    assert 0.19 < max(rates) <= 0.2
    assert 0 < rates[-1] < 0.2 / 100
    assert rates[:20] == sorted(rates[:20])
    assert rates[20:] == sorted(rates[20:], reverse=True)


def test_without_warm_up_it_starts_next_to_the_peak() -> None:
    assert 0.99 < one_cycle(0, 100, 1.0, 0.0) <= 1.0


@given(st.integers(1, 500), st.floats(0, 0.9), st.data())
def test_every_rate_lies_above_zero_and_not_above_the_peak(
    steps: int, warmup_share: float, data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, steps - 1))
    assert 0 < one_cycle(step, steps, 0.5, warmup_share) <= 0.5
