"""Notebook 08: an interval that holds what it promises, a verdict that may be undecided, and a claim for the ledger."""

import dataclasses
import json

import numpy as np
from scipy import stats

from helpers import course, recipes
from helpers.exercises.engine import exercise
from helpers.study import plan, results
from helpers.study.claims import Claim, claims
from helpers.study.ledger import VERDICTS, row


def verdict(reported, mean, half, margin):
    """Whether a reported number is reproduced.

    mean: what was measured, over seeds; half: half of its 95 % interval, NaN for a single seed.
    "reproduced" where the mean is within `margin` of what was reported, the margin included; else
    "undecided" where the interval contains what was reported; else "not reproduced".
    """
    distance = abs(mean - reported)
    if distance <= margin:
        return "reproduced"
    return "undecided" if distance <= half else "not reproduced"


@exercise(
    "08.1",
    "A verdict that may be undecided",
    verdict,
    "Two questions, in this order: is it near enough? If not: could it be, for all that we know?",
    "Near is near on both sides: take abs() of the difference.",
    "A comparison with NaN is False. Ask `distance <= half`, and one seed never leaves anything undecided.",
)
def _verdict(attempt):
    nan = float("nan")
    cases = [  # multiples of 1/8: no rounding decides
        ("within the margin it is reproduced", (4.0, 4.125, 0.0, 0.25)),
        ("the margin itself is within it", (4.0, 4.25, 0.0, 0.25)),
        ("a mean below the report is judged as one above", (4.0, 3.75, 0.0, 0.25)),
        ("far off, with a narrow interval, it is not reproduced", (4.0, 5.0, 0.5, 0.25)),
        ("far below, with a narrow interval, it is not reproduced", (4.0, 3.0, 0.5, 0.25)),
        ("an interval that contains the report's value leaves it undecided", (4.0, 5.0, 2.0, 0.25)),
        ("a wide interval does not undo a mean within the margin", (4.0, 4.125, 3.0, 0.25)),
        ("margin and interval do not add up", (4.0, 5.0, 0.875, 0.25)),
        ("a single seed has no interval: it is not undecided", (4.0, 5.0, nan, 0.25)),
        ("a single seed within the margin is reproduced", (4.0, 4.125, nan, 0.25)),
    ]
    rng = np.random.default_rng(2)
    for _ in range(200):
        cases.append(("it is the ledger's rule", (4.0, *(rng.integers([16, 0, 0], [48, 9, 5]) / 8).tolist())))
    for wanted, (reported, mean, half, margin) in cases:
        distance = abs(mean - reported)
        right = "reproduced" if distance <= margin else "undecided" if distance <= half else "not reproduced"
        answer = attempt(reported, mean, half, margin)
        attempt.must(answer == right, wanted, f"{answer!r} instead of {right!r}")


def interval(values):
    """A 95 % interval of the mean of a few independent values.

    values: (n,), n from 2 on: test accuracies of seeds, say. By Student's t, whose quantile for n
    values is scipy.stats.t.ppf(0.975, n - 1). Returns low and high.
    """
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    return np.mean(values) - half, np.mean(values) + half


@exercise(
    "08.2",
    "A 95 % interval",
    interval,
    "The mean of n values scatters less than one value does, by the root of n.",
    "The standard deviation of a sample divides by n - 1: ddof=1.",
    "1.96 is for a deviation that is known. From three values it is guessed, and Student's 4.30 pays for that.",
)
def _interval(attempt):
    rng = np.random.default_rng(1)
    for n in (2, 3, 5, 20):
        covered, runs = 0, 400
        for _ in range(runs):
            low, high = attempt.array(attempt(rng.normal(0.4, 0.02, n)), (2,), "it returns low and high")
            covered += low <= 0.4 <= high
        words = f"it did in {covered / runs:.1%} of {runs} simulations with {n} values"
        attempt.must(0.91 < covered / runs < 0.99, "it holds the true mean 95 times in 100", words)
        values = rng.normal(0.4, 0.02, n)
        low, high = np.asarray(attempt(values))
        right = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
        words = f"{low:.4f} to {high:.4f} instead of {right[0]:.4f} to {right[1]:.4f}"
        attempt.must(np.allclose((low, high), right, rtol=1e-3), "it is Student's t interval", words)


def claim():
    """One more claim for the ledger: a number that the report gives, and how it is measured here.

    Returns a recorded.claims.Claim. `runs` names a recorded training without its seed, measure(record)
    reads its result (record.result) or its curves (record.history); notebook and section name the
    heading under which a reader meets it. What cannot be decided says why, in `cannot`.
    """
    last, tuned = recipes.FRUITS360_LAST_LAYER, recipes.FRUITS360_FINE_TUNE

    def gained(record):
        last_layer = results.rows().loc["fruits360_81_first_last_layer_jigsaw_s0", "test_accuracy"]
        return record.result["test_accuracy"] - last_layer

    return Claim(
        text="Fruits-360: points that fine-tuning adds to the last layer",
        reported=tuned.reported_test_accuracy - last.reported_test_accuracy,
        form=".1%",
        notebook="07_fruits360",
        section="4. Figures 10 and 11, at full size",
        measure=gained,
        runs="fruits360_81_first_fine_tune_jigsaw",
        margin=0.01,
        remark="one list of 81 classes; the report's own is not known",
    )


@exercise(
    "08.3",
    "A claim for the ledger",
    claim,
    "recorded.claims.claims() shows how the others are written, recorded.names() which trainings there are.",
    "lambda record: record.result['test_accuracy'] is a measure; a number that you type is none.",
    "The report's numbers stand in `recipes`: reported_epochs and reported_test_accuracy, and what follows from them.",
)
def _claim(attempt):
    own = attempt()
    attempt.must(isinstance(own, Claim), "it returns a Claim", f"it returned {type(own).__name__}")
    known = {one.text for one in claims()}
    attempt.must(bool(own.text) and own.text not in known, "the ledger does not have that claim yet", own.text)
    number = isinstance(own.reported, int | float) and np.isfinite(own.reported)
    attempt.must(number, "`reported` is a number of the report's", f"{own.reported!r}")
    path = course.ROOT / "notebooks" / f"{own.notebook}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []
    lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    attempt.must(f"## {own.section}" in lines, "a notebook has that heading", f"{own.notebook}, {own.section}")
    planned = {name.rpartition("_s")[0] for name in plan.everything()} | set(plan.everything())
    attempt.must(own.runs in planned, "`runs` names a training of the study, without its seed", f"{own.runs!r}")
    records = [one for one in results.seeds(own.runs) if one.result.get("test_accuracy") is not None]
    attempt.must(bool(records), "`runs` names a training that has been recorded", f"{own.runs!r}")
    result = {name: value * 1.5 if isinstance(value, float) else value for name, value in records[0].result.items()}
    changed = dataclasses.replace(records[0], result=result, history=records[0].history * 1.5)
    first, second = (attempt.run(own.measure, one) for one in (records[0], changed))
    attempt.must(first != second, "`measure` reads the record", f"{second} whatever the record says: is it typed?")
    judged = row(own)
    attempt.must(np.isfinite(judged["measured"]), "what is measured is a number", f"{judged['measured']}")
    attempt.must(judged["verdict"] in VERDICTS, "it gets a verdict", f"{judged['verdict']}")
