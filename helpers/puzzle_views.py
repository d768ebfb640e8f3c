"""The pictures behind the puzzle explorers, drawn as in views: where tiles are cut, a puzzle, likeliest answers."""

import numpy as np
from matplotlib.patches import Rectangle

from helpers import jigsaw
from helpers.data import preprocessing
from helpers.drawing import BLUE, LIVE_DPI, ORANGE, styled
from helpers.pictures import as_pictures
from helpers.views import EDGE, PAGE, TITLE, headline, outline, page, picture, write

STEP = 0.5  # inches, a bar with a small puzzle beside it, and its share of the space to the next


@styled
def cut_places(photo, cells, cell, corners, tile):
    """A photograph with its cells (white) and the tiles cut from them (orange), as plots.grid_on_photo."""
    scale = PAGE / photo.shape[1]
    figure = page(PAGE, TITLE + scale * photo.shape[0])
    headline(figure, 0, f"white cells of {cell} pixels, orange tiles of {tile}")
    picture(figure, 0, TITLE, PAGE, photo)
    for places, size, look in (
        (cells, cell, {"edgecolor": "white", "linewidth": 1.2}),
        (corners, tile, {"edgecolor": ORANGE}),
    ):
        for row, column in places:
            outline(figure, 0, TITLE, scale, (row, column, size, size), 0, **look)
    return figure


@styled
def puzzle(tiles, labels, title="the puzzle", width=PAGE - 1, outlined=()):
    """A puzzle's nine tiles (9, t, t, 3) in their order, each with a label; those at the outlined positions framed."""
    gap = 5
    figure = page(width, TITLE + width - EDGE)
    headline(figure, EDGE, title)
    whole = jigsaw.assemble(np.stack(as_pictures(tiles)), gap)
    picture(figure, EDGE, TITLE, width - 2 * EDGE, whole)
    scale, side = (width - 2 * EDGE) / len(whole), tiles.shape[1]
    look = {"facecolor": "white", "edgecolor": "none", "pad": 2.5}
    for position, (row, column) in enumerate(np.ndindex(jigsaw.GRID, jigsaw.GRID)):
        top, left = row * (side + gap), column * (side + gap)
        places = EDGE + left * scale + 0.06, TITLE + top * scale + 0.06
        write(figure, *places, labels[position], fontsize=11, fontweight="bold", bbox=look)
        if position in outlined:
            outline(figure, EDGE, TITLE, scale, (top, left, side, side))
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
    shown = ranked[:5] + [true] * (true not in ranked[:5])
    answers = [jigsaw.assemble(jigsaw.shuffle_tiles(puzzle, jigsaw.inverse(permutations[row]))) for row in shown]
    answers = preprocessing.resize(np.stack(answers), round(small * LIVE_DPI))
    for place, (row, answer) in enumerate(zip(shown, answers)):
        top, length, right = TITLE + place * STEP, (PAGE - left - 0.55) * probabilities[row], row == true
        picture(figure, 0, top, small, answer)
        words = f"{ranked.index(row) + 1}.  {' '.join(map(str, permutations[row]))}" + "   ← the true one" * right
        write(figure, left, top + 0.01, words, fontsize=9.5, fontweight="bold" if right else "normal")
        corner = left, figure.get_figheight() - top - small
        figure.add_artist(Rectangle(corner, length, 0.17, color=BLUE, transform=figure.dpi_scale_trans))
        write(figure, left + length + 0.05, top + small - 0.085, share(probabilities[row]), va="center", fontsize=9)
    return figure


def share(probability):
    """A probability in words, such that none is taken for 0: 93%, 0.4%, under 0.1%."""
    return (
        f"{probability:.0%}" if probability >= 0.01 else f"{probability:.1%}" if probability >= 0.001 else "under 0.1%"
    )
