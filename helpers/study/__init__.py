"""The full-size study: plan, trainings, records, results, ledger. `python -m helpers.study` carries it out."""

from helpers.study.runner import at_full_size

__all__ = ["at_full_size"]
