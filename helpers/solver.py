"""The Caffe solver loop: `solver.step(1)` per batch, early stopping, snapshots that a later run resumes from."""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import shutil
import signal
import subprocess
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

from helpers import device, weights
from helpers.course import ROOT
from helpers.early_stopping import EarlyStopping
from helpers.examples import Examples, check, feed, forward
from helpers.nets import CONVOLUTIONS

EPOCH_COLUMNS = [
    "epoch",
    "iteration",
    "training_loss",
    "training_accuracy",
    "validation_loss",
    "validation_accuracy",
    "learning_rate",
    "seconds",
    "waiting",  # seconds of these that the solver waited for its batches
]
ITERATION_COLUMNS = ["iteration", "epoch", "loss", "learning_rate"]
ACTIVITY_EXAMPLES = 256  # validation examples on which the share of active units is counted
COLLAPSED = 0.05  # a ReLU layer with a smaller share of active units gets a warning


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
    if _settings_of(folder) not in (None, settings):
        _set_aside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "result.json").exists() and load(folder).result["status"] in ("stopped early", "all epochs"):
        return load(folder)

    mode = device.use()
    _write(folder / "train.prototxt", str(net))
    per_epoch = iterations_per_epoch(training, recipe)
    _write(folder / "solver.prototxt", str(solver_parameter(recipe, folder / "train.prototxt", per_epoch, seed, mode)))
    _write(folder / "settings.json", json.dumps(settings, indent=2))
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    test_net = caffe.Net(str(folder / "train.prototxt"), caffe.TEST)
    test_net.share_with(solver.net)
    for examples in (training, validation, *([test] if test else [])):
        check(solver.net, examples)
    if initial:
        weights.transplant(initial, solver.net, layers)
    tables = _resume(solver, folder)

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
                active = {"epoch": epoch} | activity(test_net, validation, scoring_batch or recipe.batch_size)
                known = collapses(tables.activity, recipe)
                tables = Tables([*tables.history, row], tables.iterations + steps, [*tables.activity, active])
                for warning in collapses(tables.activity, recipe):
                    if warning not in known:
                        print(f"\nWarning: {warning}")
                stop = stopping.update(epoch, row["validation_loss"])
                if stopping.best_epoch == epoch:
                    _save(solver.net, folder / "best.caffemodel")
                _snapshot(solver, folder, tables)
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
    steps, losses, correct, waiting = [], 0.0, 0.0, 0.0
    batches = training.epoch(recipe.batch_size, seed, epoch)
    for iteration in range((epoch - 1) * per_epoch, epoch * per_epoch):
        asked = time.perf_counter()
        data, labels = next(batches)
        waiting += time.perf_counter() - asked
        feed(solver.net, data, labels)
        solver.step(1)
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
        losses += loss * len(labels)
        correct += float(solver.net.blobs["accuracy"].data) * len(labels)
        bar.update()
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


def activity(net, examples, batch_size=128):
    """{ReLU layer: share of its units, in [0, 1], that are not zero}, over the first ACTIVITY_EXAMPLES examples."""
    relus = {name: net.top_names[name][0] for name, layer in zip(net._layer_names, net.layers) if layer.type == "ReLU"}
    if not relus:
        return {}
    few = Examples(examples.inputs[:ACTIVITY_EXAMPLES], examples.labels[:ACTIVITY_EXAMPLES], examples.transform)
    active, units = dict.fromkeys(relus, 0), dict.fromkeys(relus, 0)
    for _ in forward(net, few, [], batch_size):
        for name, blob in relus.items():
            active[name] += np.count_nonzero(net.blobs[blob].data)
            units[name] += net.blobs[blob].count
    return {name: active[name] / units[name] for name in relus}


def collapses(rows, recipe):
    """A sentence per ReLU layer that fell under COLLAPSED in some epoch, and what to do. rows: see `activity`."""
    sentences = []
    for name in rows[0] if rows else ():
        fallen = [row for row in rows if name != "epoch" and row[name] < COLLAPSED]
        if fallen:
            sentences.append(
                f"{name} has collapsed: in epoch {fallen[0]['epoch']} only {fallen[0][name]:.1%} of its units were "
                f"active. Units that are never active learn nothing: lower base_lr ({recipe.base_lr}), start from "
                "He fillers, or put BatchNorm after the convolutions"
            )
    return sentences


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


