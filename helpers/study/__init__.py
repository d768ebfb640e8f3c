"""The full-size study: plan, trainings, records, results, claims, ledger. `python -m helpers.study` carries it out."""

from helpers.study import claims, ledger, measures
from helpers.study.plan import EACH_TRUNK, EPOCHS, FEW, LEARNT_FROM, PROBED, SECTIONS, SEEDS, TRUNKS, everything
from helpers.study.records import DONE, NOT_RUN, label, load, names
from helpers.study.results import interval, long_enough, over_recipes, over_scales, over_seeds, over_trunks, rows
from helpers.study.runner import at_full_size

__all__ = [
    "DONE", "EACH_TRUNK", "EPOCHS", "FEW", "LEARNT_FROM", "NOT_RUN", "PROBED", "SECTIONS", "SEEDS", "TRUNKS",
    "at_full_size", "claims", "everything", "interval", "label", "ledger", "load", "long_enough", "measures", "names",
    "over_recipes", "over_scales", "over_seeds", "over_trunks", "rows",
]  # fmt: skip
