"""Notebook 03: the solver loop, the stopping rule and a cache of features, each written by hand."""

import contextlib
import functools
import hashlib
import pathlib
import shutil
import tempfile

import caffe
import numpy as np

from helpers import early_stopping, nets, recipes, solver, weights
from helpers.data import Examples
from helpers.exercises.careful import CarefulSolver
from helpers.exercises.engine import exercise

CLASSES, BATCH, IMAGES = 3, 4, 38  # nine batches of four and one of two: ten iterations
RECIPE = recipes.Recipe("exercise", "Exercise", 0.01, "exp", 0.9995, 0.001, 1, 5, batch_size=BATCH)


def train(solver, images, labels, batch_size):
    """One epoch of Caffe's loop.

    solver: a caffe solver; its net has the blobs `data` (n, 3, 64, 64) and `label` (n,).
    images: float32 (N, 3, 64, 64), labels: (N,), in the order in which they are to be used.
    The last batch may be smaller. Returns the loss of each iteration, a list of numbers.
    """
    losses, blobs = [], solver.net.blobs
    for start in range(0, len(images), batch_size):
        batch = images[start : start + batch_size]
        blobs["data"].reshape(*batch.shape)
        blobs["label"].reshape(len(batch))
        blobs["data"].data[...] = batch
        blobs["label"].data[...] = labels[start : start + batch_size]
        solver.step(1)
        losses.append(float(blobs["loss"].data))
    return losses


@functools.cache
def _task():
    """A tiny branch with a frozen trunk, its examples in epoch 1's order, and what solver.fit makes of them."""
    rng, net = np.random.default_rng(0), nets.branch(CLASSES, "fc6", BATCH, "he", width=1 / 16)
    examples = Examples(rng.normal(size=(IMAGES, 3, 64, 64)).astype(np.float32), rng.integers(0, CLASSES, IMAGES))
    order = np.random.default_rng([0, 1]).permutation(IMAGES)  # Examples.epoch with seed 0, epoch 1
    with tempfile.TemporaryDirectory() as folder:
        own = dict(progress=False, threads=1, backup=f"{folder}/copy")
        run = solver.fit(net, RECIPE, examples, examples, pathlib.Path(folder, "run"), **own)
        return net, *examples.batch(order), run.weights(), run.iterations["loss"].to_numpy()


