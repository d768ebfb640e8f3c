"""Explorers: controls around pictures of filters, losses, activations, mistakes, learning rates and puzzles.

Each function returns a controls.Explorer; a cell that ends in one shows it. Nothing trains in them, and what takes long
is computed when an explorer is made, so that every control answers at once.
"""

from dataclasses import replace

import numpy as np
from ipywidgets import FloatLogSlider, Layout

from helpers import chart_views, jigsaw, puzzle_views, recipes
from helpers.activation_explorer import activations
from helpers.contest import contest
from helpers.controls import WORDS, Explorer, choice, slider, stops, tick
from helpers.data import preprocessing
from helpers.filter_explorer import filters
from helpers.loss_explorer import losses
from helpers.mistake_explorer import mistakes
from helpers.training import schedule

__all__ = ["activations", "contest", "filters", "learning_rates", "losses", "mistakes", "puzzles"]

GAMMAS = [round(0.998 + 0.0001 * step, 4) for step in range(21)]  # per iteration
FACTORS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0]  # per step


def learning_rates(batches, presets=recipes.REPORT):
    """Design a learning-rate policy, and see what it does to data sets of different sizes.

    batches: {data set: iterations per epoch}; the first two are compared. presets: recipes to start from.
    """
    controls = {
        "preset": choice("start from", [(recipe.title, recipe) for recipe in presets]),
        "policy": choice("lr_policy", ["exp", "step"]),
        "base_lr": FloatLogSlider(
            0.01,
            min=-5,
            max=-1,
            step=0.05,
            description="base_lr",
            readout_format=".2e",
            style=WORDS,
            layout=Layout(width="21em"),
        ),
        "gamma": stops("gamma per iteration", GAMMAS, presets[0].gamma),
        "factor": stops("gamma per step", FACTORS, 0.2),
        "stepsize": slider("epochs per step", 5, 1, 20),
        "epochs": slider("epochs shown", 15, 1, 100),
    }

    def adjust(name):
        recipe = controls["preset"].value
        if name == "preset":
            controls["policy"].value, controls["base_lr"].value = recipe.lr_policy, recipe.base_lr
            controls["gamma" if recipe.lr_policy == "exp" else "factor"].value = recipe.gamma
            controls["stepsize"].value = recipe.stepsize_epochs or controls["stepsize"].value
        exponential = controls["policy"].value == "exp"
        controls["gamma"].disabled = not exponential
        controls["factor"].disabled = controls["stepsize"].disabled = exponential

    def designed(policy, base_lr, gamma, factor, stepsize):
        chosen = gamma if policy == "exp" else factor
        return replace(presets[0], lr_policy=policy, base_lr=base_lr, gamma=chosen, stepsize_epochs=stepsize)

    def rates(policy, base_lr, gamma, factor, stepsize, epochs):
        recipe, along = designed(policy, base_lr, gamma, factor, stepsize), np.linspace(0, epochs, 400, endpoint=False)
        shown = {
            f"{name}: {count} batches per epoch": (
                along,
                schedule.learning_rates(recipe, (along * count).astype(int), count),
            )
            for name, count in batches.items()
        }
        figure = chart_views.rate_curves(shown, shade=len(batches) > 1)
        return figure, f"Learning rate over {epochs} epochs, log scale, policy {policy}, one curve per data set."

    def words(policy, gamma, factor, stepsize):
        if policy == "step":
            return (
                f"Every {stepsize} epochs the rate is multiplied by {factor:g}. Caffe counts the stepsize in "
                "iterations; each data set needs its own: "
                + ", ".join(f"{name} {stepsize * count:,}" for name, count in batches.items())
                + ". Then the curves lie on one another."
            )
        (first, many), (second, few) = list(batches.items())[:2]
        return (
            f"In one epoch the rate shrinks to <b>{gamma**many:.3f}</b> of itself on {first} and to "
            f"<b>{gamma**few:.3f}</b> on {second}: {many / few:.1f} times slower, because Caffe counts batches. "
            f"To fall alike, {second} would need gamma <b>{gamma ** (many / few):.4f}</b>."
        )

    adjust("preset")
    return Explorer(controls, [rates, words], adjust)


def puzzles(photos, cell=jigsaw.CELL):
    """Cut a photograph into a puzzle: where the tiles lie, how far apart, in which order, with which precautions.

    photos: {name: uint8 (H, W, 3)}; they are shown with the short side a little longer than three cells.
    """
    photos = {name: preprocessing.resize_short_side(photo, jigsaw.GRID * cell + 45) for name, photo in photos.items()}
    permutations = jigsaw.choose_permutations(100)

    def where(photo, cut, tile):
        rng = np.random.default_rng(cut)
        cells = jigsaw.cell_corners(photos[photo].shape, cell, rng)
        corners = jigsaw.tile_corners(cells, cell, tile, rng)
        figure = puzzle_views.cut_places(photos[photo], cells, cell, corners, tile)
        return figure, f"{photo} with nine cells of {cell} pixels and, in each at random, a tile of {tile}."

    def puzzle(photo, cut, tile, shift, grey, normalised, permutation):
        tiles = jigsaw.cut_tiles(photos[photo], cell, tile, cut, shift)  # draws the places that `where` shows
        tiles = jigsaw.grey_tiles(tiles) if grey else tiles
        tiles = jigsaw.normalise_tiles(tiles) if normalised else tiles
        order = permutations[permutation]
        figure = puzzle_views.puzzle(jigsaw.shuffle_tiles(tiles, order), order)
        return figure, f"The tiles in the order {order.tolist()}."

    controls = {
        "photo": choice("photograph", list(photos)),
        "permutation": slider("permutation", 0, 0, len(permutations) - 1),
        "tile": slider("tile (pixels)", jigsaw.TILE, 40, cell),
        "cut": slider("another cut", 0, 0, 50),
        "shift": slider("shift of colours (pixels)", 0, 0, 6),
        "grey": tick("grey"),
        "normalised": tick("each tile normalised"),
    }
    return Explorer(controls, [where, puzzle])
