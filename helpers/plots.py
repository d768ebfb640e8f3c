"""One function per figure of the course: data in, a matplotlib Figure out. Nothing is trained or shown here.

Training is solid and validation is dashed everywhere. Shares (accuracies, chance) are in [0, 1], drawn in percent.
`show(figure, alt)` puts a figure into the notebook, `png(figure)` gives its bytes, for widgets.
Figures made of pictures live in helpers.pictures and are called from here like the others.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers import diagrams, jigsaw
from helpers.drawing import COLOURS, VERMILLION, one_axes, png, show, styled
from helpers.pictures import (
    activations,
    class_examples,
    filter_change,
    filters,
    filters_beside,
    grid_on_photo,
    image_grid,
    puzzle,
    tiles,
)

__all__ = [
    "accuracy",
    "activations",
    "against",
    "architecture",
    "bars",
    "class_examples",
    "confusion",
    "filter_change",
    "filters",
    "filters_beside",
    "grid_on_photo",
    "hamming_histogram",
    "histogram",
    "image_grid",
    "learning_rates",
    "losses",
    "per_class",
    "per_epoch",
    "png",
    "puzzle",
    "puzzle_accuracy",
    "show",
    "tiles",
    "turntable",
]


@styled
def losses(history, best_epoch=None, reported=None, title=None):
    """Training (solid) and validation (dashed) loss per epoch: Figures 4, 6, 10 and 11 of the report.

    history: a DataFrame of history.csv, or {label: DataFrame} to lay several runs over each other.
    best_epoch: the epoch whose snapshot was kept, marked on the validation curve; {label: epoch} for several runs.
    reported: the number of epochs the report's training ran, drawn as a vertical line.
    Raises ValueError for a history that is empty or lacks a column.
    """
    figure, axes = one_axes("epoch", "mean cross-entropy loss", title)
    _curves(axes, history, "loss", 1, best_epoch)
    if reported is not None:
        axes.axvline(reported, color="black", linestyle=":", label=f"the report's run ended (epoch {reported})")
    axes.set_ylim(bottom=0)
    _legend(axes)
    return figure


@styled
def accuracy(history, best_epoch=None, reported=None, chance=None, title=None):
    """Training (solid) and validation (dashed) accuracy per epoch; arguments as in `losses`.

    reported: the report's test accuracy, chance: that of guessing; both in [0, 1], drawn as horizontal lines.
    """
    figure, axes = one_axes("epoch", "accuracy (%)", title)
    _curves(axes, history, "accuracy", 100, best_epoch)
    _level(axes.axhline, reported, "reported test accuracy", "-.")
    _level(axes.axhline, chance, "chance", ":")
    axes.set_ylim(bottom=0)
    _legend(axes)
    return figure


def puzzle_accuracy(history, chance, best_epoch=None):
    """How often the pretext network names the right permutation, epoch by epoch. Arguments as in `accuracy`."""
    return accuracy(history, best_epoch, chance=chance, title="puzzles solved")


@styled
def per_epoch(table, axis, title=None):
    """Shares that change from epoch to epoch, one line each: active units per layer, how far filters have moved.

    table: a DataFrame with a column "epoch", each other column a line in [0, 1]. axis: what they are shares of.
    """
    figure, axes = one_axes("epoch", axis, title)
    for marker, (label, shares) in zip("os^DvPX<", table.set_index("epoch").items()):
        axes.plot(table["epoch"], 100 * shares, marker=marker, label=label)
    axes.set_ylim(bottom=0)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _legend(axes)
    return figure


@styled
def against(curves, axis, chance=None, title=None):
    """Test accuracy against what was varied, one curve for each start; the whisker is `half_width`.

    curves: {name: DataFrame with columns accuracy and half_width, in [0, 1], indexed by what was varied: numbers, which
    stand on a log scale, or words, which keep their order}; a NaN half_width (one seed) draws no whisker.
    axis: what was varied. chance: accuracy of guessing.
    """
    figure, axes = one_axes(axis, "test accuracy (%)", title)
    for marker, (name, curve) in zip("os^D", curves.items()):
        halves = 100 * curve["half_width"].fillna(0)
        axes.errorbar(curve.index, 100 * curve["accuracy"], halves, marker=marker, capsize=3, label=name)
    varied = np.unique(np.concatenate([curve.index for curve in curves.values()]))
    if varied.dtype.kind in "iuf":
        axes.set_xscale("log")
        axes.set_xticks(varied, [f"{value:g}" for value in varied])
        axes.minorticks_off()
    _level(axes.axhline, chance, "chance", ":")
    axes.set_ylim(bottom=0)
    _legend(axes)
    return figure


@styled
def learning_rates(rates, iterations_per_epoch=None):
    """Learning rate policies, log scale (Figure 5). rates: {label: (iterations, learning rates)}.

    iterations_per_epoch: adds an axis of epochs at the top.
    """
    figure, axes = one_axes("iteration", "learning rate (log scale)")
    for label, (iterations, values) in rates.items():
        axes.semilogy(iterations, values, label=label)
    if iterations_per_epoch:
        axes.secondary_xaxis(
            "top", functions=(lambda i: i / iterations_per_epoch, lambda e: e * iterations_per_epoch)
        ).set_xlabel("epoch")
    _legend(axes)
    return figure


@styled
def hamming_histogram(distances):
    """How many pairs of permutations differ in how many of the nine positions. distances: jigsaw.hamming_distances."""
    figure, axes = one_axes("positions in which two permutations differ", "pairs of permutations")
    values, counts = np.unique(distances, return_counts=True)
    axes.bar(values, counts, width=0.8)
    axes.axvline(np.mean(distances), color=VERMILLION, linestyle=":")
    axes.text(
        np.mean(distances) - 0.1,
        counts.max(),
        f"mean {np.mean(distances):.2f}",
        color=VERMILLION,
        fontweight="bold",
        ha="right",
        va="top",
    )
    axes.set_xticks(range(jigsaw.GRID**2 + 1))
    axes.set_xlim(0.4, jigsaw.GRID**2 + 0.6)
    return figure


@styled
def turntable(splits):
    """Which views of a turning object lie in which split: a circle per way of splitting, a mark per view.

    splits: {title: {name of the split: angles in degrees}}; each split has a circle and a marker of its own.
    """
    figure = Figure(figsize=(4.6 * len(splits), 4.6))
    panels = figure.subplots(1, len(splits), subplot_kw={"projection": "polar"}, squeeze=False)[0]
    for axes, (title, parts) in zip(panels, splits.items()):
        for radius, marker, (name, angles) in zip((1, 0.88, 0.76), "osD", parts.items()):
            axes.plot(np.radians(angles), np.full(len(angles), radius), marker, markersize=5, label=name)
        axes.set_title(title, loc="center")
        axes.set_ylim(0, 1.08)
        axes.set_yticks([])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncol=3)
    return figure


@styled
def architecture(net, shapes, parameters=None):
    """A net drawn from its own prototxt: layers stage by stage, and the blobs they make (Figures 1 and 3).

    Siamese branches are drawn once, as a stack of cards; frozen layers are hatched.
    net: a caffe NetParameter message. shapes: {blob: shape with batch axis}, as helpers.nets.blob_shapes gives.
    parameters: {layer: count}, as helpers.nets.parameter_counts gives, to write them into the boxes.
    Raises ValueError where shapes lacks a blob.
    """
    return diagrams.draw(net, shapes, parameters or {})


@styled
def confusion(matrix, class_names):
    """A confusion matrix, (C, C) counts, row = true class, column = predicted; colour is the share of the row."""
    matrix = np.asarray(matrix)
    if matrix.shape != (len(class_names),) * 2:
        raise ValueError(
            f"the matrix is {matrix.shape}, the class names are {len(class_names)}; "
            "give one row and one column for each class"
        )
    few = len(class_names) <= 30
    side = min(9, 2.5 + 0.42 * len(class_names)) if few else 8
    figure = Figure(figsize=(side + 1, side))
    axes = figure.add_subplot(xlabel="predicted class", ylabel="true class")
    share = 100 * matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure.colorbar(axes.imshow(share, cmap="Blues", vmin=0, vmax=100), label="share of the true class (%)", shrink=0.8)
    axes.grid(False)
    if few:
        axes.set_xticks(range(len(class_names)), class_names, rotation=60, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(class_names)), class_names)
    if len(class_names) <= 15:
        for (row, column), count in np.ndenumerate(matrix):
            axes.text(
                column,
                row,
                count,
                ha="center",
                va="center",
                fontsize=10,
                color="white" if share[row, column] > 55 else "black",
            )
    return figure


@styled
def per_class(accuracies, class_names, most=15):
    """Each class's accuracy, sorted, as bars. Of more than 2 x most classes: the best and the worst."""
    if len(accuracies) != len(class_names):
        raise ValueError(f"{len(accuracies)} accuracies for {len(class_names)} class names; give one each")
    order = np.argsort(accuracies, kind="stable")
    cut = len(order) > 2 * most
    order = np.concatenate([order[:most], order[-most:]]) if cut else order
    figure, axes = _bars([class_names[i] for i in order], 100 * np.asarray(accuracies)[order], "accuracy (%)")
    if cut:
        axes.axhline(most - 0.5, color="black", linestyle=":")
        axes.set_title(f"the {most} best and the {most} worst of {len(accuracies)} classes")
    return figure


