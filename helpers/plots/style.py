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
from matplotlib import rc_context, rc_params_from_file
from PIL import Image

STYLE = pathlib.Path(__file__).with_name("course.mplstyle")
DPI = 160  # of the PNGs, which are shown at 100 dots per inch: sharp when enlarged, and on dense screens
TRAVEL_DPI = 110  # of the many pictures that travel with an explorer
LIVE_DPI = 130  # of the images inside an SVG
COURSE = rc_params_from_file(STYLE, use_default_template=False)  # read once: reading takes as long as a small figure
COLOURS = COURSE["axes.prop_cycle"].by_key()["color"]
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK, YELLOW = COLOURS
GREY = "#8C8C8C"
# What a start is drawn in, all through the course: the first of these words that its name holds decides.
GRAMMAR = {"random": ORANGE, "jigsaw": BLUE, "puzzle": BLUE, "rotation": PURPLE, "label": GREEN}

SPLITS = {"train": BLUE, "validation": ORANGE, "test": PURPLE}  # likewise, where a data set's splits stand side by side


def hue_of(label, grammar=GRAMMAR):
    """What a grammar of colours says of a label, None where it says nothing."""
    return next((hue for word, hue in grammar.items() if word in label.lower()), None)


def hues(labels):
    """{label: colour}: what the grammar says, for one label each; the others get those that are left."""
    named = {hue: label for label in reversed(list(labels)) if (hue := hue_of(label))}
    named = {label: hue for hue, label in named.items()}
    free = itertools.cycle(hue for hue in COLOURS if hue not in named.values())
    return {label: named.get(label) or next(free) for label in labels}


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
