"""The explorer of puzzles: where tiles are cut from a photograph, how far apart, in which order."""

import numpy as np

from helpers import jigsaw, plots
from helpers.data import preprocessing
from helpers.explorers.controls import Explorer, choice, slider, tick
from helpers.plots.pages import PAGE


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
        figure = plots.grid_on_photo(photos[photo], cells, cell, corners, tile, PAGE)
        return figure, f"{photo} with nine cells of {cell} pixels and, in each at random, a tile of {tile}."

    def puzzle(photo, cut, tile, shift, grey, normalised, permutation):
        tiles = jigsaw.cut_tiles(photos[photo], cell, tile, cut, shift)  # draws the places that `where` shows
        tiles = jigsaw.grey_tiles(tiles) if grey else tiles
        tiles = jigsaw.normalise_tiles(tiles) if normalised else tiles
        order = permutations[permutation]
        figure = plots.tiles(jigsaw.shuffle_tiles(tiles, order), order, "the puzzle", PAGE - 1)
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
    travels = {"tile": [jigsaw.TILE, cell], "normalised": [False, True], "grey": [False, True], "permutation": [0, 1]}
    caption = "A photograph with nine cells and a tile in each, and the puzzle that these tiles make."
    return Explorer(controls, [where, puzzle], caption, travels=travels)