def _fresh_solver(net):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "train.prototxt")
        path.write_text(str(net))
        per_epoch = -(-IMAGES // BATCH)
        path.with_name("solver.prototxt").write_text(str(solver.solver_parameter(RECIPE, path, per_epoch)))
        return caffe.get_solver(str(path.with_name("solver.prototxt")))


@exercise(
    "03.1",
    "The solver loop",
    train,
)
def _train(attempt):
    starts = (
        "range(0, len(images), batch_size) gives where each batch starts; a slice that runs over the end is just "
        "shorter. One solver.step(1) for each."
    )
    fill = (
        "Per batch: reshape both blobs to its length, write into blobs[...].data[...], solver.step(1), read the loss."
    )
    view = (
        'blobs["loss"].data is the net\'s own memory, and each step writes its loss there: float() makes a number of'
        " it, after the step."
    )
    net, images, labels, right, losses = _task()
    real = _fresh_solver(net)
    before, stand_in = weights.of(real.net), CarefulSolver(real, CLASSES)
    answer = attempt(stand_in, images.copy(), labels.copy(), BATCH)
    lengths = [len(data) for data, _ in stand_in.fed]
    words = f"{sum(lengths)} of {len(images)} images, in batches of {lengths}"
    attempt.must(
        sum(lengths) == len(images), "each image is used once, those of the last, smaller batch too", words, starts
    )
    attempt.must(lengths[:-1] == [BATCH] * 9, "batches are of batch_size, but for the last", words, starts)
    for number, (used, wanted) in enumerate(zip(map(np.concatenate, zip(*stand_in.fed)), (images, labels))):
        name = ("images", "labels")[number]
        attempt.must(np.array_equal(used, wanted), f"{name} are fed as given, in their order", hint=fill)
    after = weights.of(real.net)
    for name in nets.CONVOLUTIONS:
        attempt.must(np.array_equal(after[name][0], before[name][0]), "frozen layers are untouched", name, fill)
    agree = np.array_equal if solver.device.use() == "cpu" else functools.partial(np.allclose, atol=1e-5)
    same = all(agree(a, b) for name in right for a, b in zip(after[name], right[name]))
    attempt.must(same, "after ten iterations the weights are those of solver.fit, bit for bit", hint=fill)
    attempt.must(
        isinstance(answer, list | tuple | np.ndarray),
        "it returns a list",
        hint="losses = [] before, losses.append() in the loop.",
    )
    told = attempt.array(answer, (len(losses),), "it returns the loss of each of the ten iterations")
    words = f"{told.astype(float).round(3).tolist()} instead of {losses.astype(float).round(3).tolist()}"
    attempt.must(np.ptp(told) > 0, "each iteration has a loss of its own", words, view)
    attempt.must(np.allclose(told, losses, atol=1e-6), "the losses are those of solver.fit", words, view)
    even = CarefulSolver(_fresh_solver(net), CLASSES)
    attempt(even, images[: 2 * BATCH].copy(), labels[: 2 * BATCH].copy(), BATCH)
    lengths = [len(data) for data, _ in even.fed]
    words = f"{2 * BATCH} images came in batches of {lengths}"
    attempt.must(lengths == [BATCH, BATCH], "whole batches are not followed by an empty one", words, starts)


def cached(folder, weights, images, compute):
    """Features that are computed once and then read from a file.

    folder: where files may be kept, a path. weights: {layer: array}; images: an array.
    compute(weights, images) gives the features, an array, and takes long: it is called only where
    `folder` has no features of just these weights and images. Returns the features.
    """
    digest = hashlib.sha256()
    for name, array in [("images", images), *sorted(weights.items())]:
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    path = pathlib.Path(folder) / f"{digest.hexdigest()}.npy"
    if not path.exists():
        np.save(path, compute(weights, images))
    return np.load(path)


@exercise(
    "03.2",
    "A feature cache",
    cached,
)
def _cached(attempt):
    named = (
        "The file's name has to say what the features were computed from, or one trunk is given another's features: "
        "hashlib.sha256 over the bytes, array.tobytes(), of all weights and all images."
    )
    whole = "Put each layer's name and each array's shape into the hash, too, and go through sorted(weights)."
    files = (
        "What a dictionary holds ends with the kernel, and so does hash(): Python salts it anew in each. Look for a"
        " file in `folder`, under a name made by hashlib; np.save adds .npy to a name that lacks it."
    )
    read = "np.save(path, features) and np.load(path) keep type, shape and every bit; text and float16 do not."
    rng, calls = np.random.default_rng(3), []

    def compute(weights, images):
        calls.append(1)
        return np.maximum(images @ weights["conv"] + weights["bias"], 0) @ weights["conv5"]

    def asked(folder, trunk, images, times, wanted, hint=named):
        before = len(calls)
        out = attempt(folder, {name: array.copy() for name, array in trunk.items()}, images.copy(), compute)
        made = len(calls) - before
        attempt.must(made == times, wanted, f"compute was called {made} time{'s' * (made != 1)}, not {times}", hint)
        right = compute(trunk, images)
        out = attempt.array(out, right.shape, "the features have the shape that compute gave them")
        attempt.must(np.array_equal(out, right), "the features are those of these weights and these images", hint=read)

    trunk = {"conv": rng.normal(size=(6, 6)), "bias": rng.normal(size=6), "conv5": rng.normal(size=(6, 6))}
    images = rng.normal(size=(4, 6))
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as other:
        asked(folder, trunk, images, 1, "what is not there is computed, once", files)
        kept = [path for path in pathlib.Path(folder).rglob("*") if path.is_file()]
        attempt.must(kept, "features are kept in the folder, in a file", "the folder is empty", files)
        asked(folder, trunk, images, 0, "the second time nothing is computed", files)
        with _other_salt(attempt.function), tempfile.TemporaryDirectory() as copy:
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            asked(copy, trunk, images, 0, "another kernel finds the features in the folder's files", files)
        turned = dict(reversed(trunk.items()))
        asked(folder, turned, images, 0, "the order of the layers in the dictionary does not matter", whole)
        for name, array in trunk.items():
            for place in (3, -1):
                changed = array.copy()
                changed.flat[place] += 1e-9
                wanted = f"a weight that changed, ever so little, is a miss ({name})"
                asked(folder, trunk | {name: changed}, images, 1, wanted)
        asked(folder, trunk | {"conv": trunk["conv"].T}, images, 1, "the same weights in another order are a miss")
        swapped = {"conv": trunk["conv5"], "conv5": trunk["conv"], "bias": trunk["bias"]}
        asked(folder, swapped, images, 1, "two layers exchanged are a miss", whole)
        asked(folder, trunk, images[::-1], 1, "other images are a miss")
        last = images.copy()
        last.flat[-1] += 1e-9
        asked(folder, trunk, last, 1, "a pixel that changed, ever so little, is a miss")
        asked(folder, trunk, images.reshape(2, 2, 6), 1, "the same numbers in another shape are a miss", whole)
        asked(folder, trunk, images.reshape(2, 2, 6), 0, "features of any shape come back")
        asked(folder, trunk, images, 0, "earlier features are still there", files)
        asked(other, trunk, images, 1, "features are kept in the folder, and nowhere else", files)


@contextlib.contextmanager
def _other_salt(function):
    """For a function's own lines, Python's hash() of text and bytes is that of another kernel."""

    def plain(value):
        return isinstance(value, int | float) or isinstance(value, tuple) and all(map(plain, value))

    names = getattr(function, "__globals__", {})
    own = "hash" in names  # a function of theirs
    if not own:
        names["hash"] = lambda value: hash(value if plain(value) else ("another kernel", value))
    try:
        yield
    finally:
        if not own:
            names.pop("hash", None)


def stop(losses, patience, epsilon):
    """When the report's rule stops a training.

    losses: the validation loss of each epoch, epoch 1 first. An epoch improves where its loss is
    below the best one so far by more than epsilon. The training stops at the first epoch that makes
    more than `patience` in a row without improvement. Returns the epoch after which it stops (None
    where it does not) and the best epoch (0 where none improved).
    """
    best, best_epoch, waited = float("inf"), 0, 0
    for epoch, loss in enumerate(losses, start=1):
        if loss < best - epsilon:
            best, best_epoch, waited = loss, epoch, 0
        else:
            waited += 1
        if waited > patience:
            return epoch, best_epoch
    return None, best_epoch


@exercise(
    "03.3",
    "Early stopping",
    stop,
)
def _stop(attempt):
    nan = float("nan")
    three = (
        "Three things are remembered from epoch to epoch: the best loss, infinite at first, its epoch, 0 at first, "
        "and how many have passed since."
    )
    best = (
        "Compare with the best loss that counted as an improvement, not with the epoch before and not with any "
        "lower one."
    )
    asks = "Ask `loss < best - epsilon`, and let all else be no improvement: a comparison with NaN is False."
    count = "enumerate(losses, start=1). After each epoch: is the number of those without improvement above patience?"
    hints = {"epochs": count, "a training": count, "patience": count, "only": count, "a tie": asks, "an impr": asks}
    hints |= {"NaN": asks, "what counts": best}
    cases = [  # every number is a multiple of 1/8, so that no rounding decides
        ("epochs count from 1, and the best one is told", [3.0, 2.0, 3.0, 3.0], 1, 0.125),
        ("a training that the rule does not stop gives None", [3.0, 2.0, 1.0], 0, 0.125),
        ("patience is borne; only the epoch after it stops", [1.0, 2.0, 2.0, 2.0, 2.0], 2, 0.125),
        ("only epochs in a row are counted", [4.0, 5.0, 3.0, 5.0, 2.0, 5.0, 1.0], 1, 0.125),
        ("a tie is no improvement", [2.0, 2.0, 2.0, 1.0], 1, 0.0),
        ("an improvement of just epsilon is none", [2.0, 1.5, 1.0, 1.0], 0, 0.5),
        ("what counts is the best loss that was an improvement", [2.0, 1.75, 1.5, 1.25, 1.0, 0.75], 1, 0.25),
        ("what counts is the best loss so far, not the epoch before", [1.0, 4.0, 3.0, 2.0, 1.5], 2, 0.125),
        ("NaN is no improvement", [2.0, nan, 1.0, nan, nan, nan], 1, 0.125),
        ("where all losses are NaN, the best epoch is 0", [nan, nan, nan], 1, 0.125),
        ("losses may be of any size", [64.0, 63.0, 65.0, 65.0], 1, 0.125),
        ("losses may be of any size", [-1.0, -2.0, -1.0, -1.0], 1, 0.125),
        ("epsilon is no share of the loss", [8.0, 7.75, 7.5], 0, 0.125),
        ("without an epoch nothing stops", [], 1, 0.125),
    ]
    rng = np.random.default_rng(2)
    for _ in range(300):
        losses = rng.choice([*np.arange(1, 3, 0.125), nan], 12).tolist()
        cases.append(("it is the report's rule", losses, int(rng.integers(0, 4)), float(rng.choice([0, 0.125, 0.25]))))
    for wanted, losses, patience, epsilon in cases:
        answer = attempt(list(losses), patience, epsilon)
        rule, waited = early_stopping.replay(losses, patience, epsilon)
        right = (len(waited) if waited and waited[-1] > patience else None, rule.best_epoch)
        attempt.pair(answer, "it returns two things: when, and the best epoch")
        hint = next((hint for begins, hint in hints.items() if wanted.startswith(begins)), three)
        attempt.must(tuple(answer) == right, wanted, f"{tuple(answer)} instead of {right}", hint)
