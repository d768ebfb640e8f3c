"""The charts behind the explorers' controls: curves, bars, confusion; on pages as in views."""

import itertools
import math

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from PIL import Image

from helpers.drawing import BLUE, COLOURS, ORANGE, VERMILLION, styled
from helpers.views import HALF, PAGE, TITLE, coloured, headline, outline, page, picture, shortened, write

WIDE = 8.2  # inches, the width of a page of curves
NAMED = 20  # classes of a confusion matrix whose names are written
COUNTED = 12  # classes of one whose counts are
ROW = 0.22  # inches, a bar and its share of the space to the next


@styled
def curves(runs, xlabel, ylabel, log=False, rule=None, rates=False):
    """Training (solid) and validation (dashed) of several runs, the early-stopping rule on one, learning rates.

    runs: {label: {"training": (x, y), "validation": (x, y), "learning rate": (x, y), "colour": its number}}.
    rule: (x of the best epoch, best value, epsilon, [(left, right, share of patience used)], x of the stop or None).
    rates: learning rates dotted, on a second axis, log scale.
    """
    title = "training solid, validation dashed" if len(runs) > 1 else ""
    top = 0.2 + 0.22 * math.ceil((max(len(runs), 2) + 4) / 3) + 0.22 * bool(title)  # of a legend with every mark
    figure = page(WIDE, top + 3.7)
    axes = _axes(figure, 0.75, top, WIDE - 0.9 - 0.75 * rates, 3.15, xlabel, ylabel, log)
    for label, run in runs.items():
        hue = COLOURS[run["colour"] % len(COLOURS)]
        axes.plot(*run["training"], color=hue, label=label if len(runs) > 1 else "training")
        dashed = {"color": hue} if len(runs) > 1 else {"color": VERMILLION, "label": "validation"}
        axes.plot(*run["validation"], "--", **dashed)
    highest = max(y.max() for run in runs.values() for _, y in (run["training"], run["validation"]))
    if log:
        _fit_log_scale(axes)
    else:
        axes.set_ylim(0, 1.06 * highest)
    if rule:
        _draw_rule(axes, *rule)
    if rates:
        second = axes.twinx()
        _log_scale(second)
        for run in runs.values():
            second.plot(*run["learning rate"], ":", color=COLOURS[run["colour"] % len(COLOURS)])
        _fit_log_scale(second)
        second.set_ylabel("learning rate, dotted (log scale)")
        second.grid(False)
        second.spines.right.set_visible(True)
    figure.legend(
        *axes.get_legend_handles_labels(),
        title=title,
        loc="upper left",
        bbox_to_anchor=(0.07, 1),
        ncols=3,
        alignment="left",
    )
    return figure


def _draw_rule(axes, best_x, best, epsilon, waits, stop_x):
    if waits:  # one artist for all
        lefts, rights, used = map(np.array, zip(*waits))
        colours = [to_rgba(ORANGE, 0.08 + 0.4 * share) for share in used]
        bottom, top = axes.get_ylim()
        axes.broken_barh(
            list(zip(lefts, rights - lefts)),
            (bottom, top - bottom),
            facecolors=colours,
            linewidth=0,
            label="no improvement: patience running out",
        )
        axes.set_ylim(bottom, top)
    axes.axhspan(best - epsilon, best, color=VERMILLION, alpha=0.25, linewidth=0)
    axes.axhline(best - epsilon, color=VERMILLION, linewidth=1, label="to be beaten: best − epsilon")
    axes.plot(
        best_x,
        best,
        "o",
        markersize=12,
        markerfacecolor="none",
        markeredgewidth=2,
        color=VERMILLION,
        label="best epoch",
    )
    if stop_x is not None:
        axes.axvline(stop_x, color="black", linewidth=1.5, linestyle="-.", label="stop")


@styled
def rate_curves(rates, shade=False):
    """Learning rates over epochs, log scale. rates: {label: (epochs, rates)}; shade: between the first two."""
    figure = page(WIDE, 4.2)
    axes = _axes(figure, 0.85, 0.5, 7.2, 3.1, "epoch", "learning rate (log scale)", log=True)
    for dashes, (label, (epochs, values)) in zip(itertools.cycle(("-", "--")), rates.items()):  # one may hide another
        axes.plot(epochs, values, dashes, label=label, drawstyle="steps-post")
    _fit_log_scale(axes)
    if shade:
        (epochs, first), (_, second) = list(rates.values())[:2]
        axes.fill_between(epochs, first, second, step="post", color=ORANGE, alpha=0.2, linewidth=0)
    axes.margins(x=0.01)
    figure.legend(loc="upper left", bbox_to_anchor=(0.03, 1), ncols=2)
    return figure


@styled
def confusion(matrix, class_names):
    """A confusion matrix (C, C) of counts, colour is the share of the row; names and counts where there is room."""
    count = len(class_names)
    left, top, side = _matrix_place(count)
    figure = page(PAGE, top + side + (1.15 if count <= NAMED else 0.3))
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    picture(figure, left, top, side, coloured(share, 0, 1, "Blues"))
    middles = (np.arange(count) + 0.5) * side / count
    for middle, name in zip(middles, class_names if count <= NAMED else ()):
        write(figure, left - 0.05, top + middle, shortened(name), ha="right", va="center")
        look = {"rotation": 60, "ha": "right", "rotation_mode": "anchor", "va": "center"}
        write(figure, left + middle, top + side + 0.1, shortened(name), **look)
    for (row, column), number in np.ndenumerate(matrix if count <= COUNTED else np.empty((0, 0))):
        colour = "white" if share[row, column] > 0.55 else "black"
        look = {"ha": "center", "va": "center", "fontsize": 9, "color": colour}
        write(figure, left + middles[column], top + middles[row], number, **look)
    write(figure, 0, top + side / 2, "true class", rotation=90, va="center", fontsize=11)
    write(
        figure, left + side / 2, figure.get_figheight() - 0.02, "predicted class", ha="center", va="bottom", fontsize=11
    )
    return figure


