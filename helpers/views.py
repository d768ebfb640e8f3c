"""The pictures behind the explorers' controls: data in, Figure out, as in plots.

Everything has its place on the page, so that nothing jumps when a slider moves and a picture is drawn in the time that
a layout engine needs for thinking. A page is as wide as fits twice into a notebook on a screen of 1280 pixels.
"""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from helpers.drawing import ORANGE, VERMILLION, styled
from helpers.pictures import filters_on, mosaic, tiles_on

PAGE = 4.3  # inches, the width of a page; wide ones are twice that
HALF = 2.0  # inches, the side of a picture of which two stand on a page
TITLE = 0.32  # inches, a title's line
MARK = {"fill": False, "edgecolor": VERMILLION, "linewidth": 2.2}


def columns_for(count):
    """Columns of a mosaic of `count` tiles that is half as wide again as high."""
    return math.ceil(math.sqrt(1.5 * count))


@styled
def filter_grid(weights, title, limit=None, selected=None):
    """Filters (N, 3 or 1, k, k) as a mosaic; the one at position `selected` is outlined.

    limit: the weight drawn white, one scale for all; None stretches each filter over its own range.
    """
    columns = columns_for(len(weights))
    figure, axes = _picture(PAGE, math.ceil(len(weights) / columns) / columns)
    filters_on(axes, weights, title, columns, "shared" if limit else "filter", "RGB", limit)
    _outline(axes, selected, columns, weights.shape[2:])
    return figure


def place_in_grid(x, y, count, side):
    """Position in a filter_grid of `count` tiles, `side` pixels high and wide, that x, y falls on."""
    return unit_in_grid(x, y, (count, side, side))[0]


def unit_in_grid(x, y, shape):
    """(channel, row, column) of a channel_grid of that shape that x, y falls on; beyond the last channel, the last."""
    count, height, width = shape
    down, row = divmod(int(y + 0.5), height + 1)
    across, column = divmod(int(x + 0.5), width + 1)
    return min(down * columns_for(count) + across, count - 1), min(row, height - 1), min(column, width - 1)


@styled
def filter_detail(weight, spectrum, title, limit=None):
    """One filter (3 or 1, k, k), enlarged, and its spectrum (n, n), as filters.spectrum gives it; limit as above."""
    figure = Figure(figsize=(PAGE, HALF + TITLE + 0.5), layout="none")
    filters_on(
        place(figure, 0, TITLE, HALF, HALF), weight[None], title, 1, "shared" if limit else "filter", "RGB", limit
    )
    figure.axes[0].axis("off")
    axes = place(figure, HALF + 0.2, TITLE, HALF, HALF, xlabel="cycles per pixel", title="spectrum")
    axes.imshow(spectrum, extent=(-0.5, 0.5, -0.5, 0.5))
    axes.set_xticks([-0.5, 0, 0.5])
    axes.set_yticks([])
    axes.grid(False)
    return figure


