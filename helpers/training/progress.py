"""What is seen while a net trains: a line of text, and in a notebook a curve under it. No widgets, so nothing of them
stays in a saved notebook, whose rendering on GitHub they could break (googlecolab/colabtools issue 5288).
"""

import sys
import time

import numpy as np
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from tqdm import tqdm

from helpers.plots.style import img, styled

LINE = "{desc} |{bar:16}| {elapsed} gone, at most {remaining} to go{postfix}"
EVERY = 0.5  # seconds between two drawings of the curve, at least
SHARE = 0.05  # of the time is spent on drawing, at most
POINTS = 200  # of the training curve; of more iterations means are drawn


class Progress:
    """Shows a training as it goes on; a context manager.

    recipe: a Recipe. per_epoch: iterations per epoch. tables: run_folder.Tables of what an earlier call recorded.
    shown: False shows nothing. clock: seconds, for tests.
    """

    def __init__(self, recipe, per_epoch, tables, shown=True, clock=time.perf_counter):
        self.recipe, self.per_epoch, self.clock = recipe, per_epoch, clock
        self.losses = [row["loss"] for row in tables.iterations]
        self.validation = [row["validation_loss"] for row in tables.history]
        self.bar = self.curve = None
        if not shown:
            return  # without tqdm: a copy of a process waits for ever for a lock that tqdm's thread held at the fork
        self.bar = tqdm(
            total=recipe.max_epochs * per_epoch,
            initial=len(self.losses),
            desc=self._epoch(),
            bar_format=LINE,
            mininterval=0.5,
            ascii=" -",
            file=sys.stdout,
        )
        if hasattr(get_ipython(), "kernel"):
            self.curve = display({"text/plain": ""}, raw=True, display_id=True)
        self.next_drawing = clock() + EVERY

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()
        if self.curve:  # the notebook's next cell draws the finished one
            self.curve.update({"text/plain": ""}, raw=True)

    def step(self, loss):
        """After an iteration: its loss."""
        if self.bar is None:
            return
        self.losses.append(loss)
        self.bar.update()
        if self.curve and self.clock() >= self.next_drawing:
            began = self.clock()
            alt = f"Training loss per iteration, {len(self.losses)} so far; validation loss after each epoch."
            picture = img(loss_curve(self.losses, self.validation, self.per_epoch), alt, pack=1)
            self.curve.update({"text/html": picture, "text/plain": alt}, raw=True)
            took = self.clock() - began
            self.next_drawing = self.clock() + max(EVERY, took / SHARE)

    def epoch(self, row, stopping):
        """After an epoch: its row of the history, and the EarlyStopping that has taken it in."""
        if self.bar is None:
            return
        self.validation.append(row["validation_loss"])
        left = max(0, stopping.patience - stopping.waited)
        self.bar.set_description_str(self._epoch(), refresh=False)
        self.bar.set_postfix_str(
            f"loss {row['training_loss']:.3f}, validation {row['validation_loss']:.3f}, "
            f"patience {left} of {stopping.patience} left"
        )

    def _epoch(self):
        return f"epoch {min(len(self.validation) + 1, self.recipe.max_epochs)} of {self.recipe.max_epochs}"


@styled
def loss_curve(losses, validation, per_epoch):
    """Training loss per iteration (means of neighbours where there are many) and validation loss per epoch."""
    figure = Figure(figsize=(7, 2.6), layout="none")
    axes = figure.add_axes((0.09, 0.2, 0.89, 0.68), xlabel="epoch", ylabel="loss (nats)")
    parts = np.array_split(np.asarray(losses), min(len(losses), POINTS))
    ends = np.cumsum([len(part) for part in parts]) / per_epoch
    axes.plot(ends, [part.mean() for part in parts], label="training")
    if validation:
        axes.plot(np.arange(1, len(validation) + 1), validation, "o--", label="validation")
    axes.set_ylim(bottom=0)
    axes.legend(loc="upper right", ncols=2)
    return figure
