"""Curves: losses and accuracies of trainings, the early-stopping rule on them, learning rates, distributions.

Training is solid and validation is dashed everywhere. Shares (accuracies, chance) are in [0, 1], drawn in percent.
"""

import itertools
import math

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from helpers import jigsaw
from helpers.plots.pages import LINE, TITLE, WIDE, headline, page
from helpers.plots.style import GREY, ORANGE, SPLITS, VERMILLION, hues, styled

PLOT = 3.15  # inches, the height of a plot without its labels


def losses(history, best_epoch=None, reported=None, title=None, before=None, log=False, starts=None):
    """Training (solid) and validation (dashed) loss per epoch: Figures 4, 6, 10 and 11 of the report.

    history: a DataFrame of history.csv, or {label: DataFrame} to lay several runs over each other.
    best_epoch: the epoch whose snapshot was kept, marked on the validation curve; {label: epoch} for several runs.
    reported: the number of epochs the report's training ran, drawn as a vertical line.
    before: the validation loss before the first epoch, drawn at epoch 0; {label: loss} for several runs.
    log: a log scale, where the first epochs' losses would flatten the rest.
    starts: {label: start} or one for all, what the runs' weights came from, which says their colours; see style.hues.
    Raises ValueError for a history that is empty or lacks a column.
    """
    runs, ended = _runs(history, "loss", 1), f"the report's run ended (epoch {reported})"
    for label, loss in (before if isinstance(before, dict) else {"": before} if before else {}).items():
        runs[label]["validation"] = [
            np.insert(values, 0, first) for values, first in zip(runs[label]["validation"], (0, loss))
        ]
    ends = {ended: reported} if reported is not None else {}
    axis = "mean cross-entropy loss" + " (log scale)" * log
    return curves(runs, "epoch", axis, title, log, best_epoch, ends=ends, starts=starts)


def accuracy(history, best_epoch=None, reported=None, chance=None, title=None, starts=None):
    """Training (solid) and validation (dashed) accuracy per epoch; arguments as in `losses`.

    reported: the report's test accuracy, chance: that of guessing; both in [0, 1], drawn as horizontal lines.
    """
    levels = {"reported test accuracy": reported, "chance": chance}
    runs = _runs(history, "accuracy", 100)
    return curves(runs, "epoch", "accuracy (%)", title, best=best_epoch, levels=levels, starts=starts)


def puzzle_accuracy(history, chance, best_epoch=None):
    """How often the pretext network names the right permutation, epoch by epoch. Arguments as in `accuracy`."""
    return accuracy(history, best_epoch, chance=chance, title="puzzles solved")


def _runs(history, quantity, scale):
    """What `curves` draws, of one history or {label: history}."""
    runs = {}
    for label, table in (history if isinstance(history, dict) else {"": history}).items():
        needed = ["epoch", f"training_{quantity}", f"validation_{quantity}"]
        missing = [column for column in needed if column not in table]
        if missing or not len(table):
            lack = f"no column {missing[0]!r}" if missing else "no epoch yet"
            raise ValueError(f"the history {label!r} has {lack}; give the table of a run's history.csv")
        training, validation = ((table["epoch"], scale * table[column]) for column in needed[1:])
        runs[label] = {"training": training, "validation": validation}
    return runs


@styled
def curves(
    runs,
    xlabel,
    ylabel,
    title=None,
    log=False,
    best=None,
    levels=(),
    ends=(),
    rule=None,
    rates=False,
    room=0,
    starts=None,
):
    """Training (solid) and validation (dashed) of several runs, the early-stopping rule on one, learning rates.

    runs: {label: {"training": (x, y), "validation": (x, y), "learning rate": (x, y), "colour": where it is known}}.
    best: the x of a ring on the validation curve, or {label: x}. levels: {words: share or None}, horizontal lines.
    ends: {words: x}, vertical ones.
    rule: (x of the best epoch, best value, epsilon, [(left, right, share of patience used)], x of the stop or None).
    rates: learning rates dotted, on a second axis, log scale. room: for so many entries of the legend, at least.
    starts: {label: start}, see style.hues.
    """
    figure, axes = _chart(xlabel, ylabel, log)
    several, hue = len(runs) > 1, hues(runs, starts)
    for label, run in runs.items():
        look = {"color": run.get("colour", hue[label]), "marker": "o" if len(run["training"][0]) <= 30 else None}
        axes.plot(*run["training"], label=label if several else "training", **look)
        axes.plot(*run["validation"], "--", label=f"_{label}, validation" if several else "validation", **look)
        x, y = map(np.asarray, run["validation"])
        kept = best.get(label) if isinstance(best, dict) else best
        if kept is not None:
            words = f"{label}, best epoch: {kept}".removeprefix(", ")
            _ring(axes, kept, y[x == kept].item(), words, look["color"])
    for words, share in dict(levels).items():
        _level(axes, share, words)
    for words, x in dict(ends).items():
        axes.axvline(x, color="black", linestyle=":", label=words)
    if log:
        _fit_log_scale(axes)
    else:
        axes.set_ylim(bottom=0)
    if rule:
        _draw_rule(axes, *rule)
    if rates:
        second = axes.twinx()
        _log_scale(second)
        for label, run in runs.items():
            second.plot(*run["learning rate"], ":", color=run.get("colour", hue[label]))
        _fit_log_scale(second)
        second.set_ylabel("learning rate, dotted (log scale)")
        second.grid(False)
        second.spines.right.set_visible(True)
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    key = "training solid, validation dashed" if several else None
    return _placed(figure, axes, title, key, room, right=0.9 if rates else 0.15)


