"""A self-check that can fail."""

import numpy as np
import pytest

from helpers.exercises import check


@pytest.mark.parametrize(
    "answer, right, tolerance",
    [(3, 3, 0), (3.004, 3, 0.005), ((10, 14), (10, 14), 0), (np.array([1, 2]), [1, 2], 0), ("conv1_s1", "conv1_s1", 0)],
)
def test_right_answers(answer, right, tolerance, capsys):
    check(answer, right, "hint", tolerance)
    assert capsys.readouterr().out == "Right.\n"


@pytest.mark.parametrize(
    "answer, right, tolerance",
    [
        (4, 3, 0),
        (3.006, 3, 0.005),
        ((10, 15), (10, 14), 0),
        ([1], [1, 2], 0),
        (10, (10, 10), 0),
        ("conv2_s1", "conv1_s1", 0),
    ],
)
def test_wrong_answers_raise_the_hint(answer, right, tolerance):
    with pytest.raises(AssertionError, match="count the biases"):
        check(answer, right, "count the biases", tolerance)


def test_no_answer_is_no_error(capsys):
    check(None, 3, "hint")
    assert "Not answered yet" in capsys.readouterr().out
