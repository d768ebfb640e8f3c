"""The Caffe solver loop: `solver.step(1)` per batch, early stopping, snapshots that a later run resumes from."""

import dataclasses
import datetime
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass

import caffe
import numpy as np
import pandas as pd
from caffe.proto import caffe_pb2
from tqdm import tqdm

from helpers import weights
from helpers.course import ROOT
from helpers.early_stopping import EarlyStopping
from helpers.examples import check, feed, forward
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
]
ITERATION_COLUMNS = ["iteration", "epoch", "loss", "learning_rate"]


def iterations_per_epoch(examples, recipe):
    """Batches in one epoch; the last one may be smaller."""
    return -(-len(examples) // recipe.batch_size)


def solver_parameter(recipe, net_path, per_epoch, seed=0):
    """The SolverParameter (solver prototxt) of a recipe: Adam on one net, no testing or displaying of its own.

    per_epoch: iterations per epoch, which turns the recipe's stepsize in epochs into Caffe's in iterations.
    Adam's beta1 is `momentum` and its weight decay is coupled L2 (adam_solver.cpp, sgd_solver.cpp).
    """
    parameter = caffe_pb2.SolverParameter(
        net=str(net_path),
        type="Adam",
        base_lr=recipe.base_lr,
        lr_policy=recipe.lr_policy,
        gamma=recipe.gamma,
        momentum=recipe.momentum,
        momentum2=recipe.momentum2,
        weight_decay=recipe.weight_decay,
        max_iter=recipe.max_epochs * per_epoch,
        test_initialization=False,
        display=0,
        random_seed=seed,
        snapshot_prefix=str(pathlib.Path(net_path).with_name("part")),
        snapshot_after_train=False,
        solver_mode=caffe_pb2.SolverParameter.CPU,
    )
    if recipe.lr_policy == "step":
        parameter.stepsize = recipe.stepsize_epochs * per_epoch
    return parameter


def learning_rates(recipe, iterations, per_epoch):
    """base_lr * gamma^iter ("exp") or base_lr * gamma^floor(iter / stepsize) ("step"): sgd_solver.cpp, GetLearningRate.

    iterations: int or integer array, counted from 0 over the whole training. Returns float64 of the same shape.
    """
    iterations = np.asarray(iterations)
    if recipe.lr_policy == "exp":
        return recipe.base_lr * recipe.gamma**iterations
    if recipe.lr_policy == "step":
        return recipe.base_lr * recipe.gamma ** (iterations // (recipe.stepsize_epochs * per_epoch))
    raise ValueError(f"lr_policy is {recipe.lr_policy!r}; this course uses 'exp' and 'step'")


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


def fit(net, recipe, training, validation, folder, initial=None, layers=CONVOLUTIONS, test=None, seed=0, progress=True):
    """Train `net` (a prototxt message, see helpers.nets) by `recipe` and return the Run; a finished one is loaded.

    training, validation, test: Examples. initial: {layer: arrays} whose `layers` are copied in before training.
    folder: the run folder. It receives train.prototxt, solver.prototxt, history.csv, iterations.csv, result.json,
    best.caffemodel and a snapshot folder per epoch, of which the newest is kept. A training that was interrupted
    goes on from there; one with other settings or data is moved aside, never overwritten.
    Each epoch's order comes from (seed, epoch) alone, so a resumed run deals the same batches.
    Ctrl-C (the stop button) ends the training after the epochs it has finished and returns them.
    """
    folder = pathlib.Path(folder)
    settings = _settings(net, recipe, training, validation, test, initial, layers, seed)
    if _settings_of(folder) not in (None, settings):
        _set_aside(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "result.json").exists() and load(folder).result["status"] in ("stopped early", "all epochs"):
        return load(folder)

    _write(folder / "train.prototxt", str(net))
    per_epoch = iterations_per_epoch(training, recipe)
    _write(folder / "solver.prototxt", str(solver_parameter(recipe, folder / "train.prototxt", per_epoch, seed)))
    _write(folder / "settings.json", json.dumps(settings, indent=2))
    solver = caffe.get_solver(str(folder / "solver.prototxt"))
    test_net = caffe.Net(str(folder / "train.prototxt"), caffe.TEST)
    test_net.share_with(solver.net)
    for examples in (training, validation, *([test] if test else [])):
        check(solver.net, examples)
    if initial:
        weights.transplant(initial, solver.net, layers)
    history, iterations = _resume(solver, folder)

    stopping = EarlyStopping(recipe.patience, recipe.epsilon)
    stop = any([stopping.update(row["epoch"], row["validation_loss"]) for row in history])
    epochs = range(len(history) + 1, recipe.max_epochs + 1) if not stop else range(0)
    bar = tqdm(
        total=recipe.max_epochs * per_epoch,
        initial=len(iterations),
        desc="iterations",
        mininterval=0.5,
        ascii=" -",
        ncols=100,
        file=sys.stdout,
        disable=not progress,
    )  # plain text: widget bars break GitHub
    status = "stopped early" if stop else "all epochs"
    try:
        for epoch in epochs:
            row, steps = _epoch(
                solver, test_net, recipe, training, validation, epoch, len(iterations), per_epoch, seed, bar
            )
            history, iterations = [*history, row], iterations + steps
            stop = stopping.update(epoch, row["validation_loss"])
            if stopping.best_epoch == epoch:
                _save(solver.net, folder / "best.caffemodel")
            _snapshot(solver, folder, history, iterations)
            if stop:
                status = "stopped early"
                break
    except KeyboardInterrupt:
        if not history:
            raise
        status = "interrupted"
        print(f"\nInterrupted after {len(history)} whole epochs; they are saved. Run this cell again to go on.")
    finally:
        bar.close()
    return _finish(folder, net, history, iterations, status, stopping, settings, test)


def _epoch(solver, test_net, recipe, training, validation, epoch, iteration, per_epoch, seed, bar):
    """One pass over the training examples and one over the validation examples: (history row, iteration rows)."""
    start = time.perf_counter()
    order = np.random.default_rng([seed, epoch]).permutation(len(training))
    steps, losses, correct = [], 0.0, 0.0
    for data, labels in training.batches(recipe.batch_size, order):
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
        iteration += 1
        bar.update()
    validation_loss, validation_accuracy = score(test_net, validation, recipe.batch_size)
    _check_finite("validation", validation_loss, iteration, recipe)
    bar.set_postfix_str(f"epoch {epoch}, loss {losses / len(training):.2f}, validation {validation_loss:.2f}")
    row = dict(
        zip(
            EPOCH_COLUMNS,
            [
                epoch,
                iteration,
                losses / len(training),
                correct / len(training),
                validation_loss,
                validation_accuracy,
                steps[-1]["learning_rate"],
                time.perf_counter() - start,
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


def _tables(folder, history, iterations):
    _write(folder / "history.csv", pd.DataFrame(history, columns=EPOCH_COLUMNS).to_csv(index=False))
    _write(folder / "iterations.csv", pd.DataFrame(iterations, columns=ITERATION_COLUMNS).to_csv(index=False))


def _snapshot(solver, folder, history, iterations):
    """Write snapshot_<epoch>/ whole, under another name first, then delete the one before it."""
    _tables(folder, history, iterations)
    part = folder / "snapshot.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    solver.snapshot()
    for suffix in ("caffemodel", "solverstate"):
        os.replace(folder / f"part_iter_{solver.iter}.{suffix}", part / f"last.{suffix}")
    _tables(part, history, iterations)
    older = list(folder.glob("snapshot_*"))
    part.rename(folder / f"snapshot_{len(history):04d}")
    for path in older:
        shutil.rmtree(path)


def _resume(solver, folder):
    """Bring `solver` to the newest snapshot, if there is one; return its history and iterations as lists of rows."""
    snapshots = sorted(folder.glob("snapshot_*"))
    if not snapshots:
        return [], []
    # Restore would load the weights from the path noted in the solverstate, where they no longer are.
    state = caffe_pb2.SolverState()
    state.ParseFromString((snapshots[-1] / "last.solverstate").read_bytes())
    state.ClearField("learned_net")
    (folder / "resume.solverstate").write_bytes(state.SerializeToString())
    solver.restore(str(folder / "resume.solverstate"))
    solver.net.copy_from(str(snapshots[-1] / "last.caffemodel"))
    (folder / "resume.solverstate").unlink()
    return [pd.read_csv(snapshots[-1] / name).to_dict("records") for name in ("history.csv", "iterations.csv")]


def _finish(folder, net, history, iterations, status, stopping, settings, test):
    """Write the tables and result.json, with the test accuracy of the best epoch, and return the Run."""
    _tables(folder, history, iterations)
    result = {
        "status": status,
        "epochs": len(history),
        "best_epoch": stopping.best_epoch,
        "best_validation_loss": stopping.best,
        "seconds": sum(row["seconds"] for row in history),
    }
    if test:
        best = caffe.Net(str(folder / "train.prototxt"), caffe.TEST)
        best.copy_from(str(folder / "best.caffemodel"))
        result["test_loss"], result["test_accuracy"] = score(best, test)
    _write(folder / "result.json", json.dumps(result | {"settings": settings, "made": provenance()}, indent=2))
    return load(folder)


def provenance():
    """Commit, date, machine and versions, to be kept beside a result."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True)
    return {
        "commit": commit.stdout.strip() or "not a git checkout",
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "device": "cpu",
        "python": platform.python_version(),
        "caffe": caffe.__version__,
        "numpy": np.__version__,
    }
