"""The pictures behind the explorers' controls: data in, Figure out, as in plots.

A page has everything at its place, given in inches from the top left, so that nothing jumps when a slider moves. Images
are drawn on the page itself, without axes: making axes takes longer than drawing what is on them. A page is as wide as
fits twice into a notebook in a window of 1280 pixels.
"""

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox, TransformedBbox

from helpers.drawing import LIVE_DPI, VERMILLION, styled
from helpers.pictures import filter_pictures, mosaic

PAGE = 4.3  # inches, the width of a page; a page of curves is nearly twice as wide
HALF = 2.05  # inches, the side of a picture of which two stand on a page
TITLE = 0.32  # inches, the line above a picture
EDGE = 0.02  # inches, around a grid, for the outline of its first tile
MARK = {"fill": False, "edgecolor": VERMILLION, "linewidth": 2.2}


def columns_for(count):
    """Columns of a grid of `count` tiles that is half as wide again as high."""
    return math.ceil(math.sqrt(1.5 * count))


@styled
def filter_grid(weights, title, limit=None, selected=None):
    """Filters (N, 3 or 1, k, k) as a grid; the one at position `selected` is outlined.

    limit: the weight drawn white, one scale for all; None stretches each filter over its own range.
    """
    pictures = filter_pictures(weights, "shared" if limit else "filter", limit=limit)
    return _grid(np.uint8(255 * pictures), title, selected)


@styled
def channel_grid(blob, title, scaling="channel", selected=None):
    """All channels of one image's blob (C, H, W) as a grid, the selected one outlined; scaling as plots.activations."""
    axis = (1, 2) if scaling == "channel" else None
    low, high = blob.min(axis, keepdims=True), blob.max(axis, keepdims=True)
    return _grid(coloured(blob, low, high), title, selected)


def _grid(pictures, title, selected):
    """A page of pictures uint8 (N, h, w, 3) in rows, with white lines between."""
    columns, (count, height, width) = columns_for(len(pictures)), pictures.shape[:3]
    scale = (PAGE - 2 * EDGE) / (columns * (width + 1) - 1)  # inches per pixel
    rows = math.ceil(count / columns)
    figure = page(PAGE, TITLE + scale * (rows * (height + 1) - 1) + 2 * EDGE)
    headline(figure, EDGE, title)
    picture(figure, EDGE, TITLE, PAGE - 2 * EDGE, mosaic(pictures, columns, 255))
    if selected is not None:
        row, column = divmod(selected, columns)
        outline(figure, EDGE, TITLE, scale, (row * (height + 1), column * (width + 1), height, width))
    return figure


def unit_in_grid(across, down, shape):
    """(channel, row, column) of a grid of that shape at a share of the page's width and height; the nearest one."""
    count, height, width = shape
    columns = columns_for(count)
    scale = (PAGE - 2 * EDGE) / (columns * (width + 1) - 1)
    high = TITLE + scale * (math.ceil(count / columns) * (height + 1) - 1) + 2 * EDGE
    below, row = divmod(max(0, int((down * high - TITLE) / scale)), height + 1)
    beside, column = divmod(max(0, int((across * PAGE - EDGE) / scale)), width + 1)
    return min(below * columns + beside, count - 1), min(row, height - 1), min(column, width - 1)


@styled
def filter_detail(weight, spectrum, title, limit=None):
    """One filter (3 or 1, k, k), enlarged, and its spectrum (n, n), as filters.spectrum gives it; limit as above."""
    figure = page(PAGE, TITLE + HALF + 0.45)
    headline(figure, 0, title)
    picture(figure, 0, TITLE, HALF, filter_pictures(weight[None], "shared" if limit else "filter", limit=limit)[0])
    headline(figure, PAGE - HALF, "its spectrum")
    picture(figure, PAGE - HALF, TITLE, HALF, coloured(spectrum, 0, spectrum.max()))
    for share, words, side in ((0, "−0.5", "left"), (0.5, "0\ncycles per pixel", "center"), (1, "0.5", "right")):
        write(figure, PAGE - HALF + share * HALF, TITLE + HALF + 0.05, words, ha=side)
    return figure