def _level(axes, share, words="chance"):
    """A reference line across the axes, its value in the legend; none for None."""
    if share is not None:
        look = {"color": "black", "linestyle": ":" if words == "chance" else "-.", "linewidth": 1.5}
        axes.axhline(100 * share, label=f"{words} ({100 * share:.3g} %)", **look)


def _ring(axes, x, y, words, colour):
    look = {"markersize": 12, "markerfacecolor": "none", "markeredgewidth": 2}
    axes.plot(x, y, "o", color=colour, label=words, **look)


def _draw_rule(axes, best_x, best, epsilon, waits, stop_x):
    if waits:  # one artist for all
        lefts, rights, used = map(np.array, zip(*waits))
        bottom, top = axes.get_ylim()
        look = {"facecolors": [to_rgba(ORANGE, 0.08 + 0.4 * share) for share in used], "linewidth": 0}
        spans = list(zip(lefts, rights - lefts))
        axes.broken_barh(spans, (bottom, top - bottom), label="no improvement: patience running out", **look)
        axes.set_ylim(bottom, top)
    axes.axhspan(best - epsilon, best, color=VERMILLION, alpha=0.25, linewidth=0)
    axes.axhline(best - epsilon, color=VERMILLION, linewidth=1, label="to be beaten: best − epsilon")
    _ring(axes, best_x, best, "best epoch", VERMILLION)
    if stop_x is not None:
        axes.axvline(stop_x, color="black", linewidth=1.5, linestyle="-.", label="stop")


@styled
def per_epoch(table, axis, title=None, zoom=False, starts=None):
    """Shares that change from epoch to epoch, one line each: active units per layer, how far filters have moved.

    table: a DataFrame with a column "epoch", each other column a line in [0, 1]. axis: what they are shares of.
    zoom: the axis begins near the lowest value instead of at 0, and says so. starts: {column: start}, see style.hues.
    """
    figure, axes = _chart("epoch", axis)
    shares = table.set_index("epoch")
    for marker, (label, hue) in zip("os^DvPX<", hues(shares, starts).items()):
        axes.plot(table["epoch"], 100 * shares[label], marker=marker, color=hue, label=label)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if zoom:
        axes.yaxis.get_major_locator().set_params(steps=(1, 2, 5, 10))
        low = axes.get_yticks()[0]
        axes.set_ylim(bottom=low)
        axes.set_ylabel(f"{axis}\n(the axis begins at {low:.4g})")
    else:
        axes.set_ylim(bottom=0)
    return _placed(figure, axes, title)


@styled
def against(curves, axis, chance=None, title=None, starts=None):
    """Test accuracy against what was varied, one curve for each start; the whisker is `half_width`.

    curves: {name: DataFrame with columns accuracy and half_width, in [0, 1], indexed by what was varied: numbers, which
    stand on a log scale, or words, which keep their order}; a NaN half_width (one seed) draws no whisker.
    axis: what was varied. chance: accuracy of guessing. starts: {name: start}, see style.hues.
    """
    figure, axes = _chart(axis, "test accuracy (%)")
    for marker, (name, curve), hue in zip("os^DvP", curves.items(), hues(curves, starts).values()):
        halves = 100 * curve["half_width"].fillna(0)
        axes.errorbar(curve.index, 100 * curve["accuracy"], halves, marker=marker, color=hue, capsize=3, label=name)
    varied = np.unique(np.concatenate([curve.index for curve in curves.values()]))
    if varied.dtype.kind in "iuf":
        axes.set_xscale("log")
        axes.set_xticks(varied, [f"{value:g}" for value in varied])
        axes.minorticks_off()
    _level(axes, chance)
    axes.set_ylim(bottom=0)
    return _placed(figure, axes, title)


