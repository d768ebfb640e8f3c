"""The Caffe solver loop: `solver.step(1)` per batch, early stopping, snapshots that a later call resumes from."""

import contextlib
import dataclasses
import json
import pathlib
import signal
import tempfile
import threading
import time
import zlib
from dataclasses import dataclass

import caffe
import numpy as np
import pandas as pd
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from helpers import course, weights
from helpers.data.examples import Examples, check, feed, part
from helpers.early_stopping import EarlyStopping
from helpers.nets import CONVOLUTIONS
from helpers.training import activity, backup as backups, device, memory, parallel, run_folder, snapshots
from helpers.training.forward import forward
from helpers.training.progress import Progress
from helpers.training.run_folder import EPOCH_COLUMNS, Tables, provenance, write
from helpers.training.schedule import iterations_per_epoch, learning_rates, solver_parameter


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


@dataclass(frozen=True, eq=False)
class Job:
    """A training that `fit` has prepared: what each of the processes that train needs.

    test_net shares the solver's weights. tables: what earlier calls recorded. prefix: the solver's snapshot_prefix.
    until: when to pause, as time.perf_counter() counts. The other fields are arguments of `fit`.
    """

    solver: caffe.SGDSolver
    test_net: caffe.Net
    recipe: object
    training: object
    validation: Examples
    folder: pathlib.Path
    settings: dict
    tables: Tables
    prefix: pathlib.Path
    seed: int
    until: float
    scoring_batch: int
    on_epoch: object
    progress: bool
    backup: str | None

    @property
    def per_epoch(self):
        return iterations_per_epoch(self.training, self.recipe)


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
    processes=None,
    backup=None,
):
    """Train `net` (a prototxt message, see helpers.nets) by `recipe` and return the Run; a finished one is loaded.

    training: Examples or a puzzle_stream.Stream. validation, test: Examples.
    initial: {layer: arrays} whose `layers` are copied in before training.
    folder: the run folder. It receives train.prototxt, solver.prototxt, history.csv, iterations.csv, activity.csv
    (where there are ReLU layers), result.json, best.caffemodel and a snapshot folder per epoch, of which the two
    newest are kept. A training that was interrupted goes on from there; one with other settings or data is moved
    aside, never overwritten.
    Each epoch's batches come from (seed, epoch) alone, so a resumed run is dealt the same ones.
    Ctrl-C (the stop button) or SIGTERM ends the training after the epochs it has finished and returns them.
    seconds: pause after the epoch after which another one would not fit into this time; None: no limit.
    scoring_batch: batch size for validation, which decides memory only; None: the recipe's.
    on_epoch: called with the history row and the activity row (both dicts) once an epoch is saved.
    processes: how many share each batch: a number, or "auto" (also None), see parallel.count. The result is that of
    one process, to rounding.
    backup: a folder, such as one on Drive, that gets a copy of the run folder after each epoch and that a training
    whose run folder is lost comes back from; None: course.backup_folder.

    Raises ValueError for examples that do not fit the net, MemoryError for a batch_size that does not fit into memory,
    FloatingPointError for a loss that is not finite, RuntimeError where another process trains in `folder`, and
    OSError where it cannot be written; what was saved before stays.
    """
    start = time.perf_counter()
    folder = pathlib.Path(folder)
    backup = backup or course.backup_folder()
    settings = _settings(net, recipe, training, validation, test, initial, layers, seed)
    recipe, seed = dataclasses.replace(recipe, **settings["recipe"]), settings["seed"]  # without NumPy's numbers
    if backup:
        backups.bring_back(folder, backup)
    if run_folder.finished(folder, settings):
        return load(folder)
    mode = device.use()
    run_folder.commit()  # a checkout may move on while a training runs
    size = _processes(processes, net, recipe, training, mode)
    if mode == "cpu":
        memory.check(net, recipe, size)
    world = parallel.world()
    with contextlib.ExitStack() as stack:
        local = stack.enter_context(tempfile.TemporaryDirectory(prefix="jigsaw_"))
        if world.rank == 0:
            stack.enter_context(run_folder.locked(folder))
            if run_folder.settings_of(folder) not in (None, settings):
                run_folder.set_aside(folder)
                stack.enter_context(run_folder.locked(folder))
            per_epoch = iterations_per_epoch(training, recipe)
            parameter = solver_parameter(recipe, folder / "train.prototxt", per_epoch, seed, mode)
            write(folder / "train.prototxt", str(net))
            write(folder / "solver.prototxt", str(parameter))
            write(folder / "settings.json", json.dumps(settings, indent=2))
        saved = world.share(snapshots.newest(folder, settings) if world.rank == 0 else None)
        if saved and world.rank == 0:
            _saved(folder, saved, recipe)
        solver, prefix = _solver(folder, local)
        test_net = caffe.Net(str(folder / "train.prototxt"), caffe.TEST)
        test_net.share_with(solver.net)
        for examples in (training, validation, *([test] if test else [])):
            check(solver.net, examples)
        if initial:
            weights.transplant(initial, solver.net, layers)
        job = Job(
            solver=solver,
            test_net=test_net,
            recipe=recipe,
            training=training,
            validation=validation,
            folder=folder,
            settings=settings,
            tables=snapshots.restore(solver, saved) if saved else Tables([], [], []),
            prefix=prefix,
            seed=seed,
            until=start + seconds if seconds else float("inf"),
            scoring_batch=scoring_batch or recipe.batch_size,
            on_epoch=on_epoch,
            progress=progress,
            backup=backup,
        )
        try:
            with _sigterm_as_interrupt():
                status = parallel.run(size, _train, job, numbers=numbers(solver.net))
        except KeyboardInterrupt:
            if not snapshots.newest(folder, settings):
                raise
            status = "interrupted"
            print("\nInterrupted; the epochs that were finished are saved. Run this cell again to go on.")
        if world.rank == 0:
            saved = snapshots.newest(folder, settings)
            tables, stopping = _saved(folder, saved, recipe)
        world.share()
        tested = parallel.run(size, _test, folder, test, numbers=2) if test else {}
        if world.rank == 0:
            _finish(job, tables, stopping, status, tested, size)
        world.share()
    return load(folder)


