"""The full-size study: plan, trainings, records, results, ledger. `python -m helpers.study` carries it out."""

from helpers.study.runner import replay

__all__ = ["replay"]
