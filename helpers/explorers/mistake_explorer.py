"""The explorer of mistakes: a confusion matrix with the images behind each cell."""

import numpy as np
from ipywidgets import Layout, Select

from helpers import evaluation, plots
from helpers.explorers.controls import WORDS, Explorer, choice
from helpers.plots.classes import best_and_worst, cell_at, with_cell, with_row
from helpers.plots.pages import PAGE
from helpers.plots.style import pixels

SHOWN = 12  # images behind a cell
TRAVEL = 8  # cells whose images go with a page without a kernel
EXTREMES = 10  # of many classes, as many of the best and of the worst are shown as bars


def mistakes(probabilities, images, labels, class_names):
    """A confusion matrix with the images behind each cell, accuracy by class, and the errors made with most confidence.

    probabilities: (N, classes), as evaluation.probabilities gives. images: uint8 (N, H, W, 3). labels: (N,).
    """
    counts, said = evaluation.confusion(probabilities, labels), evaluation.predicted(probabilities)
    accuracies = np.diag(counts) / np.maximum(counts.sum(axis=1), 1)
    order = best_and_worst(accuracies, EXTREMES).tolist()
    # drawn once: only the outlines move
    drawn = pixels(plots.confusion(counts, class_names, PAGE))
    bars = pixels(plots.per_class(accuracies, class_names, EXTREMES, PAGE))
    names = [name.replace("_", " ") for name in class_names]
    frequent = _frequent(counts, names)
    true, predicted = frequent[0][1] if frequent else (0, 0)
    options = [(name, label) for label, name in enumerate(names)]
    controls = {
        "frequent": Select(
            options=frequent,
            value=(true, predicted) if frequent else None,
            description="most frequent",
            rows=5,
            style=WORDS,
            layout=Layout(width="30em", max_width="100%"),
        ),
        "true": choice("true class", options, true),
        "predicted": choice("predicted class", options, predicted),
        "beside": choice("beside it", ["images of the cell", "accuracy by class", "surest mistakes"]),
    }

    def adjust(name):
        cell = controls["frequent"].value
        if name == "frequent" and cell:
            controls["true"].value, controls["predicted"].value = cell
        cell = controls["true"].value, controls["predicted"].value
        controls["frequent"].value = cell if cell in dict(map(reversed, frequent)) else None

    def select(across, down):
        cell = cell_at(across, down, PAGE * len(drawn) / drawn.shape[1], len(names))
        controls["true"].value, controls["predicted"].value = cell
        adjust("true")

    def matrix(true, predicted):
        figure = with_cell(drawn, (true, predicted), len(names))
        return figure, f"Confusion matrix; outlined: {names[true]} taken for {names[predicted]}."

    def images_beside(beside, true, predicted):
        if beside == "accuracy by class":
            figure = with_row(bars, order.index(true) if true in order else None)
            return figure, f"Accuracy of each class, sorted; {names[true]} has {accuracies[true]:.0%}."
        if beside == "surest mistakes":
            chosen, title = evaluation.most_confident_errors(probabilities, labels, SHOWN), "surest mistakes"
        else:
            chosen = np.flatnonzero((labels == true) & (said == predicted))
            chosen = chosen[np.argsort(-probabilities[chosen, predicted], kind="stable")][:SHOWN]
            other = true != predicted
            title = f"{names[true]} taken for {names[predicted]}" if other else f"{names[true]}, recognised"
        captions = [f"{names[labels[i]]} →\n{names[said[i]]} {probabilities[i, said[i]]:.0%}" for i in chosen]
        figure = plots.image_grid(images[chosen], captions, 4, title, PAGE, 8.5, "no image is in this cell")
        return figure, f"{title}: {len(chosen)} images, the surest first."

    def words(true, predicted):
        row = counts[true]
        return (
            f"Of {row.sum()} images of <b>{names[true]}</b>, {row[true]} are recognised and {row[predicted]} are "
            f"taken for <b>{names[predicted]}</b>."
        )

    travels = {"frequent": [cell for _, cell in frequent[:TRAVEL]]} if frequent else {}
    caption = f"Which of {len(names)} classes are taken for which, and the images behind one cell of the matrix."
    return Explorer(controls, [matrix, images_beside, words], caption, adjust, (matrix, select), travels=travels)


def _frequent(counts, names, most=30):
    """The cells off the diagonal that hold most images, [(words, (true, predicted))], the fullest first."""
    off = counts - np.diag(np.diag(counts))
    order = np.argsort(-off, axis=None, kind="stable")[: min(most, np.count_nonzero(off))]
    cells = [tuple(map(int, np.unravel_index(place, off.shape))) for place in order]
    return [(f"{names[t]} taken for {names[p]}: {off[t, p]}", (t, p)) for t, p in cells]
