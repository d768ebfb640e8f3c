"""The ledger: every claim of the report as a row, beside what this course measured, with a verdict.

Nothing is typed: see claims. `python -m helpers.study --check` checks it, as does `make check-recorded`.
"""

import json
import re

import numpy as np
import pandas as pd

from helpers.course import ROOT
from helpers.study import plan, records, results
from helpers.study.claims import claims

REPRODUCED, UNDECIDED, NOT_REPRODUCED, CANNOT = "reproduced", "undecided", "not reproduced", "cannot be checked here"
VERDICTS = (REPRODUCED, UNDECIDED, NOT_REPRODUCED, CANNOT)


def row(claim):
    """A Claim measured: dictionary with mean, half width of the 95 % interval, seeds, verdict and why.

    measured is NaN where no run has finished; seeds (or draws of classes, see results.spread) is 0 there and for what
    is counted, not trained.
    """
    found = results.seeds(claim.runs) if claim.runs else []
    done, unit = results.spread(found, claim.measure)
    values = done if claim.runs else [claim.measure()]
    mean, half = results.interval(values) if values else (np.nan, np.nan)
    verdict, why = _verdict(claim, mean, half, found)
    return {
        "claim": claim.text,
        "reported": claim.reported,
        "measured": mean,
        "half_width": half,
        "seeds": len(done),
        "verdict": verdict,
        "why": "; ".join(filter(None, (why, claim.remark))),
        "notebook": claim.notebook,
        "section": claim.section,
        "reported_text": claim.words or _shown(claim.reported, claim.form),
        "measured_text": _measured(mean, half, len(done), claim.form, unit),
    }


def _verdict(claim, mean, half, found):
    """(one of VERDICTS, why)."""
    if np.isnan(mean):
        return CANNOT, "; ".join(filter(None, (claim.runs and _not_finished(found), claim.cannot)))
    if claim.cannot:
        return CANNOT, claim.cannot
    if claim.undecided:
        return UNDECIDED, claim.undecided
    if abs(mean - claim.reported) <= claim.margin:
        return REPRODUCED, ""
    if abs(mean - claim.reported) <= half:  # never where there is one value, and half is NaN
        return UNDECIDED, "the interval contains the report's value"
    if claim.at_least and mean > claim.reported:
        return REPRODUCED, ""
    if claim.form.endswith("%"):
        off = f"{100 * abs(mean - claim.reported):.1f} points"
    else:
        off = format(abs(mean - claim.reported), claim.form)
    return NOT_REPRODUCED, f"ours is {off} {'above' if mean > claim.reported else 'below'}"


def _not_finished(found):
    """Why runs without a finished one have no value: "unfinished, epoch 12 ..." or "not run"."""
    unfinished = [one for one in found if one.result["status"] != records.NOT_RUN]
    if unfinished:
        result = unfinished[0].result
        return f"unfinished, epoch {result['epochs']}, {result['test_accuracy']:.1%} so far"
    return "not run"


def table():
    """The ledger as a DataFrame, a `row` per claim."""
    return pd.DataFrame([row(claim) for claim in claims()])


def markdown(ledger):
    """The ledger (or part of it) as a Markdown table, for a notebook's cell; it links the notebooks."""
    lines = ["| claim | reported | measured | verdict | why | where |", "|---|---|---|---|---|---|"]
    for one in ledger.to_dict("records"):
        where = f"[{one['notebook'][:2]}]({one['notebook']}.ipynb), {one['section']}"
        cells = (one["claim"], one["reported_text"], one["measured_text"], f"**{one['verdict']}**", one["why"], where)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _shown(value, form):
    return format(value, form).replace("%", " %")


def _measured(mean, half, count, form, unit):
    """ "44.34 % ± 0.44 % (2 seeds)", a counted value without the rest, or a dash where there is none."""
    if np.isnan(mean):
        return "–"
    interval = f" ± {_shown(half, form.replace('.0f', '.1f'))}" if half > 1e-6 else ""
    return _shown(mean, form) + interval + {0: "", 1: f" (1 {unit})"}.get(count, f" ({count} {unit}s)")


def problems():
    """What is wrong with the ledger, as sentences: runs that are not planned, headings that no notebook has."""
    found = []
    planned = "\n".join(plan.everything())
    for claim in claims():
        if claim.runs and not re.search(rf"^{claim.runs}(_s\d+)?$", planned, re.MULTILINE):
            found.append(f"{claim.text}: measured by {claim.runs}, which is not in helpers/study/plan.py")
        if f"## {claim.section}" not in _lines(claim.notebook):
            found.append(f"{claim.text}: {claim.notebook}.ipynb has no heading {claim.section!r}")
    return found


def _lines(notebook):
    """Lines of a notebook's text; none where there is no such notebook."""
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []
    return "".join("".join(cell["source"]) + "\n" for cell in cells if cell["cell_type"] == "markdown").splitlines()


def check():
    """Print what is wrong with the ledger and return True when nothing is."""
    found = problems()
    for problem in found:
        print(f"[FAIL] ledger: {problem}")
    if not found:
        verdicts = table()["verdict"].value_counts()
        print("[OK]   ledger: " + ", ".join(f"{verdicts.get(verdict, 0)} {verdict}" for verdict in VERDICTS))
    return not found