@styled
def image_sheet(images, title, captions=None, columns=6, none="no image"):
    """Images (H, W, 3) uint8 of any sizes in rows, each enlarged by a whole number, with a caption under it or not.

    none: what is said where there are no images.
    """
    step, rows = PAGE / columns, max(1, math.ceil(len(images) / columns))
    line = 0.33 if captions else 0.04
    figure = Figure(figsize=(PAGE, TITLE + rows * (step + line)), layout="none")
    headline(figure, title)
    if not len(images):
        figure.text(0.02, 0.6, none, va="center")
        return figure
    cell = max(64, max(max(image.shape[:2]) for image in images)) + 4
    sheet = np.full((rows, columns, cell, cell, 3), 255, np.uint8)
    for number, image in enumerate(images):
        times = (cell - 4) // max(image.shape[:2])
        large = image.repeat(times, axis=0).repeat(times, axis=1)
        framed = np.pad(large, ((1, 1), (1, 1), (0, 0)), constant_values=160)  # white patches end somewhere, too
        sheet[number // columns, number % columns, : framed.shape[0], : framed.shape[1]] = framed
    for row, cells in enumerate(sheet):
        axes = place(figure, 0, TITLE + row * (step + line), PAGE, step)
        axes.axis("off")
        axes.imshow(cells.transpose(1, 0, 2, 3).reshape(cell, columns * cell, 3))
    for number, caption in enumerate(captions or []):
        row, column = divmod(number, columns)
        figure.text(
            column / columns,
            1 - (TITLE + row * (step + line) + step - 0.01) / figure.get_figheight(),
            caption,
            fontsize=8.5,
            va="top",
            linespacing=1.0,
        )
    return figure


@styled
def cut_places(photo, cells, cell, corners, tile):
    """A photograph with its cells (white) and the tiles cut from them (orange), as plots.grid_on_photo."""
    figure, axes = _picture(PAGE, photo.shape[0] / photo.shape[1])
    axes.imshow(photo)
    axes.set_title(f"white cells of {cell} pixels, orange tiles of {tile}")
    for positions, size, colour, width in ((cells, cell, "white", 1.2), (corners, tile, ORANGE, 2)):
        for row, column in positions:
            square = Rectangle((column - 0.5, row - 0.5), size, size, fill=False, edgecolor=colour, linewidth=width)
            axes.add_patch(square)
    return figure


@styled
def puzzle(tiles, permutation):
    """A puzzle's nine tiles, each with the number of the cell that it was cut from."""
    figure, axes = _picture(PAGE - 1, 1)
    tiles_on(axes, tiles, permutation, "the puzzle")
    return figure


@styled
def seen_by_unit(image, box, title):
    """An image with the part that a unit sees outlined, and that part enlarged. box: (top, left, bottom, right)."""
    figure = Figure(figsize=(PAGE, HALF + TITLE + 0.05), layout="none")
    top, left, bottom, right = box
    for edge, picture, words in ((0, image, title), (HALF + 0.2, image[top:bottom, left:right], "what the unit sees")):
        axes = place(figure, edge, TITLE, HALF, HALF, title=words)
        axes.imshow(picture)
        axes.axis("off")
    figure.axes[0].add_patch(Rectangle((left - 0.5, top - 0.5), right - left, bottom - top, **MARK))
    return figure


@styled
def channel_grid(blob, title, scaling="channel", selected=None):
    """All channels of one image's blob (C, H, W) as a mosaic, the selected one outlined; see plots.activations."""
    if scaling == "channel":
        low, high = (edge(axis=(1, 2), keepdims=True) for edge in (blob.min, blob.max))
        blob = (blob - low) / np.where(high > low, high - low, 1)
    columns = columns_for(len(blob))
    figure, axes = _picture(PAGE, math.ceil(len(blob) / columns) / columns * blob.shape[1] / blob.shape[2])
    axes.imshow(mosaic(blob[..., None], columns, np.nan)[..., 0])
    axes.set_title(title)
    _outline(axes, selected, columns, blob.shape[1:])
    return figure


@styled
def channel_detail(channel, unit, title):
    """One channel (H, W) with its scale of values, one unit (row, column) outlined."""
    figure = Figure(figsize=(PAGE, 2.5 + TITLE), layout="none")
    axes = place(figure, 0, TITLE, 2.5, 2.45, title=title)
    axes.axis("off")
    drawn = axes.imshow(channel)
    row, column = unit
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **MARK))
    figure.colorbar(drawn, cax=place(figure, 2.65, TITLE, 0.15, 2.45), label="activation")
    return figure


def headline(figure, words):
    """A bold line at the top left, where an axes' title would stand."""
    figure.text(0, 1 - 0.09 / figure.get_figheight(), words, va="top", fontweight="bold", fontsize=12)


def place(figure, left, top, width, height, **words):
    """Axes at a place in inches from the figure's top left corner."""
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down), **words)


def _picture(width, ratio):
    """A figure for one picture under a title, (Figure, Axes without ticks)."""
    figure = Figure(figsize=(width, width * ratio + TITLE), layout="none")
    axes = place(figure, 0.02, TITLE, width - 0.04, width * ratio - 0.02)
    axes.axis("off")
    axes.set_anchor("NW")
    return figure, axes


def _outline(axes, selected, columns, shape):
    if selected is not None:
        row, column = divmod(selected, columns)
        height, width = (side + 1 for side in shape)
        axes.add_patch(Rectangle((column * width - 1, row * height - 1), width, height, clip_on=False, **MARK))


def shortened(name, most=14):
    name = name.replace("_", " ")
    return name if len(name) <= most else name[: most - 1] + "…"