@styled
def image_sheet(images, title, captions=None, columns=6, none="no image"):
    """Images (H, W, 3) uint8 of any sizes in rows, each enlarged by a whole number, with a caption under it or not.

    none: what is said where there are no images.
    """
    step, rows, line = PAGE / columns, max(1, math.ceil(len(images) / columns)), 0.33 if captions else 0.04
    figure = page(PAGE, TITLE + rows * (step + line))
    headline(figure, 0, title)
    if not len(images):
        write(figure, 0, TITLE + 0.1, none)
    cell = max(64, *(max(image.shape[:2]) for image in images)) if len(images) else 64
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        times = cell // max(image.shape[:2])
        framed = np.pad(
            image.repeat(times, axis=0).repeat(times, axis=1), ((1, 1), (1, 1), (0, 0)), constant_values=160
        )
        left, top, width = column * step, TITLE + row * (step + line), (step - 0.06) * framed.shape[1] / (cell + 2)
        picture(figure, left, top, width, framed)
        if captions:
            write(figure, left, top + step - 0.04, captions[number], fontsize=8.5, linespacing=1.0)
    return figure


@styled
def seen_by_unit(image, box):
    """An image with the part that a unit sees outlined, and that part enlarged. box: (top, left, bottom, right)."""
    figure = page(PAGE, TITLE + HALF + 0.03)
    top, left, bottom, right = box
    headline(figure, 0, "the image")
    picture(figure, 0, TITLE, HALF, image)
    outline(figure, 0, TITLE, HALF / image.shape[1], (top, left, bottom - top, right - left))
    headline(figure, PAGE - HALF, "what the unit sees")
    seen = image[top:bottom, left:right]
    picture(figure, PAGE - HALF, TITLE, HALF * seen.shape[1] / max(seen.shape[:2]), seen)
    return figure


@styled
def channel_detail(channel, unit, title):
    """One channel (H, W) with its scale of values, one unit (row, column) outlined."""
    side = 2.5
    figure = page(PAGE, TITLE + side * channel.shape[0] / channel.shape[1] + EDGE)
    headline(figure, EDGE, title)
    low, high = channel.min(), channel.max()
    picture(figure, EDGE, TITLE, side, coloured(channel, low, high))
    outline(figure, EDGE, TITLE, side / channel.shape[1], (*unit, 1, 1), 0)
    picture(figure, side + 0.15, TITLE, 0.15, coloured(np.linspace(1, 0, 64)[:, None], 0, 1), height=side)
    for share, value in ((0, high), (0.5, (low + high) / 2), (1, low)) if high > low else ((1, low),):
        write(figure, side + 0.38, TITLE + share * side, f"{value:.3g}", va=("top", "center", "bottom")[int(2 * share)])
    write(figure, side + 0.95, TITLE + side / 2, "activation", rotation=90, va="center")
    return figure


def page(width, height):
    """An empty page of that size in inches."""
    return Figure(figsize=(width, height), layout="none")


def picture(figure, left, top, width, pixels, height=None):
    """Draw pixels (h, w, 3), uint8 or floats in [0, 1], `width` inches wide and as high as their shape wants."""
    height = width * pixels.shape[0] / pixels.shape[1] if height is None else height
    box = Bbox.from_bounds(left, figure.get_figheight() - top - height, width, height)
    kind = Enlarged if pixels.shape[1] < LIVE_DPI * width else BboxImage
    image = kind(TransformedBbox(box, figure.dpi_scale_trans), interpolation="nearest")
    image.set_data(pixels if pixels.dtype == np.uint8 else np.uint8(255 * pixels))
    figure.add_artist(image)


class Enlarged(BboxImage):
    """An image whose own pixels go into an SVG, for the browser to enlarge: fewer, and sharp on every screen."""

    def _check_unsampled_image(self):
        return True


def outline(figure, left, top, scale, box, around=0.5, **look):
    """A frame round the pixels (row, column, rows, columns) of a picture at left, top, `scale` inches per pixel."""
    row, column, rows, columns = box
    corner = left + scale * (column - around), figure.get_figheight() - top - scale * (row + rows + around)
    size = scale * (columns + 2 * around), scale * (rows + 2 * around)
    figure.add_artist(Rectangle(corner, *size, transform=figure.dpi_scale_trans, **(MARK | look)))


def write(figure, left, top, words, **look):
    """Words whose top left is there; see matplotlib's Text for how they may look."""
    look = {"va": "top", "fontsize": 10} | look
    figure.text(left, figure.get_figheight() - top, words, transform=figure.dpi_scale_trans, **look)


def headline(figure, left, words):
    """A bold line above a picture."""
    write(figure, left, 0.08, words, fontsize=12, fontweight="bold")


def coloured(values, low, high, colours="cividis"):
    """Values (..., h, w) as uint8 colours (..., h, w, 3), low to high over the whole colour map."""
    share = (values - low) / np.where(np.greater(high, low), np.subtract(high, low), 1)
    return colormaps[colours](np.clip(share, 0, 1), bytes=True)[..., :3]


def shortened(name, most=14):
    name = name.replace("_", " ")
    return name if len(name) <= most else name[: most - 1] + "…"
