"""The report's stopping rule, epoch by epoch."""

import pytest
from hypothesis import given, strategies as st

from helpers.early_stopping import EarlyStopping


def stops_at(losses, patience, epsilon=1e-4):
    """The first epoch after which the rule stops, or None."""
    rule = EarlyStopping(patience, epsilon)
    return next((epoch for epoch, loss in enumerate(losses, start=1) if rule.update(epoch, loss)), None)


@pytest.mark.parametrize(
    "losses, patience, expected",
    [
        ([3.0, 2.0, 1.0, 0.5], 1, None),  # always better
        ([1.0, 1.1, 1.2], 1, 3),  # one bad epoch is borne, the second stops
        ([1.0, 1.1, 0.9, 1.0, 1.0], 1, 5),  # an improvement starts the count again
        ([1.0] + [2.0] * 6, 5, 7),  # patience 5: the sixth bad epoch stops
        ([1.0] + [2.0] * 5, 5, None),
        ([1.0, 1.0 - 0.9e-4, 1.0 - 0.95e-4], 1, 3),  # better, but by less than epsilon
        ([1.0, 1.0 - 1.1e-4, 1.0 - 2.3e-4], 1, None),
        ([float("nan"), float("nan")], 1, 2),  # NaN never improves
        ([1.0, 1.1], 0, 2),
    ],
)
def test_stops_when_the_report_says(losses, patience, expected):
    assert stops_at(losses, patience) == expected


def test_small_steps_below_epsilon_add_up():
    """Each epoch is held against the best that counted, so a slow slide still improves once it has gone epsilon."""
    rule = EarlyStopping(patience=5, epsilon=1e-4)
    for epoch, loss in enumerate([1.0, 0.99995, 0.99985], start=1):
        rule.update(epoch, loss)
    assert (rule.best_epoch, rule.best, rule.waited) == (3, 0.99985, 0)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.integers(0, 6))
def test_the_best_is_within_epsilon_of_the_minimum_and_patience_is_kept(losses, patience):
    rule = EarlyStopping(patience, 1e-4)
    for epoch, loss in enumerate(losses, start=1):
        if rule.update(epoch, loss):
            break
    seen = losses[:epoch]
    assert min(seen) <= rule.best <= min(seen) + 1e-4
    assert losses[rule.best_epoch - 1] == rule.best
    assert rule.waited == epoch - rule.best_epoch <= patience + 1


@given(st.integers(1, 24), st.integers(1, 40), st.integers(0, 6))
def test_a_straight_fall_then_a_plain_is_stopped_at_a_known_epoch(eighths, falling, patience):
    """Falling by d a step, every m-th epoch improves, m the least whole number with m d > epsilon; in exact floats."""
    epsilon, m = 2.0**-10, 8 // eighths + 1
    losses = [4 - min(epoch, falling - 1) * eighths * epsilon / 8 for epoch in range(falling + 60)]
    best = 1 + m * ((falling - 1) // m) if m <= patience + 1 else 1
    assert stops_at(losses, patience, epsilon) == best + patience + 1
