"""Puzzles: where tiles are cut, tiles and their numbers, from a photograph to a puzzle, likeliest answers."""

import numpy as np
from PIL import Image

from helpers import jigsaw
from helpers.plots.images import as_pictures
from helpers.plots.pages import EDGE, PAGE, TITLE, bar, headline, outline, page, picture, write
from helpers.plots.style import LIVE_DPI, ORANGE, styled

STEP = 0.5  # inches, a bar with a small puzzle beside it, and its share of the space to the next
NUMBER = {"fontsize": 11, "fontweight": "bold", "bbox": {"facecolor": "white", "edgecolor": "none", "pad": 2.5}}


@styled
def tiles(tiles, labels=None, title=None, width=4.2, outlined=()):
    """Nine tiles (9, t, t, 3) as a 3x3 grid, each with a label, 1 to 9 if none are given; some places are outlined.

    Given a permutation as labels, each tile of a puzzle carries the number of its cell.
    """
    top = TITLE if title else EDGE
    figure = page(width, top + width - EDGE)
    headline(figure, EDGE, title)
    _draw(figure, EDGE, top, width - 2 * EDGE, tiles, labels, outlined)
    return figure


@styled
def puzzle(photo, tiles, shuffled, permutation, middle="nine tiles"):
    """From photograph to puzzle in three panels: the photo, its tiles (9, t, t, 3) under a title, the same shuffled."""
    side, gap = 3.4, 0.1
    figure = page(3 * side + 2 * gap, TITLE + side)
    headline(figure, 0, "photograph")
    picture(figure, 0, TITLE, side * photo.shape[1] / max(photo.shape[:2]), photo)
    for place, (title, *what) in enumerate(((middle, tiles, None), ("the puzzle", shuffled, permutation)), 1):
        headline(figure, place * (side + gap), title)
        _draw(figure, place * (side + gap), TITLE, side, *what)
    return figure


@styled
def grid_on_photo(photo, cells, cell, corners, tile, width=5.5):
    """Where tiles are cut from a photo (H, W, 3): cells and tiles as squares.

    cells, corners: (9, 2) rows and columns, from jigsaw.cell_corners and jigsaw.tile_corners.
    """
    scale = width / photo.shape[1]
    figure = page(width, TITLE + scale * photo.shape[0])
    headline(figure, 0, f"white cells of {cell} pixels, orange tiles of {tile}")
    picture(figure, 0, TITLE, width, photo)
    for places, size, look in (
        (cells, cell, {"edgecolor": "white", "linewidth": 1.2}),
        (corners, tile, {"edgecolor": ORANGE}),
    ):
        for row, column in places:
            outline(figure, 0, TITLE, scale, (row, column, size, size), 0, **look)
    return figure


@styled
def likeliest(puzzle, permutations, probabilities, true):
    """The five most probable permutations: their probabilities as bars, beside each what it makes of the tiles.

    puzzle: uint8 (9, t, t, 3), shuffled. permutations: (m, 9). probabilities: (m,). true: the row that is right; it is
    marked, and added where it is not among the five.
    """
    small, left = STEP - 0.08, STEP + 0.02  # inches
    figure = page(PAGE, TITLE + 6 * STEP)
    headline(figure, 0, "its five likeliest permutations")
    ranked = np.argsort(-probabilities, kind="stable").tolist()
    side = round(small * LIVE_DPI)
    for place, row in enumerate(ranked[:5] + [true] * (true not in ranked[:5])):
        top, length, right = TITLE + place * STEP, (PAGE - left - 0.55) * probabilities[row], row == true
        answer = jigsaw.assemble(jigsaw.shuffle_tiles(puzzle, jigsaw.inverse(permutations[row])))
        picture(figure, 0, top, small, np.asarray(Image.fromarray(answer).resize((side, side), Image.Resampling.BOX)))
        words = f"{ranked.index(row) + 1}.  {' '.join(map(str, permutations[row]))}" + "   ← the true one" * right
        write(figure, left, top + 0.01, words, fontsize=9.5, fontweight="bold" if right else "normal")
        bar(figure, left, top + small - 0.085, length, 0.17)
        write(figure, left + length + 0.05, top + small - 0.085, share(probabilities[row]), va="center", fontsize=9)
    return figure


def share(probability):
    """A probability in words, such that none is taken for 0: 93%, 0.4%, under 0.1%."""
    return (
        f"{probability:.0%}" if probability >= 0.01 else f"{probability:.1%}" if probability >= 0.001 else "under 0.1%"
    )


def _draw(figure, left, top, side, tiles, labels, outlined=()):
    """The nine tiles on a page, `side` inches wide and high."""
    if len(tiles) != jigsaw.GRID**2:
        raise ValueError(f"a puzzle has {jigsaw.GRID**2} tiles, these are {len(tiles)}")
    edge = tiles.shape[1]
    gap = max(2, edge // 12)
    whole = jigsaw.assemble(np.stack(as_pictures(tiles)), gap)
    picture(figure, left, top, side, whole)
    scale = side / len(whole)
    for position, corner in enumerate(np.ndindex(jigsaw.GRID, jigsaw.GRID)):
        row, column = (place * (edge + gap) for place in corner)
        label = position + 1 if labels is None else labels[position]
        write(figure, left + column * scale + 0.06, top + row * scale + 0.06, label, **NUMBER)
        if position in outlined:
            outline(figure, left, top, scale, (row, column, edge, edge))
