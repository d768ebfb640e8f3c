"""Results by class and by training: confusion, accuracy of each class, bars to compare, views of a turning object."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from helpers.plots.pages import (
    PAGE,
    ROW,
    TITLE,
    again,
    bar,
    coloured,
    headline,
    outline,
    page,
    picture,
    scale_bar,
    shortened,
    write,
)
from helpers.plots.style import BLACK, GREY, SPLITS, STARTS, starts_of, styled

NAME = 0.15  # inches that a class needs for its name beside a confusion matrix
COUNT = 0.25  # inches that it needs for its counts
GROUP = 2.55  # inches for the names of groups of classes beside a confusion matrix


@styled
def confusion(matrix, class_names, width=None, groups=None):
    """A confusion matrix, (C, C) counts, row = true class, column = predicted; colour is the share of the row.

    Names and counts stand where there is room. width: of the page in inches; None suits the classes.
    groups: {name: its classes}, all of them, to put them in this order, with the groups' names beside the matrix
    instead of theirs, and a frame round what stays within a group; the darkest colour is then 30 % and more, since
    mistakes are what one looks for.
    """
    matrix = np.asarray(matrix)
    count = len(class_names)
    if matrix.shape != (count, count):
        raise ValueError(
            f"the matrix is {matrix.shape}, the class names are {count}; give one row and one column for each class"
        )
    if groups:
        order = [name for names in groups.values() for name in names]
        if sorted(order) != sorted(class_names):
            odd = sorted(set(order) ^ set(class_names)) or [name for name in order if order.count(name) > 1]
            raise ValueError(f"{odd[0]!r} is not once in the groups and once in the classes; give each class one group")
        rows = [list(class_names).index(name) for name in order]
        matrix = matrix[np.ix_(rows, rows)]
    scaled = width is None
    width = width or min(8, 3.8 + 0.42 * count)
    left, top, side = matrix_place(count, width)
    named, high = left > 1 and not groups, 30 if groups else 100
    if groups:
        left, side = GROUP, width - GROUP - 0.05
    figure = page(width + 1.12 * scaled, top + side + (1.15 if named else 0.3))
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    picture(figure, left, top, side, coloured(share, 0, high / 100, "Blues"))
    middles = (np.arange(count) + 0.5) * side / count
    for middle, name in zip(middles, class_names if named else ()):
        write(figure, left - 0.05, top + middle, shortened(name), ha="right", va="center")
        look = {"rotation": 60, "ha": "right", "rotation_mode": "anchor", "va": "center"}
        write(figure, left + middle, top + side + 0.1, shortened(name), **look)
    first = 0
    for name, names in (groups or {}).items():
        size = len(names)
        write(figure, left - 0.05, top + (first + size / 2) * side / count, name, ha="right", va="center")
        outline(figure, left, top, side / count, (first, first, size, size), 0, edgecolor=GREY, linewidth=0.8)
        first += size
    for (row, column), number in np.ndenumerate(matrix if COUNT * count <= side else np.empty((0, 0))):
        colour = "white" if share[row, column] > 0.55 else "black"
        write(figure, left + middles[column], top + middles[row], number, ha="center", va="center", color=colour)
    write(figure, 0, top + side / 2, "true class", rotation=90, va="center", fontsize=11)
    below = figure.get_figheight() - 0.02
    write(figure, left + side / 2, below, "predicted class", ha="center", va="bottom", fontsize=11)
    if scaled:
        more = ", 30 and more" * bool(groups)
        scale_bar(figure, width + 0.1, top, side, 0, high, f"share of the true class (%{more})", "Blues")
    return figure


def matrix_place(count, width=PAGE):
    """(left, top, side) of the matrix on a page of `confusion`, in inches."""
    left = 1.25 if NAME * count <= width - 1.3 else 0.3
    return left, 0.05, width - left - 0.05


def cell_at(across, down, page_height, count):
    """(true, predicted) of the cell at a share of the width and height of an explorer's confusion; the nearest one."""
    left, top, side = matrix_place(count)
    places = (down * page_height - top, across * PAGE - left)
    return tuple(min(max(int(place / side * count), 0), count - 1) for place in places)


@styled
def with_cell(drawn, cell, count):
    """An explorer's confusion, drawn already (style.pixels), with one cell outlined."""
    left, top, side = matrix_place(count)
    figure = again(drawn)
    outline(figure, left, top, side / count, (*cell, 1, 1), 0)
    return figure


@styled
def per_class(accuracies, class_names, most=15, width=8):
    """Each class's accuracy, the best first, as bars. Of more than 2 x most classes: the best and the worst."""
    if len(accuracies) != len(class_names):
        raise ValueError(f"{len(accuracies)} accuracies for {len(class_names)} class names; give one each")
    shown = best_and_worst(accuracies, most)
    figure = page(width, TITLE + ROW * len(shown) + 0.05)
    cut = "" if len(shown) == len(accuracies) else f": the {most} best and the {most} worst of {len(accuracies)}"
    headline(figure, 0, f"accuracy by class{cut}")
    bars_of(figure, width, [class_names[label] for label in shown], np.asarray(accuracies)[shown])
    return figure


def best_and_worst(accuracies, most):
    """Which classes per_class shows, in its order."""
    order = np.argsort(-np.asarray(accuracies), kind="stable")
    return order if len(order) <= 2 * most else np.concatenate([order[:most], order[-most:]])


@styled
def with_row(drawn, row):
    """An explorer's per_class, drawn already, with one row outlined; None outlines none."""
    figure = again(drawn)
    if row is not None:
        outline(figure, 0, TITLE, ROW, (row, 0.1, 1, (PAGE - 0.1) / ROW), 0, linewidth=1.5)
    return figure


