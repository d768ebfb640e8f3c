"""Wrong answers that students give, each with the property by which it is caught: WRONG, a list of tuples."""

import pathlib
import zlib

import numpy as np
from scipy import stats

from helpers.exercises import n01_puzzles, n02_blobs, n03_last_layer, n05_filters, n06_alexnet, n08_conclusions
from helpers.study.claims import Claim, claims

WRONG = []


def wrong(number, wanted):
    """Register the decorated function as a wrong answer to an exercise, caught by a property that begins so."""

    def register(function):
        WRONG.append((number, function, wanted))
        return function

    return register


# 01.1 cut(photo, cell, tile, rng)


def cut_with(place):
    """A cut whose tiles begin at place(corner of the square, cell, tile, rng) + the cell's own corner."""

    def cut(photo, cell, tile, rng):
        square = rng.integers(0, [photo.shape[0] - 3 * cell + 1, photo.shape[1] - 3 * cell + 1])
        offset = place(cell, tile, rng)
        corners = np.array([square + np.array(step) * cell + offset() for step in np.ndindex(3, 3)])
        return np.stack([photo[y : y + tile, x : x + tile] for y, x in corners]), corners

    return cut


WRONG += [
    ("01.1", cut_with(lambda cell, tile, rng: lambda: (cell - tile) // 2), "a tile can lie anywhere"),
    (
        "01.1",
        cut_with(lambda cell, tile, rng: lambda: rng.integers(0, max(1, cell - tile), 2)),
        "a tile can lie anywhere",
    ),
    ("01.1", cut_with(lambda cell, tile, rng: lambda: rng.integers(0, cell, 2)), "it runs without an error"),
    (
        "01.1",
        cut_with(lambda cell, tile, rng: lambda: np.random.randint(0, cell - tile + 1, 2)),
        "random numbers come from",
    ),
]


@wrong("01.1", "each tile has an offset of its own")
def one_offset_for_all(photo, cell, tile, rng):
    same = rng.integers(0, cell - tile + 1, 2)
    return cut_with(lambda cell, tile, rng: lambda: same)(photo, cell, tile, rng)


@wrong("01.1", "the square can lie anywhere")
def the_last_place_is_never_drawn(photo, cell, tile, rng):
    top, left = (rng.integers(0, max(1, side - 3 * cell)) for side in photo.shape[:2])
    _, corners = n01_puzzles.cut(photo[top : top + 3 * cell, left : left + 3 * cell], cell, tile, rng)
    corners = corners + [top, left]
    return np.stack([photo[y : y + tile, x : x + tile] for y, x in corners]), corners


@wrong("01.1", "each tile shows the photograph at its place")
def column_before_row(photo, cell, tile, rng):
    tiles, corners = n01_puzzles.cut(photo, cell, tile, rng)
    return tiles, corners[:, ::-1]


@wrong("01.1", "each tile lies inside its own cell")
def tiles_anywhere(photo, cell, tile, rng):
    corners = rng.integers(0, [photo.shape[0] - tile + 1, photo.shape[1] - tile + 1], (9, 2))
    return np.stack([photo[y : y + tile, x : x + tile] for y, x in corners]), corners


@wrong("01.1", "each tile lies inside its own cell")
def columns_first(photo, cell, tile, rng):
    tiles, corners = n01_puzzles.cut(photo, cell, tile, rng)
    order = np.arange(9).reshape(3, 3).T.ravel()
    return tiles[order], corners[order]


@wrong("01.1", "it returns two things")
def tiles_alone(photo, cell, tile, rng):
    return n01_puzzles.cut(photo, cell, tile, rng)[0]


WRONG += [
    ("01.2", lambda p: p[::-1], "shuffled, and shuffled by the inverse"),
    ("01.2", lambda p: np.argsort(p), "it holds each of 1 to"),
    ("01.2", lambda p: p, "shuffled, and shuffled by the inverse"),
    ("01.2", lambda p: np.argsort(p)[:9] + np.arange(9), "it runs without an error"),
    ("01.3", lambda t: (t - t.mean()) / t.std(), "each channel of each tile has mean 0"),
    (
        "01.3",
        lambda t: (t - t.mean((1, 2, 3), keepdims=True)) / t.std((1, 2, 3), keepdims=True),
        "each channel of each tile",
    ),
    ("01.3", lambda t: t - t.mean((1, 2), keepdims=True), "each channel of each tile has standard deviation 1"),
    (
        "01.3",
        lambda t: (t - t.mean((1, 2), keepdims=True)) / t.std((1, 2), keepdims=True),
        "a channel that is constant",
    ),
    (
        "01.3",
        lambda t: (t - t.mean((1, 2), keepdims=True)) / (t.std((1, 2), keepdims=True, ddof=1) + 1e-9),
        "each channel of each tile has standard deviation 1",
    ),
    (
        "01.3",
        lambda t: (t - t.mean((1, 2), keepdims=True)) / (t.std((1, 2), keepdims=True) + 1),
        "each channel of each tile has standard deviation 1",
    ),
]


@wrong("01.3", "it runs without an error")
def in_place_in_uint8(tiles):
    tiles -= tiles.mean(axis=(1, 2), keepdims=True)
    return tiles


def greedy(score, start=1):
    def far_apart(count, length, rng):
        left = rng.permutation([p for p in np.ndindex(*[length] * length) if len(set(p)) == length]) + start
        chosen = [left[0]]
        while len(chosen) < count:
            free = [one for one in left if not any((one == old).all() for old in chosen)]
            chosen.append(max(free, key=lambda one: score([(one != old).sum() for old in chosen])))
        return chosen

    return far_apart


WRONG += [
    ("01.4", greedy(np.min), "each next permutation has the largest mean distance"),
    ("01.4", greedy(lambda distances: distances[-1]), "each next permutation has the largest mean distance"),
    ("01.4", greedy(lambda distances: -np.mean(distances)), "each next permutation has the largest mean distance"),
    ("01.4", greedy(np.mean, start=0), "each row is a permutation"),
    (
        "01.4",
        lambda count, length, rng: [rng.permutation(length) + 1 for _ in range(count)],
        "no permutation comes twice",
    ),
    ("01.4", lambda count, length, rng: greedy(np.mean)(count, length, rng)[1:], "it returns `count` rows"),
]

# 02

WRONG += [
    (
        "02.3",
        lambda i, m, s: ((i - m) / s).astype(np.float32).reshape(len(i), 3, *i.shape[1:3]),
        "times std, plus mean",
    ),
    ("02.3", lambda i, m, s: ((i - m) / s).astype(np.float32).transpose(0, 3, 1, 2), "it is contiguous"),
    ("02.3", lambda i, m, s: np.ascontiguousarray(((i - m) / s).transpose(0, 3, 1, 2)), "its type is float32"),
    ("02.3", lambda i, m, s: n02_blobs.to_caffe(i[..., ::-1], m, s), "times std, plus mean"),
    ("02.3", lambda i, m, s: n02_blobs.to_caffe(i, 0, 255), "times std, plus mean"),
    ("02.3", lambda i, m, s: np.ascontiguousarray(((i - m) / s).T, np.float32), "its shape is"),
    ("02.3", lambda i, m, s: n02_blobs.to_caffe(i - m.astype(np.uint8), 0, s), "times std, plus mean"),
    ("02.1", lambda w, rng: rng.choice(["training", "validation", "test"], len(w)), "no pixel serves two splits"),
    ("02.1", lambda w, rng: ["training"] * len(w), "all three splits are used"),
    (
        "02.1",
        lambda w, rng: [("training", "validation", "test")[row // 34] for row, _, _ in w],
        "all three splits are used",
    ),
    ("02.1", lambda w, rng: ["train"] * len(w), "the splits are"),
    ("02.1", lambda w, rng: n02_blobs.share_out(w[:3], rng), "every window gets a split"),
]


@wrong("02.1", "no pixel serves two splits")
def neighbours_of_neighbours_are_forgotten(windows, rng):
    names = ["training", "validation", "test"]
    group = []
    for i, one in enumerate(windows):
        near = [group[j] for j in range(i) if n02_blobs._overlap(one, windows[j])]
        group.append(near[0] if near else max(group, default=-1) + 1)
    return [names[g % 3] for g in group]


@wrong("02.1", "all three splits are used")
def touching_counts_as_overlapping(windows, rng):
    return n02_blobs.share_out([(row, column, side + 1) for row, column, side in windows], rng)


@wrong("02.1", "all three splits are used")
def the_same_rows_are_enough(windows, rng):
    return n02_blobs.share_out([(row, 0, side) for row, _, side in windows], rng)


@wrong("02.2", "the mean is NumPy's")
def mean_of_means(batches):
    parts = [(batch.mean(axis=(0, 1, 2)), batch.std(axis=(0, 1, 2))) for batch in batches]
    return np.mean(parts, axis=0)


@wrong("02.2", "the std is NumPy's")
def mean_of_deviations(batches):
    batches = list(batches)
    pixels = np.concatenate([batch.reshape(-1, 3) for batch in batches])
    return pixels.mean(axis=0), np.mean([batch.reshape(-1, 3).std(axis=0) for batch in batches], axis=0)


@wrong("02.2", "it runs without an error")
def read_twice(batches):
    mean = np.concatenate([batch.reshape(-1, 3) for batch in batches]).mean(axis=0)
    return mean, np.concatenate([batch.reshape(-1, 3) for batch in batches]).std(axis=0)


@wrong("02.2", "the std is NumPy's")
def squares_in_uint8(batches):
    pixels = np.concatenate([batch.reshape(-1, 3) for batch in batches])
    return pixels.mean(axis=0), np.sqrt(np.abs((pixels**2).mean(axis=0) - pixels.mean(axis=0) ** 2))


@wrong("02.2", "the mean is three numbers")
def all_channels_together(batches):
    pixels = np.concatenate([batch.ravel() for batch in batches])
    return pixels.mean(), pixels.std()


# 03.1 train(solver, images, labels, batch_size)


def loop(batches=range, fill=lambda blob, array: blob.data.__setitem__(..., array), steps=1, told="loss"):
    def train(solver, images, labels, size):
        losses, blobs = [], solver.net.blobs
        for start in batches(0, len(images), size):
            batch, names = images[start : start + size], labels[start : start + size]
            blobs["data"].reshape(*batch.shape)
            blobs["label"].reshape(len(batch))
            fill(blobs["data"], batch)
            fill(blobs["label"], names)
            solver.step(steps)
            losses.append(float(blobs[told].data))
        return losses

    return train


WRONG += [
    ("03.1", loop(lambda start, stop, size: range(start, stop - size, size)), "each image is used once"),
    ("03.1", loop(steps=2), "each image is used once"),
    ("03.1", loop(lambda start, stop, size: range(0, size, size)), "each image is used once"),
    ("03.1", loop(lambda start, stop, size: reversed(range(start, stop, size))), "batches are of batch_size"),
    ("03.1", loop(fill=lambda blob, array: setattr(blob, "data", array)), "it runs without an error"),
    ("03.1", loop(fill=lambda blob, array: None), "images are fed as given"),
    ("03.1", loop(told="accuracy"), "the losses are those of solver.fit"),
]


@wrong("03.1", "it runs without an error")
def no_reshape(solver, images, labels, size):
    for start in range(0, len(images), size):
        solver.net.blobs["data"].data[...] = images[start : start + size]
        solver.net.blobs["label"].data[...] = labels[start : start + size]
        solver.step(1)
    return []


@wrong("03.1", "it runs without an error")
def label_keeps_its_length(solver, images, labels, size):
    """Caffe's own answer would be a failed CHECK, which ends the kernel."""
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        solver.net.blobs["data"].reshape(*batch.shape)
        solver.net.blobs["data"].data[...] = batch
        solver.step(1)


@wrong("03.1", "it runs without an error")
def channels_last(solver, images, labels, size):
    solver.net.blobs["data"].reshape(size, 64, 64, 3)
    solver.step(1)


@wrong("03.1", "it runs without an error")
def one_label_too_high(solver, images, labels, size):
    return loop()(solver, images, labels + 1, size)


@wrong("03.1", "it runs without an error")
def negative_shape(solver, images, labels, size):
    solver.net.blobs["data"].reshape(-1, 3, 64, 64)
    solver.step(1)


@wrong("03.1", "it returns its answer")
def nothing_returned(solver, images, labels, size):
    loop()(solver, images, labels, size)


@wrong("03.1", "labels are fed as given")
def shuffled_labels(solver, images, labels, size):
    return loop()(solver, images, labels[::-1], size)


# 03.2 stop(losses, patience, epsilon)


def rule(
    improves=lambda loss, best, before, eps: loss < best - eps, late=lambda waited, p: waited > p, first=1, reset=True
):
    def stop(losses, patience, epsilon):
        best, best_epoch, waited, before = float("inf"), 0, 0, float("inf")
        for epoch, loss in enumerate(losses, start=first):
            if improves(loss, best, before, epsilon):
                best, best_epoch, waited = loss, epoch, 0 if reset else waited
            else:
                waited += 1
            if late(waited, patience):
                return epoch, best_epoch
            before = loss
        return None, best_epoch

    return stop


WRONG += [
    ("03.3", rule(first=0), "epochs count from 1"),
    ("03.3", rule(late=lambda waited, patience: waited >= patience), "epochs count from 1"),
    ("03.3", rule(lambda loss, best, before, eps: loss <= best - eps), "a tie is no improvement"),
    ("03.3", rule(lambda loss, best, before, eps: loss < best), "an improvement of just epsilon is none"),
    ("03.3", rule(lambda loss, best, before, eps: loss < before - eps), "what counts is the best loss"),
    ("03.3", rule(lambda loss, best, before, eps: not loss >= best - eps), "NaN is no improvement"),
    ("03.3", rule(reset=False), "only epochs in a row"),
    ("03.3", lambda losses, patience, epsilon: int(np.argmin(losses)) + 1, "it returns two things"),
]


@wrong("03.3", "what counts is the best loss that was an improvement")
def the_lowest_of_all_is_compared_with(losses, patience, epsilon):
    lowest, best_epoch, waited = float("inf"), 0, 0
    for epoch, loss in enumerate(losses, start=1):
        better = loss < lowest - epsilon
        lowest, waited = min(lowest, loss), 0 if better else waited + 1
        best_epoch = epoch if better else best_epoch
        if waited > patience:
            return epoch, best_epoch
    return None, best_epoch


@wrong("03.3", "a training that the rule does not stop")
def never_none(losses, patience, epsilon):
    epoch, best = n03_last_layer.stop(losses, patience, epsilon)
    return epoch or len(losses), best


# 03.3 cached(folder, weights, images, compute)


def cache(name, keep=True):
    def cached(folder, weights, images, compute):
        path = pathlib.Path(folder) / f"{name(weights, images)}.npy"
        if not path.exists():
            features = compute(weights, images)
            if not keep:
                return features
            np.save(path, features)
        return np.load(path)

    return cached


STORE = {}


@wrong("03.2", "features are kept in the folder, in a file")
def in_memory(folder, weights, images, compute):
    key = (images.tobytes(), *(weights[name].tobytes() for name in sorted(weights)))
    if key not in STORE:
        STORE[key] = compute(weights, images)
    return STORE[key]


WRONG += [
    ("03.2", cache(lambda weights, images: "features"), "a weight that changed"),
    ("03.2", cache(lambda weights, images: zlib.crc32(images.tobytes())), "a weight that changed"),
    (
        "03.2",
        cache(lambda weights, images: zlib.crc32(weights["conv"].tobytes() + images.tobytes())),
        "a weight that changed",
    ),
    (
        "03.2",
        cache(lambda weights, images: sum(w.sum() for w in weights.values()) + images.sum()),
        "a weight that changed",
    ),
    (
        "03.2",
        cache(
            lambda weights, images: zlib.crc32(
                b"".join(sorted(w.tobytes() for w in weights.values())) + images.tobytes()
            )
        ),
        "two layers exchanged",
    ),
    (
        "03.2",
        cache(lambda weights, images: zlib.crc32(b"".join(weights[name].tobytes() for name in sorted(weights)))),
        "other images are a miss",
    ),
    ("03.2", cache(lambda weights, images: id(weights), keep=False), "features are kept in the folder, in a file"),
    (
        "03.2",
        lambda folder, weights, images, compute: compute(weights, images),
        "features are kept in the folder, in a file",
    ),
]

# 04


@wrong("04.1", "a layer that the weights lack is refused")
def missing_layers_are_skipped(layers, params, names):
    for name in names:
        for target, array in zip(params.get(name, []), layers.get(name, [])):
            target[...] = array


@wrong("04.1", "where something is refused, nothing has been copied")
def copied_as_far_as_it_went(layers, params, names):
    for name in names:
        if [array.shape for array in layers[name]] != [array.shape for array in params[name]]:
            raise ValueError(name)
        for target, array in zip(params[name], layers[name]):
            target[...] = array


@wrong("04.1", "the net itself holds")
def the_dictionary_alone(layers, params, names):
    for name in names:
        if [array.shape for array in layers[name]] != [array.shape for array in params[name]]:
            raise ValueError(name)
    params.update({name: layers[name] for name in names})


@wrong("04.1", "another shape is refused")
def stretched(layers, params, names):
    if not {*names} <= {*layers} & {*params}:
        raise KeyError
    for name in names:
        for target, array in zip(params[name], layers[name]):
            target[...] = array


@wrong("04.1", "weights without their biases are refused")
def zip_stops_early(layers, params, names):
    for name in names:
        if any(array.shape != target.shape for array, target in zip(layers[name], params[name], strict=False)):
            raise ValueError(name)
    stretched(layers, params, names)


@wrong("04.1", "the net itself holds")
def without_biases(layers, params, names):
    for name in names:
        if [array.shape for array in layers[name]] != [array.shape for array in params[name]]:
            raise ValueError(name)
    for name in names:
        params[name][0][...] = layers[name][0]


@wrong("04.1", "layers that were not named")
def everything_it_finds(layers, params, names):
    for name in names:
        if [array.shape for array in layers[name]] != [array.shape for array in params[name]]:
            raise ValueError(name)
    stretched(layers, params, [name for name in params if name in layers])


WRONG += [
    ("04.2", lambda rates, first_epoch, before: min(rates, key=first_epoch), "epoch 1 is no worse than epoch 0"),
    ("04.2", lambda rates, first_epoch, before: max(rates, key=first_epoch), "of those the lowest"),
    ("04.2", lambda rates, first_epoch, before: min(rates), "each rate is tried"),
    (
        "04.2",
        lambda rates, first_epoch, before: next((rate for rate in rates if first_epoch(rate) <= before), None),
        "each rate is tried",
    ),
    (
        "04.2",
        lambda rates, first_epoch, before: max((r for r in rates if first_epoch(r) <= before), default=None),
        "of those the lowest",
    ),
    (
        "04.2",
        lambda rates, first_epoch, before: min(
            (r for r in rates if first_epoch(r) <= before), key=first_epoch, default=None
        ),
        "each rate is tried",
    ),
]


@wrong("04.2", "one of the rates is chosen")
def strictly_better(rates, first_epoch, before):
    losses = {rate: first_epoch(rate) for rate in rates}
    fit = {rate: loss for rate, loss in losses.items() if loss < before}
    return min(fit, key=fit.get) if fit else None


@wrong("04.2", "epoch 1 is no worse")
def nan_wins(rates, first_epoch, before):
    losses = {rate: first_epoch(rate) for rate in rates}
    fit = {rate: loss for rate, loss in losses.items() if not loss > before}
    return min(fit, key=fit.get) if fit else None


def bootstrap(means):
    def paired_interval(a, b, block, rng):
        return np.percentile(means(a.astype(float), b.astype(float), block, rng), [2.5, 97.5])

    return paired_interval


def by_image(a, b, block, rng):
    return [(a - b)[rng.integers(0, len(a), len(a))].mean() for _ in range(500)]


def apart(a, b, block, rng):
    return [a[rng.integers(0, len(a), len(a))].mean() - b[rng.integers(0, len(a), len(a))].mean() for _ in range(500)]


def blocks_apart(a, b, block, rng):
    names, sums = np.unique(block), lambda x: np.bincount(block, x) / np.maximum(np.bincount(block), 1)
    one, other = sums(a)[names], sums(b)[names]
    draw = lambda: rng.integers(0, len(names), len(names))  # noqa: E731
    return [one[draw()].mean() - other[draw()].mean() for _ in range(500)]


def mean_of_blocks(a, b, block, rng):
    means = np.array([(a - b)[block == name].mean() for name in np.unique(block)])
    return means[rng.integers(0, len(means), (500, len(means)))].mean(axis=1)


WRONG += [
    ("04.3", bootstrap(by_image), "the draw is of whole blocks"),
    ("04.3", bootstrap(apart), "a network compared with itself"),
    ("04.3", bootstrap(blocks_apart), "a network compared with itself"),
    ("04.3", bootstrap(mean_of_blocks), "each image counts alike"),
    ("04.3", bootstrap(lambda a, b, block, rng: b - a), "a network that is right everywhere"),
    ("04.3", lambda a, b, block, rng: (a.mean() - b.mean(),) * 2, "the draw is of whole blocks"),
    ("04.3", lambda a, b, block, rng: a.mean() - b.mean(), "it returns low and high"),
]

# 05

WRONG += [
    ("05.1", lambda w, lag: n05_filters.smoothness(w, 1), "opposite across and equal down"),
    (
        "05.1",
        lambda w, lag: (w[..., lag:] * w[..., :-lag]).mean((1, 2, 3)) / (w**2).mean((1, 2, 3)),
        "a constant added",
    ),
    (
        "05.1",
        lambda w, lag: n05_filters.smoothness(w, lag) * (w - w.mean((1, 2, 3), keepdims=True)).var((1, 2, 3)),
        "a filter twice as strong",
    ),
    (
        "05.1",
        lambda w, lag: n05_filters.smoothness(w, lag) * 0 + n05_filters.smoothness(w[..., :, ::lag], 1),
        "rows and",
    ),
    (
        "05.1",
        lambda w, lag: np.full(len(w), n05_filters.smoothness(w.reshape(1, -1, *w.shape[2:]), lag)[0]),
        "each filter",
    ),
    ("05.1", lambda w, lag: n05_filters.smoothness(w, lag).mean(), "it returns one number for each filter"),
    ("05.1", lambda w, lag: n05_filters.smoothness(w, lag) * 2, "it is the mean product"),
]


def walk(order=reversed, first=lambda y, k, s, p: y * s - p, last=lambda y, k, s, p: y * s - p + k - 1):
    def sees(layers, unit):
        low = high = unit
        for kernel, stride, pad in order(layers):
            low, high = first(low, kernel, stride, pad), last(high, kernel, stride, pad)
        return low, high

    return sees


WRONG += [
    ("05.3", walk(order=list), "the last row is one"),
    ("05.3", walk(last=lambda y, k, s, p: y * s - p + k), "the last row is one"),
    ("05.3", walk(first=lambda y, k, s, p: y * s, last=lambda y, k, s, p: y * s + k - 1), "the last row is one"),
    (
        "05.3",
        walk(first=lambda y, k, s, p: y - p, last=lambda y, k, s, p: y - p + k - 1),
        "pixels outside change nothing",
    ),
    ("05.3", lambda layers, unit: np.clip(n05_filters.sees(layers, unit), 0, 63), "where padding is"),
    ("05.3", lambda layers, unit: n05_filters.sees(layers, unit)[1], "it returns the first and the last row"),
    ("05.2", lambda b, a: (np.abs(a - b).mean(), np.abs(a - b).mean() / np.abs(b).mean()), "the way is the Euclidean"),
    ("05.2", lambda b, a: (np.linalg.norm(a - b), np.linalg.norm(a - b) / np.linalg.norm(a)), "weights that tripled"),
    ("05.2", lambda b, a: np.linalg.norm(a) - np.linalg.norm(b), "it returns two numbers"),
    ("05.2", lambda b, a: (np.sum((a - b) ** 2), np.sum((a - b) ** 2) / np.sum(b**2)), "weights twice as large"),
    ("05.2", lambda b, a: (np.linalg.norm(a - b), np.linalg.norm(a - b)), "the share does not depend"),
    ("05.2", lambda b, a: (np.linalg.norm(a), np.linalg.norm(a) / np.linalg.norm(b)), "weights that stayed"),
]

# 06


def counting(
    channels=lambda c, g: c // g, bias=lambda spec: spec.num_output * spec.bias_term, shared=True, read="bottom"
):
    def count(net, shapes):
        total, seen = 0, set()
        for layer in net.layer:
            if layer.type not in ("Convolution", "InnerProduct"):
                continue
            name = layer.param[0].name if layer.param else ""
            if shared and name in seen:
                continue
            seen.add(name or layer.name)
            _, *inputs = shapes[getattr(layer, read)[0]]
            if layer.type == "Convolution":
                spec = layer.convolution_param
                total += spec.num_output * channels(inputs[0], spec.group) * spec.kernel_size[0] ** 2 + bias(spec)
            else:
                spec = layer.inner_product_param
                total += spec.num_output * int(np.prod(inputs)) + bias(spec)
        return total

    return count


WRONG += [
    ("06.1", counting(channels=lambda c, g: c), "with groups a filter sees a part"),
    ("06.1", counting(bias=lambda spec: 0), "a convolution has num_output filters"),
    ("06.1", counting(bias=lambda spec: spec.num_output), "without bias_term there is no bias"),
    ("06.1", counting(shared=False), "weights that two layers share"),
    ("06.1", counting(read="top"), "a convolution has num_output filters"),
    (
        "06.1",
        lambda net, shapes: n06_alexnet.count(net, {name: (*shape[:2], 1, 1) for name, shape in shapes.items()}),
        "an inner product has a weight",
    ),
    (
        "06.2",
        lambda p, trunk, train: p | {"initial": trunk | {"fc6": p["initial"]["fc6"]}},
        "a last layer is trained once",
    ),
    ("06.2", lambda p, trunk, train: p | {"initial": p["initial"] | trunk, "seed": 7}, "a last layer is trained once"),
    ("06.2", lambda p, trunk, train: p | {"initial": trunk | train(p["initial"])}, "a last layer is trained once"),
    (
        "06.2",
        lambda p, trunk, train: p | {"initial": trunk | train(trunk), "seed": p["seed"] + 1},
        "nothing but the start",
    ),
    ("06.2", lambda p, trunk, train: {"initial": trunk | train(trunk)}, "the control is given all"),
    ("06.2", lambda p, trunk, train: p | {"initial": p["initial"] | train(trunk)}, "the control's convolutions"),
    ("06.2", lambda p, trunk, train: p | {"initial": trunk | train(trunk), "layers": ("fc6",)}, "the same layers"),
    ("06.2", lambda p, trunk, train: p.update(initial=trunk | train(trunk)) or p, "the inputs stay"),
    ("06.2", lambda p, trunk, train: trunk | train(trunk), "the control is given all"),
]

# 07


def arcs(rest=lambda place, end, turn, gap: end + gap <= place < turn - gap, step=0, drawn=True):
    def split(frames, turn, gap, rng):
        start = rng.integers(turn) if drawn else 0
        test, validation = round(turn / 4), round(turn / 10)
        names = []
        for frame in frames:
            place, end = (frame - start) % turn, round(turn / 4) + gap + validation
            name = "test" if place < test else "validation" if test + gap - step <= place < end else None
            names.append(name or ("training" if rest(place, end, turn, gap) else None))
        return names

    return split


@wrong("07.1", "no frame has one of another split within the gap")
def at_random(frames, turn, gap, rng):
    return rng.choice(["training", "validation", "test"], len(frames), p=[0.65, 0.1, 0.25])


WRONG += [
    ("07.1", arcs(rest=lambda place, end, turn, gap: end + gap <= place), "no frame has one of another split within"),
    ("07.1", arcs(step=1), "no frame has one of another split within"),
    ("07.1", arcs(drawn=False), "the arcs begin elsewhere"),
    (
        "07.1",
        arcs(rest=lambda place, end, turn, gap: end + 3 * gap <= place < turn - 3 * gap),
        "no more frames are left out",
    ),
    ("07.1", arcs(rest=lambda place, end, turn, gap: False), "no split is empty"),
    ("07.1", lambda frames, turn, gap, rng: ["test"] * 9, "every frame gets a split"),
]


def nearest(difference, label=lambda labels, index: labels[index]):
    def recall(training, labels, images):
        return np.array([label(labels, difference(training, image).sum(axis=(1, 2, 3)).argmin()) for image in images])

    return recall


WRONG += [
    ("07.2", nearest(lambda known, image: (known - image) ** 2), "each image is named by the training image"),
    ("07.2", nearest(lambda known, image: known.astype(float) - image), "each image is named by the training image"),
    (
        "07.2",
        nearest(lambda known, image: (known.astype(float) - image) ** 2, lambda labels, index: index),
        "what is returned are labels",
    ),
    (
        "07.2",
        nearest(lambda known, image: (known.astype(float).mean((1, 2), keepdims=True) - image.mean()) ** 2),
        "each image",
    ),
    ("07.2", lambda training, labels, images: labels[: len(images)], "each image is named by the training image"),
    ("07.2", lambda training, labels, images: labels[0], "each image gets one label"),
]

# 08


def with_half(half):
    return lambda values: (np.mean(values) - half(values, len(values)), np.mean(values) + half(values, len(values)))


WRONG += [
    ("08.2", with_half(lambda v, n: 1.96 * np.std(v, ddof=1) / np.sqrt(n)), "it holds the true mean"),
    ("08.2", with_half(lambda v, n: stats.t.ppf(0.975, n - 1) * np.std(v, ddof=1)), "it is Student's t interval"),
    ("08.2", with_half(lambda v, n: stats.t.ppf(0.975, n - 1) * np.std(v) / np.sqrt(n)), "it"),
    (
        "08.2",
        with_half(lambda v, n: stats.t.ppf(0.95, n - 1) * np.std(v, ddof=1) / np.sqrt(n)),
        "it holds the true mean",
    ),
    ("08.2", with_half(lambda v, n: stats.t.ppf(0.975, n) * np.std(v, ddof=1) / np.sqrt(n)), "it holds the true mean"),
    ("08.2", lambda v: (np.min(v), np.max(v)), "it holds the true mean"),
    ("08.2", lambda v: np.std(v), "it returns low and high"),
]


def judge(near=lambda d, m: d <= m, could=lambda d, h, m: d <= h, distance=lambda r, mean: abs(mean - r)):
    def verdict(reported, mean, half, margin):
        off = distance(reported, mean)
        return "reproduced" if near(off, margin) else "undecided" if could(off, half, margin) else "not reproduced"

    return verdict


WRONG += [
    ("08.1", judge(near=lambda d, m: d < m), "the margin itself is within it"),
    ("08.1", judge(could=lambda d, h, m: d <= h + m), "margin and interval do not add up"),
    ("08.1", judge(could=lambda d, h, m: not d > h), "a single seed has no interval"),
    ("08.1", judge(distance=lambda r, mean: mean - r), "far below"),
    ("08.1", judge(could=lambda d, h, m: False), "an interval that contains"),
    ("08.1", lambda r, mean, half, m: "undecided" if abs(mean - r) <= half else "reproduced", "far off"),
    (
        "08.1",
        lambda r, mean, half, m: "undecided" if m < half else "reproduced" if abs(mean - r) <= m else "not reproduced",
        "far off",
    ),
    ("08.1", lambda r, mean, half, m: abs(mean - r) <= m, "within the margin it is reproduced"),
]


def claiming(**changes):
    def claim():
        own = dict(
            text="CIFAR-100: the best epoch is a fifth of the most",
            reported=10,
            form=".0f",
            notebook="04_fine_tuning",
            section="5. Train",
            measure=lambda record: record.result["test_accuracy"],
            runs="cifar100_scratch",
        )
        return Claim(**own | changes)

    return claim


WRONG += [
    ("08.3", claiming(measure=lambda record: 0.44), "`measure` reads the record"),
    ("08.3", claiming(text=claims()[0].text), "the ledger does not have that claim"),
    ("08.3", claiming(section="5. Training"), "a notebook has that heading"),
    ("08.3", claiming(runs="cifar100_scratch_s7"), "`runs` names a training of the study"),
    ("08.3", claiming(reported=float("nan")), "`reported` is a number"),
    ("08.3", claiming(measure=lambda record: record.result["accuracy"]), "it runs without an error"),
    ("08.3", lambda: {"text": "a claim"}, "it returns a Claim"),
    ("08.3", n08_conclusions.claims, "it returns a Claim"),
]