def _processes(wanted, net, recipe, training, mode):
    """How many processes should train `net`; see parallel.count."""
    types = {layer.type for layer in net.layer}
    obstacle = None
    if mode == "gpu":
        obstacle = "a GPU trains in one process"
    elif "BatchNorm" in types:
        obstacle = "BatchNorm needs the statistics of the whole batch"
    elif not isinstance(training, Examples):
        obstacle = "a puzzle stream has its own workers"
    return parallel.count(wanted, recipe.batch_size, "Convolution" in types, obstacle)


def _solver(folder, local):
    """(the solver of a run folder's solver.prototxt, its snapshot_prefix in the folder `local`)."""
    prefix, path = pathlib.Path(local, "part"), pathlib.Path(local, "solver.prototxt")
    parameter = text_format.Parse((folder / "solver.prototxt").read_text(), caffe_pb2.SolverParameter())
    parameter.snapshot_prefix = str(prefix)
    path.write_text(str(parameter))
    return caffe.get_solver(str(path)), prefix


def _saved(folder, snapshot, recipe):
    """(Tables, EarlyStopping) of a snapshot; the last call may not have got to keeping its weights as the best."""
    tables, stopping = snapshots.tables(snapshot), EarlyStopping(recipe.patience, recipe.epsilon)
    for row in tables.history:
        stopping.update(row["epoch"], row["validation_loss"])
    if stopping.best_epoch == len(tables.history):
        snapshots.keep_best(folder, snapshot)
    return tables, stopping


def _train(team, job):
    """Train epoch by epoch and return how it ended. In each process of `team`; rank 0 keeps the records."""
    tables, recipe = job.tables, job.recipe
    stopping = EarlyStopping(recipe.patience, recipe.epsilon)
    if any([stopping.update(row["epoch"], row["validation_loss"]) for row in tables.history]):
        return "stopped early"
    bar = Progress(recipe, job.per_epoch, tables, job.progress and team.rank == 0)
    with bar, averaging(job.solver, team) as weight:
        for epoch in range(len(tables.history) + 1, recipe.max_epochs + 1):
            began = time.perf_counter()
            row, steps = _epoch(job, team, weight, epoch, bar)
            stop = stopping.update(epoch, row["validation_loss"])
            bar.epoch(row, stopping)
            if team.rank == 0:
                tables = _record(job, tables, row, steps, best=stopping.best_epoch == epoch)
            now = time.perf_counter()
            if stop:
                return "stopped early"
            if epoch < recipe.max_epochs and team.share(now + (now - began) > job.until):
                return "paused"
    return "all epochs"


@contextlib.contextmanager
def averaging(solver, team):
    """Inside, gradients, loss and accuracy are those of the whole batch before each update, in every process.

    Yields a list whose one element is the weight of this process's part of the batch, to be set before each step.
    """
    weight = [1.0]
    if team.size == 1:
        yield weight
        return
    arrays = [blob.diff for blob in _parameters(solver.net)]
    arrays += [solver.net.blobs[name].data for name in ("loss", "accuracy")]
    held = [(team, arrays)]

    def average():
        for team, arrays in held:
            team.sum(arrays, weight[0])

    solver.add_callback(lambda: None, average)
    try:
        yield weight
    finally:
        held.clear()  # Caffe never frees a callback, nor what it holds


def _parameters(net):
    """The net's parameter blobs, those that layers share once."""
    blobs = [blob for layer in net.params.values() for blob in layer]
    return list({blob.data.ctypes.data: blob for blob in blobs}.values())


def numbers(net):
    """How many numbers one averaging adds up: all gradients, the loss and the accuracy."""
    return sum(blob.count for blob in _parameters(net)) + 2


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


