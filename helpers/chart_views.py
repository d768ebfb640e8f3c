"""The charts behind the explorers' controls: curves, bars, confusion; the same rules as in views."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from helpers.drawing import BLUE, COLOURS, ORANGE, VERMILLION, styled
from helpers.views import MARK, PAGE, TITLE, headline, place, shortened

WIDE = 8.2  # inches, the width of a page of curves


@styled
def curves(runs, xlabel, ylabel, log=False, rule=None, rates=False):
    """Training (solid) and validation (dashed) of several runs, the early-stopping rule on one, learning rates.

    runs: {label: {"training": (x, y), "validation": (x, y), "learning rate": (x, y), "colour": its number}}.
    rule: (x of the best epoch, best value, epsilon, [(left, right, share of patience used)], x of the stop or None).
    rates: learning rates dotted, on a second axis, log scale.
    """
    title = "training solid, validation dashed" if len(runs) > 1 else ""
    top = 0.2 + 0.22 * math.ceil((max(len(runs), 2) + 4) / 3) + 0.22 * bool(title)  # of a legend with every mark
    figure = Figure(figsize=(WIDE, top + 3.7), layout="none")
    axes = place(figure, 0.75, top, WIDE - 0.9 - 0.75 * rates, 3.15, xlabel=xlabel, ylabel=ylabel)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for label, run in runs.items():
        hue = COLOURS[run["colour"] % len(COLOURS)]
        axes.plot(*run["training"], color=hue, label=label if len(runs) > 1 else "training")
        dashed = {"color": hue} if len(runs) > 1 else {"color": VERMILLION, "label": "validation"}
        axes.plot(*run["validation"], "--", **dashed)
    top = max(y.max() for run in runs.values() for _, y in (run["training"], run["validation"]))
    axes.set(**{"yscale": "log"} if log else {"ylim": (0, 1.06 * top)})
    if rule:
        _draw_rule(axes, *rule)
    if rates:
        second = axes.twinx()
        for run in runs.values():
            second.semilogy(*run["learning rate"], ":", color=COLOURS[run["colour"] % len(COLOURS)])
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
    for left, right, used in waits:
        axes.axvspan(left, right, color=ORANGE, alpha=0.08 + 0.4 * used, linewidth=0)
    if waits:
        axes.patches[-1].set_label("no improvement: patience running out")
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
    figure = Figure(figsize=(8.2, 4.2), layout="none")
    axes = place(figure, 0.85, 0.5, 7.2, 3.1, xlabel="epoch", ylabel="learning rate (log scale)")
    for label, (epochs, values) in rates.items():
        axes.semilogy(epochs, values, label=label)
    if shade:
        (epochs, first), (_, second) = list(rates.values())[:2]
        axes.fill_between(epochs, first, second, color=ORANGE, alpha=0.2, linewidth=0)
    if axes.get_ylim()[1] < 12 * axes.get_ylim()[0]:  # less than a decade: label more than its ends
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.01)
    figure.legend(loc="upper left", bbox_to_anchor=(0.03, 1), ncols=2)
    return figure


@styled
def confusion_cell(matrix, class_names, cell):
    """A confusion matrix (C, C) of counts, the cell (true, predicted) outlined; names where there is room for them."""
    count, few = len(class_names), len(class_names) <= 20
    left, bottom = (1.15, 1.15) if few else (0.65, 0.6)
    side = PAGE - left - 0.05
    figure = Figure(figsize=(PAGE, side + bottom + 0.1), layout="none")
    axes = place(figure, left, 0.1, side, side, xlabel="predicted class", ylabel="true class")
    share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    axes.grid(False)
    if few:
        names = [shortened(name) for name in class_names]
        axes.set_xticks(range(count), names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(count), names)
    if count <= 12:
        for (row, column), number in np.ndenumerate(matrix):
            colour = "white" if share[row, column] > 55 else "black"
            axes.text(column, row, number, ha="center", va="center", fontsize=9, color=colour)
    row, column = cell
    axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, **MARK))
    return figure


@styled
def class_bars(accuracies, class_names, chosen, most=10):
    """Each class's accuracy, sorted, the chosen class in vermillion; of many classes the best and the worst."""
    order = np.argsort(accuracies, kind="stable")
    if len(order) > 2 * most:
        order = np.concatenate([order[:most], order[-most:]])
    figure = Figure(figsize=(PAGE, 0.95 + 0.2 * len(order)), layout="none")
    axes = place(figure, 1.25, TITLE, PAGE - 1.4, 0.2 * len(order), xlabel="accuracy (%)")
    cut = f", {most} worst and {most} best" if len(order) < len(accuracies) else ""
    headline(figure, f"accuracy by class{cut}")
    colours = [VERMILLION if label == chosen else BLUE for label in order]
    axes.barh(range(len(order)), 100 * np.asarray(accuracies)[order], height=0.7, color=colours)
    axes.set_yticks(range(len(order)), [shortened(class_names[label]) for label in order])
    axes.set(xlim=(0, 100), ylim=(-0.6, len(order) - 0.4))
    axes.grid(False, axis="y")
    return figure


@styled
def class_view(image, probabilities, class_names, occlusion, most=5):
    """The likeliest classes as bars, and where hiding a square of the image lowers the first one's probability."""
    figure = Figure(figsize=(PAGE, 2.75), layout="none")
    headline(figure, "likeliest classes (%)")
    order = np.argsort(-probabilities, kind="stable")[:most][::-1]
    axes = place(figure, 0.95, TITLE, 1.05, 1.75)
    axes.barh(range(len(order)), 100 * probabilities[order], height=0.7)
    axes.set_yticks(range(len(order)), [shortened(class_names[label], 11) for label in order])
    axes.set(xlim=(0, 100), xticks=[0, 50, 100])
    axes.grid(False, axis="y")
    axes = place(figure, 2.25, TITLE, 1.75, 1.75)
    axes.set_title("hide a square, and …")
    axes.axis("off")
    axes.imshow(image.mean(axis=2), cmap="gray", alpha=0.6)
    side, limit = image.shape[0], 100 * max(np.abs(occlusion).max(), 1e-9)
    drawn = axes.imshow(
        100 * occlusion,
        extent=(-0.5, side - 0.5, side - 0.5, -0.5),
        cmap="PuOr",
        vmin=-limit,
        vmax=limit,
        alpha=0.65,
        interpolation="bilinear",
    )
    bar = figure.colorbar(drawn, cax=place(figure, 2.25, TITLE + 1.82, 1.75, 0.12), orientation="horizontal")
    bar.set_ticks([-limit, 0, limit], labels=[f"{value:+.0f}" for value in (limit, 0, -limit)])
    bar.set_label("its probability (points)")
    return figure
