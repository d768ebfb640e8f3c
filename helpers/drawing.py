"""What every figure shares: the course's style, empty panels, and the way into a notebook."""

import base64
import functools
import html
import io
import pathlib
from operator import attrgetter

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib import rc_context, rc_params_from_file
from matplotlib.figure import Figure
from PIL import Image

STYLE = pathlib.Path(__file__).with_name("course.mplstyle")
DPI = 160  # of the PNGs, which are shown at 100 dots per inch: sharp when enlarged, and on dense screens
LIVE_DPI = 130  # of figures without a layout engine, and of the images on them
COURSE = rc_params_from_file(STYLE, use_default_template=False)  # read once: reading takes as long as a small figure
COLOURS = COURSE["axes.prop_cycle"].by_key()["color"]
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK, YELLOW = COLOURS


def styled(draw):
    """Runs a function that makes a Figure under the course's style."""

    @functools.wraps(draw)
    def under_style(*args, **kwargs):
        with rc_context(COURSE):
            figure = draw(*args, **kwargs)
            for axes in filter(attrgetter("axison"), figure.axes):
                for axis in (axes.xaxis, axes.yaxis):  # a tick is made when first asked for, in the style of then
                    axis.get_major_ticks(1)
                    axis.get_minor_ticks(1)
        return figure

    return under_style


def png(figure):
    """A figure as the bytes of a PNG file.

    A figure without a layout engine, Figure(layout="none"), has everything in its place: it is not trimmed, and packed
    loosely, so that the curve of a training in progress costs little.
    """
    buffer = io.BytesIO()
    if figure.get_layout_engine() is None:
        options = {"dpi": LIVE_DPI, "pil_kwargs": {"compress_level": 1}}
    else:
        options = {"dpi": DPI, "bbox_inches": "tight", "pad_inches": 0.08}
    with rc_context(COURSE):
        figure.savefig(buffer, format="png", **options)
    return buffer.getvalue()


def svg(figure):
    """A figure without a layout engine as the bytes of an SVG file: its words are text, its images PNGs inside it.

    It takes about half the time of a PNG, much of which is spent on painting letters: these are left to the browser, so
    that the pictures behind a slider can follow it.
    """
    buffer = io.BytesIO()
    with rc_context(COURSE | {"svg.fonttype": "none", "svg.hashsalt": "course"}):
        figure.savefig(buffer, format="svg", dpi=LIVE_DPI, metadata={"Date": None})
    return buffer.getvalue()


def pixels(figure):
    """A figure as uint8 (height, width, 3), to be drawn on again."""
    return np.asarray(Image.open(io.BytesIO(png(figure))).convert("RGB"))


def img(figure, alt, live=False):
    """A figure as an HTML image, as wide as it is at 100 dots per inch where there is room.

    It is a PNG, which shows everywhere (viewers that sanitize notebooks may drop SVG); live: an SVG, for a widget that
    draws it anew at each move.
    """
    if live:
        kind, picture, size = "svg+xml", svg(figure), 100 * figure.get_size_inches()
    else:
        kind, picture = "png", png(figure)
        header = Image.open(io.BytesIO(picture))
        size = [pixels * 100 / header.info["dpi"][0] for pixels in header.size]
    source = base64.b64encode(picture).decode()
    return (
        f'<img src="data:image/{kind};base64,{source}" alt="{html.escape(alt)}" '
        f'width="{size[0]:.0f}" height="{size[1]:.0f}" decoding="sync" style="max-width: 100%; height: auto">'
    )


def show(figure, alt):
    """Show a figure in the notebook, and say in `alt` what it shows: screen readers read it, HTML pages keep it.

    It goes out as an <img alt>, since JupyterLab and nbconvert drop a PNG output's own alt text.
    Raises ValueError for an empty text.
    """
    if not alt.strip():
        raise ValueError("alt is empty; say in a sentence what the figure shows")
    picture = img(figure, alt)
    plt.close(figure)
    display({"text/html": picture, "text/plain": alt}, raw=True)


def panels(rows, columns, width, ratio=1.0, text=False):
    """A Figure with rows x columns of axes for pictures, each `width` inches wide and without ticks."""
    figure = Figure(figsize=(columns * width + 0.1, rows * (width * ratio + 0.3 * text) + 0.3))
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.02, wspace=0.04, hspace=0.0)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
        axes.set_anchor("NW")
    return figure, grid


def one_axes(xlabel, ylabel, title=None, size=None):
    figure = Figure(figsize=size)
    return figure, figure.add_subplot(xlabel=xlabel, ylabel=ylabel, title=title or "")