@styled
def learning_rates(rates, iterations_per_epoch=None, xlabel="iteration", shade=False):
    """Learning rate policies, log scale (Figure 5). rates: {label: (iterations or epochs, learning rates)}.

    iterations_per_epoch: adds an axis of epochs at the top. shade: between the first two.
    """
    figure, axes = _chart(xlabel, "learning rate (log scale)", log=True)
    for dashes, (label, (x, values)) in zip(itertools.cycle(("-", "--")), rates.items()):  # one may hide another
        axes.plot(x, values, dashes, label=label, drawstyle="steps-post")
    _fit_log_scale(axes)
    if shade:
        (x, first), (_, second) = list(rates.values())[:2]
        axes.fill_between(x, first, second, step="post", color=ORANGE, alpha=0.2, linewidth=0)
    axes.margins(x=0.01)
    if iterations_per_epoch:
        scale = (lambda i: i / iterations_per_epoch, lambda e: e * iterations_per_epoch)
        axes.secondary_xaxis("top", functions=scale).set_xlabel("epoch")
    return _placed(figure, axes, above=0.55 if iterations_per_epoch else 0.1)


@styled
def hamming_histogram(distances):
    """How many pairs of permutations differ in how many of the nine positions. distances: jigsaw.hamming_distances."""
    figure, axes = _chart("positions in which two permutations differ", "pairs of permutations")
    (values, counts), mean = np.unique(distances, return_counts=True), np.mean(distances)
    axes.bar(values, counts, width=0.8)
    axes.axvline(mean, color=VERMILLION, linestyle=":")
    look = {"color": VERMILLION, "fontweight": "bold", "ha": "right", "va": "top"}
    axes.text(mean - 0.1, counts.max(), f"mean {mean:.2f}", **look)
    axes.set_xticks(range(jigsaw.GRID**2 + 1))
    axes.set_xlim(0.4, jigsaw.GRID**2 + 0.6)
    return _placed(figure, axes)


@styled
def histogram(values, axis="value", bins=80, splits=None):
    """Distributions one under the other on one axis, with mean and standard deviation.

    values: {label: any array}. splits: {label: "training", "validation" or "test"}, which gives them their colours;
    those without are grey.
    """
    hue = {label: SPLITS[split] for label, split in (splits or {}).items()}
    figure = Figure(figsize=(8, 1.1 + 1.3 * len(values)))
    panels = np.atleast_1d(figure.subplots(len(values), sharex=True))
    for axes, (label, numbers) in zip(panels, values.items()):
        numbers = np.ravel(numbers)
        axes.hist(numbers, bins=bins, density=True, color=hue.get(label, GREY))
        mean = round(float(numbers.mean()), 2) + 0.0  # no "-0.00"
        axes.set_title(f"{label}: mean {mean:.2f}, standard deviation {numbers.std():.2f}", fontsize=11)
        axes.set_yticks([])
    panels[-1].set_xlabel(axis)
    figure.supylabel("density", fontsize=11)
    return figure


def _chart(xlabel, ylabel, log=False):
    """(figure, axes) of a page with one plot; `_placed` gives them their size and place."""
    figure = page(WIDE, PLOT)
    axes = figure.add_axes((0, 0, 1, 1), xlabel=xlabel, ylabel=ylabel)
    if log:
        _log_scale(axes)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6))
    return figure, axes


def _placed(figure, axes, title=None, key=None, room=0, right=0.15, above=0.1):
    """The page, as high as it needs: a title, a legend with `key` above it and room for so many entries, the plot."""
    handles, labels = axes.get_legend_handles_labels()
    columns = max(1, min(3, int(WIDE / (0.55 + 0.075 * max(map(len, labels), default=0)))))
    headed = TITLE if title else 0.05
    top = headed + LINE * 1.2 * (bool(key) + math.ceil(max(len(labels), room) / columns)) + above
    height, left = top + PLOT + 0.55, 0.85
    figure.set_size_inches(WIDE, height)
    for one in figure.axes:
        one.set_position((left / WIDE, 0.55 / height, (WIDE - left - right) / WIDE, PLOT / height))
    headline(figure, left, title)
    if labels:
        place = {"loc": "upper left", "bbox_to_anchor": (left / WIDE, 1 - headed / height), "borderaxespad": 0}
        figure.legend(handles, labels, title=key, ncols=columns, alignment="left", borderpad=0, **place)
    return figure


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
