"""Notebook 08: an interval that holds what it promises, a verdict that may be undecided, and a claim for the ledger."""

import dataclasses
import json
import re

import numpy as np
from scipy import stats

from helpers import course, recipes
from helpers.exercises.engine import describe, exercise
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
)
def _verdict(attempt):
    nan = float("nan")
    order = (
        "Two questions, in this order: is it near enough? If not: does the interval, mean - half to mean + half "
        "with its ends, contain what was reported?"
    )
    sides = (
        "Near is near on both sides: take abs() of the difference, in the unit of the values, and compare with `<=`."
    )
    single = "A comparison with NaN is False. Ask `distance <= half`, and one seed never leaves anything undecided."
    hints = {"within": sides, "the margin": sides, "a mean": sides, "far": order, "a single": single}
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
        ("the ends of an interval belong to it", (4.0, 5.0, 1.0, 0.25)),
        ("a loss is not a gain: signs count", (-0.5, 0.5, 0.25, 0.125)),
    ]
    rng = np.random.default_rng(2)
    for _ in range(200):
        reported = float(rng.choice([4.0, -1.0, 0.0]))
        off, half, margin = (rng.integers([-16, 0, 0], [17, 9, 5]) / 8).tolist()
        cases.append(("it is the ledger's rule", (reported, reported + off, half, margin)))
    for wanted, (reported, mean, half, margin) in cases:
        distance = abs(mean - reported)
        right = "reproduced" if distance <= margin else "undecided" if distance <= half else "not reproduced"
        answer = attempt(reported, mean, half, margin)
        hint = next((hint for begins, hint in hints.items() if wanted.startswith(begins)), order)
        attempt.must(answer == right, wanted, f"{answer!r} instead of {right!r}", hint)


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
)
def _interval(attempt):
    rng = np.random.default_rng(1)
    wide = "1.96 is for a deviation that is known. From three values it is guessed, and Student's 4.30 pays for that."
    parts = (
        "The mean of n values scatters less than one value does, by the root of n; the standard deviation of a sample "
        "divides by n - 1: ddof=1. The interval lies around the mean, whatever the values' unit."
    )

    def as_before(values, wanted):
        low, high = attempt.array(attempt(values), (2,), "it returns low and high")
        right = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
        words = f"{low:.4f} to {high:.4f} instead of {right[0]:.4f} to {right[1]:.4f}"
        attempt.must(np.allclose((low, high), right, rtol=1e-3), wanted, words, parts)

    for n in (2, 3, 5, 20):
        covered, runs = 0, 400
        for _ in range(runs):
            low, high = attempt.array(attempt(rng.normal(0.4, 0.02, n)), (2,), "it returns low and high")
            covered += low <= 0.4 <= high
            attempt.must(
                low <= high, "low is not above high", f"{low:.3f}, {high:.3f}", "`return mean - half, mean + half`."
            )
        words = f"it did in {covered / runs:.1%} of {runs} simulations with {n} values"
        attempt.must(0.91 < covered / runs < 0.99, "it holds the true mean 95 times in 100", words, f"{wide} {parts}")
        for values in (rng.normal(0.4, 0.02, n), rng.normal(0.99, 0.02, n), rng.normal(60, 2, n)):
            as_before(values, "it is Student's t interval")
    as_before(np.array([0.5, 0.75, 0.5, 0.5]), "values that are equal count each")


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
)
def _claim(attempt):
    shown = "recorded.claims.claims() shows how the others are written, recorded.names() which trainings there are."
    reads = "lambda record: record.result['test_accuracy'] is a measure; a number that you type is none."
    reports = (
        "The report's numbers stand in `recipes`: reported_epochs and reported_test_accuracy, and what follows from"
        " them."
    )
    heading = (
        "notebook='04_fine_tuning' and section='5. Train', say: the file's name without .ipynb, the heading without ##."
    )
    own = attempt()
    attempt.must(isinstance(own, Claim), "it returns a Claim", f"it returned {type(own).__name__}", shown)
    attempt.must(isinstance(own.text, str) and own.text.strip(), "`text` says what is claimed", f"{own.text!r}", shown)
    known = {" ".join(one.text.lower().split()) for one in claims()}
    new = " ".join(own.text.lower().split()) not in known
    attempt.must(new, "the ledger does not have that claim yet", own.text, shown)
    number = isinstance(own.reported, int | float) and not isinstance(own.reported, bool) and np.isfinite(own.reported)
    attempt.must(number, "`reported` is a number of the report's", f"{own.reported!r}", reports)
    try:
        shape = bool(format(own.reported, own.form))
    except (TypeError, ValueError):
        shape = False
    attempt.must(
        shape, "`form` is a format specification for the value", f"{own.form!r}", "'.1%' or '.2f', as in an f-string."
    )
    path = course.ROOT / "notebooks" / f"{own.notebook}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []
    lines = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    attempt.must(f"## {own.section}" in lines, "a notebook has that heading", f"{own.notebook}, {own.section}", heading)
    planned = {re.sub(r"_s\d+$", "", name) for name in plan.everything()}
    named = isinstance(own.runs, str) and own.runs in planned
    attempt.must(named, "`runs` names a training of the study, without its seed", f"{own.runs!r}", shown)
    records = [one for one in results.seeds(own.runs) if one.result.get("test_accuracy") is not None]
    attempt.must(bool(records), "`runs` names a training that has been recorded", f"{own.runs!r}", shown)
    result = {name: value * 1.5 if isinstance(value, float) else value for name, value in records[0].result.items()}
    changed = dataclasses.replace(records[0], result=result, history=records[0].history * 1.5)
    attempt.must(callable(own.measure), "`measure` is a function of a record", describe(own.measure), reads)
    first, again, second = (attempt.run(own.measure, one) for one in (records[0], records[0], changed))
    number = isinstance(first, int | float | np.number) and not isinstance(first, bool) and np.isfinite(first)
    attempt.must(number, "what is measured is a number", describe(first), reads)
    attempt.must(first == again, "the same record gives the same number", f"{first}, then {again}", reads)
    words = f"{second} whatever the record says: is it typed?"
    attempt.must(first != second, "`measure` reads the record", words, reads)
    judged = row(own)
    attempt.must(judged["verdict"] in VERDICTS, "it gets a verdict", f"{judged['verdict']}", shown)
