"""Pages: figures on which everything has its place, in inches from the top left, so that nothing jumps under a slider.

Images are drawn on the page itself, without axes: making axes takes longer than drawing what is on them.
"""

import math

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox, TransformedBbox

from helpers.jigsaw import assemble
from helpers.plots.style import BLUE, LIVE_DPI, VERMILLION

PAGE = 4.3  # inches, the width of an explorer's page: two fit into a notebook in a window of 1280 pixels
WIDE = 8.2  # inches, the width of a page of curves
HALF = 2.05  # inches, the side of a picture of which two stand on an explorer's page
TITLE = 0.32  # inches, the line above a picture
LINE = 0.19  # inches, each further line there
EDGE = 0.02  # inches, around a grid, for the outline of its first tile
ROW = 0.22  # inches, a bar and its share of the space to the next
MARK = {"fill": False, "edgecolor": VERMILLION, "linewidth": 2.2}


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


def bar(figure, left, middle, width, height=0.7 * ROW):
    """A horizontal bar."""
    corner = left, figure.get_figheight() - middle - height / 2
    figure.add_artist(Rectangle(corner, width, height, color=BLUE, transform=figure.dpi_scale_trans))


def write(figure, left, top, words, **look):
    """Words whose top left is there; see matplotlib's Text for how they may look."""
    look = {"va": "top", "fontsize": 10} | look
    figure.text(left, figure.get_figheight() - top, words, transform=figure.dpi_scale_trans, **look)


def headline(figure, left, words):
    """A bold line above a picture."""
    write(figure, left, 0.08, words or "", fontsize=12, fontweight="bold")


def coloured(values, low, high, colours="cividis"):
    """Values (..., h, w) as uint8 colours (..., h, w, 3), low to high over the whole colour map."""
    share = (values - low) / np.where(np.greater(high, low), np.subtract(high, low), 1)
    return colormaps[colours](np.clip(share, 0, 1), bytes=True)[..., :3]


def scale_bar(figure, left, top, length, low, high, words, colours="cividis"):
    """An upright scale of colours with the values at its ends and in its middle."""
    picture(figure, left, top, 0.15, coloured(np.linspace(1, 0, 64)[:, None], 0, 1, colours), height=length)
    for share, value in ((0, high), (0.5, (low + high) / 2), (1, low)) if high > low else ((1, low),):
        place = ("top", "center", "bottom")[int(2 * share)]
        write(figure, left + 0.23, top + share * length, f"{value:.3g}", va=place)
    write(figure, left + 0.8, top + length / 2, words, rotation=90, va="center")


def shortened(name, most=14):
    name = name.replace("_", " ")
    return name if len(name) <= most else name[: most - 1] + "…"


def again(drawn):
    """A page of an explorer that was drawn already (style.pixels), to be drawn on."""
    figure = page(PAGE, PAGE * drawn.shape[0] / drawn.shape[1])
    picture(figure, 0, 0, PAGE, drawn)
    return figure


# --- Grids of small pictures


def columns_for(count):
    """Columns of a grid of `count` tiles that is half as wide again as high."""
    return math.ceil(math.sqrt(1.5 * count))


def grids(panels, columns, width, selected=None, right=0.0, numbered=()):
    """A page of grids side by side, each `width` inches wide. panels: [(title or None, pictures uint8 (N, h, w, 3))].

    selected: the place of an outlined picture. right: inches left free there. numbered: the places of pictures that are
    outlined and have their place written into a corner.
    Returns (figure, inches from the top to the pictures, height of the highest).
    """
    mosaics = [assemble(pictures, 1, columns) for _, pictures in panels]
    lines = max(len(title.splitlines()) if title else 0 for title, _ in panels)
    top = TITLE + LINE * (lines - 1) if lines else EDGE
    inner = width - (2 * EDGE if len(panels) == 1 else 0.15)
    height = max(inner * whole.shape[0] / whole.shape[1] for whole in mosaics)
    figure = page(len(panels) * width + right, top + height + EDGE)
    for place, ((title, pictures), whole) in enumerate(zip(panels, mosaics)):
        left, scale, (high, wide) = place * width + EDGE, inner / whole.shape[1], pictures.shape[1:3]
        headline(figure, left, title)
        picture(figure, left, top, inner, whole)
        for one in [*numbered] if selected is None else [selected]:
            row, column = one // columns * (high + 1), one % columns * (wide + 1)
            outline(figure, left, top, scale, (row, column, high, wide))
            if one in numbered:
                corner = left + scale * column + 0.03, top + scale * row + 0.03
                write(figure, *corner, one, bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5})
    return figure, top, height


def unit_in_grid(across, down, shape):
    """(channel, row, column) at a share of the width and height of an explorer's grid of that shape; the nearest one.

    The grid has a title and columns_for(channels) columns.
    """
    count, height, width = shape
    columns = columns_for(count)
    scale = (PAGE - 2 * EDGE) / (columns * (width + 1) - 1)
    high = TITLE + scale * (math.ceil(count / columns) * (height + 1) - 1) + EDGE
    below, row = divmod(max(0, int((down * high - TITLE) / scale)), height + 1)
    beside, column = divmod(max(0, int((across * PAGE - EDGE) / scale)), width + 1)
    return min(below * columns + beside, count - 1), min(row, height - 1), min(column, width - 1)
