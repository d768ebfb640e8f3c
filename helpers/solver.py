"""The Caffe solver loop: for each epoch the batches, `solver.step(1)`, validation, keep what was learnt, stop in time.

Read `fit`, then `train`, then `one_epoch`. What else a training needs lies in helpers/training: what is kept (keeper),
the recipe as Caffe's prototxt (schedule), how many threads work (device).
"""

import dataclasses
import pathlib
import time
import zlib

import caffe

from helpers import weights
from helpers.data.examples import check, feed
from helpers.early_stopping import EarlyStopping
from helpers.nets import CONVOLUTIONS
from helpers.training import backup, device, run_folder
from helpers.training.forward import score
from helpers.training.guards import check_finite, interruptible
from helpers.training.keeper import Keeper
from helpers.training.means import Means
from helpers.training.progress import Progress
from helpers.training.run_folder import EPOCH_COLUMNS, Run, load
from helpers.training.schedule import iterations_per_epoch, learning_rates, solver_parameter

__all__ = [
    "EarlyStopping", "Run", "device", "fit", "iterations_per_epoch", "learning_rates", "load", "score",
    "solver_parameter",
]  # fmt: skip


def fit(net, recipe, training, validation, folder, initial=None, layers=CONVOLUTIONS, test=None, seed=0, **means):
    """Train `net` (a prototxt message, see helpers.nets) by `recipe` and return the Run; a finished one is loaded.

    training: Examples or a puzzle_stream.Stream. validation, test: Examples.
    initial: {layer: arrays} whose `layers` are copied in before training.
    folder: the run folder. It receives train.prototxt, solver.prototxt, history.csv, iterations.csv, activity.csv
    (where there are ReLU layers), result.json, best.caffemodel and a snapshot folder per epoch, of which the two
    newest are kept. A training that was interrupted goes on from there; one with other settings or data is moved
    aside, never overwritten.
    Each epoch's batches come from (seed, epoch) alone, so a resumed run is dealt the same ones.
    Ctrl-C (the stop button) or SIGTERM ends the training after the epochs it has finished and returns them.
    means: what decides time, memory and what is seen, not the result: the fields of training.means.Means by name.

    Raises ValueError for examples that do not fit the net, MemoryError for a batch_size that does not fit into memory,
    FloatingPointError for a loss that is not finite, RuntimeError where another process trains in `folder`, and
    OSError where it cannot be written; what was saved before stays.
    """
    start, folder, means = time.perf_counter(), pathlib.Path(folder), Means(**means)
    settings = run_folder.settings(net, recipe, training, validation, test, initial, layers, seed)
    recipe, seed = dataclasses.replace(recipe, **settings["recipe"]), settings["seed"]  # without NumPy's numbers
    if means.copies:
        backup.bring_back(folder, means.copies)
    if run_folder.finished(folder, settings):
        return load(folder)

    mode = device.use()
    run_folder.commit()  # a checkout may move on while a training runs
    threads = means.check(net, recipe, mode)
    with device.working_threads(threads), Keeper(folder, settings, recipe, means) as keeper:
        per_epoch = iterations_per_epoch(training, recipe)
        parameter = solver_parameter(recipe, folder / "train.prototxt", per_epoch, seed, mode)
        solver, test_net = keeper.nets(net, parameter)
        for examples in (training, validation, *([test] if test else [])):
            check(solver.net, examples)
        if initial:
            weights.transplant(initial, solver.net, layers)
        keeper.resume(solver)

        until = start + means.seconds if means.seconds else float("inf")
        job = solver, test_net, recipe, training, validation, seed, keeper, means, until
        try:
            with interruptible():
                status = train(*job)
                tested = best_on(folder, test)
        except KeyboardInterrupt:
            status = keeper.interrupted()
            tested = best_on(folder, test)
        keeper.finish(status, tested, threads)
    return load(folder)


def train(solver, test_net, recipe, training, validation, seed, keeper, means, until):
    """Train epoch by epoch and return how it ended.

    until: when to pause, as time.perf_counter() counts. The other arguments are fit's and what it prepared.
    """
    epochs = len(keeper.tables.history)
    stopping = keeper.stopping(keeper.tables)
    if stopping.waited > stopping.patience:
        return "stopped early"
    scoring_batch = means.scoring_batch or recipe.batch_size
    per_epoch = iterations_per_epoch(training, recipe)
    with Progress(recipe, per_epoch, keeper.tables, means.progress) as bar:
        for epoch in range(epochs + 1, recipe.max_epochs + 1):
            began = time.perf_counter()
            caffe.set_random_seed(zlib.crc32(f"{seed} {epoch}".encode()) >> 1)  # dropout's, too, when it goes on
            batches = training.epoch(recipe.batch_size, seed, epoch)
            row, steps = one_epoch(solver, batches, recipe, epoch, per_epoch, bar)
            row["validation_loss"], row["validation_accuracy"] = score(test_net, validation, scoring_batch)
            row["seconds"] = time.perf_counter() - began
            check_finite("validation", row["validation_loss"], row["iteration"], recipe)

            stop = stopping.update(epoch, row["validation_loss"])
            bar.epoch(row, stopping)
            best = stopping.best_epoch == epoch
            keeper.save(solver, test_net, validation, scoring_batch, row, steps, best)
            if stop:
                return "stopped early"
            now = time.perf_counter()
            if epoch < recipe.max_epochs and now + (now - began) > until:
                return "paused"
    return "all epochs"


def one_epoch(solver, batches, recipe, epoch, per_epoch, bar):
    """Step through an epoch's batches: (row of the history without what validation adds, rows of the iterations).

    batches: yields (data, labels). Losses are means over the epoch's examples, in nats.
    """
    blobs, steps, losses, correct, waiting, size, count = solver.net.blobs, [], 0.0, 0.0, 0.0, 0, 0
    for iteration in range((epoch - 1) * per_epoch, epoch * per_epoch):
        asked = time.perf_counter()
        data, labels = next(batches)
        waiting += time.perf_counter() - asked
        feed(solver.net, data, labels)
        if steps:  # read now: on a GPU this waits for the step before, which went on while the batch was put in place
            correct += float(blobs["accuracy"].data) * size
        size = len(labels)
        solver.step(1)
        loss = float(blobs["loss"].data)
        check_finite("training", loss, iteration, recipe)
        rate = float(learning_rates(recipe, iteration, per_epoch))
        steps.append({"iteration": iteration, "epoch": epoch, "loss": loss, "learning_rate": rate})
        losses, count = losses + loss * size, count + size
        bar.step(loss)
    correct += float(blobs["accuracy"].data) * size
    batches.close()
    row = dict.fromkeys(EPOCH_COLUMNS) | {
        "epoch": epoch,
        "iteration": epoch * per_epoch,
        "training_loss": losses / count,
        "training_accuracy": correct / count,
        "learning_rate": rate,
        "waiting": waiting,
    }
    return row, steps


def best_on(folder, test):
    """{test_loss, test_accuracy} of the best epoch's weights; {} without a test set."""
    if not test:
        return {}
    best = caffe.Net(str(folder / "train.prototxt"), caffe.TEST)
    best.copy_from(str(folder / "best.caffemodel"))
    return dict(zip(("test_loss", "test_accuracy"), score(best, test)))