def _matrix_place(count):
    """(left, top, side) of the matrix on its page, in inches."""
    left = 1.25 if count <= NAMED else 0.3
    return left, 0.05, PAGE - left - 0.05


def cell_at(across, down, page_height, count):
    """(true, predicted) of the cell at a share of the width and height of a page of `confusion`; the nearest one."""
    left, top, side = _matrix_place(count)
    places = (down * page_height - top, across * PAGE - left)
    return tuple(min(max(int(place / side * count), 0), count - 1) for place in places)


@styled
def with_cell(drawn, cell, count):
    """The page of `confusion`, drawn already (drawing.pixels), with one cell outlined."""
    left, top, side = _matrix_place(count)
    figure = _page_of(drawn)
    outline(figure, left, top, side / count, (*cell, 1, 1), 0)
    return figure


@styled
def class_bars(accuracies, class_names, shown):
    """The accuracies of the classes in `shown`, in that order, as bars."""
    figure = page(PAGE, TITLE + ROW * len(shown) + 0.05)
    cut = "" if len(shown) == len(accuracies) else f", {len(shown) // 2} best and worst"
    headline(figure, 0, f"accuracy by class{cut}")
    bars(figure, PAGE, [class_names[label] for label in shown], np.asarray(accuracies)[shown])
    return figure


@styled
def with_row(drawn, row):
    """The page of `class_bars`, drawn already, with one row outlined; None outlines none."""
    figure = _page_of(drawn)
    if row is not None:
        outline(figure, 0, TITLE, ROW, (row, 0.1, 1, (PAGE - 0.1) / ROW), 0, linewidth=1.5)
    return figure


def _page_of(drawn):
    figure = page(PAGE, PAGE * drawn.shape[0] / drawn.shape[1])
    picture(figure, 0, 0, PAGE, drawn)
    return figure


@styled
def class_view(image, probabilities, class_names, occlusion, most=5):
    """The likeliest classes as bars, and where hiding a square of the image lowers the first one's probability."""
    side = 1.75
    figure = page(PAGE, TITLE + side + 0.6)
    order = np.argsort(-probabilities, kind="stable")[:most]
    headline(figure, 0, "likeliest classes")
    bars(figure, PAGE - HALF - 0.1, [class_names[label] for label in order], probabilities[order])
    headline(figure, PAGE - HALF, "if a square is hidden")
    limit = max(np.abs(occlusion).max(), 0.01)
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    smooth = Image.fromarray(occlusion.astype(np.float32)).resize(grey.shape[1::-1], Image.Resampling.BILINEAR)
    fall = coloured(np.asarray(smooth), -limit, limit, "PuOr")
    picture(figure, PAGE - HALF, TITLE, side, np.uint8(0.35 * grey + 0.65 * fall))
    picture(
        figure, PAGE - HALF, TITLE + side + 0.07, side, coloured(np.linspace(0, 1, 64)[None], 0, 1, "PuOr"), height=0.12
    )
    for share, value in ((0, limit), (0.5, 0), (1, -limit)):
        words = f"{100 * value:+.0f}".replace("-", "−") if value else "0"
        write(
            figure,
            PAGE - HALF + share * side,
            TITLE + side + 0.21,
            words,
            ha=("left", "center", "right")[int(2 * share)],
        )
    write(figure, PAGE - HALF, TITLE + side + 0.38, "points for the first class")
    return figure


def bars(figure, width, names, shares):
    """Horizontal bars, from 0 to 1, with a name to the left of each and its percentage to the right."""
    start, full = 1.2, width - 1.2 - 0.45
    for number, (name, share) in enumerate(zip(names, shares)):
        middle = TITLE + (number + 0.5) * ROW
        write(figure, start - 0.06, middle, shortened(name), ha="right", va="center_baseline")
        corner = start, figure.get_figheight() - middle - 0.35 * ROW
        figure.add_artist(Rectangle(corner, share * full, 0.7 * ROW, color=BLUE, transform=figure.dpi_scale_trans))
        write(figure, start + share * full + 0.05, middle, f"{share:.0%}", va="center_baseline", fontsize=9)


def _axes(figure, left, top, width, height, xlabel, ylabel, log):
    """Axes at a place in inches from the figure's top left corner."""
    across, down = figure.get_size_inches()
    place = (left / across, 1 - (top + height) / down, width / across, height / down)
    axes = figure.add_axes(place, xlabel=xlabel, ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    if log:
        _log_scale(axes)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    return axes


def _log_scale(axes):
    """A log scale without the usual minor marks, which take longer to draw than the curves."""
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _in_short(value)))


def _in_short(value):
    """A positive number beside an axis: 20, 0.05, 5e-5."""
    return f"{value:.3g}" if value >= 0.001 else f"{value:.0e}".replace("e-0", "e-")


def _fit_log_scale(axes, ratio=6.25, decades=2.5):
    """Few marks on a log scale, two at least: 1, 2, 5, 10, ... or, over more decades than that, 1, 10, ...

    Where the scale spans less than `ratio`, it is stretched so that two of the marks 1, 2, 5 lie on it.
    """
    low, high = axes.get_ylim()
    if high < ratio * low:
        middle = math.sqrt(low * high)
        low, high = axes.set_ylim(middle / math.sqrt(ratio), middle * math.sqrt(ratio))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 10**decades * low else (1,)))
