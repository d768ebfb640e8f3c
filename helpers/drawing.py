"""What every figure shares: the course's style, empty panels, and the way into a notebook."""

import base64
import functools
import html
import io
import pathlib

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib import rc_params_from_file
from matplotlib.figure import Figure

STYLE = pathlib.Path(__file__).with_name("course.mplstyle")
DPI = 160  # of the PNGs, which are shown at 100 dots per inch: sharp when enlarged, and on dense screens
COLOURS = rc_params_from_file(STYLE, use_default_template=False)["axes.prop_cycle"].by_key()["color"]
BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY_BLUE, BLACK, YELLOW = COLOURS


def styled(draw):
    """Runs a function that makes a Figure under the course's style."""

    @functools.wraps(draw)
    def under_style(*args, **kwargs):
        with plt.style.context(STYLE):
            figure = draw(*args, **kwargs)
            for axes in figure.axes:
                for axis in (axes.xaxis, axes.yaxis):  # a tick is made when first asked for, in the style of then
                    axis.get_major_ticks(1)
                    axis.get_minor_ticks(1)
        return figure

    return under_style


def png(figure):
    """A figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    with plt.style.context(STYLE):
        figure.savefig(buffer, format="png", dpi=DPI, bbox_inches="tight", pad_inches=0.08)
    return buffer.getvalue()


def show(figure, alt):
    """Show a figure in the notebook, and say in `alt` what it shows: screen readers read it, HTML pages keep it.

    It goes out as an <img alt>, since JupyterLab and nbconvert drop a PNG output's own alt text.
    Raises ValueError for an empty text.
    """
    if not alt.strip():
        raise ValueError("alt is empty; say in a sentence what the figure shows")
    picture = png(figure)
    plt.close(figure)
    width = int.from_bytes(picture[16:20], "big") * 100 / DPI  # a PNG's header holds its width in pixels
    source = base64.b64encode(picture).decode()
    display(
        {
            "text/html": f'<img src="data:image/png;base64,{source}" alt="{html.escape(alt)}" '
            f'width="{width:.0f}" style="max-width: 100%; height: auto">',
            "text/plain": alt,
        },
        raw=True,
    )


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
