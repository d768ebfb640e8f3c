"""Explorers: controls around pictures of filters, losses, activations, mistakes, learning rates and puzzles.

Each function returns a controls.Explorer; a cell that ends in one shows it. Nothing trains in them, and what takes long
is computed when an explorer is made, so that every control answers at once.
"""

from helpers.explorers import filter_numbers
from helpers.explorers.activation_explorer import activations
from helpers.explorers.contest_explorer import contest
from helpers.explorers.filter_explorer import filters
from helpers.explorers.loss_explorer import losses
from helpers.explorers.mistake_explorer import mistakes
from helpers.explorers.puzzle_explorer import puzzles
from helpers.explorers.rate_explorer import learning_rates

__all__ = ["activations", "contest", "filter_numbers", "filters", "learning_rates", "losses", "mistakes", "puzzles"]
