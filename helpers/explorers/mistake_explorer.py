"""The explorer of mistakes: a confusion matrix with the images behind each cell."""

import functools
from dataclasses import dataclass

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
    panels = MistakePanels(probabilities, images, labels, class_names, evaluation.confusion(probabilities, labels))
    frequent = panels.frequent()
    names = [(name.replace("_", " "), label) for label, name in enumerate(class_names)]
    true, predicted = frequent[0][1] if frequent else (0, 0)
    controls = {
        "frequent": Select(
            options=frequent,
            value=(true, predicted) if frequent else None,
            description="most frequent",
            rows=5,
            style=WORDS,
            layout=Layout(width="30em", max_width="100%"),
        ),
        "true": choice("true class", names, true),
        "predicted": choice("predicted class", names, predicted),
        "beside": choice("beside it", ["images of the cell", "accuracy by class", "surest mistakes"]),
    }

    def adjust(name):
        cell = controls["frequent"].value
        if name == "frequent" and cell:
            controls["true"].value, controls["predicted"].value = cell
        cell = controls["true"].value, controls["predicted"].value
        controls["frequent"].value = cell if cell in dict(map(reversed, frequent)) else None

    def select(across, down):
        height = PAGE * len(panels.drawn) / panels.drawn.shape[1]
        cell = cell_at(across, down, height, len(class_names))
        controls["true"].value, controls["predicted"].value = cell
        adjust("true")

    shown = [panels.matrix, panels.images_beside, panels.words]
    travels = {"frequent": [cell for _, cell in frequent[:TRAVEL]]} if frequent else {}
    return Explorer(controls, shown, adjust, (panels.matrix, select), travels=travels)


@dataclass(frozen=True, eq=False)
class MistakePanels:
    """The panels of `mistakes`; its arguments and the confusion matrix (classes, classes)."""

    probabilities: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    class_names: tuple
    counts: np.ndarray

    @functools.cached_property
    def drawn(self):
        """The matrix, drawn once: only the outline moves."""
        return pixels(plots.confusion(self.counts, self.class_names, PAGE))

    @functools.cached_property
    def bars(self):
        """(accuracies, the classes shown, the best first, their bars drawn)."""
        accuracies = np.diag(self.counts) / np.maximum(self.counts.sum(axis=1), 1)
        drawn = pixels(plots.per_class(accuracies, self.class_names, EXTREMES, PAGE))
        return accuracies, best_and_worst(accuracies, EXTREMES), drawn

    def frequent(self, most=30):
        """The cells off the diagonal that hold most images, [(words, (true, predicted))], the fullest first."""
        off = self.counts - np.diag(np.diag(self.counts))
        order = np.argsort(-off, axis=None, kind="stable")[: min(most, np.count_nonzero(off))]
        cells = [tuple(map(int, np.unravel_index(place, off.shape))) for place in order]
        return [(f"{self._name(t)} taken for {self._name(p)}: {off[t, p]}", (t, p)) for t, p in cells]

    def matrix(self, true, predicted):
        figure = with_cell(self.drawn, (true, predicted), len(self.class_names))
        return figure, f"Confusion matrix; outlined: {self._name(true)} taken for {self._name(predicted)}."

    def images_beside(self, beside, true, predicted):
        if beside == "accuracy by class":
            accuracies, order, drawn = self.bars
            figure = with_row(drawn, order.tolist().index(true) if true in order else None)
            return figure, f"Accuracy of each class, sorted; {self._name(true)} has {accuracies[true]:.0%}."
        if beside == "surest mistakes":
            chosen = evaluation.most_confident_errors(self.probabilities, self.labels, SHOWN)
            title = "surest mistakes"
        else:
            said = evaluation.predicted(self.probabilities)
            chosen = np.flatnonzero((self.labels == true) & (said == predicted))
            chosen = chosen[np.argsort(-self.probabilities[chosen, predicted], kind="stable")]
            title = (
                f"{self._name(true)} taken for {self._name(predicted)}"
                if true != predicted
                else f"{self._name(true)}, recognised"
            )
        return self._sheet(chosen[:SHOWN], title), f"{title}: {len(chosen[:SHOWN])} images, the surest first."

    def words(self, true, predicted):
        row = self.counts[true]
        return (
            f"Of {row.sum()} images of <b>{self._name(true)}</b>, {row[true]} are recognised and {row[predicted]} are "
            f"taken for <b>{self._name(predicted)}</b>."
        )

    def _sheet(self, chosen, title):
        captions = [
            f"{self._name(self.labels[i])} →\n{self._name(said)} {self.probabilities[i, said]:.0%}"
            for i, said in zip(chosen, evaluation.predicted(self.probabilities[chosen]))
        ]
        return plots.image_grid(self.images[chosen], captions, 4, title, PAGE, 8.5, "no image is in this cell")

    def _name(self, label):
        return self.class_names[label].replace("_", " ")