@styled
def bars(labels, values, errors=None, chance=None, reported=None, axis="test accuracy (%)", percent=True):
    """Results to compare as horizontal bars, the first at the top, each with its number.

    errors: half-widths of error bars, NaN for none. chance: one number, a dotted line. reported: one number per label,
    None where the report has none, drawn as diamonds. percent: all of these are in [0, 1]; False draws numbers as they
    are.
    """
    for name, given in (("values", values), ("errors", errors), ("reported", reported)):
        if given is not None and len(given) != len(labels):
            raise ValueError(f"{len(labels)} labels have {len(given)} {name}; give one each")
    scale = 100 if percent else 1
    places = range(len(labels))[::-1]
    figure, axes = _bars(
        list(labels)[::-1],
        scale * np.asarray(values, dtype=float)[::-1],
        axis,
        None if errors is None else scale * np.asarray(errors, dtype=float)[::-1],
    )
    told = np.array([np.nan if value is None else value for value in reported or [None] * len(labels)], dtype=float)
    if np.isfinite(told).any():
        axes.plot(
            scale * told,
            places,
            "D",
            markersize=8,
            markerfacecolor="white",
            markeredgewidth=1.8,
            color=VERMILLION,
            label="reported",
        )
    _level(axes.axvline, chance, "chance", ":", scale)
    whiskers = 0 if errors is None else np.nan_to_num(np.asarray(errors, dtype=float))
    ends = scale * np.fmax(np.add(values, whiskers), told)  # numbers stand right of every mark
    for place, value, end in zip(places, values, ends):
        words = f"{100 * value:.1f} %" if percent else f"{value:,.10g}"
        axes.text(end + 0.025 * ends.max(), place, words, va="center", fontsize=10)
    axes.set_xlim(right=1.18 * ends.max())
    if not percent:
        axes.xaxis.set_major_formatter("{x:,.10g}")
        axes.xaxis.set_major_locator(MaxNLocator(5))
    if axes.get_legend_handles_labels()[1]:
        figure.legend(loc="outside upper right", ncol=2)
    return figure