def bars_of(figure, width, names, shares):
    """Horizontal bars, from 0 to 1, with a name to the left of each and its percentage to the right."""
    start, full = 1.2, width - 1.2 - 0.45
    for number, (name, share) in enumerate(zip(names, shares)):
        middle = TITLE + (number + 0.5) * ROW
        write(figure, start - 0.06, middle, shortened(name), ha="right", va="center_baseline")
        bar(figure, start, middle, share * full)
        write(figure, start + share * full + 0.05, middle, f"{share:.0%}", va="center_baseline")


@styled
def bars(labels, values, errors=None, chance=None, reported=None, axis="test accuracy (%)", percent=True, starts=None):
    """Results to compare as horizontal bars, the first at the top, each with its number.

    Where all of them are accuracies above 90 %, they are dots on a scale from there: bars would all look full.
    values: one number per label; or {name: numbers}, two of them, drawn as pairs of dots, filled and hollow, with a
    line from one to the other.
    errors: half-widths of error bars, NaN for none. chance: one number, a dotted line. reported: one number per label,
    None where the report has none, drawn as diamonds. percent: all of these are in [0, 1]; False draws numbers as they
    are, in millions with one decimal where they reach one.
    starts: {label: start} or one for all, what the weights behind a bar came from, see style.hues; bars of none are
    grey.
    """
    pair = values if isinstance(values, dict) else {"values": values}
    for name, given in {**pair, "errors": errors, "reported": reported}.items():
        if given is not None and len(given) != len(labels):
            raise ValueError(f"{len(labels)} labels have {len(given)} {name}; give one each")
    million = not percent and np.max(list(pair.values())) >= 1e6
    scale, places = 100 if percent else 1e-6 if million else 1, np.arange(len(labels))[::-1]
    *first, values = scale * np.array(list(pair.values()), float)
    told = scale * np.array(reported or [None] * len(labels), float)
    halves = np.full(len(labels), np.nan) if errors is None else scale * np.array(errors, float)
    figure = Figure(figsize=(8, 1.1 + 0.34 * len(labels)))
    axes = figure.add_subplot(xlabel=f"{axis} (million)" if million else axis)
    left = 90 if percent and np.nanmin([values, told, *first]) > 90 else 0
    colours = [STARTS.get(start, GREY) for start in starts_of(labels, starts)]
    if first:
        axes.hlines(places, *first, values, color=colours, linewidth=2)
        for dots, name, fill in zip((*first, values), pair, (colours, "white")):
            axes.scatter(dots, places, s=80, facecolors=fill, edgecolors=colours, linewidths=2, zorder=3, label=name)
    elif left:
        axes.scatter(values, places, s=80, color=colours)
    else:
        axes.barh(places[::-1], values[::-1], height=0.7, color=colours[::-1])
    if errors is not None:
        axes.errorbar(
            values[::-1], places[::-1], xerr=halves[::-1], fmt="none", ecolor=BLACK, capsize=4, elinewidth=1.5
        )
    axes.set_yticks(places[::-1], list(labels)[::-1])
    axes.grid(False, axis="y")
    axes.set_ylim(-0.5, len(labels) - 0.5)
    if np.isfinite(told).any():
        axes.plot(told, places, "D", markersize=8, color=BLACK, markeredgecolor="white", label="reported")
    if chance is not None:
        words = f"chance ({scale * chance:.3g} %)" if percent else "chance"
        axes.axvline(scale * chance, color="black", linestyle=":", linewidth=1.5, label=words)
    ends = np.fmax.reduce([values + np.nan_to_num(halves), told, *first])  # numbers stand right of every mark
    for place, end, *numbers in zip(places, ends, *first, values):
        words = " → ".join(dict.fromkeys(_number(one, percent, million) for one in numbers)) + " %" * percent
        axes.text(end + 0.025 * (ends.max() - left), place, words, va="center", fontsize=10)
    axes.set_xlim(left, left + (1.3 if first else 1.18) * (ends.max() - left))
    if not percent:
        axes.xaxis.set_major_formatter("{x:,.10g}")
        axes.xaxis.set_major_locator(MaxNLocator(5))
    if axes.get_legend_handles_labels()[1]:
        figure.legend(loc="outside upper right", ncol=3)
    return figure


def _number(value, percent, million):
    """One decimal for percent and millions, as many as it has for other numbers."""
    tiny = million and value < 0.1
    return f"{value:.1g}" if tiny else f"{value:.1f}" if percent or million else f"{value:,.10g}"


@styled
def turntable(splits):
    """Which views of a turning object lie in which split: a circle per way of splitting, a mark per view.

    splits: {title: {"training", "validation" or "test": angles in degrees}}; each split has a circle, a marker and a
    colour (style.SPLITS) of its own.
    """
    figure = Figure(figsize=(4.6 * len(splits), 4.6))
    panels = figure.subplots(1, len(splits), subplot_kw={"projection": "polar"}, squeeze=False)[0]
    for axes, (title, parts) in zip(panels, splits.items()):
        for radius, marker, (name, angles) in zip((1, 0.88, 0.76), "osD", parts.items()):
            axes.plot(
                np.radians(angles),
                np.full(len(angles), radius),
                marker,
                markersize=5,
                color=SPLITS[name],
                label=name,
            )
        axes.set_title(title, loc="center")
        axes.set_ylim(0, 1.08)
        axes.set_yticks([])
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncol=3)
    return figure
