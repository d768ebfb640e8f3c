"""Figures, one function each: data in, a matplotlib Figure out, for a page or behind a slider; without Caffe.

`show(figure, alt)` puts a figure into the notebook, `png(figure)` gives its bytes.
"""

from helpers.plots.architecture import architecture
from helpers.plots.classes import bars, confusion, per_class, turntable
from helpers.plots.curves import (
    accuracy,
    against,
    hamming_histogram,
    histogram,
    learning_rates,
    losses,
    per_epoch,
    puzzle_accuracy,
)
from helpers.plots.filters import filter_change, filters, filters_beside
from helpers.plots.images import activations, class_examples, image_grid
from helpers.plots.puzzles import grid_on_photo, puzzle, tiles
from helpers.plots.style import png, show

__all__ = [
    "accuracy", "activations", "against", "architecture", "bars", "class_examples", "confusion", "filter_change",
    "filters", "filters_beside", "grid_on_photo", "hamming_histogram", "histogram", "image_grid", "learning_rates",
    "losses", "per_class", "per_epoch", "png", "puzzle", "puzzle_accuracy", "show", "tiles", "turntable",
]  # fmt: skip
