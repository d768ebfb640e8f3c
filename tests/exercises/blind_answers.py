"""Answers written from the notebooks' docstrings alone, by somebody who had not read the checks.

They register themselves in wrong_answers.WRONG, and in RIGHT: right ones that are written otherwise than the course's.
"""

import copy
import functools
import hashlib
import itertools
import json
import math
import pathlib
import pickle
import tempfile
import zlib

import numpy as np
from scipy import stats
from wrong_answers import WRONG, claiming, cut_with, wrong

from helpers.exercises import n01_puzzles, n05_filters
from helpers.study.claims import claims

RIGHT = []


def right(number):
    """Register the decorated function as a right answer to an exercise."""

    def register(function):
        RIGHT.append((number, function))
        return function

    return register


# 01.1 cut(photo, cell, tile, rng)


def at(photo, tile, corners):
    corners = np.array(corners)
    return np.stack([photo[y : y + tile, x : x + tile] for y, x in corners]), corners


def places(photo, cell, rng):
    return rng.integers(0, photo.shape[0] - 3 * cell + 1), rng.integers(0, photo.shape[1] - 3 * cell + 1)


WRONG += [
    (
        "01.1",
        cut_with(lambda cell, tile, rng: lambda: rng.integers(0, cell - tile + 1)),
        "a tile's row and column are two random",
    ),
    (
        "01.1",
        cut_with(lambda cell, tile, rng: lambda: rng.integers(0, 2, 2) * (cell - tile)),
        "a tile can lie anywhere inside its cell",
    ),
    (
        "01.1",
        cut_with(lambda cell, tile, rng: lambda: rng.choice([0, (cell - tile) // 2, cell - tile], 2)),
        "a tile can lie anywhere inside its cell",
    ),
    (
        "01.1",
        cut_with(lambda cell, tile, rng: lambda: np.array([rng.integers(0, cell - tile + 1), 0])),
        "a tile can lie anywhere inside its cell",
    ),
]


@wrong("01.1", "each tile has an offset of its own")
def an_offset_for_each_row(photo, cell, tile, rng):
    y, x = places(photo, cell, rng)
    corners = []
    for row in range(3):
        dy, dx = rng.integers(0, cell - tile + 1, 2)
        corners += [(y + row * cell + dy, x + column * cell + dx) for column in range(3)]
    return at(photo, tile, corners)


@wrong("01.1", "each tile has an offset of its own")
def rows_and_columns_share_offsets(photo, cell, tile, rng):
    y, x = places(photo, cell, rng)
    dy, dx = rng.integers(0, cell - tile + 1, 3), rng.integers(0, cell - tile + 1, 3)
    return at(photo, tile, [(y + r * cell + dy[r], x + c * cell + dx[c]) for r in range(3) for c in range(3)])


@wrong("01.1", "the square can lie anywhere")
def one_number_for_the_square(photo, cell, tile, rng):
    place = rng.integers(0, min(photo.shape[:2]) - 3 * cell + 1)
    offsets = rng.integers(0, cell - tile + 1, (9, 2))
    return at(photo, tile, place + offsets + np.array(list(np.ndindex(3, 3))) * cell)


@wrong("01.1", "the square can lie anywhere")
def square_in_the_middle(photo, cell, tile, rng):
    y, x = (photo.shape[0] - 3 * cell) // 2, (photo.shape[1] - 3 * cell) // 2
    offsets = rng.integers(0, cell - tile + 1, (9, 2))
    return at(photo, tile, (y, x) + offsets + np.array(list(np.ndindex(3, 3))) * cell)


@wrong("01.1", "it runs without an error")
def height_for_width(photo, cell, tile, rng):
    width, height = photo.shape[:2]
    y, x = rng.integers(0, height - 3 * cell + 1), rng.integers(0, width - 3 * cell + 1)
    offsets = rng.integers(0, cell - tile + 1, (9, 2))
    return at(photo, tile, (y, x) + offsets + np.array(list(np.ndindex(3, 3))) * cell)


@wrong("01.1", "each tile shows the photograph at its place")
def places_within_the_square(photo, cell, tile, rng):
    y, x = places(photo, cell, rng)
    offsets = rng.integers(0, cell - tile + 1, (9, 2)) + np.array(list(np.ndindex(3, 3))) * cell
    return at(photo[y:, x:], tile, offsets)


@wrong("01.1", "each tile shows the photograph at its place")
def places_of_the_middle(photo, cell, tile, rng):
    tiles, corners = n01_puzzles.cut(photo, cell, tile, rng)
    return tiles, corners + tile // 2


@wrong("01.1", "it runs without an error")
def sizes_of_the_course(photo, cell, tile, rng):
    return n01_puzzles.cut(photo, 85, 64, rng)


@wrong("01.1", "another rng gives another puzzle")
def an_rng_of_its_own(photo, cell, tile, rng):
    return n01_puzzles.cut(photo, cell, tile, np.random.default_rng(0))


@wrong("01.1", "the same rng gives the same answer")
def unseeded(photo, cell, tile, rng):
    return n01_puzzles.cut(photo, cell, tile, np.random.default_rng())


@wrong("01.1", "each tile shows the photograph at its place")
def between_0_and_1(photo, cell, tile, rng):
    tiles, corners = n01_puzzles.cut(photo, cell, tile, rng)
    return tiles / 255, corners


@wrong("01.1", "the inputs stay as they were")
def marks_the_photograph(photo, cell, tile, rng):
    tiles, corners = n01_puzzles.cut(photo, cell, tile, rng)
    for y, x in corners:
        photo[y : y + tile, x] = 255
    return tiles, corners


@right("01.1")
def lists_of_slices(photo, cell, tile, rng):
    top, left = (int(rng.random() * (side - 3 * cell + 1)) for side in photo.shape[:2])
    tiles, where = [], []
    for i in range(9):
        y = top + i // 3 * cell + int(rng.integers(cell - tile, endpoint=True))
        x = left + i % 3 * cell + int(rng.integers(cell - tile, endpoint=True))
        tiles.append(photo[y : y + tile, x : x + tile])
        where.append((y, x))
    return tiles, where


@right("01.1")
def by_choice(photo, cell, tile, rng):
    square = np.array(places(photo, cell, rng))
    corners = square + np.indices((3, 3)).reshape(2, 9).T * cell + rng.choice(cell - tile + 1, (9, 2))
    tiles = np.empty((9, tile, tile, 3), photo.dtype)
    for i, (y, x) in enumerate(corners):
        tiles[i] = photo[y : y + tile, x : x + tile]
    return tiles, corners.astype(np.int32)


# 01.2 inverse(permutation)


def changed_in_place(permutation):
    permutation -= 1
    return np.argsort(permutation) + 1


def zeros_of_floats(permutation):
    undo = np.zeros(len(permutation))
    for i, number in enumerate(permutation):
        undo[number - 1] = i + 1
    return undo


def written_to_the_wrong_side(permutation):
    undo = np.empty_like(permutation)
    for i, number in enumerate(permutation):
        undo[i] = number
    return undo


def nine_places(permutation):
    return [list(permutation).index(i) + 1 for i in range(1, 10)]


WRONG += [
    ("01.2", changed_in_place, "the inputs stay as they were"),
    ("01.2", zeros_of_floats, "its numbers are integers"),
    ("01.2", written_to_the_wrong_side, "shuffled, and shuffled by the inverse, tiles"),
    ("01.2", nine_places, "it runs without an error"),
    ("01.2", lambda p: np.argsort(np.argsort(p)) + 1, "shuffled, and shuffled by the inverse, tiles"),
    ("01.2", lambda p: p[p - 1], "shuffled, and shuffled by the inverse, tiles"),
    ("01.2", lambda p: len(p) + 1 - p, "shuffled, and shuffled by the inverse, tiles"),
    ("01.2", lambda p: np.argsort(-p) + 1, "shuffled, and shuffled by the inverse, tiles"),
    ("01.2", lambda p: sorted(p), "shuffled, and shuffled by the inverse, tiles"),
    ("01.2", lambda p: {number: i + 1 for i, number in enumerate(p)}, "it has as many numbers as the permutation"),
    ("01.2", lambda p: np.roll(p, 1), "shuffled, and shuffled by the inverse, tiles"),
    ("01.2", lambda p: [list(p).index(i + 1) for i in range(len(p))], "it holds each of 1 to 5 once"),
    (
        "01.2",
        lambda p: (np.eye(len(p))[p - 1] @ np.arange(1, len(p) + 1)).astype(int),
        "shuffled, and shuffled by the inverse, tiles",
    ),
]
RIGHT += [
    ("01.2", lambda p: [list(p).index(i + 1) + 1 for i in range(len(p))]),
    ("01.2", lambda p: np.eye(len(p), dtype=int)[p - 1].T @ np.arange(1, len(p) + 1)),
    ("01.2", lambda p: tuple(i + 1 for i, _ in sorted(enumerate(p), key=lambda one: one[1]))),
    ("01.2", lambda p: (np.argsort(p) + 1).astype(np.uint8)),
]

# 01.3 normalise(tiles)


@wrong("01.3", "the answer holds floats")
def into_uint8(tiles):
    out = np.zeros_like(tiles)
    for i, tile in enumerate(tiles):
        for c in range(3):
            out[i, :, :, c] = (tile[..., c] - tile[..., c].mean()) / (tile[..., c].std() or 1)
    return out


def scaled(middle=np.mean, spread=np.std, axis=(1, 2), after=lambda out: out):
    def normalise(tiles):
        centre, width = middle(tiles, axis=axis, keepdims=True), spread(tiles, axis=axis, keepdims=True)
        return after((tiles - centre) / np.where(width == 0, 1, width))

    return normalise


WRONG += [
    ("01.3", scaled(axis=(0, 1, 2)), "each channel of each tile has mean 0"),
    ("01.3", scaled(axis=(2, 3)), "each channel of each tile has mean 0"),
    ("01.3", scaled(axis=(1,)), "times the deviation, plus the mean: the"),
    ("01.3", scaled(axis=(0,)), "each channel of each tile has mean 0"),
    ("01.3", scaled(spread=np.var), "each channel of each tile has standard"),
    ("01.3", scaled(middle=np.median), "each channel of each tile has mean 0"),
    ("01.3", scaled(middle=np.min, spread=np.ptp), "each channel of each tile has mean 0"),
    ("01.3", scaled(spread=functools.partial(np.std, ddof=1)), "each channel of each tile has standard"),
    ("01.3", scaled(after=lambda out: out.clip(-1.5, 1.5)), "each channel of each tile has mean 0"),
    ("01.3", scaled(after=lambda out: out.round()), "each channel of each tile has mean 0"),
    ("01.3", scaled(after=lambda out: out.astype(np.int8)), "the answer holds floats"),
    ("01.3", scaled(after=lambda out: out[..., ::-1]), "times the deviation, plus the mean: the"),
    ("01.3", lambda t: t / 255, "each channel of each tile has mean 0"),
    ("01.3", lambda t: (t / 255 - 0.5) / 0.5, "each channel of each tile has mean 0"),
    ("01.3", lambda t: (t - t.mean((1, 2))) / t.std((1, 2)), "it runs without an error"),
]


@wrong("01.3", "a channel that is constant becomes zeros")
def constant_channels_stay(tiles):
    mean, std = tiles.mean((1, 2), keepdims=True), tiles.std((1, 2), keepdims=True)
    return np.where(std > 0, (tiles - mean) / np.maximum(std, 1e-9), tiles)


@wrong("01.3", "a channel that is constant becomes zeros")
def zeros_where_all_is_constant(tiles):
    if tiles.std() == 0:
        return np.zeros(tiles.shape)
    return (tiles - tiles.mean((1, 2), keepdims=True)) / tiles.std((1, 2), keepdims=True)


@right("01.3")
def in_float32(tiles):
    x = tiles.astype(np.float32)
    x -= x.mean((1, 2), keepdims=True)
    std = x.std((1, 2), keepdims=True)
    return np.divide(x, std, out=np.zeros_like(x), where=std > 0)


@right("01.3")
def loops_and_a_small_number(tiles):
    out = []
    for tile in tiles:
        channels = [(tile[..., c] - tile[..., c].mean()) / (tile[..., c].std() + 1e-8) for c in range(3)]
        out.append(np.dstack(channels))
    return out


@right("01.3")
def z_scores(tiles):
    with np.errstate(all="ignore"):
        return np.nan_to_num(stats.zscore(tiles.astype(float).reshape(len(tiles), -1, 3), axis=1)).reshape(tiles.shape)


# 01.4 far_apart(count, length, rng)


def all_permutations(length):
    return np.array(list(itertools.permutations(range(1, length + 1))))


def greedily(distance, exclude=True, sample=None, to=slice(None), draw=lambda rng, n: rng.permutation(n)):
    def far_apart(count, length, rng):
        every = all_permutations(length)
        every = every[draw(rng, len(every))]
        chosen = [every[0]]
        while len(chosen) < count:
            pool = every[rng.choice(len(every), sample)] if sample else every
            score = [np.mean([distance(one, old) for old in chosen[to]]) for one in pool]
            if exclude:
                score = [
                    -1 if any((one == old).all() for old in chosen) else value
                    for one, value in zip(pool, score, strict=True)
                ]
            chosen.append(pool[int(np.argmax(score))])
        return np.array(chosen)

    return far_apart


def hamming(one, other):
    return (one != other).sum()


WRONG += [
    ("01.4", greedily(lambda a, b: np.abs(a - b).sum()), "each next permutation has the largest mean"),
    ("01.4", greedily(lambda a, b: np.linalg.norm(a - b)), "each next permutation has the largest mean"),
    ("01.4", greedily(lambda a, b: (a == b).sum()), "each next permutation has the largest mean"),
    ("01.4", greedily(hamming, exclude=False), "no permutation comes twice"),
    ("01.4", greedily(hamming, sample=3), "no permutation comes twice"),
    ("01.4", greedily(hamming, to=slice(0, 1)), "each next permutation has the largest mean"),
    ("01.4", greedily(hamming, draw=lambda rng, n: np.random.permutation(n)), "random numbers come from the rng given"),
    (
        "01.4",
        lambda count, length, rng: greedily(hamming)(count, length, rng) - 1,
        "each row is a permutation: every number from",
    ),
    (
        "01.4",
        lambda count, length, rng: greedily(hamming)(count, length, rng).T,
        "it returns `count` rows of `length` numbers",
    ),
    (
        "01.4",
        lambda count, length, rng: greedily(hamming)(count + 1, length, rng),
        "it returns `count` rows of `length` numbers",
    ),
    (
        "01.4",
        lambda count, length, rng: np.unique(greedily(hamming)(count, length, rng), axis=0),
        "each next permutation has the largest mean",
    ),
    (
        "01.4",
        lambda count, length, rng: rng.permutation(all_permutations(length))[:count],
        "each next permutation has the largest mean",
    ),
    ("01.4", lambda count, length, rng: all_permutations(length)[:count], "each next permutation has the largest mean"),
    (
        "01.4",
        lambda count, length, rng: [np.roll(np.arange(1, length + 1), i) for i in range(count)],
        "no permutation comes twice",
    ),
]


@right("01.4")
def sums_kept(count, length, rng):
    every = rng.permutation(all_permutations(length)).astype(np.int8)
    total, chosen = np.zeros(len(every)), [0]
    for _ in range(count - 1):
        total += (every != every[chosen[-1]]).sum(1)
        free = total.copy()
        free[chosen] = -np.inf
        chosen.append(int(free.argmax()))
    return every[chosen]


@right("01.4")
def tuples_and_ties_at_random(count, length, rng):
    every = [tuple(one) for one in rng.permutation(all_permutations(length)).tolist()]
    chosen = [every.pop()]
    while len(chosen) < count:
        score = {one: sum(sum(x != y for x, y in zip(one, old, strict=True)) for old in chosen) for one in every}
        ties = [one for one in every if score[one] == max(score.values())]
        chosen.append(ties[rng.integers(len(ties))])
        every.remove(chosen[-1])
    return chosen


# 02.1 share_out(windows, rng)

SPLITS = ["training", "validation", "test"]


def grouped(overlap, deal=None):
    """Components of overlapping windows, dealt to the splits."""

    def share_out(windows, rng):
        group = list(range(len(windows)))
        for i, one in enumerate(windows):
            for j, other in enumerate(windows):
                if overlap(one, other):
                    group = [group[i] if g == group[j] else g for g in group]
        found = list(rng.permutation(sorted(set(group))))
        names = deal(found, rng) if deal else {g: SPLITS[i % 3] for i, g in enumerate(found)}
        return [names[g] for g in group]

    return share_out


def overlapping(a, b):
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[2] and b[1] < a[1] + a[2]


def corner_inside(a, b):
    return b[0] <= a[0] < b[0] + b[2] and b[1] <= a[1] < b[1] + b[2]


WRONG += [
    ("02.1", lambda w, rng: [SPLITS[3 * i // len(w)] for i in range(len(w))], "no pixel serves two splits"),
    ("02.1", lambda w, rng: [SPLITS[i % 3] for i in range(len(w))], "no pixel serves two splits"),
    (
        "02.1",
        grouped(overlapping, lambda found, rng: {g: SPLITS[rng.integers(3)] for g in found}),
        "all three splits are used where the windows",
    ),
    (
        "02.1",
        grouped(overlapping, lambda found, rng: {g: SPLITS[np.random.randint(3)] for g in found}),
        "random numbers come from the rng given",
    ),
    ("02.1", grouped(overlapping, lambda found, rng: {g: i % 3 for i, g in enumerate(found)}), "the splits are"),
    (
        "02.1",
        grouped(overlapping, lambda found, rng: {g: ["train", "val", "test"][g % 3] for g in found}),
        "the splits are",
    ),
    (
        "02.1",
        grouped(overlapping, lambda found, rng: {g: SPLITS[min(i, 1)] for i, g in enumerate(found)}),
        "all three splits are used where the windows",
    ),
    (
        "02.1",
        grouped(lambda a, b: abs(a[0] - b[0]) < a[2] and abs(a[1] - b[1]) < a[2] and a[2] <= b[2]),
        "no pixel serves two splits",
    ),
    ("02.1", grouped(corner_inside), "no pixel serves two splits"),
    (
        "02.1",
        grouped(lambda a, b: math.hypot(a[0] - b[0], a[1] - b[1]) < (a[2] + b[2]) / 2),
        "no pixel serves two splits",
    ),
    (
        "02.1",
        grouped(lambda a, b: abs(a[0] - b[0]) < 34 and abs(a[1] - b[1]) < 34),
        "all three splits are used where the windows",
    ),
    (
        "02.1",
        grouped(lambda a, b: a[0] < b[0] + b[2] and b[0] < a[0] + a[2]),
        "all three splits are used where the windows",
    ),
    ("02.1", grouped(lambda a, b: a[0] == b[0] and a[1] == b[1]), "no pixel serves two splits"),
    (
        "02.1",
        grouped(
            lambda a, b: a[0] <= b[0] + b[2] and b[0] <= a[0] + a[2] and a[1] <= b[1] + b[2] and b[1] <= a[1] + a[2]
        ),
        "all three splits are used where the windows",
    ),  # noqa: E501
    ("02.1", lambda w, rng: grouped(overlapping)(sorted(w), rng), "no pixel serves two splits"),
    ("02.1", lambda w, rng: dict(zip(w, grouped(overlapping)(w, rng), strict=True)), "it returns a list of names"),
    ("02.1", lambda w, rng: grouped(overlapping)(sorted(set(w)), rng), "no pixel serves two splits"),
]


@wrong("02.1", "the inputs stay as they were")
def sorts_the_callers_list(windows, rng):
    windows.sort()
    return grouped(overlapping)(windows, rng)


@wrong("02.1", "the inputs stay as they were")
def empties_the_callers_list(windows, rng):
    kept = []
    while windows:
        kept.append(windows.pop(0))
    return grouped(overlapping)(kept, rng)


@wrong("02.1", "the splits are")
def between_two_splits_none(windows, rng):
    names = [SPLITS[i] for i in rng.integers(0, 3, len(windows))]
    names[:3] = SPLITS
    clash = [any(overlapping(a, b) and m != n for b, n in zip(windows, names)) for a, m in zip(windows, names)]
    return [None if bad else name for bad, name in zip(clash, names)]


@right("02.1")
def by_centres(windows, rng):
    near = lambda a, b: 2 * max(abs(2 * (a[i] - b[i]) + a[2] - b[2]) for i in (0, 1)) < 2 * (a[2] + b[2])  # noqa: E731
    return np.array(grouped(near)(windows, rng))


@right("02.1")
def one_component_each_and_the_rest_to_training(windows, rng):
    deal = lambda found, rng: {g: SPLITS[2 - i] if i < 3 else "training" for i, g in enumerate(found)}  # noqa: E731
    return tuple(grouped(overlapping, deal)(windows, rng))


# 02.2 channel_statistics(batches)


def sums(number=float, square=lambda x: x**2, finish=None, pixels=lambda b: b.shape[0] * b.shape[1] * b.shape[2]):
    def channel_statistics(batches):
        n, one, two = 0, 0, 0
        for batch in batches:
            x = batch.astype(number)
            n = n + pixels(batch)
            one = one + x.sum((0, 1, 2), dtype=number)
            two = two + square(x).sum((0, 1, 2), dtype=number)
        mean = one / n
        return finish(n, mean, two / n) if finish else (mean, np.sqrt(two / n - mean**2))

    return channel_statistics


@wrong("02.2", "a batch that has been read is gone")
def everything_at_once(batches):
    images = np.concatenate(list(batches))
    return images.mean((0, 1, 2)), images.std((0, 1, 2))


@wrong("02.2", "a batch that has been read is gone")
def every_pixel_in_a_list(batches):
    pixels = np.vstack([batch.reshape(-1, 3) for batch in batches])
    return pixels.mean(0), pixels.std(0)


@wrong("02.2", "memory does not grow with the number of")
def copies_of_everything(batches):
    images = np.concatenate([batch.copy() for batch in batches])
    return images.mean((0, 1, 2)), images.std((0, 1, 2))


@wrong("02.2", "memory does not grow with the number of")
def floats_of_everything(batches):
    pixels = np.vstack([batch.reshape(-1, 3).astype(np.float64) for batch in batches])
    return pixels.mean(axis=0), pixels.std(axis=0)


@wrong("02.2", "the std is NumPy's, however the images were")
def the_spread_within_batches_alone(batches):
    n, mean, variance = 0, 0, 0
    for b in batches:
        mean, variance, n = mean + len(b) * b.mean((0, 1, 2)), variance + len(b) * b.var((0, 1, 2)), n + len(b)
    return mean / n, np.sqrt(variance / n)


@wrong("02.2", "the mean is NumPy's, however the images were")
def halfway_to_each_batch(batches):
    mean = std = None
    for b in batches:
        m, s = b.mean((0, 1, 2)), b.std((0, 1, 2))
        mean, std = (m, s) if mean is None else ((mean + m) / 2, (std + s) / 2)
    return mean, std


@wrong("02.2", "it runs without an error")
def without_the_last_batch(batches):
    def all_but_one():
        before = None
        for batch in batches:
            if before is not None:
                yield before
            before = batch.copy()

    return sums()(all_but_one())


WRONG += [
    ("02.2", sums(np.int32), "large images are added up without overflow"),
    ("02.2", sums(np.uint8), "the mean is NumPy's, however the images were"),
    ("02.2", sums(np.int16), "the mean is NumPy's, however the images were"),
    ("02.2", sums(np.float16), "the mean is NumPy's, however the images were"),
    ("02.2", sums(pixels=len), "the mean is NumPy's, however the images were"),
    ("02.2", sums(pixels=lambda b: len(b) * 64 * 64), "the mean is NumPy's, however the images were"),
    ("02.2", sums(pixels=lambda b: b.size), "the mean is NumPy's, however the images were"),
    ("02.2", sums(finish=lambda n, mean, two: (mean, two - mean**2)), "the std is NumPy's, however the images were"),
    (
        "02.2",
        sums(finish=lambda n, mean, two: (mean, np.sqrt((two - mean**2) * n / (n - 1)))),
        "the std is NumPy's, however the images were",
    ),
    (
        "02.2",
        sums(finish=lambda n, mean, two: (mean / 255, np.sqrt(two - mean**2) / 255)),
        "the mean is NumPy's, however the images were",
    ),
    (
        "02.2",
        sums(finish=lambda n, mean, two: (np.sqrt(two - mean**2), mean)),
        "the mean is NumPy's, however the images were",
    ),
    (
        "02.2",
        sums(finish=lambda n, mean, two: (mean[::-1], np.sqrt(two - mean**2)[::-1])),
        "the mean is NumPy's, however the images were",
    ),
    ("02.2", sums(finish=lambda n, mean, two: (mean, np.sqrt(two))), "the std is NumPy's, however the images were"),
    (
        "02.2",
        sums(finish=lambda n, mean, two: (mean.round(), np.sqrt(two - mean**2).round())),
        "the mean is NumPy's, however the images were",
    ),
    ("02.2", lambda batches: sums()([next(iter(batches))]), "the mean is NumPy's, however the images were"),
    (
        "02.2",
        lambda batches: [(b.mean((0, 1, 2)), b.std((0, 1, 2))) for b in batches][-1],
        "the mean is NumPy's, however the images were",
    ),
]
RIGHT += [
    ("02.2", sums(np.float32)),
    ("02.2", sums(np.int64)),
    ("02.2", sums(np.uint64)),
    ("02.2", sums(finish=lambda n, mean, two: np.array([mean, (two - mean**2) ** 0.5]))),
]


@right("02.2")
def histograms(batches):
    counts = np.zeros((3, 256), int)
    for batch in batches:
        for c in range(3):
            counts[c] += np.bincount(batch[..., c].ravel(), minlength=256)
    levels, n = np.arange(256), counts.sum(1)
    mean = counts @ levels / n
    return mean.tolist(), np.sqrt(counts @ levels**2 / n - mean**2).tolist()


@right("02.2")
def pairs_of_moments_in_float32(batches):
    n, mean, squares = 0, np.zeros(3, np.float32), np.zeros(3, np.float32)
    for batch in batches:
        x = batch.reshape(-1, 3).astype(np.float32)
        own = x.mean(0)
        step, both = own - mean, n + len(x)
        squares = squares + ((x - own) ** 2).sum(0) + step**2 * np.float32(n * len(x) / both)
        mean, n = mean + step * np.float32(len(x) / both), both
    return mean, np.sqrt(squares / np.float32(n))


# 02.3 to_caffe(images, mean, std)


def chw(array):
    return np.ascontiguousarray(array.transpose(0, 3, 1, 2), np.float32)


@wrong("02.3", "the inputs stay as they were")
def changes_the_mean(images, mean, std):
    x = images.astype(np.float32)
    mean -= x.mean((0, 1, 2))
    return chw((x - x.mean((0, 1, 2)) - mean) / std)


@wrong("02.3", "its shape is (n, 3, height, width)")
def one_image_alone(images, mean, std):
    return chw((images - mean) / std)[:1]


@wrong("02.3", "the inputs stay as they were")
def writes_into_the_images(images, mean, std):
    x = (images - mean) / std
    images[...] = 0
    return chw(x)


WRONG += [
    ("02.3", lambda i, m, s: chw(i - m), "times std, plus mean: the images"),
    ("02.3", lambda i, m, s: chw(i / s - m), "times std, plus mean: the images"),
    ("02.3", lambda i, m, s: chw((i - m) / s**2), "times std, plus mean: the images"),
    ("02.3", lambda i, m, s: chw((i - m) / (s + 1)), "times std, plus mean: the images"),
    ("02.3", lambda i, m, s: chw((i / 255 - m) / s), "times std, plus mean: the images"),
    ("02.3", lambda i, m, s: chw((i - i.mean((0, 1, 2))) / i.std((0, 1, 2))), "times std, plus mean: the images"),
    ("02.3", lambda i, m, s: chw((i - m[::-1]) / s[::-1]), "times std, plus mean: the images"),
    ("02.3", lambda i, m, s: chw(((i - m) / s)[..., ::-1]), "times std, plus mean: the images"),
    ("02.3", lambda i, m, s: chw(((i - m) / s).transpose(0, 2, 1, 3)), "its shape is (n, 3, height, width)"),
    ("02.3", lambda i, m, s: chw(((i - m) / s).round()), "times std, plus mean: the images"),
    ("02.3", lambda i, m, s: chw(((i - m) / s).clip(-1, 1)), "times std, plus mean: the images"),
    ("02.3", lambda i, m, s: chw(((i - m) / s).astype(np.float16)), "times std, plus mean: the images"),
    (
        "02.3",
        lambda i, m, s: np.ascontiguousarray((i - m) / s, np.float32).transpose(0, 3, 1, 2),
        "it is contiguous in memory",
    ),
    ("02.3", lambda i, m, s: ((i - m) / s).transpose(0, 3, 1, 2).astype(np.float32), "it is contiguous in memory"),
    ("02.3", lambda i, m, s: np.asfortranarray(chw((i - m) / s)), "it is contiguous in memory"),
    (
        "02.3",
        lambda i, m, s: np.ascontiguousarray(((i - m) / s).transpose(0, 3, 1, 2), np.float16),
        "its type is float32",
    ),
    ("02.3", lambda i, m, s: list(chw((i - m) / s)), "it returns one array"),
]
RIGHT += [
    ("02.3", lambda i, m, s: chw(i.astype(np.float32) - m.astype(np.float32)) / s[:, None, None].astype(np.float32)),
    ("02.3", lambda i, m, s: np.stack([(i[..., c] - m[c]) / s[c] for c in range(3)], 1).astype(np.float32)),
    ("02.3", lambda i, m, s: np.array(((i - m) / s).transpose(0, 3, 1, 2), np.float32, order="C")),
    ("02.3", lambda i, m, s: np.moveaxis((i - m) / s, -1, 1).astype(np.float32, order="C")),
    ("02.3", lambda i, m, s: np.einsum("nhwc->nchw", (i - m) / s).astype("f4").copy("C")),
]

# 03.1 train(solver, images, labels, batch_size)


def put(solver, batch, names):
    blobs = solver.net.blobs
    blobs["data"].reshape(*batch.shape)
    blobs["label"].reshape(len(names))
    blobs["data"].data[...] = batch
    blobs["label"].data[...] = names


def fed(
    read=lambda net: float(net.blobs["loss"].data),
    batches=lambda images, labels, size: [
        (images[i : i + size], labels[i : i + size]) for i in range(0, len(images), size)
    ],
    done=list,
    before=False,
):
    def train(solver, images, labels, batch_size):
        losses = []
        for batch, names in batches(images, labels, batch_size):
            put(solver, batch, names)
            if before:
                losses.append(read(solver.net))
            solver.step(1)
            if not before:
                losses.append(read(solver.net))
        return done(losses)

    return train


def in_equal_parts(images, labels, size):
    parts = -(-len(images) // size)
    return zip(np.array_split(images, parts), np.array_split(labels, parts), strict=True)


def whole_batches(images, labels, size):
    return [(images[i * size :][:size], labels[i * size :][:size]) for i in range(len(images) // size)]


def one_batch_more(images, labels, size):
    return [(images[i * size :][:size], labels[i * size :][:size]) for i in range(len(images) // size + 1)]


def filled_up(images, labels, size):
    order = [np.arange(i, i + size) % len(images) for i in range(0, len(images), size)]
    return [(images[one], labels[one]) for one in order]


def at_random(images, labels, size):
    order = np.random.default_rng(0).permutation(len(images))
    return [(images[order[i : i + size]], labels[order[i : i + size]]) for i in range(0, len(images), size)]


def first_of_each(images, labels, size):
    return [
        (np.repeat(images[i : i + 1], size, 0)[: len(images) - i], labels[i : i + size])
        for i in range(0, len(images), size)
    ]  # noqa: E501


def of_128(images, labels, size):
    return [(images[i : i + 128], labels[i : i + 128]) for i in range(0, len(images), 128)]


def centred_in_place(images, labels, size):
    images -= images.mean()
    return whole_batches(images, labels, size) + [(images[-(len(images) % size) :], labels[-(len(images) % size) :])]


WRONG += [
    ("03.1", fed(lambda net: net.blobs["loss"].data), "each iteration has a loss of its own"),
    ("03.1", fed(lambda net: net.blobs["loss"].data[...]), "each iteration has a loss of its own"),
    ("03.1", fed(lambda net: np.asarray(net.blobs["loss"].data)), "each iteration has a loss of its own"),
    ("03.1", fed(before=True), "the losses are those of solver.fit"),
    ("03.1", fed(batches=in_equal_parts), "batches are of batch_size, but for the last"),
    ("03.1", fed(batches=whole_batches), "each image is used once, those of the last,"),
    ("03.1", fed(batches=one_batch_more), "it runs without an error"),
    ("03.1", fed(batches=filled_up), "each image is used once, those of the last,"),
    ("03.1", fed(batches=at_random), "images are fed as given, in their order"),
    ("03.1", fed(batches=first_of_each), "images are fed as given, in their order"),
    ("03.1", fed(batches=of_128), "batches are of batch_size, but for the last"),
    ("03.1", fed(batches=centred_in_place), "the inputs stay as they were"),
    ("03.1", fed(batches=lambda i, t, size: [(i / 255, t)]), "batches are of batch_size, but for the last"),
    ("03.1", fed(done=np.mean), "it returns a list"),
    ("03.1", fed(done=lambda losses: losses[-1]), "it returns a list"),
    (
        "03.1",
        fed(done=lambda losses: np.cumsum(losses) / np.arange(1, len(losses) + 1)),
        "the losses are those of solver.fit",
    ),
    ("03.1", fed(done=lambda losses: [round(loss, 2) for loss in losses]), "the losses are those of solver.fit"),
    ("03.1", fed(done=lambda losses: list(enumerate(losses))), "it returns the loss of each of the ten"),
    ("03.1", fed(read=lambda net: int(net.blobs["loss"].data)), "the losses are those of solver.fit"),
    ("03.1", fed(read=lambda net: str(net.blobs["loss"].data)), "it returns the loss of each of the ten"),
]


@wrong("03.1", "each image is used once, those of the last,")
def a_generator(solver, images, labels, batch_size):
    for i in range(0, len(images), batch_size):
        put(solver, images[i : i + batch_size], labels[i : i + batch_size])
        solver.step(1)
        yield float(solver.net.blobs["loss"].data)


@wrong("03.1", "each image is used once, those of the last,")
def no_step(solver, images, labels, batch_size):
    losses = []
    for i in range(0, len(images), batch_size):
        put(solver, images[i : i + batch_size], labels[i : i + batch_size])
        losses.append(float(solver.net.blobs["loss"].data))
    return losses


RIGHT += [
    ("03.1", fed(lambda net: net.blobs["loss"].data.copy())),
    ("03.1", fed(lambda net: net.blobs["loss"].data.item())),
    ("03.1", fed(lambda net: net.blobs["loss"].data + 0)),
    ("03.1", fed(lambda net: net.blobs["loss"].data.tolist())),
    ("03.1", fed(done=tuple)),
    ("03.1", fed(done=np.array)),
]


@right("03.1")
def the_net_is_reshaped(solver, images, labels, batch_size):
    net, losses, start = solver.net, [], 0
    while start < len(images):
        stop = min(start + batch_size, len(images))
        net.blobs["data"].reshape(stop - start, *images.shape[1:])
        net.blobs["label"].reshape(stop - start)
        net.reshape()
        net.blobs["data"].data[:] = images[start:stop]
        net.blobs["label"].data[:] = labels[start:stop]
        solver.step(1)
        losses += [float(net.blobs["loss"].data)]
        start = stop
    return losses


@right("03.1")
def reshaped_where_the_size_differs(solver, images, labels, batch_size):
    data, label = solver.net.blobs["data"], solver.net.blobs["label"]
    losses = []
    for i in range(math.ceil(len(images) / batch_size)):
        batch = images[i * batch_size : (i + 1) * batch_size]
        if data.num != len(batch):
            data.reshape(len(batch), data.channels, data.height, data.width)
            label.reshape(len(batch))
        np.copyto(data.data, batch)
        np.copyto(label.data, labels[i * batch_size : (i + 1) * batch_size])
        solver.step(1)
        losses.append(solver.net.blobs["loss"].data[()])
    return losses


# 03.2 cached(folder, weights, images, compute)


def filed(key, save=np.save, load=np.load, suffix=".npy", again=lambda features, path: features):
    def cached(folder, weights, images, compute):
        path = pathlib.Path(folder) / f"{key(weights, images)}{suffix}"
        if not path.exists():
            features = compute(weights, images)
            save(path, features)
            return again(features, path)
        return load(path)

    return cached


def sha(*parts):
    return hashlib.sha256(
        b"".join(part if isinstance(part, bytes) else str(part).encode() for part in parts)
    ).hexdigest()


def of_bytes(weights, images):
    return sha(images.tobytes(), *(part for name in sorted(weights) for part in (name, weights[name].tobytes())))


def without_names(weights, images):
    return sha(images.tobytes(), *(weight.tobytes() for weight in weights.values()))


def in_the_order_of_the_dictionary(weights, images):
    return sha(
        images.shape,
        images.dtype,
        images.tobytes(),
        *(f"{k} {w.shape} {w.dtype} {w.tobytes()}" for k, w in weights.items()),
    )  # noqa: E501


def all_of_it(weights, images):
    parts = [("images", images), *sorted(weights.items())]
    return sha(*(f"{name!r} {a.shape} {a.dtype} {sha(a.tobytes())} " for name, a in parts))


WRONG += [
    (
        "03.2",
        filed(lambda w, i: hash((i.tobytes(), *((k, w[k].tobytes()) for k in sorted(w))))),
        "another kernel finds the features in the",
    ),
    ("03.2", filed(lambda w, i: hash(of_bytes(w, i))), "another kernel finds the features in the"),
    ("03.2", filed(lambda w, i: sha(str(w), str(i))), "the order of the layers in the dictionary"),
    ("03.2", filed(lambda w, i: sha(repr(i), *map(repr, w.values()))), "the order of the layers in the dictionary"),
    ("03.2", filed(lambda w, i: "_".join(map(str, i.shape))), "a weight that changed, ever so little, is a"),
    ("03.2", filed(lambda w, i: "_".join(w) + f"_{len(i)}"), "the order of the layers in the dictionary"),
    (
        "03.2",
        filed(lambda w, i: zlib.crc32(i[0].tobytes() + b"".join(w[k].tobytes() for k in sorted(w)))),
        "a pixel that changed, ever so little, is a",
    ),
    (
        "03.2",
        filed(lambda w, i: f"{i.mean():.3f}_" + "_".join(f"{w[k].mean():.3f}" for k in sorted(w))),
        "a weight that changed, ever so little, is a",
    ),
    (
        "03.2",
        filed(lambda w, i: sha(i.tobytes(), *(w[k].tobytes()[:64] for k in sorted(w)))),
        "a weight that changed, ever so little, is a",
    ),
    ("03.2", filed(without_names), "the order of the layers in the dictionary"),
    ("03.2", filed(in_the_order_of_the_dictionary), "the order of the layers in the dictionary"),
    (
        "03.2",
        filed(of_bytes),
        "the same numbers in another shape are a miss",
    ),  # arrays of another shape have the same bytes
    (
        "03.2",
        filed(all_of_it, suffix=""),
        "the second time nothing is computed",
    ),  # np.save adds .npy, and the path without it never exists
    (
        "03.2",
        filed(all_of_it, save=lambda path, f: np.save(path, f.astype(np.float16))),
        "the features are those of these weights and",
    ),
    ("03.2", filed(all_of_it, np.savetxt, np.loadtxt, ".txt"), "it runs without an error"),
    ("03.2", filed(all_of_it, save=lambda path, f: path.touch()), "it runs without an error"),
    (
        "03.2",
        filed(all_of_it, np.savez, lambda path: np.load(path), ".npz"),
        "the features have the shape that compute",
    ),
]


ELSEWHERE = tempfile.TemporaryDirectory()


@wrong("03.2", "features are kept in the folder, in a file")
def elsewhere(folder, weights, images, compute):
    path = pathlib.Path(ELSEWHERE.name) / f"{all_of_it(weights, images)}.npy"
    if not path.exists():
        np.save(path, compute(weights, images))
    return np.load(path)


@wrong("03.2", "what is not there is computed, once")
def computed_twice(folder, weights, images, compute):
    path = pathlib.Path(folder) / f"{all_of_it(weights, images)}.npy"
    if not path.exists():
        np.save(path, compute(weights, images))
        return compute(weights, images)
    return np.load(path)


@wrong("03.2", "features are kept in the folder, and nowhere")
def in_memory_and_never_read(folder, weights, images, compute, memory={}):  # noqa: B006
    key = all_of_it(weights, images)
    if key not in memory:
        memory[key] = compute(weights, images)
        np.save(pathlib.Path(folder) / key, memory[key])
    return memory[key]


@wrong("03.2", "features are kept in the folder, in a file")
def without_a_file(folder, weights, images, compute, memory={}):  # noqa: B006
    key = all_of_it(weights, images)
    if key not in memory:
        memory[key] = compute(weights, images)
    return memory[key]


@wrong("03.2", "features are kept in the folder, in a file")
def in_memory_for_each_folder(folder, weights, images, compute, memory={}):  # noqa: B006
    key = folder, all_of_it(weights, images)
    if key not in memory:
        memory[key] = compute(weights, images)
    return memory[key]


@wrong("03.2", "it runs without an error")
def compute_without_weights(folder, weights, images, compute):
    return filed(all_of_it)(folder, weights, images, lambda weights, images: compute(images, weights))


RIGHT += [
    ("03.2", filed(all_of_it)),
    ("03.2", filed(lambda w, i: hashlib.md5(pickle.dumps((sorted(w.items()), i))).hexdigest())),
    (
        "03.2",
        filed(
            all_of_it,
            lambda path, f: path.write_bytes(pickle.dumps(f)),
            lambda path: pickle.loads(path.read_bytes()),
            ".pickle",
        ),
    ),
    ("03.2", filed(all_of_it, lambda path, f: np.savez(path, f=f), lambda path: np.load(path)["f"], ".npz")),
    (
        "03.2",
        filed(
            all_of_it,
            lambda path, f: path.write_text(json.dumps([f.tolist(), str(f.dtype)])),
            lambda path: np.array(*json.loads(path.read_text())),
            ".json",
        ),
    ),
]


@right("03.2")
def a_folder_for_each(folder, weights, images, compute):
    place = pathlib.Path(folder, all_of_it(weights, images)[:16])
    try:
        return np.load(place / "features.npy", mmap_mode="r")
    except FileNotFoundError:
        features = compute(weights, images)
        place.mkdir(parents=True, exist_ok=True)
        np.save(place / "features.npy", features)
        return features


# 03.3 stop(losses, patience, epsilon)


def early(
    better=lambda loss, best, eps: loss < best - eps,
    late=lambda waited, patience: waited > patience,
    start=(math.inf, 0),
    answer=lambda epoch, best: (epoch, best),
    reset=0,
    never=None,
    check_first=False,
):
    def stop(losses, patience, epsilon):
        best, best_epoch = start
        waited = 0
        for epoch, loss in enumerate(losses, 1):
            if check_first and late(waited, patience):
                return answer(epoch, best_epoch)
            if better(loss, best, epsilon):
                best, best_epoch, waited = loss, epoch, reset
            else:
                waited += 1
                if not check_first and late(waited, patience):
                    return answer(epoch, best_epoch)
        return answer(never, best_epoch)

    return stop


WRONG += [
    ("03.3", early(better=lambda loss, best, eps: loss < best * (1 - eps)), "what counts is the best loss that was an"),
    ("03.3", early(better=lambda loss, best, eps: abs(best - loss) > eps), "epochs count from 1, and the best one is"),
    ("03.3", early(better=lambda loss, best, eps: loss < best + eps), "an improvement of just epsilon is none"),
    ("03.3", early(better=lambda loss, best, eps: best - loss >= eps), "a tie is no improvement"),
    ("03.3", early(late=lambda waited, patience: waited > patience + 1), "epochs count from 1, and the best one is"),
    ("03.3", early(late=lambda waited, patience: waited == patience), "epochs count from 1, and the best one is"),
    ("03.3", early(start=(0, 0)), "epochs count from 1, and the best one is"),
    ("03.3", early(start=(1e9, 1)), "where all losses are NaN, the best epoch is"),
    ("03.3", early(start=(math.inf, None)), "where all losses are NaN, the best epoch is"),
    ("03.3", early(start=(10, 0)), "losses may be of any size"),
    ("03.3", early(answer=lambda epoch, best: (best, epoch)), "epochs count from 1, and the best one is"),
    ("03.3", early(answer=lambda epoch, best: (epoch, best - 1)), "epochs count from 1, and the best one is"),
    ("03.3", early(answer=lambda epoch, best: (epoch and epoch + 1, best)), "epochs count from 1, and the best one is"),
    ("03.3", early(reset=1), "epochs count from 1, and the best one is"),
    ("03.3", early(never=0), "a training that the rule does not stop gives"),
    ("03.3", early(never=-1), "a training that the rule does not stop gives"),
    ("03.3", early(check_first=True), "epochs count from 1, and the best one is"),
]


@wrong("03.3", "where all losses are NaN, the best epoch is")
def the_first_is_always_best(losses, patience, epsilon):
    best, best_epoch, waited = losses[0], 1, 0
    for epoch, loss in enumerate(losses[1:], 2):
        if loss < best - epsilon:
            best, best_epoch, waited = loss, epoch, 0
        else:
            waited += 1
        if waited > patience:
            return epoch, best_epoch
    return None, best_epoch


@wrong("03.3", "an improvement of just epsilon is none")
def best_is_the_lowest(losses, patience, epsilon):
    epoch, _ = early()(losses, patience, epsilon)
    return epoch, int(np.argmin(losses[:epoch])) + 1 if len(losses) else 0


@wrong("03.3", "the inputs stay as they were")
def takes_the_losses_away(losses, patience, epsilon):
    seen = []
    while losses:
        seen.append(losses.pop(0))
    return early()(seen, patience, epsilon)


@wrong("03.3", "epochs count from 1, and the best one is")
def rising_losses_count(losses, patience, epsilon):
    best, best_epoch, waited, before = math.inf, 0, 0, math.inf
    for epoch, loss in enumerate(losses, 1):
        if loss < best - epsilon:
            best, best_epoch = loss, epoch
        waited = waited + 1 if loss > before else 0
        before = loss
        if waited > patience:
            return epoch, best_epoch
    return None, best_epoch


@right("03.3")
def since_the_best_epoch(losses, patience, epsilon):
    best, best_epoch = np.inf, 0
    for i in range(len(losses)):
        if losses[i] + epsilon < best:
            best, best_epoch = losses[i], i + 1
        if i + 1 - best_epoch > patience:
            return i + 1, best_epoch
    return None, best_epoch


@right("03.3")
def numpys_numbers(losses, patience, epsilon):
    epoch, best = early()(np.array(losses, dtype=float), patience, epsilon)
    return np.array([epoch, best]) if epoch else [None, np.int64(best)]


# 04.1 transplant(layers, params, names)


def same_shapes(layers, params, name):
    return [a.shape for a in layers[name]] == [a.shape for a in params[name]]


def transplanting(copy_, fits=same_shapes, missing=KeyError, misfit=ValueError):
    def transplant(layers, params, names):
        for name in names:
            if name not in layers or name not in params:
                raise missing(name)
            if not fits(layers, params, name):
                raise misfit(name)
        for name in names:
            copy_(layers, params, name)

    return transplant


def copied(layers, params, name):
    for target, array in zip(params[name], layers[name]):
        target[...] = array


def rebound(layers, params, name):
    for i, array in enumerate(layers[name]):
        params[name][i] = array


def added(layers, params, name):
    for target, array in zip(params[name], layers[name]):
        target += array


def the_other_way(layers, params, name):
    for target, array in zip(params[name], layers[name]):
        array[...] = target


def as_many_numbers(layers, params, name):
    return [a.size for a in layers[name]] == [a.size for a in params[name]]


def reshaped(layers, params, name):
    for target, array in zip(params[name], layers[name]):
        target[...] = array.reshape(target.shape)


def rebound_loop_variable(layers, params, name):
    for target, array in zip(params[name], layers[name]):
        target = array.copy()  # noqa: F841


def moved(layers, params, name):
    copied(layers, params, name)
    del layers[name]


def weights_alone_fit(layers, params, name):
    return layers[name][0].shape == params[name][0].shape


def not_too_few(layers, params, name):
    return len(layers[name]) >= len(params[name]) and all(
        a.shape == b.shape for a, b in zip(layers[name], params[name])
    )


def not_too_many(layers, params, name):
    return len(layers[name]) <= len(params[name]) and all(
        a.shape == b.shape for a, b in zip(layers[name], params[name])
    )


WRONG += [
    ("04.1", transplanting(rebound), "the net itself holds the copied numbers,"),
    ("04.1", transplanting(added), "the net itself holds the copied numbers,"),
    ("04.1", transplanting(the_other_way), "the inputs stay as they were"),
    ("04.1", transplanting(rebound_loop_variable), "the net itself holds the copied numbers,"),
    ("04.1", transplanting(moved), "the inputs stay as they were"),
    ("04.1", transplanting(reshaped, as_many_numbers), "another shape is refused, even one of as"),
    ("04.1", transplanting(copied, weights_alone_fit), "weights without their biases are refused"),
    ("04.1", transplanting(copied, not_too_few), "an array more than the net has is refused"),
    ("04.1", transplanting(copied, not_too_many), "weights without their biases are refused"),
    ("04.1", transplanting(copied, lambda *_: True), "another shape is refused"),
    ("04.1", transplanting(copied, missing=ValueError), "a layer that the weights lack is refused"),
    ("04.1", transplanting(copied, misfit=KeyError), "another shape is refused"),
    ("04.1", transplanting(copied, misfit=AssertionError), "another shape is refused"),
    ("04.1", transplanting(copied, misfit=Exception), "another shape is refused"),
    (
        "04.1",
        transplanting(lambda layers, params, name: params.__setitem__(name, [a.copy() for a in layers[name]])),
        "the net itself holds the copied numbers,",
    ),  # noqa: E501
    (
        "04.1",
        lambda layers, params, names: transplanting(copied)(layers, params, list(layers)),
        "a layer that the weights lack is refused",
    ),
    (
        "04.1",
        lambda layers, params, names: transplanting(copied)(layers, params, names[:-1]),
        "a layer that the weights lack is refused",
    ),
]


@wrong("04.1", "where something is refused, nothing has been")
def zip_strict_while_it_copies(layers, params, names):
    for name in names:
        if name not in layers or name not in params:
            raise KeyError(name)
    for name in names:
        for target, array in zip(params[name], layers[name], strict=True):
            if target.shape != array.shape:
                raise ValueError(name)
            target[...] = array


@wrong("04.1", "where something is refused, nothing has been")
def backup_of_references(layers, params, names):
    before = {name: list(arrays) for name, arrays in params.items()}
    try:
        for name in names:
            if len(layers[name]) != len(params[name]):
                raise ValueError(name)
            for target, array in zip(params[name], layers[name]):
                if target.shape != array.shape:
                    raise ValueError(name)
                target[...] = array
    except (KeyError, ValueError):
        params.update(before)
        raise


@wrong("04.1", "where something is refused, nothing has been")
def keys_are_looked_up_too_late(layers, params, names):
    for name in names:
        if name in layers and name in params and not same_shapes(layers, params, name):
            raise ValueError(name)
    for name in names:
        copied(layers, params, name)


RIGHT += [
    ("04.1", transplanting(lambda layers, params, name: [np.copyto(b, a) for a, b in zip(layers[name], params[name])])),
    (
        "04.1",
        transplanting(
            lambda layers, params, name: [b.__setitem__(slice(None), a) for a, b in zip(layers[name], params[name])]
        ),
    ),  # noqa: E501
    (
        "04.1",
        transplanting(
            lambda layers, params, name: [
                b.flat.__setitem__(slice(None), a.ravel()) for a, b in zip(layers[name], params[name])
            ]
        ),
    ),  # noqa: E501
]


@right("04.1")
def pairs_first(layers, params, names):
    pairs = [pair for name in names for pair in zip(params[name], layers[name], strict=True)]
    if any(target.shape != array.shape for target, array in pairs):
        raise ValueError("shapes differ")
    for target, array in pairs:
        target[:] = array


# 04.2 choose_rate(rates, first_epoch, before)


def tried(choose):
    def choose_rate(rates, first_epoch, before):
        return choose([(first_epoch(rate), rate) for rate in rates], before)

    return choose_rate


def lowest(found, fits=lambda loss: True, default=None, key=None):
    return min(((loss, rate) for loss, rate in found if fits(loss)), key=key, default=(default, default))[1]


def zero_is_none(found, before):
    best_loss = best = None
    for loss, rate in found:
        if loss <= before and (not best_loss or loss < best_loss):
            best_loss, best = loss, rate
    return best


def by_position(found, before):
    losses = np.array([loss for loss, _ in found])
    best = int(np.argmin(losses))
    return found[best][1] if losses[best] <= before else None


def nan_to_num(found, before):
    losses = np.nan_to_num([loss for loss, _ in found])
    best = int(np.argmin(losses))
    return found[best][1] if losses[best] <= before else None


def nanargmin(found, before):
    losses = np.array([loss for loss, _ in found])
    best = int(np.nanargmin(losses))
    return found[best][1] if losses[best] <= before else None


WRONG += [
    ("04.2", tried(zero_is_none), "of those the lowest validation loss is"),
    ("04.2", tried(by_position), "one of the rates is chosen where one keeps"),
    ("04.2", tried(nan_to_num), "epoch 1 is no worse than epoch 0"),
    ("04.2", tried(nanargmin), "it runs without an error"),
    (
        "04.2",
        tried(lambda found, before: min(found)[1] if min(found)[0] <= before else None),
        "one of the rates is chosen where one keeps",
    ),
    (
        "04.2",
        tried(lambda found, before: lowest(found, lambda loss: loss <= before, found[0][1])),
        "where every rate makes it worse than epoch",
    ),
    (
        "04.2",
        tried(lambda found, before: lowest(found, lambda loss: loss <= before, 0)),
        "where every rate makes it worse than epoch",
    ),
    (
        "04.2",
        tried(lambda found, before: lowest(found, lambda loss: loss <= before * 1.1)),
        "where every rate makes it worse than epoch",
    ),
    (
        "04.2",
        tried(lambda found, before: lowest(found, lambda loss: loss < before)),
        "one of the rates is chosen where one keeps",
    ),
    (
        "04.2",
        tried(lambda found, before: lowest(found, lambda loss: not math.isnan(loss))),
        "where every rate makes it worse than epoch",
    ),
    (
        "04.2",
        tried(lambda found, before: lowest(found, lambda loss: loss <= before, key=lambda one: one[1])),
        "of those the lowest validation loss is",
    ),
    (
        "04.2",
        tried(lambda found, before: lowest(found, lambda loss: loss <= before, key=lambda one: -one[1])),
        "of those the lowest validation loss is",
    ),
    (
        "04.2",
        tried(lambda found, before: lowest(found, lambda loss: loss <= before, key=lambda one: round(one[0]))),
        "of those the lowest validation loss is",
    ),  # noqa: E501
    (
        "04.2",
        tried(lambda found, before: min((loss for loss, _ in found if loss <= before), default=None)),
        "one of the rates is chosen where one keeps",
    ),
    (
        "04.2",
        tried(
            lambda found, before: (
                [r for _, r in found].index(lowest(found, lambda loss: loss <= before))
                if lowest(found, lambda loss: loss <= before)
                else None
            )
        ),
        "one of the rates is chosen where one keeps",
    ),  # noqa: E501
]


@wrong("04.2", "each rate is tried, and once: a training")
def stops_where_it_gets_worse(rates, first_epoch, before):
    best_loss, best = before, None
    for rate in sorted(rates):
        loss = first_epoch(rate)
        if not loss <= best_loss:
            break
        best_loss, best = loss, rate
    return best


@wrong("04.2", "the inputs stay as they were")
def sorts_the_rates(rates, first_epoch, before):
    rates.sort()
    return tried(lambda found, before: lowest(found, lambda loss: loss <= before))(rates, first_epoch, before)


@wrong("04.2", "the inputs stay as they were")
def removes_what_is_bad(rates, first_epoch, before):
    losses = {rate: first_epoch(rate) for rate in rates}
    for rate, loss in losses.items():
        if not loss <= before:
            rates.remove(rate)
    return min(rates, key=losses.get, default=None)


@wrong("04.2", "each rate is tried, and once: a training")
def the_chosen_one_is_run_again(rates, first_epoch, before):
    best = min(rates, key=lambda rate: math.inf if math.isnan(loss := first_epoch(rate)) else loss)
    return best if first_epoch(best) <= before else None


@right("04.2")
def with_arrays(rates, first_epoch, before):
    losses = np.array([first_epoch(rate) for rate in rates])
    losses[~(losses <= before)] = np.inf
    return rates[losses.argmin()] if np.isfinite(losses).any() else None


@right("04.2")
def a_running_best(rates, first_epoch, before):
    best, lowest_so_far = None, before
    for rate in rates:
        loss = first_epoch(rate)
        if math.isnan(loss) or loss > lowest_so_far or (best is not None and loss == lowest_so_far):
            continue
        best, lowest_so_far = rate, loss
    return best


@right("04.2")
def from_a_generator(rates, first_epoch, before):
    return min(((loss, r) for r in rates if (loss := first_epoch(r)) <= before), default=(None, None))[1]


# 04.3 paired_interval(right_a, right_b, block, rng)


def resampled(
    draws=1000,
    q=(2.5, 97.5),
    difference=lambda a, b: a.astype(float) - b,
    mean=lambda d, groups: d[np.concatenate(groups)].mean(),
    draw=lambda rng, n: rng.integers(0, n, n),
    end=lambda low, high: (low, high),
):
    def paired_interval(right_a, right_b, block, rng):
        d = difference(right_a, right_b)
        groups = [np.flatnonzero(block == name) for name in np.unique(block)]
        means = [mean(d, [groups[i] for i in draw(rng, len(groups))]) for _ in range(draws)]
        return end(*np.percentile(means, q))

    return paired_interval


def without_repetition(d, groups):
    return d[np.unique(np.concatenate(groups))].mean()


WRONG += [
    ("04.3", resampled(q=(5, 95)), "95 % of the draws lie between low and high"),
    ("04.3", resampled(q=(7.5, 92.5)), "95 % of the draws lie between low and high"),
    ("04.3", resampled(q=(0.5, 99.5)), "95 % of the draws lie between low and high"),
    ("04.3", resampled(q=(0.025, 0.975)), "the draw is of whole blocks"),
    ("04.3", resampled(q=(0.025, 97.5)), "95 % of the draws lie between low and high"),
    ("04.3", resampled(q=(25, 75)), "95 % of the draws lie between low and high"),
    ("04.3", resampled(q=(0, 100)), "95 % of the draws lie between low and high"),
    ("04.3", resampled(q=(97.5, 2.5)), "low is not above high"),
    ("04.3", resampled(draws=50), "95 % of the draws lie between low and high"),
    ("04.3", resampled(draws=10), "95 % of the draws lie between low and high"),
    ("04.3", resampled(draws=100), "a thousand draws settle where the ends are"),
    ("04.3", resampled(difference=lambda a, b: a - b), "it runs without an error"),
    ("04.3", resampled(difference=lambda a, b: a.astype(np.uint8) - b.astype(np.uint8)), "the draw is of whole blocks"),
    ("04.3", resampled(difference=lambda a, b: a != b), "the draw is of whole blocks"),
    ("04.3", resampled(difference=lambda a, b: a ^ b), "the draw is of whole blocks"),
    ("04.3", resampled(mean=without_repetition), "95 % of the draws lie between low and high"),
    (
        "04.3",
        resampled(mean=lambda d, groups: np.mean([d[g].mean() for g in groups])),
        "each image counts alike, those of a large",
    ),
    (
        "04.3",
        resampled(mean=lambda d, groups: np.median([d[g].mean() for g in groups])),
        "each image counts alike, those of a large",
    ),
    (
        "04.3",
        resampled(mean=lambda d, groups: sum(d[g].sum() for g in groups) / len(groups)),
        "a network that is right everywhere is 1",
    ),
    (
        "04.3",
        resampled(mean=lambda d, groups: np.mean([d[g[0]] for g in groups])),
        "each image counts alike, those of a large",
    ),
    ("04.3", resampled(draw=lambda rng, n: rng.permutation(n)), "the draw is of whole blocks"),
    ("04.3", resampled(draw=lambda rng, n: rng.integers(0, n, n // 2)), "95 % of the draws lie between low and high"),
    ("04.3", resampled(draw=lambda rng, n: rng.integers(0, n, 4 * n)), "the draw is of whole blocks"),
    ("04.3", resampled(draw=lambda rng, n: rng.integers(0, n - 1, n)), "the draw is of whole blocks"),
    ("04.3", resampled(draw=lambda rng, n: np.random.randint(0, n, n)), "random numbers come from the rng given"),
    ("04.3", resampled(draw=lambda rng, n: np.random.default_rng(0).integers(0, n, n)), "the draw is of whole blocks"),
    ("04.3", resampled(end=lambda low, high: (100 * low, 100 * high)), "a network that is right everywhere is 1"),
    ("04.3", resampled(end=lambda low, high: ((low + high) / 2, (high - low) / 2)), "low is not above high"),
    ("04.3", resampled(end=lambda low, high: (high, low)), "low is not above high"),
]


@wrong("04.3", "the draw is of whole blocks")
def two_standard_errors_of_the_images(right_a, right_b, block, rng):
    d = right_a.astype(float) - right_b
    half = 1.96 * d.std(ddof=1) / len(d) ** 0.5
    return d.mean() - half, d.mean() + half


@wrong("04.3", "the draw is of whole blocks")
def blocks_by_position(right_a, right_b, block, rng):
    d = right_a.astype(float) - right_b
    parts = np.array_split(d, len(np.unique(block)))
    means = [np.concatenate([parts[i] for i in rng.integers(0, len(parts), len(parts))]).mean() for _ in range(1000)]
    return np.percentile(means, [2.5, 97.5])


@right("04.3")
def sums_of_blocks(right_a, right_b, block, rng):
    _, index, sizes = np.unique(block, return_inverse=True, return_counts=True)
    totals = np.bincount(index, right_a * 1.0 - right_b)
    drawn = rng.choice(len(sizes), (1000, len(sizes)))
    return tuple(np.quantile(totals[drawn].sum(1) / sizes[drawn].sum(1), [0.025, 0.975]))


@right("04.3")
def weights_of_a_multinomial(right_a, right_b, block, rng):
    names = np.unique(block)
    inside = (block == names[:, None]).astype(np.float32)
    d = right_a.astype(np.float32) - right_b.astype(np.float32)
    times = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), 1000).astype(np.float32)
    means = np.sort(times @ (inside @ d) / (times @ inside.sum(1)))
    return [means[24], means[974]]


RIGHT += [("04.3", resampled()), ("04.3", resampled(draws=2000))]

# 05.1 smoothness(weights, lag)


def alike(
    centre=lambda w: w - w.mean((1, 2, 3), keepdims=True),
    spread=lambda w: w.var((1, 2, 3)),
    one=lambda w, lag: (w[:, :, lag:] * w[:, :, :-lag]).mean((1, 2, 3)),
    other=lambda w, lag: (w[..., lag:] * w[..., :-lag]).mean((1, 2, 3)),
    join=lambda one, other: (one + other) / 2,
):
    def smoothness(weights, lag):
        w = centre(weights)
        return join(one(w, lag), other(w, lag)) / spread(w)

    return smoothness


def rolled(axis):
    return lambda w, lag: (w * np.roll(w, lag, axis)).mean((1, 2, 3))


def correlation(w, lag):
    a, b = w[..., lag:].reshape(len(w), -1), w[..., :-lag].reshape(len(w), -1)
    return np.array([np.corrcoef(x, y)[0, 1] for x, y in zip(a, b, strict=True)])


def removes_in_place(weights, lag):
    weights -= weights.mean((1, 2, 3), keepdims=True)
    return n05_filters.smoothness(weights, lag)


def over_the_whole_area(axis):
    def product(w, lag):
        return (w.swapaxes(axis, 3)[..., lag:] * w.swapaxes(axis, 3)[..., :-lag]).sum((1, 2, 3)) / w[0].size

    return product


WRONG += [
    ("05.1", alike(centre=lambda w: w), "a constant added to a filter changes nothing"),
    ("05.1", alike(centre=lambda w: w - w.mean()), "each filter is measured by itself"),
    ("05.1", alike(centre=lambda w: w - w.mean((2, 3), keepdims=True)), "it is the mean product of weights `lag`"),
    ("05.1", alike(centre=lambda w: w - w.mean(0)), "each filter is measured by itself"),
    ("05.1", alike(spread=lambda w: w.std((1, 2, 3))), "a filter twice as strong is as smooth"),
    ("05.1", alike(spread=lambda w: w.var()), "each filter is measured by itself"),
    ("05.1", alike(spread=lambda w: w.var((1, 2, 3), ddof=1)), "it is the mean product of weights `lag`"),
    ("05.1", alike(spread=lambda w: (w**2).sum((1, 2, 3))), "it is the mean product of weights `lag`"),
    ("05.1", alike(join=lambda one, other: one), "rows and columns count alike"),
    ("05.1", alike(join=lambda one, other: other), "rows and columns count alike"),
    ("05.1", alike(join=lambda one, other: one + other), "it is the mean product of weights `lag`"),
    ("05.1", alike(join=np.maximum), "opposite across and equal down average out"),
    ("05.1", alike(join=lambda one, other: np.sqrt(np.abs(one * other))), "opposite across and equal down average out"),
    ("05.1", alike(one=rolled(2), other=rolled(3)), "it is the mean product of weights `lag`"),
    (
        "05.1",
        alike(one=over_the_whole_area(2), other=over_the_whole_area(3)),
        "it is the mean product of weights `lag`",
    ),
    (
        "05.1",
        alike(
            one=lambda w, lag: (w[:, :, 1:] * w[:, :, :-1]).mean((1, 2, 3)),
            other=lambda w, lag: (w[..., 1:] * w[..., :-1]).mean((1, 2, 3)),
        ),
        "opposite across and equal down average out",
    ),  # noqa: E501
    (
        "05.1",
        lambda w, lag: (w[..., lag:, lag:] * w[..., :-lag, :-lag]).mean((1, 2, 3)) / w.var((1, 2, 3)),
        "a constant added to a filter changes nothing",
    ),
    (
        "05.1",
        lambda w, lag: 1 - np.abs(w[..., lag:] - w[..., :-lag]).mean((1, 2, 3)) / w.std((1, 2, 3)),
        "rows and columns count alike",
    ),
    ("05.1", lambda w, lag: alike(spread=lambda w: 1)(w, lag), "a filter twice as strong is as smooth"),
    ("05.1", lambda w, lag: np.round(alike()(w, lag), 2), "it is the mean product of weights `lag`"),
    ("05.1", lambda w, lag: alike()(w.sum(1, keepdims=True), lag), "it is the mean product of weights `lag`"),
    ("05.1", lambda w, lag: alike()(w[:, :1], lag), "it is the mean product of weights `lag`"),
    (
        "05.1",
        lambda w, lag: np.mean([alike()(w[:, [c]], lag) for c in range(w.shape[1])], axis=0),
        "it is the mean product of weights `lag`",
    ),
    ("05.1", correlation, "rows and columns count alike"),
    ("05.1", removes_in_place, "the inputs stay as they were"),
]


@right("05.1")
def loops_over_filters(weights, lag):
    out = []
    for f in weights:
        f = f.astype(np.float64) - np.mean(f)
        products = [(f[:, :-lag] * f[:, lag:]).ravel(), (f[:, :, :-lag] * f[:, :, lag:]).ravel()]
        out.append(np.concatenate(products).mean() / (f**2).mean())
    return out


@right("05.1")
def with_einsum(weights, lag):
    w = weights - weights.mean(axis=(1, 2, 3))[:, None, None, None]
    n = w[0, :, :, lag:].size
    down = np.einsum("fchw,fchw->f", w[:, :, lag:], w[:, :, :-lag]) / n
    across = np.einsum("fchw,fchw->f", w[..., lag:], w[..., :-lag]) / n
    return 0.5 * (down + across) / np.square(w).mean((1, 2, 3))


RIGHT += [("05.1", lambda w, lag: alike()(w.astype(np.float32), lag))]

# 05.2 how_far(before, after)


def moved_by(length, share=lambda way, before, after, length: way / length(before)):
    def how_far(before, after):
        way = length(after - before)
        return way, share(way, before, after, length)

    return how_far


norm = np.linalg.norm


def in_place(before, after):
    after -= before
    return norm(after), norm(after) / norm(before)


WRONG += [
    ("05.2", moved_by(lambda x: np.sqrt((x**2).mean())), "the way is the Euclidean length"),
    ("05.2", moved_by(lambda x: np.abs(x).sum()), "the way is the Euclidean length"),
    ("05.2", moved_by(lambda x: np.abs(x).max()), "the way is the Euclidean length"),
    ("05.2", moved_by(lambda x: (x**2).sum()), "weights twice as large go twice as far"),
    ("05.2", moved_by(lambda x: np.sqrt(x.sum() ** 2)), "the way is the Euclidean length"),
    ("05.2", moved_by(lambda x: norm(x.reshape(len(x), -1), 2)), "the way is the Euclidean length"),
    ("05.2", moved_by(lambda x: norm(x.reshape(len(x), -1), axis=1).mean()), "the way is the Euclidean length"),
    ("05.2", moved_by(lambda x: norm(x.reshape(len(x), -1), axis=1)), "it returns two numbers: the way and the"),
    ("05.2", moved_by(lambda x: x.std()), "the way is the Euclidean length"),
    ("05.2", moved_by(lambda x: norm(x - x.mean())), "the way is the Euclidean length"),
    ("05.2", moved_by(norm, lambda way, b, a, length: way / norm(a)), "weights that tripled have moved by twice"),
    ("05.2", moved_by(norm, lambda way, b, a, length: 100 * way / norm(b)), "weights that tripled have moved by twice"),
    (
        "05.2",
        moved_by(norm, lambda way, b, a, length: way / (norm(b) + 1)),
        "the share does not depend on how large the",
    ),
    (
        "05.2",
        moved_by(norm, lambda way, b, a, length: (way / norm(b)) ** 2),
        "weights that tripled have moved by twice",
    ),
    (
        "05.2",
        moved_by(norm, lambda way, b, a, length: np.mean(np.abs(a - b) / np.abs(b))),
        "the share is that length over the length",
    ),
    (
        "05.2",
        moved_by(norm, lambda way, b, a, length: 1 - (a * b).sum() / norm(a) / norm(b)),
        "weights that tripled have moved by twice",
    ),
    ("05.2", moved_by(norm, lambda way, b, a, length: norm(b) / way), "weights that stayed have moved by 0, by both"),
    (
        "05.2",
        moved_by(norm, lambda way, b, a, length: min(way / norm(b), 1)),
        "weights that tripled have moved by twice",
    ),
    (
        "05.2",
        moved_by(norm, lambda way, b, a, length: way / np.abs(b).sum()),
        "weights that tripled have moved by twice",
    ),
    (
        "05.2",
        lambda b, a: (abs(norm(a) - norm(b)), abs(norm(a) - norm(b)) / norm(b)),
        "the way is the Euclidean length",
    ),
    ("05.2", lambda b, a: (norm(a - b) / norm(b), norm(a - b)), "weights twice as large go twice as far"),
    ("05.2", lambda b, a: norm(a - b) / norm(b), "it returns two numbers: the way and the"),
    ("05.2", in_place, "the inputs stay as they were"),
]
RIGHT += [
    ("05.2", lambda b, a: [math.dist(a.ravel(), b.ravel()), math.dist(a.ravel(), b.ravel()) / math.hypot(*b.ravel())]),
    ("05.2", lambda b, a: np.sqrt(np.sum((a - b) ** 2)) * np.array([1, 1 / np.sqrt(np.sum(b**2))])),
    ("05.2", lambda b, a: (((a - b) ** 2).sum() ** 0.5, (((a - b) ** 2).sum() / (b**2).sum()) ** 0.5)),
    ("05.2", lambda b, a: (norm((a - b).astype("f4")), norm((a - b).astype("f4")) / norm(b.astype("f4")))),
]

# 05.3 sees(layers, unit)


def jumped(
    start=lambda jump, pad: -jump * pad,
    size=lambda jump, kernel: (kernel - 1) * jump,
    answer=lambda first, size: (first, first + size),
):
    def sees(layers, unit):
        jump, first, width = 1, 0, 0
        for kernel, stride, pad in layers:
            first += start(jump, pad)
            width += size(jump, kernel)
            jump *= stride
        return answer(first + unit * jump, width)

    return sees


@wrong("05.3", "the inputs stay as they were")
def reverses_the_callers_list(layers, unit):
    layers.reverse()
    first = last = unit
    for kernel, stride, pad in layers:
        first, last = first * stride - pad, last * stride - pad + kernel - 1
    return first, last


@wrong("05.3", "the inputs stay as they were")
def pops_the_callers_list(layers, unit):
    first = last = unit
    while layers:
        kernel, stride, pad = layers.pop()
        first, last = first * stride - pad, last * stride - pad + kernel - 1
    return first, last


@wrong("05.3", "the last row is one that the unit sees")
def the_stride_counts_before_the_kernel(layers, unit):
    jump, first, width = 1, 0, 0
    for kernel, stride, pad in layers:
        jump *= stride
        first, width = first - jump * pad, width + (kernel - 1) * jump
    return first + unit * jump, first + unit * jump + width


@wrong("05.3", "pixels outside change nothing")
def stride_before_kernel(layers, unit):
    return jumped()([(kernel, stride, pad) for stride, kernel, pad in layers], unit)


@wrong("05.3", "the last row is one that the unit sees")
def edges_of_a_unit(layers, unit):
    first, last = unit, unit
    for kernel, stride, pad in reversed(layers):
        first, last = first * stride - pad, (last + 1) * stride - pad + kernel - 1
    return first, last


WRONG += [
    ("05.3", jumped(start=lambda jump, pad: 0), "the last row is one that the unit sees"),
    ("05.3", jumped(start=lambda jump, pad: -pad), "the last row is one that the unit sees"),
    ("05.3", jumped(size=lambda jump, kernel: kernel - 1), "pixels outside change nothing"),
    ("05.3", jumped(size=lambda jump, kernel: kernel * jump), "the last row is one that the unit sees"),
    ("05.3", jumped(answer=lambda first, size: (first, size + 1)), "the last row is one that the unit sees"),
    ("05.3", jumped(answer=lambda first, size: (first, first + size + 1)), "the last row is one that the unit sees"),
    ("05.3", jumped(answer=lambda first, size: (first + size, first)), "pixels outside change nothing"),
    (
        "05.3",
        jumped(answer=lambda first, size: (max(first, 0), first + size)),
        "where padding is, the rows go on outside of",
    ),
    ("05.3", jumped(answer=lambda first, size: (first + size / 2, size)), "pixels outside change nothing"),
    (
        "05.3",
        jumped(answer=lambda first, size: range(first, first + size + 1)),
        "it returns the first and the last row",
    ),
    ("05.3", lambda layers, unit: jumped()(layers, unit - 1), "pixels outside change nothing"),
    ("05.3", lambda layers, unit: jumped()(layers, 0), "pixels outside change nothing"),
    ("05.3", lambda layers, unit: jumped()(layers[:1], unit), "pixels outside change nothing"),
    ("05.3", lambda layers, unit: jumped()(layers[-1:], unit), "pixels outside change nothing"),
    (
        "05.3",
        lambda layers, unit: jumped()([one for one in layers if one[1] == 1], unit),
        "pixels outside change nothing",
    ),
]


@right("05.3")
def sets_of_rows(layers, unit):
    rows = {unit}
    for kernel, stride, pad in layers[::-1]:
        rows = {row * stride - pad + k for row in rows for k in range(kernel)}
    return min(rows), max(rows)


@right("05.3")
def recursion(layers, unit):
    if not layers:
        return [unit, unit]
    kernel, stride, pad = layers[-1]
    return [recursion(layers[:-1], unit * stride - pad)[0], recursion(layers[:-1], unit * stride - pad + kernel - 1)[1]]


RIGHT += [("05.3", jumped()), ("05.3", lambda layers, unit: np.array(jumped()(layers, unit)))]

# 06.1 count(net, shapes)


def counted(
    convolution=lambda spec, channels: spec.num_output * (channels // spec.group) * spec.kernel_size[0] ** 2,
    product=lambda spec, shape: spec.num_output * math.prod(shape[1:]),
    bias=lambda layer, spec: spec.num_output if spec.bias_term else 0,
    skip=lambda layer, seen: bool(layer.param) and layer.param[0].name != "" and layer.param[0].name in seen,
    note=lambda layer: {layer.param[0].name} if layer.param else set(),
    types=("Convolution", "InnerProduct"),
):
    def count(net, shapes):
        total, seen = 0, set()
        for layer in net.layer:
            if layer.type not in types or skip(layer, seen):
                continue
            seen |= note(layer)
            shape = shapes[layer.bottom[0]]
            if layer.type == "Convolution":
                spec = layer.convolution_param
                total += convolution(spec, shape[1]) + bias(layer, spec)
            else:
                spec = layer.inner_product_param
                total += product(spec, shape) + bias(layer, spec)
        return total

    return count


@wrong("06.1", "weights that two layers share are counted")
def only_the_layer_before_is_compared(net, shapes):
    total, before = 0, None
    for layer in net.layer:
        name = layer.param[0].name if layer.param else None
        if name and name == before:
            continue
        before = name
        one = type(net)()
        one.layer.add().CopyFrom(layer)
        total += counted()(one, shapes)
    return total


@wrong("06.1", "the inputs stay as they were")
def shared_layers_are_deleted(net, shapes):
    seen = set()
    for layer in list(net.layer):
        if layer.param and layer.param[0].name:
            if layer.param[0].name in seen:
                net.layer.remove(layer)
            seen.add(layer.param[0].name)
    return counted()(net, shapes)


@wrong("06.1", "a convolution has num_output filters of")
def always_the_data(net, shapes):
    return counted()(net, {name: next(iter(shapes.values())) for name in shapes})


WRONG += [
    (
        "06.1",
        counted(lambda spec, c: spec.num_output * c // spec.group * spec.kernel_size[0]),
        "a convolution has num_output filters of",
    ),
    (
        "06.1",
        counted(lambda spec, c: spec.num_output * c * spec.group * spec.kernel_size[0] ** 2),
        "with groups a filter sees a part of the",
    ),
    (
        "06.1",
        counted(lambda spec, c: spec.num_output * c * spec.kernel_size[0] ** 2),
        "with groups a filter sees a part of the",
    ),
    (
        "06.1",
        counted(lambda spec, c: spec.num_output * 3 * spec.kernel_size[0] ** 2),
        "a convolution has num_output filters of",
    ),
    (
        "06.1",
        counted(lambda spec, c: spec.num_output // spec.group * (c // spec.group) * spec.kernel_size[0] ** 2),
        "with groups a filter sees a part of the",
    ),  # noqa: E501
    (
        "06.1",
        counted(lambda spec, c: spec.num_output * (c // spec.group * spec.kernel_size[0] ** 2 + 1)),
        "a convolution has num_output filters of",
    ),
    (
        "06.1",
        counted(product=lambda spec, shape: spec.num_output * math.prod(shape)),
        "an inner product has a weight per output and",
    ),
    (
        "06.1",
        counted(product=lambda spec, shape: spec.num_output * shape[1]),
        "an inner product has a weight per output and",
    ),
    (
        "06.1",
        counted(product=lambda spec, shape: spec.num_output * shape[-1]),
        "an inner product has a weight per output and",
    ),
    (
        "06.1",
        counted(product=lambda spec, shape: spec.num_output * shape[1] * shape[-1]),
        "an inner product has a weight per output and",
    ),
    ("06.1", counted(product=lambda spec, shape: 0), "an inner product has a weight per output and"),
    ("06.1", counted(bias=lambda layer, spec: 1), "a convolution has num_output filters of"),
    ("06.1", counted(bias=lambda layer, spec: 0), "a convolution has num_output filters of"),
    ("06.1", counted(bias=lambda layer, spec: spec.num_output), "without bias_term there is no bias"),
    (
        "06.1",
        counted(bias=lambda layer, spec: spec.num_output * getattr(spec, "group", 1) * spec.bias_term),
        "with groups a filter sees a part of the",
    ),
    (
        "06.1",
        counted(bias=lambda layer, spec: spec.num_output * spec.bias_term * (layer.type == "Convolution")),
        "an inner product has a weight per output and",
    ),
    ("06.1", counted(skip=lambda layer, seen: False), "weights that two layers share are counted"),
    (
        "06.1",
        counted(skip=lambda layer, seen: bool(layer.param) and layer.param[0].name != ""),
        "weights that two layers share are counted",
    ),
    (
        "06.1",
        counted(skip=lambda layer, seen: bool(layer.param) and layer.param[0].name in seen),
        "a parameter without a name is shared by no",
    ),
    (
        "06.1",
        counted(skip=lambda layer, seen: layer.name in seen, note=lambda layer: {layer.name}),
        "weights that two layers share are counted",
    ),
    ("06.1", counted(skip=lambda layer, seen: len(layer.param) > 0), "weights that two layers share are counted"),
    ("06.1", counted(types=("Convolution",)), "an inner product has a weight per output and"),
    ("06.1", counted(types=("InnerProduct",)), "a convolution has num_output filters of"),
    ("06.1", lambda net, shapes: 4 * counted()(net, shapes), "a convolution has num_output filters of"),
    ("06.1", lambda net, shapes: counted()(net, shapes) / 1e6, "a convolution has num_output filters of"),
]
RIGHT += [
    ("06.1", counted()),
    ("06.1", counted(lambda spec, c: spec.num_output * c * spec.kernel_size[0] ** 2 / spec.group)),
    ("06.1", counted(product=lambda spec, shape: spec.num_output * np.prod(shape[1:]))),
]


@right("06.1")
def a_dictionary_of_parameters(net, shapes):
    sizes = {}
    for i, layer in enumerate(net.layer):
        key = (layer.param[0].name if len(layer.param) else "") or i
        channels, *area = shapes[layer.bottom[0]][1:] if layer.bottom else (0,)
        if layer.type == "Convolution":
            p = layer.convolution_param
            sizes[key] = np.empty((p.num_output, channels // p.group, p.kernel_size[0], p.kernel_size[0])).size
        elif layer.type == "InnerProduct":
            p = layer.inner_product_param
            sizes[key] = p.num_output * channels * int(np.prod(area, initial=1))
        else:
            continue
        sizes[key] += p.num_output * int(p.bias_term)
    return sum(sizes.values())


# 06.2 strict_control(puzzles, random_trunk, train_last_layer)


@wrong("06.2", "the inputs stay as they were")
def a_shallow_copy(puzzles, random_trunk, train_last_layer):
    control = dict(puzzles)
    control["initial"].update(random_trunk)
    control["initial"].update(train_last_layer(random_trunk))
    return control


@wrong("06.2", "the inputs stay as they were")
def copy_copy(puzzles, random_trunk, train_last_layer):
    control = copy.copy(puzzles)
    for name in control["initial"]:
        control["initial"][name] = random_trunk.get(name) or train_last_layer(random_trunk)[name]
    return control


@wrong("06.2", "the inputs stay as they were")
def the_trunk_grows(puzzles, random_trunk, train_last_layer):
    random_trunk.update(train_last_layer(random_trunk))
    return {**puzzles, "initial": random_trunk}


@wrong("06.2", "a last layer is trained once, on the random")
def trained_twice(puzzles, random_trunk, train_last_layer):
    train_last_layer(puzzles["initial"])
    return {**puzzles, "initial": {**random_trunk, **train_last_layer(random_trunk)}}


@wrong("06.2", "it runs without an error")
def the_old_last_layer_goes_in(puzzles, random_trunk, train_last_layer):
    trunk = {**puzzles["initial"], **random_trunk}
    return {**puzzles, "initial": {**trunk, **train_last_layer({"fc6": trunk["fc6"]})}}


@wrong("06.2", "the inputs stay as they were")
def arrays_overwritten(puzzles, random_trunk, train_last_layer):
    control = {**puzzles, "initial": dict(puzzles["initial"])}
    for name, arrays in {**random_trunk, **train_last_layer(random_trunk)}.items():
        for target, array in zip(control["initial"][name], arrays):
            target[...] = array
    return control


@wrong("06.2", "the control's convolutions are the random")
def zeros_for_random(puzzles, random_trunk, train_last_layer):
    trunk = {name: [np.zeros_like(a) for a in arrays] for name, arrays in random_trunk.items()}
    return {**puzzles, "initial": {**trunk, **train_last_layer(trunk)}}


def controlled(**changes):
    def strict_control(puzzles, random_trunk, train_last_layer):
        made = {**puzzles, "initial": {**random_trunk, **train_last_layer(random_trunk)}}
        return made | {key: change(puzzles, random_trunk, made) for key, change in changes.items()}

    return strict_control


def without(key):
    return lambda p, trunk, train: {k: v for k, v in controlled()(p, trunk, train).items() if k != key}


WRONG += [
    ("06.2", controlled(initial=lambda p, trunk, made: trunk), "the control's fc6 is the one trained on its"),
    (
        "06.2",
        controlled(initial=lambda p, trunk, made: {"fc6": made["initial"]["fc6"]}),
        "the control's convolutions are the random",
    ),
    (
        "06.2",
        controlled(initial=lambda p, trunk, made: {**trunk, "fc6": {"fc6": made["initial"]["fc6"]}}),
        "the control's fc6 is the one trained on its",
    ),
    (
        "06.2",
        controlled(initial=lambda p, trunk, made: {**p["initial"], "fc6": made["initial"]["fc6"]}),
        "the control's convolutions are the random",
    ),
    (
        "06.2",
        controlled(initial=lambda p, trunk, made: {**p["initial"], "conv1": trunk.get("conv1")}),
        "the control's convolutions are the random",
    ),
    ("06.2", controlled(initial=lambda p, trunk, made: None), "`initial` is {layer: arrays}, as in puzzles"),
    (
        "06.2",
        controlled(initial=lambda p, trunk, made: list(made["initial"].values())),
        "`initial` is {layer: arrays}, as in puzzles",
    ),
    ("06.2", controlled(seed=lambda p, trunk, made: 0), "nothing but the start differs in"),
    ("06.2", controlled(seed=lambda p, trunk, made: None), "nothing but the start differs in"),
    ("06.2", controlled(recipe=lambda p, trunk, made: None), "the answer has the form that the docstring"),
    ("06.2", controlled(net=lambda p, trunk, made: None), "nothing but the start differs in"),
    ("06.2", controlled(layers=lambda p, trunk, made: list(trunk)), "the same layers are copied in"),
    ("06.2", controlled(name=lambda p, trunk, made: "control"), "the control is given nothing that the"),
    ("06.2", without("seed"), "the control is given all that the training"),
    ("06.2", without("layers"), "the control is given all that the training"),
    ("06.2", lambda p, trunk, train: (p, controlled()(p, trunk, train)), "it returns a dictionary of what solver.fit"),
    ("06.2", lambda p, trunk, train: controlled()(p, p["initial"], train), "the control's convolutions are the random"),
]
RIGHT += [
    ("06.2", controlled()),
    ("06.2", lambda p, trunk, train: dict(p, initial=dict(trunk, **train(trunk)))),
    ("06.2", lambda p, trunk, train: p | {"initial": train(dict(trunk)) | trunk}),
]


@right("06.2")
def a_deep_copy(puzzles, random_trunk, train_last_layer):
    control = copy.deepcopy(puzzles)
    last = train_last_layer(copy.deepcopy(random_trunk))
    control["initial"] = copy.deepcopy(random_trunk)
    control["initial"]["fc6"] = last["fc6"]
    return control


# 07.1 split_turn(frames, turn, gap, rng)


def arc(
    place=lambda frame, start, turn: (frame - start) % turn,
    test=lambda turn: round(turn / 4),
    validation=lambda turn: round(turn / 10),
    start=lambda rng, turn: int(rng.integers(turn)),
    between=0,
    wrap=True,
    names=("test", "validation", "training", None),
):
    """Test, a gap, validation, a gap, training, a gap."""

    def split_turn(frames, turn, gap, rng):
        first, a, b, out = start(rng, turn), test(turn), validation(turn), []
        gap = gap + between
        for frame in frames:
            at = place(frame, first, turn)
            if at < a:
                out.append(names[0])
            elif a + gap <= at < a + gap + b:
                out.append(names[1])
            elif a + b + 2 * gap <= at < (turn - gap if wrap else turn):
                out.append(names[2])
            else:
                out.append(names[3])
        return out

    return split_turn


def by_rank(frames, turn, gap, rng):
    """A quarter of the frames that are there, whatever their places."""
    ranks = {frame: i for i, frame in enumerate(sorted(frames))}
    return arc()([ranks[frame] for frame in frames], len(frames), gap, rng)


def sorts_the_frames(frames, turn, gap, rng):
    frames.sort()
    return arc()(frames, turn, gap, rng)


def those_left_out_are_missing(frames, turn, gap, rng):
    return [name for name in arc()(frames, turn, gap, rng) if name]


def without_modulo(frames, turn, gap, rng):
    return arc(place=lambda frame, start, turn: frame - start)(frames, turn, gap, rng)


def starts_apart(frames, turn, gap, rng):
    a, b = rng.integers(0, turn, 2)
    names = []
    for frame in frames:
        in_test, in_validation = (frame - a) % turn < turn // 4, (frame - b) % turn < turn // 10
        names.append("test" if in_test else "validation" if in_validation else "training")
    return [
        name
        if all(
            other == name or min((f - g) % turn, (g - f) % turn) > gap for g, other in zip(frames, names, strict=True)
        )
        else None
        for f, name in zip(frames, names, strict=True)
    ]


WRONG += [
    (
        "07.1",
        arc(test=lambda turn: round(turn / 10), validation=lambda turn: round(turn / 4)),
        "test has a quarter of the turn, validation a",
    ),
    ("07.1", arc(test=lambda turn: round(turn / 2)), "test has a quarter of the turn, validation a"),
    ("07.1", arc(test=lambda turn: round(turn / 5)), "test has a quarter of the turn, validation a"),
    ("07.1", arc(validation=lambda turn: round(turn / 5)), "test has a quarter of the turn, validation a"),
    ("07.1", arc(validation=lambda turn: round(turn / 20)), "test has a quarter of the turn, validation a"),
    ("07.1", arc(validation=lambda turn: 0), "no split is empty"),
    ("07.1", arc(start=lambda rng, turn: 0), "the arcs begin elsewhere each time"),
    ("07.1", arc(start=lambda rng, turn: int(rng.integers(2))), "the arcs begin elsewhere each time"),
    ("07.1", arc(start=lambda rng, turn: np.random.randint(turn)), "random numbers come from the rng given"),
    (
        "07.1",
        arc(start=lambda rng, turn: int(np.random.default_rng(0).integers(turn))),
        "the arcs begin elsewhere each time",
    ),
    ("07.1", arc(between=-1), "no frame has one of another split within the"),
    ("07.1", arc(between=2), "no more frames are left out than the gaps"),
    ("07.1", arc(between=1), "no more frames are left out than the gaps"),
    ("07.1", arc(wrap=False), "no frame has one of another split within the"),
    ("07.1", arc(names=("test", "val", "train", None)), "the splits are"),
    ("07.1", arc(names=("test", "validation", "training", "None")), "the splits are"),
    ("07.1", arc(names=("test", "validation", "training", "training")), "no frame has one of another split within the"),
    ("07.1", arc(names=("test", "validation", "training", "test")), "no frame has one of another split within the"),
    ("07.1", arc(names=("training", "validation", "test", None)), "test has a quarter of the turn, validation a"),
    ("07.1", by_rank, "no split is empty"),
    ("07.1", sorts_the_frames, "the inputs stay as they were"),
    ("07.1", those_left_out_are_missing, "every frame gets a split or None"),
    ("07.1", without_modulo, "no split is empty"),
    ("07.1", starts_apart, "no split is empty"),
    (
        "07.1",
        lambda frames, turn, gap, rng: arc()(sorted(frames), turn, gap, rng),
        "no frame has one of another split within the",
    ),
    ("07.1", lambda frames, turn, gap, rng: arc()(range(turn), turn, gap, rng), "every frame gets a split or None"),
    (
        "07.1",
        lambda frames, turn, gap, rng: dict(zip(frames, arc()(frames, turn, gap, rng), strict=True)),
        "it returns a list of names",
    ),
]
RIGHT += [
    ("07.1", arc()),
    ("07.1", lambda frames, turn, gap, rng: tuple(arc()(np.array(frames), turn, gap, rng))),
    ("07.1", lambda frames, turn, gap, rng: np.array(arc()(frames, turn, gap, rng), dtype=object)),
    ("07.1", arc(test=lambda turn: turn // 4, validation=lambda turn: turn // 10)),
    ("07.1", arc(test=lambda turn: -(-turn // 4), validation=lambda turn: -(-turn // 10))),
    ("07.1", arc(place=lambda frame, start, turn: (start - frame) % turn)),
]


@right("07.1")
def arrays_of_names(frames, turn, gap, rng):
    line = np.full(turn, None, object)
    a, b = round(turn / 4), round(turn / 10)
    line[:b] = "validation"
    line[b + gap : b + gap + a] = "test"
    line[a + b + 2 * gap : turn - gap] = "training"
    return list(np.roll(line, rng.integers(0, turn))[np.asarray(frames)])


# 07.2 recall(training, labels, images)


def like(distance, pick=np.argmin, name=lambda labels, i: labels[i]):
    def recall(training, labels, images):
        return np.array([name(labels, pick(distance(training, image))) for image in images])

    return recall


def flat(array):
    return array.reshape(len(array), -1)


def squares(number):
    return lambda t, i: flat((t.astype(number) - i.astype(number)) ** 2).sum(1)


def cosine(t, i):
    a, b = flat(t).astype(float), i.ravel().astype(float)
    return 1 - a @ b / np.linalg.norm(a, axis=1) / np.linalg.norm(b)


def correlated(t, i):
    return -np.array([np.corrcoef(one.ravel(), i.ravel())[0, 1] for one in t])


def grey(t, i):
    return flat((t.mean(3) - i.mean(2)) ** 2).sum(1)


def coarse(t, i):
    return squares(float)(t[:, ::2, ::2], i[::2, ::2])


def colours(t, i):
    return ((t.mean((1, 2)) - i.mean((0, 1))) ** 2).sum(1)


def three_neighbours(training, labels, images):
    out = []
    for image in images:
        near = labels[np.argsort(squares(float)(training, image))[:3]]
        values, counts = np.unique(near, return_counts=True)
        out.append(values[counts.argmax()])
    return np.array(out)


WRONG += [
    ("07.2", like(lambda t, i: flat(np.abs(t.astype(int) - i)).sum(1)), "each image is named by the training image"),
    ("07.2", like(lambda t, i: flat(np.abs(t.astype(int) - i)).max(1)), "each image is named by the training image"),
    ("07.2", like(lambda t, i: flat(t != i).sum(1)), "each image is named by the training image"),
    ("07.2", like(cosine), "each image is named by the training image"),
    ("07.2", like(correlated), "each image is named by the training image"),
    ("07.2", like(grey), "each image is named by the training image"),
    ("07.2", like(coarse), "each image is named by the training image"),
    ("07.2", like(colours), "each image is named by the training image"),
    ("07.2", like(squares(np.uint8)), "each image is named by the training image"),
    ("07.2", like(squares(np.int8)), "each image is named by the training image"),
    ("07.2", like(squares(np.int16)), "each image is named by the training image"),
    ("07.2", like(squares(np.float16)), "each image is named by the training image"),
    ("07.2", like(lambda t, i: flat(t.astype(int) - i).sum(1) ** 2), "each image is named by the training image"),
    ("07.2", like(lambda t, i: np.abs(flat(t.astype(int) - i).sum(1))), "each image is named by the training image"),
    ("07.2", like(lambda t, i: -flat(t.astype(int) * i).sum(1)), "each image is named by the training image"),
    (
        "07.2",
        like(lambda t, i: np.abs(flat(t.astype(int) ** 2).sum(1) - (i.astype(int) ** 2).sum())),
        "each image is named by the training image",
    ),
    ("07.2", like(lambda t, i: squares(float)(t[..., :1], i[..., :1])), "each image is named by the training image"),
    ("07.2", like(lambda t, i: squares(float)(t[:, 0], i[0])), "each image is named by the training image"),
    ("07.2", like(squares(float), pick=np.argmax), "each image is named by the training image"),
    ("07.2", like(squares(float), pick=lambda d: np.argsort(d)[1]), "each image is named by the training image"),
    ("07.2", like(squares(float), name=lambda labels, i: i), "what is returned are labels of training"),
    (
        "07.2",
        like(squares(float), name=lambda labels, i: sorted(labels)[i]),
        "each image is named by the training image",
    ),
    ("07.2", like(squares(float), name=lambda labels, i: [labels[i]]), "each image gets one label"),
    ("07.2", three_neighbours, "each image is named by the training image"),
    ("07.2", lambda t, labels, images: like(squares(float))(t, labels, images[:1]), "each image gets one label"),
    (
        "07.2",
        lambda t, labels, images: like(squares(float))(t[:-1], labels, images),
        "each image is named by the training image",
    ),
    (
        "07.2",
        lambda t, labels, images: np.full(len(images), np.bincount(labels).argmax()),
        "each image is named by the training image",
    ),
]


def in_place_of_the_images(training, labels, images):
    training -= training.mean(0).astype(np.uint8)
    images -= images.mean(0).astype(np.uint8)
    return like(squares(float))(training, labels, images)


WRONG += [("07.2", in_place_of_the_images, "the inputs stay as they were")]
RIGHT += [
    ("07.2", like(squares(np.int32))),
    ("07.2", like(squares(np.uint16))),  # modulo 65536 the square of -5 is 25, and 255 * 255 fits
    ("07.2", like(squares(np.float32))),
    ("07.2", lambda t, labels, images: list(like(squares(int))(t, labels, images))),
    (
        "07.2",
        lambda t, labels, images: labels[((flat(t)[None].astype(int) - flat(images)[:, None]) ** 2).sum(2).argmin(1)],
    ),  # noqa: E501
]


@right("07.2")
def expanded(training, labels, images):
    a, b = flat(training).astype(float), flat(images).astype(float)
    return labels[((a**2).sum(1) - 2 * b @ a.T).argmin(axis=1)]


# 08.1 verdict(reported, mean, half, margin)


def judged(
    near=lambda d, margin, reported: d <= margin,
    open_=lambda d, half, margin: d <= half,
    off=lambda mean, reported: abs(mean - reported),
    words=("reproduced", "undecided", "not reproduced"),
    order="near first",
):
    def verdict(reported, mean, half, margin):
        d = off(mean, reported)
        if order == "near first" and near(d, margin, reported):
            return words[0]
        if open_(d, half, margin):
            return words[1]
        return words[0] if near(d, margin, reported) else words[2]

    return verdict


WRONG += [
    (
        "08.1",
        judged(near=lambda d, margin, reported: d <= margin * abs(reported)),
        "far off, with a narrow interval, it is not",
    ),
    ("08.1", judged(near=lambda d, margin, reported: d <= margin * 100), "far off, with a narrow interval, it is not"),
    ("08.1", judged(near=lambda d, margin, reported: d <= margin / 2), "the margin itself is within it"),
    ("08.1", judged(near=lambda d, margin, reported: round(d) <= margin), "it is the ledger's rule"),
    ("08.1", judged(near=lambda d, margin, reported: d < margin), "the margin itself is within it"),
    ("08.1", judged(near=lambda d, margin, reported: d == 0), "within the margin it is reproduced"),
    ("08.1", judged(open_=lambda d, half, margin: d < half), "the ends of an interval belong to it"),
    ("08.1", judged(open_=lambda d, half, margin: d <= half / 2), "the ends of an interval belong to it"),
    ("08.1", judged(open_=lambda d, half, margin: d <= 2 * half), "far off, with a narrow interval, it is not"),
    (
        "08.1",
        judged(open_=lambda d, half, margin: d <= half or math.isnan(half)),
        "a single seed has no interval: it is not",
    ),
    ("08.1", judged(open_=lambda d, half, margin: half > margin), "far off, with a narrow interval, it is not"),
    ("08.1", judged(open_=lambda d, half, margin: d - margin <= half), "margin and interval do not add up"),
    ("08.1", judged(open_=lambda d, half, margin: math.isnan(half)), "an interval that contains the report's value"),
    ("08.1", judged(off=lambda mean, reported: mean - reported), "far below, with a narrow interval, it is not"),
    ("08.1", judged(off=lambda mean, reported: reported - mean), "far off, with a narrow interval, it is not"),
    ("08.1", judged(off=lambda mean, reported: (mean - reported) ** 2), "it is the ledger's rule"),
    (
        "08.1",
        judged(off=lambda mean, reported: abs(mean - reported) / reported),
        "far off, with a narrow interval, it is not",
    ),
    (
        "08.1",
        judged(off=lambda mean, reported: abs(round(mean) - round(reported))),
        "a loss is not a gain: signs count",
    ),
    ("08.1", judged(off=lambda mean, reported: abs(abs(mean) - abs(reported))), "a loss is not a gain: signs count"),
    ("08.1", judged(words=("Reproduced", "Undecided", "Not reproduced")), "within the margin it is reproduced"),
    ("08.1", judged(words=("reproduced", "not reproduced", "undecided")), "far off, with a narrow interval, it is not"),
    ("08.1", judged(words=(True, None, False)), "within the margin it is reproduced"),
    ("08.1", judged(order="interval first"), "a wide interval does not undo a mean within"),
]
RIGHT += [
    ("08.1", judged()),
    ("08.1", judged(open_=lambda d, half, margin: d <= np.nan_to_num(half))),
    (
        "08.1",
        lambda reported, mean, half, margin: (
            "reproduced"
            if reported - margin <= mean <= reported + margin
            else "undecided"
            if mean - half <= reported <= mean + half
            else "not reproduced"
        ),
    ),  # noqa: E501
    (
        "08.1",
        lambda reported, mean, half, margin: np.array(["not reproduced", "undecided", "reproduced"])[
            2 if abs(reported - mean) <= margin else int(abs(reported - mean) <= half)
        ],
    ),  # noqa: E501
]


# 08.2 interval(values)


def around(half, centre=np.mean, end=lambda low, high: (low, high)):
    def interval(values):
        x = np.asarray(values, float)
        return end(centre(x) - half(x, len(x)), centre(x) + half(x, len(x)))

    return interval


def t_half(x, n):
    return stats.t.ppf(0.975, n - 1) * x.std(ddof=1) / n**0.5


def sorts_in_place(values):
    values.sort()
    return around(t_half)(values)


WRONG += [
    ("08.2", around(lambda x, n: stats.t.ppf(0.975, n - 1) * x.std() / n**0.5), "it is Student's t interval"),
    ("08.2", around(lambda x, n: stats.t.ppf(0.975, n - 1) * x.std(ddof=1) / n), "it is Student's t interval"),
    (
        "08.2",
        around(lambda x, n: stats.t.ppf(0.975, n - 1) * x.std(ddof=1) / (n - 1) ** 0.5),
        "it is Student's t interval",
    ),
    (
        "08.2",
        around(lambda x, n: stats.t.ppf(0.975, n - 1) * x.var(ddof=1) / n**0.5),
        "it holds the true mean 95 times in 100",
    ),
    (
        "08.2",
        around(lambda x, n: stats.t.ppf(0.975, n - 2) * x.std(ddof=1) / n**0.5),
        "low is not above high",
    ),
    (
        "08.2",
        around(lambda x, n: stats.t.ppf(0.95, n - 1) * x.std(ddof=1) / n**0.5),
        "it holds the true mean 95 times in 100",
    ),
    ("08.2", around(lambda x, n: stats.t.ppf(0.995, n - 1) * x.std(ddof=1) / n**0.5), "it is Student's t interval"),
    (
        "08.2",
        around(lambda x, n: stats.t.ppf(0.975, 2) * x.std(ddof=1) / n**0.5),
        "it holds the true mean 95 times in 100",
    ),
    (
        "08.2",
        around(lambda x, n: stats.t.ppf(0.975, 4) * x.std(ddof=1) / n**0.5),
        "it holds the true mean 95 times in 100",
    ),
    ("08.2", around(lambda x, n: 2 * x.std(ddof=1) / n**0.5), "it holds the true mean 95 times in 100"),
    ("08.2", around(lambda x, n: x.std(ddof=1) / n**0.5), "it holds the true mean 95 times in 100"),
    ("08.2", around(lambda x, n: 2 * t_half(x, n)), "it is Student's t interval"),
    ("08.2", around(lambda x, n: t_half(x, n) / 2), "it holds the true mean 95 times in 100"),
    ("08.2", around(t_half, centre=np.median), "it is Student's t interval"),
    ("08.2", around(t_half, centre=lambda x: (x.min() + x.max()) / 2), "it is Student's t interval"),
    ("08.2", around(t_half, end=lambda low, high: (high, low)), "low is not above high"),
    ("08.2", around(t_half, end=lambda low, high: ((low + high) / 2, (high - low) / 2)), "low is not above high"),
    ("08.2", around(t_half, end=lambda low, high: (max(low, 0), min(high, 1))), "it is Student's t interval"),
    (
        "08.2",
        around(t_half, end=lambda low, high: (round(low, 1), round(high, 1))),
        "it holds the true mean 95 times in 100",
    ),
    ("08.2", around(t_half, end=lambda low, high: (100 * low, 100 * high)), "it holds the true mean 95 times in 100"),
    ("08.2", lambda values: np.percentile(values, [2.5, 97.5]), "it holds the true mean 95 times in 100"),
    (
        "08.2",
        lambda values: stats.t.interval(0.95, len(values) - 1, np.mean(values), np.std(values, ddof=1)),
        "it is Student's t interval",
    ),
    (
        "08.2",
        lambda values: stats.norm.interval(0.95, np.mean(values), stats.sem(values)),
        "it holds the true mean 95 times in 100",
    ),
    ("08.2", lambda values: around(t_half)(values[:5]), "it is Student's t interval"),
    ("08.2", lambda values: around(t_half)(np.unique(values)), "values that are equal count each"),
    ("08.2", sorts_in_place, "the inputs stay as they were"),
]
RIGHT += [
    ("08.2", around(t_half)),
    ("08.2", lambda values: stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))),
    ("08.2", lambda values: np.mean(values) + stats.sem(values) * stats.t.ppf([0.025, 0.975], len(values) - 1)),
    ("08.2", lambda values: stats.ttest_1samp(values, 0).confidence_interval(0.95)),
]


@right("08.2")
def by_hand(values):
    n = len(values)
    mean = sum(values) / n
    half = stats.t.ppf(0.975, n - 1) * math.sqrt(sum((v - mean) ** 2 for v in values) / (n - 1) / n)
    return [mean - half, mean + half]


# 08.3 claim()

WRONG += [
    ("08.3", claiming(text=""), "`text` says what is claimed"),
    ("08.3", claiming(text=claims()[0].text.lower() + " "), "the ledger does not have that claim yet"),
    ("08.3", claiming(text=None), "`text` says what is claimed"),
    ("08.3", claiming(reported="44 %"), "`reported` is a number of the report's"),
    ("08.3", claiming(reported=None), "`reported` is a number of the report's"),
    ("08.3", claiming(reported=float("inf")), "`reported` is a number of the report's"),
    ("08.3", claiming(reported=True), "`reported` is a number of the report's"),
    ("08.3", claiming(form="two decimals"), "`form` is a format specification"),
    ("08.3", claiming(notebook="04"), "a notebook has that heading"),
    ("08.3", claiming(notebook="09_nothing"), "a notebook has that heading"),
    ("08.3", claiming(notebook="04_fine_tuning.ipynb"), "a notebook has that heading"),
    ("08.3", claiming(notebook="05_filters"), "a notebook has that heading"),
    ("08.3", claiming(section=""), "a notebook has that heading"),
    ("08.3", claiming(section="5"), "a notebook has that heading"),
    ("08.3", claiming(section="Train"), "a notebook has that heading"),
    ("08.3", claiming(runs=""), "`runs` names a training of the study,"),
    ("08.3", claiming(runs="cifar100"), "`runs` names a training of the study,"),
    ("08.3", claiming(runs="cifar100_scratch_s0"), "`runs` names a training of the study,"),
    ("08.3", claiming(runs=["cifar100_scratch"]), "`runs` names a training of the study,"),
    ("08.3", claiming(measure=0.44), "`measure` is a function of a record"),
    ("08.3", claiming(measure=lambda record: None), "what is measured is a number"),
    ("08.3", claiming(measure=lambda record: float("nan")), "what is measured is a number"),
    ("08.3", claiming(measure=lambda record: str(record.result["test_accuracy"])), "what is measured is a number"),
    ("08.3", claiming(measure=lambda record: record.history), "what is measured is a number"),
    ("08.3", claiming(measure=lambda record: record["test_accuracy"]), "it runs without an error"),
    ("08.3", claiming(measure=lambda record: np.random.random()), "the same record gives the same number"),
    ("08.3", claiming(measure=lambda record: (record.result["test_accuracy"], 0.44)[1]), "`measure` reads the record"),
    ("08.3", claiming(measure=lambda record: record.result["test_accuracy"] >= 0), "what is measured is a number"),
    ("08.3", lambda: [claiming()()], "it returns a Claim"),
    ("08.3", lambda: claiming(), "it returns a Claim"),
    ("08.3", lambda: "cifar100_scratch reaches 44 %", "it returns a Claim"),
]
RIGHT += [
    ("08.3", claiming()),
    ("08.3", claiming(reported=44, measure=lambda record: record.history["epoch"].max())),
    ("08.3", claiming(measure=lambda record: np.float32(100 * record.result["test_accuracy"]))),
]
