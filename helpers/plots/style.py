"""What every figure shares: the course's style and colours, and the way into a notebook."""

import base64
import functools
import html
import io
import itertools
import pathlib
from operator import attrgetter

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib import colors, rc_context, rc_params_from_file
from PIL import Image

STYLE = pathlib.Path(__file__).with_name("course.mplstyle")
DPI = 160  # of the PNGs, which are shown at 100 dots per inch: sharp when enlarged, and on dense screens
TRAVEL_DPI = 110  # of the many pictures that travel with an explorer
LIVE_DPI = 130  # of the images inside an SVG
COURSE = rc_params_from_file(STYLE, use_default_template=False)  # read once: reading takes as long as a small figure
COLOURS = COURSE["axes.prop_cycle"].by_key()["color"]
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK, YELLOW = COLOURS
GREY = "#8C8C8C"
# What a start is drawn in, all through the course, and the splits of a data set where they stand side by side.
STARTS = {"puzzles": BLUE, "random": ORANGE, "labels": GREEN, "rotations": PURPLE}
SPLITS = {"training": SKY_BLUE, "validation": VERMILLION, "test": BLACK}


def starts_of(labels, starts):
    """The start of each series, None where nothing is said of it; arguments and errors as in `hues`."""
    given = [starts if isinstance(starts, str) else (starts or {}).get(label) for label in labels]
    for label, start in zip(labels, given):
        if start is not None and start not in STARTS:
            raise ValueError(f"the start of {label!r} is given as {start!r}; it is one of {', '.join(STARTS)}")
    return given


def hues(labels, starts=None):
    """The colour of each of several series.

    Parameters
    ----------
    labels : iterable of str
        The series. Their words say nothing about their colours.
    starts : dict or str, optional
        {label: "puzzles", "random", "labels" or "rotations"}, what the weights of a series came from, or one start for
        all. It may name more than these series; one that it lacks gets a colour that no start has. The second series
        of a start has a lighter shade of its colour.

    Returns
    -------
    dict
        {label: colour}.

    Raises
    ------
    ValueError
        For a start that is none of these.
    """
    labels = list(labels)
    given = starts_of(labels, starts)
    free = itertools.cycle((SKY_BLUE, VERMILLION, GREY, YELLOW) if any(given) else COLOURS)
    drawn, earlier = {}, []
    for label, start in zip(labels, given):
        drawn[label] = lighter(STARTS[start], earlier.count(start)) if start else next(free)
        earlier.append(start)
    return drawn


def lighter(colour, steps):
    """A colour, mixed with white in so many steps, hexadecimal."""
    return colors.to_hex(1 - 0.6**steps * (1 - np.array(colors.to_rgb(colour)))).upper() if steps else colour


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


def png(figure, pack=6, dpi=DPI):
    """A figure as the bytes of a PNG file; one without a layout engine has everything in its place and is not trimmed.

    pack: from 1, fast, to 9, small. dpi: dots per inch.
    """
    buffer = io.BytesIO()
    trim = {"bbox_inches": "tight", "pad_inches": 0.08} if figure.get_layout_engine() else {}
    with rc_context(COURSE):
        figure.savefig(buffer, format="png", dpi=dpi, pil_kwargs={"compress_level": pack}, **trim)
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
    return np.asarray(Image.open(io.BytesIO(png(figure, pack=1))).convert("RGB"))


def webp(figure):
    """A figure as the bytes of a WebP file, small: one of the many that travel with an explorer."""
    buffer = io.BytesIO()
    drawn = Image.open(io.BytesIO(png(figure, pack=1, dpi=TRAVEL_DPI))).convert("RGB")
    drawn.save(buffer, "WEBP", quality=50, method=6)
    return buffer.getvalue()


def img(figure, alt, form="png", pack=6):
    """A figure as an HTML image, as wide as it is at 100 dots per inch where there is room.

    form: "png" shows everywhere (viewers that sanitize notebooks may drop others); "svg" is for a widget that draws it
    anew at each move, "webp" where there are many. pack: see png.
    """
    kind, picture, dpi = {
        "png": lambda: ("png", png(figure, pack), DPI),
        "svg": lambda: ("svg+xml", svg(figure), None),
        "webp": lambda: ("webp", webp(figure), TRAVEL_DPI),
    }[form]()
    size = 100 * figure.get_size_inches()
    if dpi:
        size = [pixels * 100 / dpi for pixels in Image.open(io.BytesIO(picture)).size]
    source = base64.b64encode(picture).decode()
    return (
        f'<img src="data:image/{kind};base64,{source}" alt="{html.escape(alt)}" '
        f'width="{size[0]:.0f}" height="{size[1]:.0f}" decoding="sync" style="max-width: 100%; height: auto">'
    )


def show(figure, alt, narrow=None):
    """Show a figure in the notebook, and say in `alt` what it shows: screen readers read it, HTML pages keep it.

    narrow: the same figure for windows of at most 600 pixels, drawn tall.
    It goes out as an <img alt>, since JupyterLab and nbconvert drop a PNG output's own alt text.
    Raises ValueError for an empty text.
    """
    if not alt.strip():
        raise ValueError("alt is empty; say in a sentence what the figure shows")
    picture = img(figure, alt)
    plt.close(figure)
    if narrow:
        tall = img(narrow, "").replace("<img src=", '<source media="(max-width: 600px)" srcset=').replace(' alt=""', "")
        picture = f"<picture>{tall}{picture}</picture>"
    display({"text/html": picture, "text/plain": alt}, raw=True)
