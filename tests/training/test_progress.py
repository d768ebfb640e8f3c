"""While it trains: what the line says, how often the curve is drawn, and what stays in a saved notebook."""

import dataclasses
import multiprocessing
import sys
import threading

import nbformat
import numpy as np
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from tqdm import tqdm

from helpers import recipes
from helpers.early_stopping import EarlyStopping
from helpers.plots import style
from helpers.training import progress
from helpers.training.run_folder import Tables

RECIPE = dataclasses.replace(recipes.PHOTOS_LAST_LAYER, max_epochs=3, patience=5)


class Curve:
    """Stands in for a notebook's display; remembers when it was updated, and with what."""

    def __init__(self, clock):
        self.clock, self.times, self.bundles = clock, [], []

    def update(self, bundle, raw):
        self.times.append(self.clock())
        self.bundles.append(bundle)


def train(shown, iterations=40):
    rule = EarlyStopping(RECIPE.patience, RECIPE.epsilon)
    with shown:
        for epoch, loss in enumerate((1.5, 1.25, 1.375), start=1):
            for _ in range(iterations):
                shown.step(2.0)
            rule.update(epoch, loss)
            shown.epoch({"training_loss": 0.5, "validation_loss": loss}, rule)


def test_the_line_carries_losses_patience_and_time_to_go(capsys):
    shown = progress.Progress(RECIPE, 40, Tables([], [], []))
    assert shown.curve is None  # without a notebook there is the line alone
    train(shown)
    line = capsys.readouterr().out.split("\r")[-1]
    assert "epoch 3 of 3" in line and "gone, at most 00:00 to go" in line
    assert "loss 0.500, validation 1.375, patience 4 of 5 left" in line


def test_nothing_is_shown_where_nothing_is_asked_for(capsys):
    train(progress.Progress(RECIPE, 40, Tables([], [], []), shown=False))
    assert capsys.readouterr() == ("", "")


def test_a_copy_of_the_process_does_not_wait_for_tqdm():
    """What trains beside the caller is forked, perhaps while tqdm's own thread holds its lock, for good in the copy."""
    forked, held = threading.Event(), threading.Event()

    def hold():
        with tqdm.get_lock():
            held.set()
            forked.wait()

    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    arguments = RECIPE, 40, Tables([], [], []), False
    copy = multiprocessing.get_context("fork").Process(target=lambda: train(progress.Progress(*arguments)), daemon=True)
    copy.start()
    forked.set()
    copy.join(20)
    copy.kill()
    copy.join()
    assert copy.exitcode == 0


@pytest.mark.parametrize("cost, least", [(0.001, 0.5), (0.1, 2.0)])
def test_the_curve_is_drawn_twice_a_second_at_most_and_in_a_twentieth_of_the_time(monkeypatch, cost, least):
    """A clock that counts 0.01 s per iteration and `cost` per drawing."""
    now = [0.0]
    shown = progress.Progress(RECIPE, 1000, Tables([], [], []), clock=lambda: now[0])
    shown.curve = curve = Curve(lambda: now[0])

    def drawn(figure, alt, pack):
        now[0] += cost
        return alt

    monkeypatch.setattr(progress, "img", drawn)
    for _ in range(1000):
        now[0] += 0.01
        shown.step(1.0)
    assert len(curve.times) > 3 and np.diff(curve.times).min() >= least - 1e-9
    for bundle in curve.bundles:  # where no picture can be shown, words
        assert list(bundle) == ["text/html", "text/plain"] and "so far" in bundle["text/plain"]


def test_a_resumed_training_goes_on_with_its_curve(capsys):
    earlier = Tables([{"validation_loss": 2.0}], [{"loss": 3.0}] * 40, [])
    shown = progress.Progress(RECIPE, 40, earlier)
    shown.step(1.0)
    shown.__exit__()
    assert len(shown.losses) == 41 and shown.validation == [2.0] and shown.bar.n == 41
    assert "epoch 2 of 3" in capsys.readouterr().out


def test_the_curve_averages_neighbours_and_ends_where_training_is():
    figure = progress.loss_curve(np.arange(1000.0), [3.0, 2.0], per_epoch=400)
    training, validation = figure.axes[0].get_lines()
    assert len(training.get_xdata()) == progress.POINTS and training.get_xdata()[-1] == 2.5
    assert training.get_ydata()[0] == pytest.approx(2.0)  # of 0, 1, 2, 3, 4
    assert list(validation.get_xdata()) == [1, 2]
    assert style.png(figure)


def test_a_notebook_keeps_the_text_and_no_widget():
    source = f"""
import sys
sys.path[:] = {sys.path}
from test_progress import RECIPE, Tables, progress, train
import helpers.training.progress
helpers.training.progress.EVERY = 0
shown = progress.Progress(RECIPE, 4, Tables([], [], []))
train(shown, 4)
"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    client = NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": ROOT}})
    client.execute()
    (cell,) = notebook.cells
    assert not notebook.metadata.get("widgets")
    text = "".join(output.text for output in cell.outputs if output.output_type == "stream")
    assert "validation 1.375" in text
    bundles = [output.data for output in cell.outputs if output.output_type == "display_data"]
    assert bundles == [{"text/plain": ""}]  # the curve has gone, the next cell draws the finished one