def _epoch(job, team, weight, epoch, bar):
    """One pass over the training examples and one over the validation examples: (history row, iteration rows)."""
    start, recipe, blobs = time.perf_counter(), job.recipe, job.solver.net.blobs
    # Dropout, too, begins anew, in each process with another seed: resume is exact.
    words = [job.seed, epoch] + [team.rank] * (team.rank > 0)
    caffe.set_random_seed(zlib.crc32(" ".join(map(str, words)).encode()) >> 1)
    steps, size, losses, correct, waiting, left = [], 0, 0.0, 0.0, 0.0, len(job.training)
    parts = (team.rank, team.size) if team.size > 1 else ()
    batches = job.training.epoch(recipe.batch_size, job.seed, epoch, *parts)
    for iteration in range((epoch - 1) * job.per_epoch, epoch * job.per_epoch):
        asked = time.perf_counter()
        data, labels = next(batches)
        waiting += time.perf_counter() - asked
        feed(job.solver.net, data, labels)
        if steps:  # read now: on a GPU this waits for the step before, which went on while the batch was put in place
            correct += float(blobs["accuracy"].data) * size
        size = min(recipe.batch_size, left)
        left -= size
        weight[0] = part(np.arange(size), team.rank, team.size)[1]
        job.solver.step(1)
        loss = float(blobs["loss"].data)
        _check_finite("training", loss, iteration, recipe)
        rate = float(learning_rates(recipe, iteration, job.per_epoch))
        steps.append({"iteration": iteration, "epoch": epoch, "loss": loss, "learning_rate": rate})
        losses += loss * size
        bar.step(loss)
    correct += float(blobs["accuracy"].data) * size
    batches.close()
    validation_loss, validation_accuracy = score(job.test_net, job.validation, job.scoring_batch, team)
    _check_finite("validation", validation_loss, epoch * job.per_epoch, recipe)
    count = len(job.training)
    row = dict(
        zip(
            EPOCH_COLUMNS,
            [
                epoch,
                epoch * job.per_epoch,
                losses / count,
                correct / count,
                validation_loss,
                validation_accuracy,
                steps[-1]["learning_rate"],
                time.perf_counter() - start,
                waiting,
            ],
        )
    )
    return row, steps


def _record(job, tables, row, steps, best):
    """Save an epoch: tables, snapshot, the best weights, the copy elsewhere. Returns the Tables with this epoch."""
    active = {"epoch": row["epoch"]} | activity.shares(job.test_net, job.validation, job.scoring_batch)
    known = activity.collapses(tables.activity, job.recipe)
    tables = Tables([*tables.history, row], tables.iterations + steps, [*tables.activity, active])
    for warning in activity.collapses(tables.activity, job.recipe):
        if warning not in known:
            print(f"\nWarning: {warning}")
    snapshot = snapshots.save(job.solver, job.prefix, job.folder, tables, job.settings)
    if best:
        snapshots.keep_best(job.folder, snapshot)
    tables.write(job.folder)
    if job.backup:
        backups.save(job.folder, job.backup)
    if job.on_epoch:
        job.on_epoch(row, active)
    return tables


def _check_finite(which, loss, iteration, recipe):
    if not np.isfinite(loss):
        raise FloatingPointError(
            f"the {which} loss is {loss} at iteration {iteration}: lower base_lr ({recipe.base_lr}) or look for "
            "NaN in the inputs, and train again; the epochs before are saved"
        )


def score(net, examples, batch_size=128, team=None):
    """(mean loss in nats, accuracy in [0, 1]) of `net` over all examples. team: who shares the work, see parallel."""
    team = team or parallel.Team()
    total = np.zeros(2)
    for batch in forward(net, examples, ["loss", "accuracy"], batch_size, team.rank, team.size):
        total += batch["size"] / len(examples) * np.array([float(batch["loss"]), float(batch["accuracy"])])
    team.sum([total])
    return tuple(float(value) for value in total)


def _settings(net, recipe, training, validation, test, initial, layers, seed):
    """What decides the course of a training; two runs with equal settings are the same run."""
    chosen = {name: initial[name] for name in layers if name in initial} if initial else None
    return run_folder.plain(
        {
            "recipe": dataclasses.asdict(recipe),
            "net": zlib.crc32(str(net).encode()),
            "seed": seed,
            "training": training.fingerprint(),
            "validation": validation.fingerprint(),
            "test": test.fingerprint() if test else None,
            "initial": weights.fingerprint(chosen),
            "examples": [len(training), len(validation), len(test) if test else 0],
        }
    )


def _test(team, folder, test):
    """{test_loss, test_accuracy} of the best epoch's weights."""
    best = caffe.Net(str(folder / "train.prototxt"), caffe.TEST)
    best.copy_from(str(folder / "best.caffemodel"))
    return dict(zip(("test_loss", "test_accuracy"), score(best, test, team=team)))


def _finish(job, tables, stopping, status, tested, processes):
    """Write the tables and result.json."""
    tables.write(job.folder)
    result = {
        "status": status,
        "epochs": len(tables.history),
        "best_epoch": stopping.best_epoch,
        "best_validation_loss": stopping.best,
        "seconds": sum(row["seconds"] for row in tables.history),
        "warnings": activity.collapses(tables.activity, job.recipe),
        **tested,
        "settings": job.settings,
        "made": provenance() | {"processes": processes},
    }
    write(job.folder / "result.json", json.dumps(result, indent=2))
    if job.backup:
        backups.save(job.folder, job.backup)
