"""The self-check behind every exercise."""

import numpy as np


def check(answer, right, hint, tolerance=0.0):
    """Say whether an answer (a number, numbers or a name) is right; None means that there is none yet.

    tolerance: how far a number may be off, in its own unit. Raises AssertionError with the hint for a wrong answer.
    """
    if answer is None:
        print("Not answered yet.")
    elif np.shape(answer) == np.shape(right) and (
        answer == right if isinstance(right, str) else np.allclose(answer, right, rtol=0, atol=tolerance)
    ):
        print("Right.")
    else:
        raise AssertionError(hint)