@styled
def histogram(values, axis="value", bins=80):
    """Distributions one under the other on one axis, with mean and standard deviation. values: {label: any array}."""
    figure = Figure(figsize=(8, 1.1 + 1.3 * len(values)))
    panels = np.atleast_1d(figure.subplots(len(values), sharex=True))
    for i, (axes, (label, numbers)) in enumerate(zip(panels, values.items())):
        numbers = np.ravel(numbers)
        axes.hist(numbers, bins=bins, density=True, color=COLOURS[i % len(COLOURS)])
        mean = round(float(numbers.mean()), 2) + 0.0  # no "-0.00"
        axes.set_title(f"{label}: mean {mean:.2f}, standard deviation {numbers.std():.2f}", fontsize=11)
        axes.set_yticks([])
    panels[-1].set_xlabel(axis)
    figure.supylabel("density", fontsize=11)
    return figure


def _legend(axes):
    if axes.get_legend_handles_labels()[1]:
        axes.legend()


def _level(line, value, words, linestyle, scale=100):
    """A reference line across the axes, its value in the legend."""
    if value is not None:
        words += f" ({100 * value:.3g} %)" if scale == 100 else ""
        line(scale * value, color="black", linestyle=linestyle, linewidth=1.5, label=words)


def _curves(axes, history, quantity, scale, best_epoch):
    """training_<quantity> solid, validation_<quantity> dashed, per epoch; the best epoch as a ring on the latter."""
    several = isinstance(history, dict)
    for i, (label, table) in enumerate((history if several else {"": history}).items()):
        needed = ["epoch", f"training_{quantity}", f"validation_{quantity}"]
        missing = [column for column in needed if column not in table]
        if missing or not len(table):
            lack = f"no column {missing[0]!r}" if missing else "no epoch yet"
            raise ValueError(f"the history {label!r} has {lack}; give the table of a run's history.csv")
        hue = COLOURS[i % len(COLOURS)]
        for part, linestyle, colour in (("training", "-", hue), ("validation", "--", hue if several else VERMILLION)):
            axes.plot(
                table["epoch"],
                scale * table[f"{part}_{quantity}"],
                linestyle,
                color=colour,
                marker="o" if len(table) <= 30 else None,
                label=f"{label}, {part}".removeprefix(", "),
            )
        best = best_epoch.get(label) if several and best_epoch else best_epoch
        if best is not None:
            value = scale * table.loc[table["epoch"] == best, needed[2]].item()
            axes.plot(
                best,
                value,
                "o",
                markersize=12,
                markerfacecolor="none",
                markeredgewidth=2,
                color=colour,
                label=f"{label}, best epoch: {best}".removeprefix(", "),
            )
    axes.xaxis.get_major_locator().set_params(integer=True)


def _bars(names, values, axis, errors=None):
    """Horizontal bars from the bottom up, one line of text high each."""
    figure = Figure(figsize=(8, 1.1 + 0.34 * len(names)))
    axes = figure.add_subplot(xlabel=axis)
    axes.barh(range(len(names)), values, xerr=errors, height=0.7, error_kw={"capsize": 4, "elinewidth": 1.5})
    axes.set_yticks(range(len(names)), names)
    axes.grid(False, axis="y")
    axes.margins(y=0.02)
    return figure, axes
