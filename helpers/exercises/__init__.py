"""Exercises, a module per notebook: what a student writes is checked by property. check, use, solution, progress."""

from helpers.exercises import (  # noqa: F401  each registers its exercises, in this order
    n01_puzzles,
    n02_blobs,
    n03_last_layer,
    n04_fine_tuning,
    n05_filters,
    n06_alexnet,
    n07_fruits360,
    n08_conclusions,
)
from helpers.exercises.engine import check, progress, solution, use

__all__ = ["check", "progress", "solution", "use"]
