"""The Caffe solver loop: `solver.step(1)` per batch, early stopping, snapshots that a later run resumes from."""

import contextlib
import dataclasses
import json
import pathlib
import signal
import sys
import threading
import time
import zlib
from dataclasses import dataclass

import caffe
import numpy as np
import pandas as pd
from caffe.proto import caffe_pb2
from tqdm import tqdm

from helpers import activity, device, runs, weights
from helpers.early_stopping import EarlyStopping
from helpers.examples import check, feed, forward
from helpers.nets import CONVOLUTIONS
from helpers.runs import EPOCH_COLUMNS, Tables, provenance


def iterations_per_epoch(examples, recipe):
    """Batches in one epoch; the last one may be smaller."""
    return -(-len(examples) // recipe.batch_size)


def solver_parameter(recipe, net_path, per_epoch, seed=0, mode="cpu"):
    """The SolverParameter (solver prototxt) of a recipe: one net, no testing or displaying of its own.

    per_epoch: iterations per epoch, which turns the recipe's stepsize in epochs into Caffe's in iterations.
    mode: "cpu" or "gpu", for the caffe command; in Python device.use decides.
    Adam's beta1 is `momentum` and its weight decay is coupled L2 (adam_solver.cpp, sgd_solver.cpp).
    """
    parameter = caffe_pb2.SolverParameter(
        net=str(net_path),
        type=recipe.solver,
        base_lr=recipe.base_lr,
        lr_policy=recipe.lr_policy,
        gamma=recipe.gamma,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        max_iter=recipe.max_epochs * per_epoch,
        test_initialization=False,
        display=0,
        random_seed=seed,
        snapshot_prefix=str(pathlib.Path(net_path).with_name("part")),
        snapshot_after_train=False,
        solver_mode=caffe_pb2.SolverParameter.SolverMode.Value(mode.upper()),
    )
    if recipe.solver == "Adam":
        parameter.momentum2 = recipe.momentum2
    if recipe.lr_policy == "step":
        parameter.stepsize = _stepsize(recipe, per_epoch)
    if recipe.lr_policy == "poly":
        parameter.power = recipe.power
    return parameter


def _stepsize(recipe, per_epoch):
    """Iterations between two steps of the policy "step"."""
    return recipe.stepsize or recipe.stepsize_epochs * per_epoch


def learning_rates(recipe, iterations, per_epoch):
    """The learning rate of each iteration, by the recipe's lr_policy: sgd_solver.cpp, GetLearningRate.

    iterations: int or integer array, counted from 0 over the whole training. Returns float64 of the same shape.
    """
    iterations = np.asarray(iterations)
    if recipe.lr_policy == "exp":
        return recipe.base_lr * recipe.gamma**iterations
    if recipe.lr_policy == "step":
        return recipe.base_lr * recipe.gamma ** (iterations // _stepsize(recipe, per_epoch))
    if recipe.lr_policy == "poly":
        return recipe.base_lr * (1 - iterations / (recipe.max_epochs * per_epoch)) ** recipe.power
    raise ValueError(f"lr_policy is {recipe.lr_policy!r}; this course uses 'exp', 'step' and 'poly'")


@dataclass(frozen=True)
class Run:
    """A training on disk. history, iterations: DataFrames, one row per epoch (from 1) and per iteration (from 0).

    result: how it ended, best epoch and its validation loss, test accuracy if there was a test set, the settings,
    and where it was made (commit, date, machine).
    """

    folder: pathlib.Path
    history: pd.DataFrame
    iterations: pd.DataFrame
    result: dict

    @property
    def best(self):
        """Path of the caffemodel of the epoch with the lowest validation loss."""
        return self.folder / "best.caffemodel"

    def weights(self):
        """{layer name: [arrays]} of the best epoch."""
        return weights.read(self.best)


def load(folder):
    """The Run in `folder`. Raises FileNotFoundError, with the way out, where no epoch was finished."""
    folder = pathlib.Path(folder)
    if not (folder / "result.json").exists():
        raise FileNotFoundError(f"{folder} holds no training yet; run the notebook that makes it, or solver.fit")
    return Run(
        folder,
        pd.read_csv(folder / "history.csv"),
        pd.read_csv(folder / "iterations.csv"),
        json.loads((folder / "result.json").read_text()),
    )


def fit(
    net,
    recipe,
    training,
    validation,
    folder,
    initial=None,
    layers=CONVOLUTIONS,
    test=None,
    seed=0,
    progress=True,
    seconds=None,
    scoring_batch=None,
    on_epoch=None,
):
    """Train `net` (a prototxt message, see helpers.nets) by `recipe` and return the Run; a finished one is loaded.

    training: Examples or a PuzzleStream. validation, test: Examples.
    initial: {layer: arrays} whose `layers` are copied in before training.
    folder: the run folder. It receives train.prototxt, solver.prototxt, history.csv, iterations.csv, activity.csv
    (where there are ReLU layers), result.json, best.caffemodel and a snapshot folder per epoch, of which the newest
    is kept. A training that was interrupted goes on from there; one with other settings or data is moved aside, never
    overwritten.
    Each epoch's batches come from (seed, epoch) alone, so a resumed run is dealt the same ones.
    Ctrl-C (the stop button) or SIGTERM ends the training after the epochs it has finished and returns them.
    seconds: pause after the epoch after which another one would not fit into this time; None: no limit.
    scoring_batch: batch size for validation, which decides memory only; None: the recipe's.
    on_epoch: called with the history row and the activity row (both dicts) once an epoch is saved.
    """
    start = time.perf_counter()
    folder = pathlib.Path(folder)
    settings = _settings(net, recipe, training, validation, test, initial, layers, seed)
    if runs.settings_of(folder) not in (None, settings):
        runs.set_aside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "result.json").exists() and load(folder).result["status"] in ("stopped early", "all epochs"):
        return load(folder)

    mode = device.use()
    runs.write(folder / "train.prototxt", str(net))
    per_epoch = iterations_per_epoch(training, recipe)
    runs.write(
        folder / "solver.prototxt", str(solver_parameter(recipe, folder / "train.prototxt", per_epoch, seed, mode))
    )
    runs.write(folder / "settings.json", json.dumps(settings, indent=2))
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    test_net = caffe.Net(str(folder / "train.prototxt"), caffe.TEST)
    test_net.share_with(solver.net)
    for examples in (training, validation, *([test] if test else [])):
        check(solver.net, examples)
    if initial:
        weights.transplant(initial, solver.net, layers)
    tables = runs.resume(solver, folder)

    stopping = EarlyStopping(recipe.patience, recipe.epsilon)
    stop = any([stopping.update(row["epoch"], row["validation_loss"]) for row in tables.history])
    epochs = range(len(tables.history) + 1, recipe.max_epochs + 1) if not stop else range(0)
    bar = tqdm(
        total=recipe.max_epochs * per_epoch,
        initial=len(tables.iterations),
        desc="iterations",
        mininterval=0.5,
        ascii=" -",
        ncols=100,
        file=sys.stdout,
        disable=not progress,
    )  # plain text: widget bars break GitHub
    status = "stopped early" if stop else "all epochs"
    try:
        with _sigterm_as_interrupt():
            for epoch in epochs:
                began = time.perf_counter()
                row, steps = _epoch(
                    solver, test_net, recipe, training, validation, epoch, per_epoch, seed, bar, scoring_batch
                )
                active = {"epoch": epoch} | activity.shares(test_net, validation, scoring_batch or recipe.batch_size)
                known = activity.collapses(tables.activity, recipe)
                tables = Tables([*tables.history, row], tables.iterations + steps, [*tables.activity, active])
                for warning in activity.collapses(tables.activity, recipe):
                    if warning not in known:
                        print(f"\nWarning: {warning}")
                stop = stopping.update(epoch, row["validation_loss"])
                if stopping.best_epoch == epoch:
                    runs.save(solver.net, folder / "best.caffemodel")
                runs.snapshot(solver, folder, tables)
                if on_epoch:
                    on_epoch(row, active)
                if stop:
                    status = "stopped early"
                    break
                now = time.perf_counter()
                if seconds and epoch < recipe.max_epochs and now - start + (now - began) > seconds:
                    status = "paused"
                    break
    except KeyboardInterrupt:
        if not tables.history:
            raise
        status = "interrupted"
        print(f"\nInterrupted after {len(tables.history)} whole epochs; they are saved. Run this cell again to go on.")
    finally:
        bar.close()
    return _finish(folder, tables, status, stopping, settings, recipe, test)


@contextlib.contextmanager
def _sigterm_as_interrupt():
    """Inside, SIGTERM (a machine that wants its time back) is Ctrl-C. Only the main thread may set handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _epoch(solver, test_net, recipe, training, validation, epoch, per_epoch, seed, bar, scoring_batch):
    """One pass over the training examples and one over the validation examples: (history row, iteration rows)."""
    start = time.perf_counter()
    caffe.set_random_seed(zlib.crc32(f"{seed} {epoch}".encode()) >> 1)  # dropout, too, begins anew: resume is exact
    steps, size, losses, correct, waiting = [], 0, 0.0, 0.0, 0.0
    batches = training.epoch(recipe.batch_size, seed, epoch)
    for iteration in range((epoch - 1) * per_epoch, epoch * per_epoch):
        asked = time.perf_counter()
        data, labels = next(batches)
        waiting += time.perf_counter() - asked
        feed(solver.net, data, labels)
        if steps:  # read now: on a GPU this waits for the step before, which went on while the batch was put in place
            correct += float(solver.net.blobs["accuracy"].data) * size
        solver.step(1)
        size = len(labels)
        loss = float(solver.net.blobs["loss"].data)
        _check_finite("training", loss, iteration, recipe)
        steps.append(
            {
                "iteration": iteration,
                "epoch": epoch,
                "loss": loss,
                "learning_rate": float(learning_rates(recipe, iteration, per_epoch)),
            }
        )
        losses += loss * size
        bar.update()
    correct += float(solver.net.blobs["accuracy"].data) * size
    batches.close()
    validation_loss, validation_accuracy = score(test_net, validation, scoring_batch or recipe.batch_size)
    _check_finite("validation", validation_loss, epoch * per_epoch, recipe)
    bar.set_postfix_str(f"epoch {epoch}, loss {losses / len(training):.2f}, validation {validation_loss:.2f}")
    row = dict(
        zip(
            EPOCH_COLUMNS,
            [
                epoch,
                epoch * per_epoch,
                losses / len(training),
                correct / len(training),
                validation_loss,
                validation_accuracy,
                steps[-1]["learning_rate"],
                time.perf_counter() - start,
                waiting,
            ],
        )
    )
    return row, steps


def _check_finite(which, loss, iteration, recipe):
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"the {which} loss is {loss} at iteration {iteration}: lower base_lr ({recipe.base_lr}) or look for "
            "NaN in the inputs, and train again; the epochs before are saved"
        )


def score(net, examples, batch_size=128):
    """(mean loss in nats, accuracy in [0, 1]) of `net` over all examples."""
    total = np.zeros(2)
    for batch in forward(net, examples, ["loss", "accuracy"], batch_size):
        total += batch["size"] * np.array([float(batch["loss"]), float(batch["accuracy"])])
    return tuple(float(value) for value in total / len(examples))


def _settings(net, recipe, training, validation, test, initial, layers, seed):
    """What decides the course of a training; two runs with equal settings are the same run."""
    chosen = {name: initial[name] for name in layers if name in initial} if initial else None
    return {
        "recipe": dataclasses.asdict(recipe),
        "net": zlib.crc32(str(net).encode()),
        "seed": seed,
        "training": training.fingerprint(),
        "validation": validation.fingerprint(),
        "test": test.fingerprint() if test else None,
        "initial": weights.fingerprint(chosen),
        "examples": [len(training), len(validation), len(test) if test else 0],
    }


def _finish(folder, tables, status, stopping, settings, recipe, test):
    """Write the tables and result.json, with the test accuracy of the best epoch, and return the Run."""
    tables.write(folder)
    result = {
        "status": status,
        "epochs": len(tables.history),
        "best_epoch": stopping.best_epoch,
        "best_validation_loss": stopping.best,
        "seconds": sum(row["seconds"] for row in tables.history),
        "warnings": activity.collapses(tables.activity, recipe),
    }
    if test:
        best = caffe.Net(str(folder / "train.prototxt"), caffe.TEST)
        best.copy_from(str(folder / "best.caffemodel"))
        result["test_loss"], result["test_accuracy"] = score(best, test)
    runs.write(folder / "result.json", json.dumps(result | {"settings": settings, "made": provenance()}, indent=2))
    return load(folder)