def _settings_of(folder):
    path = folder / "settings.json"
    return json.loads(path.read_text()) if path.exists() else None


def _set_aside(folder):
    """Rename a run folder of other settings to <name>.1, <name>.2, ... so that nothing saved is lost."""
    number = 1
    while (aside := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    folder.rename(aside)
    print(f"The settings changed: the earlier training is kept in {aside.name}, a new one starts.")


def _write(path, text):
    part = path.with_name(path.name + ".part")
    part.write_text(text)
    os.replace(part, path)


def _save(net, path):
    part = path.with_name(path.name + ".part")
    net.save(str(part))
    os.replace(part, path)


@dataclass(frozen=True)
class Tables:
    """A training's records as lists of rows (dicts): one per epoch, per iteration, and per epoch of activity."""

    history: list
    iterations: list
    activity: list

    def write(self, folder):
        """history.csv, iterations.csv, and activity.csv where a net has ReLU layers."""
        _write(folder / "history.csv", pd.DataFrame(self.history, columns=EPOCH_COLUMNS).to_csv(index=False))
        _write(folder / "iterations.csv", pd.DataFrame(self.iterations, columns=ITERATION_COLUMNS).to_csv(index=False))
        if self.activity and len(self.activity[0]) > 1:
            _write(folder / "activity.csv", pd.DataFrame(self.activity).to_csv(index=False))


def _snapshot(solver, folder, tables):
    """Write snapshot_<epoch>/ whole, under another name first, then delete the one before it."""
    tables.write(folder)
    part = folder / "snapshot.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    solver.snapshot()
    for suffix in ("caffemodel", "solverstate"):
        os.replace(folder / f"part_iter_{solver.iter}.{suffix}", part / f"last.{suffix}")
    _write(part / "tables.json", json.dumps(dataclasses.asdict(tables)))  # unlike CSV, exact to the last bit
    older = list(folder.glob("snapshot_*"))
    part.rename(folder / f"snapshot_{len(tables.history):04d}")
    for path in older:
        shutil.rmtree(path)


def _resume(solver, folder):
    """Bring `solver` to the newest snapshot, if there is one; return its Tables, empty ones if there is none."""
    snapshots = sorted(folder.glob("snapshot_*"))
    if not snapshots:
        return Tables([], [], [])
    # Restore would load the weights from the path noted in the solverstate, where they no longer are.
    state = caffe_pb2.SolverState()
    state.ParseFromString((snapshots[-1] / "last.solverstate").read_bytes())
    state.ClearField("learned_net")
    (folder / "resume.solverstate").write_bytes(state.SerializeToString())
    solver.restore(str(folder / "resume.solverstate"))
    solver.net.copy_from(str(snapshots[-1] / "last.caffemodel"))
    (folder / "resume.solverstate").unlink()
    return Tables(**json.loads((snapshots[-1] / "tables.json").read_text()))


def _finish(folder, tables, status, stopping, settings, recipe, test):
    """Write the tables and result.json, with the test accuracy of the best epoch, and return the Run."""
    tables.write(folder)
    result = {
        "status": status,
        "epochs": len(tables.history),
        "best_epoch": stopping.best_epoch,
        "best_validation_loss": stopping.best,
        "seconds": sum(row["seconds"] for row in tables.history),
        "warnings": collapses(tables.activity, recipe),
    }
    if test:
        best = caffe.Net(str(folder / "train.prototxt"), caffe.TEST)
        best.copy_from(str(folder / "best.caffemodel"))
        result["test_loss"], result["test_accuracy"] = score(best, test)
    _write(folder / "result.json", json.dumps(result | {"settings": settings, "made": provenance()}, indent=2))
    return load(folder)


def provenance():
    """Commit ($JIGSAW_COMMIT outside a git checkout), date, machine and versions, to be kept beside a result."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {
        "commit": commit.stdout.strip() or os.environ.get("JIGSAW_COMMIT", "not a git checkout"),
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "device": device.describe(),
        "python": platform.python_version(),
        "caffe": caffe.__version__,
        "numpy": np.__version__,
    }
