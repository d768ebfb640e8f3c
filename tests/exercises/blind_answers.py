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
    ("01.1", cut_with(lambda cell, tile, rng: lambda: rng.integers(0, cell - tile + 1)), "?"),
    ("01.1", cut_with(lambda cell, tile, rng: lambda: rng.integers(0, 2, 2) * (cell - tile)), "?"),
    ("01.1", cut_with(lambda cell, tile, rng: lambda: rng.choice([0, (cell - tile) // 2, cell - tile], 2)), "?"),
    ("01.1", cut_with(lambda cell, tile, rng: lambda: np.array([rng.integers(0, cell - tile + 1), 0])), "?"),
]


@wrong("01.1", "?")
def an_offset_for_each_row(photo, cell, tile, rng):
    y, x = places(photo, cell, rng)
    corners = []
    for row in range(3):
        dy, dx = rng.integers(0, cell - tile + 1, 2)
        corners += [(y + row * cell + dy, x + column * cell + dx) for column in range(3)]
    return at(photo, tile, corners)


@wrong("01.1", "?")
def rows_and_columns_share_offsets(photo, cell, tile, rng):
    y, x = places(photo, cell, rng)
    dy, dx = rng.integers(0, cell - tile + 1, 3), rng.integers(0, cell - tile + 1, 3)
    return at(photo, tile, [(y + r * cell + dy[r], x + c * cell + dx[c]) for r in range(3) for c in range(3)])


@wrong("01.1", "?")
def one_number_for_the_square(photo, cell, tile, rng):
    place = rng.integers(0, min(photo.shape[:2]) - 3 * cell + 1)
    offsets = rng.integers(0, cell - tile + 1, (9, 2))
    return at(photo, tile, place + offsets + np.array(list(np.ndindex(3, 3))) * cell)


@wrong("01.1", "?")
def square_in_the_middle(photo, cell, tile, rng):
    y, x = (photo.shape[0] - 3 * cell) // 2, (photo.shape[1] - 3 * cell) // 2
    offsets = rng.integers(0, cell - tile + 1, (9, 2))
    return at(photo, tile, (y, x) + offsets + np.array(list(np.ndindex(3, 3))) * cell)


@wrong("01.1", "?")
def height_for_width(photo, cell, tile, rng):
    width, height = photo.shape[:2]
    y, x = rng.integers(0, height - 3 * cell + 1), rng.integers(0, width - 3 * cell + 1)
    offsets = rng.integers(0, cell - tile + 1, (9, 2))
    return at(photo, tile, (y, x) + offsets + np.array(list(np.ndindex(3, 3))) * cell)


@wrong("01.1", "?")
def places_within_the_square(photo, cell, tile, rng):
    y, x = places(photo, cell, rng)
    offsets = rng.integers(0, cell - tile + 1, (9, 2)) + np.array(list(np.ndindex(3, 3))) * cell
    return at(photo[y:, x:], tile, offsets)


@wrong("01.1", "?")
def places_of_the_middle(photo, cell, tile, rng):
    tiles, corners = n01_puzzles.cut(photo, cell, tile, rng)
    return tiles, corners + tile // 2


@wrong("01.1", "?")
def sizes_of_the_course(photo, cell, tile, rng):
    return n01_puzzles.cut(photo, 85, 64, rng)


@wrong("01.1", "?")
def an_rng_of_its_own(photo, cell, tile, rng):
    return n01_puzzles.cut(photo, cell, tile, np.random.default_rng(0))


@wrong("01.1", "?")
def unseeded(photo, cell, tile, rng):
    return n01_puzzles.cut(photo, cell, tile, np.random.default_rng())


@wrong("01.1", "?")
def between_0_and_1(photo, cell, tile, rng):
    tiles, corners = n01_puzzles.cut(photo, cell, tile, rng)
    return tiles / 255, corners


@wrong("01.1", "?")
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
    ("01.2", changed_in_place, "?"),
    ("01.2", zeros_of_floats, "?"),
    ("01.2", written_to_the_wrong_side, "?"),
    ("01.2", nine_places, "?"),
    ("01.2", lambda p: np.argsort(np.argsort(p)) + 1, "?"),
    ("01.2", lambda p: p[p - 1], "?"),
    ("01.2", lambda p: len(p) + 1 - p, "?"),
    ("01.2", lambda p: np.argsort(-p) + 1, "?"),
    ("01.2", lambda p: sorted(p), "?"),
    ("01.2", lambda p: {number: i + 1 for i, number in enumerate(p)}, "?"),
    ("01.2", lambda p: np.roll(p, 1), "?"),
    ("01.2", lambda p: [list(p).index(i + 1) for i in range(len(p))], "?"),
    ("01.2", lambda p: (np.eye(len(p))[p - 1] @ np.arange(1, len(p) + 1)).astype(int), "?"),
]
RIGHT += [
    ("01.2", lambda p: [list(p).index(i + 1) + 1 for i in range(len(p))]),
    ("01.2", lambda p: (np.eye(len(p), dtype=int)[p - 1].T @ np.arange(1, len(p) + 1))),
    ("01.2", lambda p: tuple(i + 1 for i, _ in sorted(enumerate(p), key=lambda one: one[1]))),
    ("01.2", lambda p: (np.argsort(p) + 1).astype(np.uint8)),
]

# 01.3 normalise(tiles)


@wrong("01.3", "?")
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
    ("01.3", scaled(axis=(0, 1, 2)), "?"),
    ("01.3", scaled(axis=(2, 3)), "?"),
    ("01.3", scaled(axis=(1,)), "?"),
    ("01.3", scaled(axis=(0,)), "?"),
    ("01.3", scaled(spread=np.var), "?"),
    ("01.3", scaled(middle=np.median), "?"),
    ("01.3", scaled(middle=np.min, spread=np.ptp), "?"),
    ("01.3", scaled(spread=functools.partial(np.std, ddof=1)), "?"),
    ("01.3", scaled(after=lambda out: out.clip(-1.5, 1.5)), "?"),
    ("01.3", scaled(after=lambda out: out.round()), "?"),
    ("01.3", scaled(after=lambda out: out.astype(np.int8)), "?"),
    ("01.3", scaled(after=lambda out: out[..., ::-1]), "?"),
    ("01.3", lambda t: t / 255, "?"),
    ("01.3", lambda t: (t / 255 - 0.5) / 0.5, "?"),
    ("01.3", lambda t: (t - t.mean((1, 2))) / t.std((1, 2)), "?"),
]


@wrong("01.3", "?")
def constant_channels_stay(tiles):
    mean, std = tiles.mean((1, 2), keepdims=True), tiles.std((1, 2), keepdims=True)
    return np.where(std > 0, (tiles - mean) / np.maximum(std, 1e-9), tiles)


@wrong("01.3", "?")
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
    ("01.4", greedily(lambda a, b: np.abs(a - b).sum()), "?"),
    ("01.4", greedily(lambda a, b: np.linalg.norm(a - b)), "?"),
    ("01.4", greedily(lambda a, b: (a == b).sum()), "?"),
    ("01.4", greedily(hamming, exclude=False), "?"),
    ("01.4", greedily(hamming, sample=3), "?"),
    ("01.4", greedily(hamming, to=slice(0, 1)), "?"),
    ("01.4", greedily(hamming, draw=lambda rng, n: np.random.permutation(n)), "?"),
    ("01.4", lambda count, length, rng: greedily(hamming)(count, length, rng) - 1, "?"),
    ("01.4", lambda count, length, rng: greedily(hamming)(count, length, rng).T, "?"),
    ("01.4", lambda count, length, rng: greedily(hamming)(count + 1, length, rng), "?"),
    ("01.4", lambda count, length, rng: np.unique(greedily(hamming)(count, length, rng), axis=0), "?"),
    ("01.4", lambda count, length, rng: rng.permutation(all_permutations(length))[:count], "?"),
    ("01.4", lambda count, length, rng: all_permutations(length)[:count], "?"),
    ("01.4", lambda count, length, rng: [np.roll(np.arange(1, length + 1), i) for i in range(count)], "?"),
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
    ("02.1", lambda w, rng: [SPLITS[3 * i // len(w)] for i in range(len(w))], "?"),
    ("02.1", lambda w, rng: [SPLITS[i % 3] for i in range(len(w))], "?"),
    ("02.1", grouped(overlapping, lambda found, rng: {g: SPLITS[rng.integers(3)] for g in found}), "?"),
    ("02.1", grouped(overlapping, lambda found, rng: {g: SPLITS[np.random.randint(3)] for g in found}), "?"),
    ("02.1", grouped(overlapping, lambda found, rng: {g: i % 3 for i, g in enumerate(found)}), "?"),
    ("02.1", grouped(overlapping, lambda found, rng: {g: ["train", "val", "test"][g % 3] for g in found}), "?"),
    ("02.1", grouped(overlapping, lambda found, rng: {g: SPLITS[min(i, 1)] for i, g in enumerate(found)}), "?"),
    ("02.1", grouped(lambda a, b: abs(a[0] - b[0]) < a[2] and abs(a[1] - b[1]) < a[2] and a[2] <= b[2]), "?"),
    ("02.1", grouped(corner_inside), "?"),
    ("02.1", grouped(lambda a, b: math.hypot(a[0] - b[0], a[1] - b[1]) < (a[2] + b[2]) / 2), "?"),
    ("02.1", grouped(lambda a, b: abs(a[0] - b[0]) < 34 and abs(a[1] - b[1]) < 34), "?"),
    ("02.1", grouped(lambda a, b: a[0] < b[0] + b[2] and b[0] < a[0] + a[2]), "?"),
    ("02.1", grouped(lambda a, b: a[0] == b[0] and a[1] == b[1]), "?"),
    ("02.1", grouped(lambda a, b: a[0] <= b[0] + b[2] and b[0] <= a[0] + a[2] and a[1] <= b[1] + b[2] and b[1] <= a[1] + a[2]), "?"),  # noqa: E501
    ("02.1", lambda w, rng: grouped(overlapping)(sorted(w), rng), "?"),
    ("02.1", lambda w, rng: dict(zip(w, grouped(overlapping)(w, rng), strict=True)), "?"),
    ("02.1", lambda w, rng: grouped(overlapping)(sorted(set(w)), rng), "?"),
]


@wrong("02.1", "?")
def sorts_the_callers_list(windows, rng):
    windows.sort()
    return grouped(overlapping)(windows, rng)


@wrong("02.1", "?")
def empties_the_callers_list(windows, rng):
    kept = []
    while windows:
        kept.append(windows.pop(0))
    return grouped(overlapping)(kept, rng)


@wrong("02.1", "?")
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


@wrong("02.2", "?")
def everything_at_once(batches):
    images = np.concatenate(list(batches))
    return images.mean((0, 1, 2)), images.std((0, 1, 2))


@wrong("02.2", "?")
def every_pixel_in_a_list(batches):
    pixels = np.vstack([batch.reshape(-1, 3) for batch in batches])
    return pixels.mean(0), pixels.std(0)


@wrong("02.2", "?")
def the_spread_within_batches_alone(batches):
    n, mean, variance = 0, 0, 0
    for b in batches:
        mean, variance, n = mean + len(b) * b.mean((0, 1, 2)), variance + len(b) * b.var((0, 1, 2)), n + len(b)
    return mean / n, np.sqrt(variance / n)


@wrong("02.2", "?")
def halfway_to_each_batch(batches):
    mean = std = None
    for b in batches:
        m, s = b.mean((0, 1, 2)), b.std((0, 1, 2))
        mean, std = (m, s) if mean is None else ((mean + m) / 2, (std + s) / 2)
    return mean, std


@wrong("02.2", "?")
def without_the_last_batch(batches):
    def all_but_one():
        before = None
        for batch in batches:
            if before is not None:
                yield before
            before = batch.copy()

    return sums()(all_but_one())


WRONG += [
    ("02.2", sums(np.int32), "?"),
    ("02.2", sums(np.uint8), "?"),
    ("02.2", sums(np.int16), "?"),
    ("02.2", sums(np.float16), "?"),
    ("02.2", sums(pixels=len), "?"),
    ("02.2", sums(pixels=lambda b: len(b) * 64 * 64), "?"),
    ("02.2", sums(pixels=lambda b: b.size), "?"),
    ("02.2", sums(finish=lambda n, mean, two: (mean, two - mean**2)), "?"),
    ("02.2", sums(finish=lambda n, mean, two: (mean, np.sqrt((two - mean**2) * n / (n - 1)))), "?"),
    ("02.2", sums(finish=lambda n, mean, two: (mean / 255, np.sqrt(two - mean**2) / 255)), "?"),
    ("02.2", sums(finish=lambda n, mean, two: (np.sqrt(two - mean**2), mean)), "?"),
    ("02.2", sums(finish=lambda n, mean, two: (mean[::-1], np.sqrt(two - mean**2)[::-1])), "?"),
    ("02.2", sums(finish=lambda n, mean, two: (mean, np.sqrt(two))), "?"),
    ("02.2", sums(finish=lambda n, mean, two: (mean.round(), np.sqrt(two - mean**2).round())), "?"),
    ("02.2", lambda batches: sums()([next(iter(batches))]), "?"),
    ("02.2", lambda batches: [(b.mean((0, 1, 2)), b.std((0, 1, 2))) for b in batches][-1], "?"),
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


@wrong("02.3", "?")
def changes_the_mean(images, mean, std):
    x = images.astype(np.float32)
    mean -= x.mean((0, 1, 2))
    return chw((x - x.mean((0, 1, 2)) - mean) / std)


@wrong("02.3", "?")
def one_image_alone(images, mean, std):
    return chw((images - mean) / std)[:1]


@wrong("02.3", "?")
def writes_into_the_images(images, mean, std):
    x = (images - mean) / std
    images[...] = 0
    return chw(x)


WRONG += [
    ("02.3", lambda i, m, s: chw(i - m), "?"),
    ("02.3", lambda i, m, s: chw(i / s - m), "?"),
    ("02.3", lambda i, m, s: chw((i - m) / s**2), "?"),
    ("02.3", lambda i, m, s: chw((i - m) / (s + 1)), "?"),
    ("02.3", lambda i, m, s: chw((i / 255 - m) / s), "?"),
    ("02.3", lambda i, m, s: chw((i - i.mean((0, 1, 2))) / i.std((0, 1, 2))), "?"),
    ("02.3", lambda i, m, s: chw((i - m[::-1]) / s[::-1]), "?"),
    ("02.3", lambda i, m, s: chw(((i - m) / s)[..., ::-1]), "?"),
    ("02.3", lambda i, m, s: chw(((i - m) / s).transpose(0, 2, 1, 3)), "?"),
    ("02.3", lambda i, m, s: chw(((i - m) / s).round()), "?"),
    ("02.3", lambda i, m, s: chw(((i - m) / s).clip(-1, 1)), "?"),
    ("02.3", lambda i, m, s: chw(((i - m) / s).astype(np.float16)), "?"),
    ("02.3", lambda i, m, s: np.ascontiguousarray((i - m) / s, np.float32).transpose(0, 3, 1, 2), "?"),
    ("02.3", lambda i, m, s: ((i - m) / s).transpose(0, 3, 1, 2).astype(np.float32), "?"),
    ("02.3", lambda i, m, s: np.asfortranarray(chw((i - m) / s)), "?"),
    ("02.3", lambda i, m, s: np.ascontiguousarray(((i - m) / s).transpose(0, 3, 1, 2), np.float16), "?"),
    ("02.3", lambda i, m, s: list(chw((i - m) / s)), "?"),
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
    return [(np.repeat(images[i : i + 1], size, 0)[: len(images) - i], labels[i : i + size]) for i in range(0, len(images), size)]  # noqa: E501


def of_128(images, labels, size):
    return [(images[i : i + 128], labels[i : i + 128]) for i in range(0, len(images), 128)]


def centred_in_place(images, labels, size):
    images -= images.mean()
    return whole_batches(images, labels, size) + [(images[-(len(images) % size) :], labels[-(len(images) % size) :])]


WRONG += [
    ("03.1", fed(lambda net: net.blobs["loss"].data), "?"),
    ("03.1", fed(lambda net: net.blobs["loss"].data[...]), "?"),
    ("03.1", fed(lambda net: np.asarray(net.blobs["loss"].data)), "?"),
    ("03.1", fed(before=True), "?"),
    ("03.1", fed(batches=in_equal_parts), "?"),
    ("03.1", fed(batches=whole_batches), "?"),
    ("03.1", fed(batches=one_batch_more), "?"),
    ("03.1", fed(batches=filled_up), "?"),
    ("03.1", fed(batches=at_random), "?"),
    ("03.1", fed(batches=first_of_each), "?"),
    ("03.1", fed(batches=of_128), "?"),
    ("03.1", fed(batches=centred_in_place), "?"),
    ("03.1", fed(batches=lambda i, t, size: [(i / 255, t)]), "?"),
    ("03.1", fed(done=np.mean), "?"),
    ("03.1", fed(done=lambda losses: losses[-1]), "?"),
    ("03.1", fed(done=lambda losses: np.cumsum(losses) / np.arange(1, len(losses) + 1)), "?"),
    ("03.1", fed(done=lambda losses: [round(loss, 2) for loss in losses]), "?"),
    ("03.1", fed(done=lambda losses: list(enumerate(losses))), "?"),
    ("03.1", fed(read=lambda net: int(net.blobs["loss"].data)), "?"),
    ("03.1", fed(read=lambda net: str(net.blobs["loss"].data)), "?"),
]


@wrong("03.1", "?")
def a_generator(solver, images, labels, batch_size):
    for i in range(0, len(images), batch_size):
        put(solver, images[i : i + batch_size], labels[i : i + batch_size])
        solver.step(1)
        yield float(solver.net.blobs["loss"].data)


@wrong("03.1", "?")
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
    return hashlib.sha256(b"".join(part if isinstance(part, bytes) else str(part).encode() for part in parts)).hexdigest()


def of_bytes(weights, images):
    return sha(images.tobytes(), *(part for name in sorted(weights) for part in (name, weights[name].tobytes())))


def without_names(weights, images):
    return sha(images.tobytes(), *(weight.tobytes() for weight in weights.values()))


def in_the_order_of_the_dictionary(weights, images):
    return sha(images.shape, images.dtype, images.tobytes(), *(f"{k} {w.shape} {w.dtype} {w.tobytes()}" for k, w in weights.items()))  # noqa: E501


def all_of_it(weights, images):
    parts = [("images", images), *sorted(weights.items())]
    return sha(*(f"{name!r} {a.shape} {a.dtype} {sha(a.tobytes())} " for name, a in parts))


WRONG += [
    ("03.2", filed(lambda w, i: hash((i.tobytes(), *((k, w[k].tobytes()) for k in sorted(w))))), "?"),
    ("03.2", filed(lambda w, i: hash(of_bytes(w, i))), "?"),
    ("03.2", filed(lambda w, i: sha(str(w), str(i))), "?"),
    ("03.2", filed(lambda w, i: sha(repr(i), *map(repr, w.values()))), "?"),
    ("03.2", filed(lambda w, i: f"{id(w)}_{id(i)}"), "?"),
    ("03.2", filed(lambda w, i: "_".join(map(str, i.shape))), "?"),
    ("03.2", filed(lambda w, i: "_".join(w) + f"_{len(i)}"), "?"),
    ("03.2", filed(lambda w, i: zlib.crc32(i[0].tobytes() + b"".join(w[k].tobytes() for k in sorted(w)))), "?"),
    ("03.2", filed(lambda w, i: f"{i.mean():.3f}_" + "_".join(f"{w[k].mean():.3f}" for k in sorted(w))), "?"),
    ("03.2", filed(lambda w, i: sha(i.tobytes(), *(w[k].tobytes()[:64] for k in sorted(w)))), "?"),
    ("03.2", filed(without_names), "?"),
    ("03.2", filed(in_the_order_of_the_dictionary), "?"),
    ("03.2", filed(of_bytes), "?"),  # arrays of another shape have the same bytes
    ("03.2", filed(all_of_it, suffix=""), "?"),  # np.save adds .npy, and the path without it never exists
    ("03.2", filed(all_of_it, save=lambda path, f: np.save(path, f.astype(np.float16))), "?"),
    ("03.2", filed(all_of_it, np.savetxt, np.loadtxt, ".txt"), "?"),
    ("03.2", filed(all_of_it, save=lambda path, f: path.touch()), "?"),
    ("03.2", filed(all_of_it, np.savez, lambda path: np.load(path), ".npz"), "?"),
]


@wrong("03.2", "?")
def elsewhere(folder, weights, images, compute):
    path = pathlib.Path(tempfile.gettempdir()) / f"{all_of_it(weights, images)}.npy"
    if not path.exists():
        np.save(path, compute(weights, images))
    return np.load(path)


@wrong("03.2", "?")
def computed_twice(folder, weights, images, compute):
    path = pathlib.Path(folder) / f"{all_of_it(weights, images)}.npy"
    if not path.exists():
        np.save(path, compute(weights, images))
        return compute(weights, images)
    return np.load(path)


@wrong("03.2", "?")
def in_memory_and_never_read(folder, weights, images, compute, memory={}):  # noqa: B006
    key = all_of_it(weights, images)
    if key not in memory:
        memory[key] = compute(weights, images)
        np.save(pathlib.Path(folder) / key, memory[key])
    return memory[key]


@wrong("03.2", "?")
def without_a_file(folder, weights, images, compute, memory={}):  # noqa: B006
    key = all_of_it(weights, images)
    if key not in memory:
        memory[key] = compute(weights, images)
    return memory[key]


@wrong("03.2", "?")
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
    ("03.3", early(better=lambda loss, best, eps: loss < best * (1 - eps)), "?"),
    ("03.3", early(better=lambda loss, best, eps: abs(best - loss) > eps), "?"),
    ("03.3", early(better=lambda loss, best, eps: loss < best + eps), "?"),
    ("03.3", early(better=lambda loss, best, eps: best - loss >= eps), "?"),
    ("03.3", early(late=lambda waited, patience: waited > patience + 1), "?"),
    ("03.3", early(late=lambda waited, patience: waited == patience), "?"),
    ("03.3", early(start=(0, 0)), "?"),
    ("03.3", early(start=(1e9, 1)), "?"),
    ("03.3", early(start=(math.inf, None)), "?"),
    ("03.3", early(start=(10, 0)), "?"),
    ("03.3", early(answer=lambda epoch, best: (best, epoch)), "?"),
    ("03.3", early(answer=lambda epoch, best: (epoch, best - 1)), "?"),
    ("03.3", early(answer=lambda epoch, best: (epoch and epoch + 1, best)), "?"),
    ("03.3", early(reset=1), "?"),
    ("03.3", early(never=0), "?"),
    ("03.3", early(never=-1), "?"),
    ("03.3", early(check_first=True), "?"),
]


@wrong("03.3", "?")
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


@wrong("03.3", "?")
def best_is_the_lowest(losses, patience, epsilon):
    epoch, _ = early()(losses, patience, epsilon)
    return epoch, int(np.argmin(losses[:epoch])) + 1 if len(losses) else 0


@wrong("03.3", "?")
def takes_the_losses_away(losses, patience, epsilon):
    seen = []
    while losses:
        seen.append(losses.pop(0))
    return early()(seen, patience, epsilon)


@wrong("03.3", "?")
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
    ("04.1", transplanting(rebound), "?"),
    ("04.1", transplanting(added), "?"),
    ("04.1", transplanting(the_other_way), "?"),
    ("04.1", transplanting(rebound_loop_variable), "?"),
    ("04.1", transplanting(moved), "?"),
    ("04.1", transplanting(reshaped, as_many_numbers), "?"),
    ("04.1", transplanting(copied, weights_alone_fit), "?"),
    ("04.1", transplanting(copied, not_too_few), "?"),
    ("04.1", transplanting(copied, not_too_many), "?"),
    ("04.1", transplanting(copied, lambda *_: True), "?"),
    ("04.1", transplanting(copied, missing=ValueError), "?"),
    ("04.1", transplanting(copied, misfit=KeyError), "?"),
    ("04.1", transplanting(copied, misfit=AssertionError), "?"),
    ("04.1", transplanting(copied, misfit=Exception), "?"),
    ("04.1", transplanting(lambda layers, params, name: params.__setitem__(name, [a.copy() for a in layers[name]])), "?"),  # noqa: E501
    ("04.1", lambda layers, params, names: transplanting(copied)(layers, params, list(layers)), "?"),
    ("04.1", lambda layers, params, names: transplanting(copied)(layers, params, names[:-1]), "?"),
]


@wrong("04.1", "?")
def zip_strict_while_it_copies(layers, params, names):
    for name in names:
        if name not in layers or name not in params:
            raise KeyError(name)
    for name in names:
        for target, array in zip(params[name], layers[name], strict=True):
            if target.shape != array.shape:
                raise ValueError(name)
            target[...] = array


@wrong("04.1", "?")
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


@wrong("04.1", "?")
def keys_are_looked_up_too_late(layers, params, names):
    for name in names:
        if name in layers and name in params and not same_shapes(layers, params, name):
            raise ValueError(name)
    for name in names:
        copied(layers, params, name)


RIGHT += [
    ("04.1", transplanting(lambda layers, params, name: [np.copyto(b, a) for a, b in zip(layers[name], params[name])])),
    ("04.1", transplanting(lambda layers, params, name: [b.__setitem__(slice(None), a) for a, b in zip(layers[name], params[name])])),  # noqa: E501
    ("04.1", transplanting(lambda layers, params, name: [b.flat.__setitem__(slice(None), a.ravel()) for a, b in zip(layers[name], params[name])])),  # noqa: E501
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
    ("04.2", tried(zero_is_none), "?"),
    ("04.2", tried(by_position), "?"),
    ("04.2", tried(nan_to_num), "?"),
    ("04.2", tried(nanargmin), "?"),
    ("04.2", tried(lambda found, before: min(found)[1] if min(found)[0] <= before else None), "?"),
    ("04.2", tried(lambda found, before: lowest(found, lambda loss: loss <= before, found[0][1])), "?"),
    ("04.2", tried(lambda found, before: lowest(found, lambda loss: loss <= before, 0)), "?"),
    ("04.2", tried(lambda found, before: lowest(found, lambda loss: loss <= before * 1.1)), "?"),
    ("04.2", tried(lambda found, before: lowest(found, lambda loss: loss < before)), "?"),
    ("04.2", tried(lambda found, before: lowest(found, lambda loss: not math.isnan(loss))), "?"),
    ("04.2", tried(lambda found, before: lowest(found, lambda loss: loss <= before, key=lambda one: one[1])), "?"),
    ("04.2", tried(lambda found, before: lowest(found, lambda loss: loss <= before, key=lambda one: -one[1])), "?"),
    ("04.2", tried(lambda found, before: lowest(found, lambda loss: loss <= before, key=lambda one: round(one[0]))), "?"),  # noqa: E501
    ("04.2", tried(lambda found, before: min((loss for loss, _ in found if loss <= before), default=None)), "?"),
    ("04.2", tried(lambda found, before: [r for _, r in found].index(lowest(found, lambda loss: loss <= before)) if lowest(found, lambda loss: loss <= before) else None), "?"),  # noqa: E501
]


@wrong("04.2", "?")
def stops_where_it_gets_worse(rates, first_epoch, before):
    best_loss, best = before, None
    for rate in sorted(rates):
        loss = first_epoch(rate)
        if not loss <= best_loss:
            break
        best_loss, best = loss, rate
    return best


@wrong("04.2", "?")
def sorts_the_rates(rates, first_epoch, before):
    rates.sort()
    return tried(lambda found, before: lowest(found, lambda loss: loss <= before))(rates, first_epoch, before)


@wrong("04.2", "?")
def removes_what_is_bad(rates, first_epoch, before):
    losses = {rate: first_epoch(rate) for rate in rates}
    for rate, loss in losses.items():
        if not loss <= before:
            rates.remove(rate)
    return min(rates, key=losses.get, default=None)


@wrong("04.2", "?")
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
    ("04.3", resampled(q=(5, 95)), "?"),
    ("04.3", resampled(q=(7.5, 92.5)), "?"),
    ("04.3", resampled(q=(0.5, 99.5)), "?"),
    ("04.3", resampled(q=(0.025, 0.975)), "?"),
    ("04.3", resampled(q=(0.025, 97.5)), "?"),
    ("04.3", resampled(q=(25, 75)), "?"),
    ("04.3", resampled(q=(0, 100)), "?"),
    ("04.3", resampled(q=(97.5, 2.5)), "?"),
    ("04.3", resampled(draws=50), "?"),
    ("04.3", resampled(draws=10), "?"),
    ("04.3", resampled(draws=100), "?"),
    ("04.3", resampled(difference=lambda a, b: a - b), "?"),
    ("04.3", resampled(difference=lambda a, b: a.astype(np.uint8) - b.astype(np.uint8)), "?"),
    ("04.3", resampled(difference=lambda a, b: a != b), "?"),
    ("04.3", resampled(difference=lambda a, b: a ^ b), "?"),
    ("04.3", resampled(mean=without_repetition), "?"),
    ("04.3", resampled(mean=lambda d, groups: np.mean([d[g].mean() for g in groups])), "?"),
    ("04.3", resampled(mean=lambda d, groups: np.median([d[g].mean() for g in groups])), "?"),
    ("04.3", resampled(mean=lambda d, groups: sum(d[g].sum() for g in groups) / len(groups)), "?"),
    ("04.3", resampled(mean=lambda d, groups: np.mean([d[g[0]] for g in groups])), "?"),
    ("04.3", resampled(draw=lambda rng, n: rng.permutation(n)), "?"),
    ("04.3", resampled(draw=lambda rng, n: rng.integers(0, n, n // 2)), "?"),
    ("04.3", resampled(draw=lambda rng, n: rng.integers(0, n, 4 * n)), "?"),
    ("04.3", resampled(draw=lambda rng, n: rng.integers(0, n - 1, n)), "?"),
    ("04.3", resampled(draw=lambda rng, n: np.random.randint(0, n, n)), "?"),
    ("04.3", resampled(draw=lambda rng, n: np.random.default_rng(0).integers(0, n, n)), "?"),
    ("04.3", resampled(end=lambda low, high: (100 * low, 100 * high)), "?"),
    ("04.3", resampled(end=lambda low, high: ((low + high) / 2, (high - low) / 2)), "?"),
    ("04.3", resampled(end=lambda low, high: (high, low)), "?"),
]


@wrong("04.3", "?")
def blocks_are_numbered_from_zero(right_a, right_b, block, rng):
    d, n = right_a.astype(float) - right_b, block.max() + 1
    weights = [np.bincount(rng.integers(0, n, n), minlength=n)[block] for _ in range(1000)]
    return np.percentile([np.average(d, weights=w + 1e-12) for w in weights], [2.5, 97.5])


@wrong("04.3", "?")
def two_standard_errors_of_the_images(right_a, right_b, block, rng):
    d = right_a.astype(float) - right_b
    half = 1.96 * d.std(ddof=1) / len(d) ** 0.5
    return d.mean() - half, d.mean() + half


@wrong("04.3", "?")
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
    ("05.1", alike(centre=lambda w: w), "?"),
    ("05.1", alike(centre=lambda w: w - w.mean()), "?"),
    ("05.1", alike(centre=lambda w: w - w.mean((2, 3), keepdims=True)), "?"),
    ("05.1", alike(centre=lambda w: w - w.mean(0)), "?"),
    ("05.1", alike(spread=lambda w: w.std((1, 2, 3))), "?"),
    ("05.1", alike(spread=lambda w: w.var()), "?"),
    ("05.1", alike(spread=lambda w: w.var((1, 2, 3), ddof=1)), "?"),
    ("05.1", alike(spread=lambda w: (w**2).sum((1, 2, 3))), "?"),
    ("05.1", alike(join=lambda one, other: one), "?"),
    ("05.1", alike(join=lambda one, other: other), "?"),
    ("05.1", alike(join=lambda one, other: one + other), "?"),
    ("05.1", alike(join=np.maximum), "?"),
    ("05.1", alike(join=lambda one, other: np.sqrt(np.abs(one * other))), "?"),
    ("05.1", alike(one=rolled(2), other=rolled(3)), "?"),
    ("05.1", alike(one=over_the_whole_area(2), other=over_the_whole_area(3)), "?"),
    ("05.1", alike(one=lambda w, lag: (w[:, :, 1:] * w[:, :, :-1]).mean((1, 2, 3)), other=lambda w, lag: (w[..., 1:] * w[..., :-1]).mean((1, 2, 3))), "?"),  # noqa: E501
    ("05.1", lambda w, lag: (w[..., lag:, lag:] * w[..., :-lag, :-lag]).mean((1, 2, 3)) / w.var((1, 2, 3)), "?"),
    ("05.1", lambda w, lag: 1 - np.abs(w[..., lag:] - w[..., :-lag]).mean((1, 2, 3)) / w.std((1, 2, 3)), "?"),
    ("05.1", lambda w, lag: alike(spread=lambda w: 1)(w, lag), "?"),
    ("05.1", lambda w, lag: np.round(alike()(w, lag), 2), "?"),
    ("05.1", lambda w, lag: alike()(w.sum(1, keepdims=True), lag), "?"),
    ("05.1", lambda w, lag: alike()(w[:, :1], lag), "?"),
    ("05.1", lambda w, lag: np.mean([alike()(w[:, [c]], lag) for c in range(w.shape[1])], axis=0), "?"),
    ("05.1", correlation, "?"),
    ("05.1", removes_in_place, "?"),
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
    ("05.2", moved_by(lambda x: np.sqrt((x**2).mean())), "?"),
    ("05.2", moved_by(lambda x: np.abs(x).sum()), "?"),
    ("05.2", moved_by(lambda x: np.abs(x).max()), "?"),
    ("05.2", moved_by(lambda x: (x**2).sum()), "?"),
    ("05.2", moved_by(lambda x: np.sqrt(x.sum() ** 2)), "?"),
    ("05.2", moved_by(lambda x: norm(x.reshape(len(x), -1), 2)), "?"),
    ("05.2", moved_by(lambda x: norm(x.reshape(len(x), -1), axis=1).mean()), "?"),
    ("05.2", moved_by(lambda x: norm(x.reshape(len(x), -1), axis=1)), "?"),
    ("05.2", moved_by(lambda x: x.std()), "?"),
    ("05.2", moved_by(lambda x: norm(x - x.mean())), "?"),
    ("05.2", moved_by(norm, lambda way, b, a, length: way / norm(a)), "?"),
    ("05.2", moved_by(norm, lambda way, b, a, length: 100 * way / norm(b)), "?"),
    ("05.2", moved_by(norm, lambda way, b, a, length: way / (norm(b) + 1)), "?"),
    ("05.2", moved_by(norm, lambda way, b, a, length: (way / norm(b)) ** 2), "?"),
    ("05.2", moved_by(norm, lambda way, b, a, length: np.mean(np.abs(a - b) / np.abs(b))), "?"),
    ("05.2", moved_by(norm, lambda way, b, a, length: 1 - (a * b).sum() / norm(a) / norm(b)), "?"),
    ("05.2", moved_by(norm, lambda way, b, a, length: norm(b) / way), "?"),
    ("05.2", moved_by(norm, lambda way, b, a, length: min(way / norm(b), 1)), "?"),
    ("05.2", moved_by(norm, lambda way, b, a, length: way / np.abs(b).sum()), "?"),
    ("05.2", lambda b, a: (abs(norm(a) - norm(b)), abs(norm(a) - norm(b)) / norm(b)), "?"),
    ("05.2", lambda b, a: (norm(a - b) / norm(b), norm(a - b)), "?"),
    ("05.2", lambda b, a: norm(a - b) / norm(b), "?"),
    ("05.2", in_place, "?"),
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


@wrong("05.3", "?")
def reverses_the_callers_list(layers, unit):
    layers.reverse()
    first = last = unit
    for kernel, stride, pad in layers:
        first, last = first * stride - pad, last * stride - pad + kernel - 1
    return first, last


@wrong("05.3", "?")
def pops_the_callers_list(layers, unit):
    first = last = unit
    while layers:
        kernel, stride, pad = layers.pop()
        first, last = first * stride - pad, last * stride - pad + kernel - 1
    return first, last


@wrong("05.3", "?")
def the_stride_counts_before_the_kernel(layers, unit):
    jump, first, width = 1, 0, 0
    for kernel, stride, pad in layers:
        jump *= stride
        first, width = first - jump * pad, width + (kernel - 1) * jump
    return first + unit * jump, first + unit * jump + width


@wrong("05.3", "?")
def stride_before_kernel(layers, unit):
    return jumped()([(kernel, stride, pad) for stride, kernel, pad in layers], unit)


@wrong("05.3", "?")
def edges_of_a_unit(layers, unit):
    first, last = unit, unit
    for kernel, stride, pad in reversed(layers):
        first, last = first * stride - pad, (last + 1) * stride - pad + kernel - 1
    return first, last


WRONG += [
    ("05.3", jumped(start=lambda jump, pad: 0), "?"),
    ("05.3", jumped(start=lambda jump, pad: -pad), "?"),
    ("05.3", jumped(size=lambda jump, kernel: kernel - 1), "?"),
    ("05.3", jumped(size=lambda jump, kernel: kernel * jump), "?"),
    ("05.3", jumped(answer=lambda first, size: (first, size + 1)), "?"),
    ("05.3", jumped(answer=lambda first, size: (first, first + size + 1)), "?"),
    ("05.3", jumped(answer=lambda first, size: (first + size, first)), "?"),
    ("05.3", jumped(answer=lambda first, size: (max(first, 0), first + size)), "?"),
    ("05.3", jumped(answer=lambda first, size: (first + size / 2, size)), "?"),
    ("05.3", jumped(answer=lambda first, size: range(first, first + size + 1)), "?"),
    ("05.3", lambda layers, unit: jumped()(layers, unit - 1), "?"),
    ("05.3", lambda layers, unit: jumped()(layers, 0), "?"),
    ("05.3", lambda layers, unit: jumped()(layers[:1], unit), "?"),
    ("05.3", lambda layers, unit: jumped()(layers[-1:], unit), "?"),
    ("05.3", lambda layers, unit: jumped()([one for one in layers if one[1] == 1], unit), "?"),
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
    (kernel, stride, pad), *_ = rest = layers[-1:]
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


@wrong("06.1", "?")
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


@wrong("06.1", "?")
def shared_layers_are_deleted(net, shapes):
    seen = set()
    for layer in list(net.layer):
        if layer.param and layer.param[0].name:
            if layer.param[0].name in seen:
                net.layer.remove(layer)
            seen.add(layer.param[0].name)
    return counted()(net, shapes)


@wrong("06.1", "?")
def always_the_data(net, shapes):
    return counted()(net, {name: next(iter(shapes.values())) for name in shapes})


WRONG += [
    ("06.1", counted(lambda spec, c: spec.num_output * c // spec.group * spec.kernel_size[0]), "?"),
    ("06.1", counted(lambda spec, c: spec.num_output * c * spec.group * spec.kernel_size[0] ** 2), "?"),
    ("06.1", counted(lambda spec, c: spec.num_output * c * spec.kernel_size[0] ** 2), "?"),
    ("06.1", counted(lambda spec, c: spec.num_output * 3 * spec.kernel_size[0] ** 2), "?"),
    ("06.1", counted(lambda spec, c: spec.num_output // spec.group * (c // spec.group) * spec.kernel_size[0] ** 2), "?"),  # noqa: E501
    ("06.1", counted(lambda spec, c: spec.num_output * (c // spec.group * spec.kernel_size[0] ** 2 + 1)), "?"),
    ("06.1", counted(product=lambda spec, shape: spec.num_output * math.prod(shape)), "?"),
    ("06.1", counted(product=lambda spec, shape: spec.num_output * shape[1]), "?"),
    ("06.1", counted(product=lambda spec, shape: spec.num_output * shape[-1]), "?"),
    ("06.1", counted(product=lambda spec, shape: spec.num_output * shape[1] * shape[-1]), "?"),
    ("06.1", counted(product=lambda spec, shape: 0), "?"),
    ("06.1", counted(bias=lambda layer, spec: 1), "?"),
    ("06.1", counted(bias=lambda layer, spec: 0), "?"),
    ("06.1", counted(bias=lambda layer, spec: spec.num_output), "?"),
    ("06.1", counted(bias=lambda layer, spec: spec.num_output * getattr(spec, "group", 1) * spec.bias_term), "?"),
    ("06.1", counted(bias=lambda layer, spec: spec.num_output * spec.bias_term * (layer.type == "Convolution")), "?"),
    ("06.1", counted(skip=lambda layer, seen: False), "?"),
    ("06.1", counted(skip=lambda layer, seen: bool(layer.param) and layer.param[0].name != ""), "?"),
    ("06.1", counted(skip=lambda layer, seen: bool(layer.param) and layer.param[0].name in seen), "?"),
    ("06.1", counted(skip=lambda layer, seen: layer.name in seen, note=lambda layer: {layer.name}), "?"),
    ("06.1", counted(skip=lambda layer, seen: len(layer.param) > 0), "?"),
    ("06.1", counted(types=("Convolution",)), "?"),
    ("06.1", counted(types=("InnerProduct",)), "?"),
    ("06.1", counted(types=("Convolution", "InnerProduct", "ReLU", "Pooling", "LRN")), "?"),
    ("06.1", lambda net, shapes: 4 * counted()(net, shapes), "?"),
    ("06.1", lambda net, shapes: counted()(net, shapes) / 1e6, "?"),
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


@wrong("06.2", "?")
def a_shallow_copy(puzzles, random_trunk, train_last_layer):
    control = dict(puzzles)
    control["initial"].update(random_trunk)
    control["initial"].update(train_last_layer(random_trunk))
    return control


@wrong("06.2", "?")
def copy_copy(puzzles, random_trunk, train_last_layer):
    control = copy.copy(puzzles)
    for name in control["initial"]:
        control["initial"][name] = random_trunk.get(name) or train_last_layer(random_trunk)[name]
    return control


@wrong("06.2", "?")
def the_trunk_grows(puzzles, random_trunk, train_last_layer):
    random_trunk.update(train_last_layer(random_trunk))
    return {**puzzles, "initial": random_trunk}


@wrong("06.2", "?")
def trained_twice(puzzles, random_trunk, train_last_layer):
    train_last_layer(puzzles["initial"])
    return {**puzzles, "initial": {**random_trunk, **train_last_layer(random_trunk)}}


@wrong("06.2", "?")
def the_old_last_layer_goes_in(puzzles, random_trunk, train_last_layer):
    trunk = {**puzzles["initial"], **random_trunk}
    return {**puzzles, "initial": {**trunk, **train_last_layer({"fc6": trunk["fc6"]})}}


@wrong("06.2", "?")
def arrays_overwritten(puzzles, random_trunk, train_last_layer):
    control = {**puzzles, "initial": dict(puzzles["initial"])}
    for name, arrays in {**random_trunk, **train_last_layer(random_trunk)}.items():
        for target, array in zip(control["initial"][name], arrays):
            target[...] = array
    return control


@wrong("06.2", "?")
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
    ("06.2", controlled(initial=lambda p, trunk, made: trunk), "?"),
    ("06.2", controlled(initial=lambda p, trunk, made: {"fc6": made["initial"]["fc6"]}), "?"),
    ("06.2", controlled(initial=lambda p, trunk, made: {**trunk, "fc6": {"fc6": made["initial"]["fc6"]}}), "?"),
    ("06.2", controlled(initial=lambda p, trunk, made: {**p["initial"], "fc6": made["initial"]["fc6"]}), "?"),
    ("06.2", controlled(initial=lambda p, trunk, made: {**p["initial"], "conv1": trunk.get("conv1")}), "?"),
    ("06.2", controlled(initial=lambda p, trunk, made: None), "?"),
    ("06.2", controlled(initial=lambda p, trunk, made: list(made["initial"].values())), "?"),
    ("06.2", controlled(seed=lambda p, trunk, made: 0), "?"),
    ("06.2", controlled(seed=lambda p, trunk, made: None), "?"),
    ("06.2", controlled(recipe=lambda p, trunk, made: None), "?"),
    ("06.2", controlled(net=lambda p, trunk, made: None), "?"),
    ("06.2", controlled(layers=lambda p, trunk, made: list(trunk)), "?"),
    ("06.2", controlled(name=lambda p, trunk, made: "control"), "?"),
    ("06.2", without("seed"), "?"),
    ("06.2", without("layers"), "?"),
    ("06.2", lambda p, trunk, train: (p, controlled()(p, trunk, train)), "?"),
    ("06.2", lambda p, trunk, train: controlled()(p, p["initial"], train), "?"),
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
            other == name or min((f - g) % turn, (g - f) % turn) > gap
            for g, other in zip(frames, names, strict=True)
        )
        else None
        for f, name in zip(frames, names, strict=True)
    ]


WRONG += [
    ("07.1", arc(test=lambda turn: round(turn / 10), validation=lambda turn: round(turn / 4)), "?"),
    ("07.1", arc(test=lambda turn: round(turn / 2)), "?"),
    ("07.1", arc(test=lambda turn: round(turn / 5)), "?"),
    ("07.1", arc(validation=lambda turn: round(turn / 5)), "?"),
    ("07.1", arc(validation=lambda turn: round(turn / 20)), "?"),
    ("07.1", arc(validation=lambda turn: 0), "?"),
    ("07.1", arc(start=lambda rng, turn: 0), "?"),
    ("07.1", arc(start=lambda rng, turn: int(rng.integers(2))), "?"),
    ("07.1", arc(start=lambda rng, turn: np.random.randint(turn)), "?"),
    ("07.1", arc(start=lambda rng, turn: int(np.random.default_rng(0).integers(turn))), "?"),
    ("07.1", arc(between=-1), "?"),
    ("07.1", arc(between=2), "?"),
    ("07.1", arc(between=1), "?"),
    ("07.1", arc(wrap=False), "?"),
    ("07.1", arc(names=("test", "val", "train", None)), "?"),
    ("07.1", arc(names=("test", "validation", "training", "None")), "?"),
    ("07.1", arc(names=("test", "validation", "training", "training")), "?"),
    ("07.1", arc(names=("test", "validation", "training", "test")), "?"),
    ("07.1", arc(names=("training", "validation", "test", None)), "?"),
    ("07.1", by_rank, "?"),
    ("07.1", sorts_the_frames, "?"),
    ("07.1", those_left_out_are_missing, "?"),
    ("07.1", without_modulo, "?"),
    ("07.1", starts_apart, "?"),
    ("07.1", lambda frames, turn, gap, rng: arc()(sorted(frames), turn, gap, rng), "?"),
    ("07.1", lambda frames, turn, gap, rng: arc()(range(turn), turn, gap, rng), "?"),
    ("07.1", lambda frames, turn, gap, rng: dict(zip(frames, arc()(frames, turn, gap, rng), strict=True)), "?"),
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
    ("07.2", like(lambda t, i: flat(np.abs(t.astype(int) - i)).sum(1)), "?"),
    ("07.2", like(lambda t, i: flat(np.abs(t.astype(int) - i)).max(1)), "?"),
    ("07.2", like(lambda t, i: flat(t != i).sum(1)), "?"),
    ("07.2", like(cosine), "?"),
    ("07.2", like(correlated), "?"),
    ("07.2", like(grey), "?"),
    ("07.2", like(coarse), "?"),
    ("07.2", like(colours), "?"),
    ("07.2", like(squares(np.uint8)), "?"),
    ("07.2", like(squares(np.int8)), "?"),
    ("07.2", like(squares(np.int16)), "?"),
    ("07.2", like(squares(np.uint16)), "?"),
    ("07.2", like(squares(np.float16)), "?"),
    ("07.2", like(lambda t, i: flat(t.astype(int) - i).sum(1) ** 2), "?"),
    ("07.2", like(lambda t, i: np.abs(flat(t.astype(int) - i).sum(1))), "?"),
    ("07.2", like(lambda t, i: -flat(t.astype(int) * i).sum(1)), "?"),
    ("07.2", like(lambda t, i: np.abs(flat(t.astype(int) ** 2).sum(1) - (i.astype(int) ** 2).sum())), "?"),
    ("07.2", like(lambda t, i: squares(float)(t[..., :1], i[..., :1])), "?"),
    ("07.2", like(lambda t, i: squares(float)(t[:, 0], i[0])), "?"),
    ("07.2", like(squares(float), pick=np.argmax), "?"),
    ("07.2", like(squares(float), pick=lambda d: np.argsort(d)[1]), "?"),
    ("07.2", like(squares(float), name=lambda labels, i: i), "?"),
    ("07.2", like(squares(float), name=lambda labels, i: sorted(labels)[i]), "?"),
    ("07.2", like(squares(float), name=lambda labels, i: [labels[i]]), "?"),
    ("07.2", three_neighbours, "?"),
    ("07.2", lambda t, labels, images: like(squares(float))(t, labels, images[:1]), "?"),
    ("07.2", lambda t, labels, images: like(squares(float))(t[:-1], labels, images), "?"),
    ("07.2", lambda t, labels, images: np.full(len(images), np.bincount(labels).argmax()), "?"),
]


def in_place_of_the_images(training, labels, images):
    training -= training.mean(0).astype(np.uint8)
    images -= images.mean(0).astype(np.uint8)
    return like(squares(float))(training, labels, images)


WRONG += [("07.2", in_place_of_the_images, "?")]
RIGHT += [
    ("07.2", like(squares(np.int32))),
    ("07.2", like(squares(np.float32))),
    ("07.2", lambda t, labels, images: list(like(squares(int))(t, labels, images))),
    ("07.2", lambda t, labels, images: labels[((flat(t)[None].astype(int) - flat(images)[:, None]) ** 2).sum(2).argmin(1)]),  # noqa: E501
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
    ("08.1", judged(near=lambda d, margin, reported: d <= margin * abs(reported)), "?"),
    ("08.1", judged(near=lambda d, margin, reported: d <= margin * 100), "?"),
    ("08.1", judged(near=lambda d, margin, reported: d <= margin / 2), "?"),
    ("08.1", judged(near=lambda d, margin, reported: round(d) <= margin), "?"),
    ("08.1", judged(near=lambda d, margin, reported: d < margin), "?"),
    ("08.1", judged(near=lambda d, margin, reported: d == 0), "?"),
    ("08.1", judged(open_=lambda d, half, margin: d < half), "?"),
    ("08.1", judged(open_=lambda d, half, margin: d <= half / 2), "?"),
    ("08.1", judged(open_=lambda d, half, margin: d <= 2 * half), "?"),
    ("08.1", judged(open_=lambda d, half, margin: d <= half or math.isnan(half)), "?"),
    ("08.1", judged(open_=lambda d, half, margin: half > margin), "?"),
    ("08.1", judged(open_=lambda d, half, margin: d - margin <= half), "?"),
    ("08.1", judged(open_=lambda d, half, margin: math.isnan(half)), "?"),
    ("08.1", judged(off=lambda mean, reported: mean - reported), "?"),
    ("08.1", judged(off=lambda mean, reported: reported - mean), "?"),
    ("08.1", judged(off=lambda mean, reported: (mean - reported) ** 2), "?"),
    ("08.1", judged(off=lambda mean, reported: abs(mean - reported) / reported), "?"),
    ("08.1", judged(off=lambda mean, reported: abs(round(mean) - round(reported))), "?"),
    ("08.1", judged(off=lambda mean, reported: abs(abs(mean) - abs(reported))), "?"),
    ("08.1", judged(words=("Reproduced", "Undecided", "Not reproduced")), "?"),
    ("08.1", judged(words=("reproduced", "not reproduced", "undecided")), "?"),
    ("08.1", judged(words=(True, None, False)), "?"),
    ("08.1", judged(order="interval first"), "?"),
]
RIGHT += [
    ("08.1", judged()),
    ("08.1", judged(open_=lambda d, half, margin: d <= np.nan_to_num(half))),
    ("08.1", lambda reported, mean, half, margin: "reproduced" if reported - margin <= mean <= reported + margin else "undecided" if mean - half <= reported <= mean + half else "not reproduced"),  # noqa: E501
    ("08.1", lambda reported, mean, half, margin: np.array(["not reproduced", "undecided", "reproduced"])[2 if abs(reported - mean) <= margin else int(abs(reported - mean) <= half)]),  # noqa: E501
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
    ("08.2", around(lambda x, n: stats.t.ppf(0.975, n - 1) * x.std() / n**0.5), "?"),
    ("08.2", around(lambda x, n: stats.t.ppf(0.975, n - 1) * x.std(ddof=1) / n), "?"),
    ("08.2", around(lambda x, n: stats.t.ppf(0.975, n - 1) * x.std(ddof=1) / (n - 1) ** 0.5), "?"),
    ("08.2", around(lambda x, n: stats.t.ppf(0.975, n - 1) * x.var(ddof=1) / n**0.5), "?"),
    ("08.2", around(lambda x, n: stats.t.ppf(0.975, n - 2) * x.std(ddof=1) / n**0.5), "?"),
    ("08.2", around(lambda x, n: stats.t.ppf(0.95, n - 1) * x.std(ddof=1) / n**0.5), "?"),
    ("08.2", around(lambda x, n: stats.t.ppf(0.995, n - 1) * x.std(ddof=1) / n**0.5), "?"),
    ("08.2", around(lambda x, n: stats.t.ppf(0.975, 2) * x.std(ddof=1) / n**0.5), "?"),
    ("08.2", around(lambda x, n: stats.t.ppf(0.975, 4) * x.std(ddof=1) / n**0.5), "?"),
    ("08.2", around(lambda x, n: 2 * x.std(ddof=1) / n**0.5), "?"),
    ("08.2", around(lambda x, n: x.std(ddof=1) / n**0.5), "?"),
    ("08.2", around(lambda x, n: 2 * t_half(x, n)), "?"),
    ("08.2", around(lambda x, n: t_half(x, n) / 2), "?"),
    ("08.2", around(t_half, centre=np.median), "?"),
    ("08.2", around(t_half, centre=lambda x: (x.min() + x.max()) / 2), "?"),
    ("08.2", around(t_half, end=lambda low, high: (high, low)), "?"),
    ("08.2", around(t_half, end=lambda low, high: ((low + high) / 2, (high - low) / 2)), "?"),
    ("08.2", around(t_half, end=lambda low, high: (max(low, 0), min(high, 1))), "?"),
    ("08.2", around(t_half, end=lambda low, high: (round(low, 1), round(high, 1))), "?"),
    ("08.2", around(t_half, end=lambda low, high: (100 * low, 100 * high)), "?"),
    ("08.2", lambda values: np.percentile(values, [2.5, 97.5]), "?"),
    ("08.2", lambda values: stats.t.interval(0.95, len(values) - 1, np.mean(values), np.std(values, ddof=1)), "?"),
    ("08.2", lambda values: stats.norm.interval(0.95, np.mean(values), stats.sem(values)), "?"),
    ("08.2", lambda values: around(t_half)(values[:5]), "?"),
    ("08.2", lambda values: around(t_half)(np.unique(values)), "?"),
    ("08.2", sorts_in_place, "?"),
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
    ("08.3", claiming(text=""), "?"),
    ("08.3", claiming(text="CIFAR-100  "), "?"),
    ("08.3", claiming(text=None), "?"),
    ("08.3", claiming(reported="44 %"), "?"),
    ("08.3", claiming(reported=None), "?"),
    ("08.3", claiming(reported=float("inf")), "?"),
    ("08.3", claiming(reported=True), "?"),
    ("08.3", claiming(form="two decimals"), "?"),
    ("08.3", claiming(notebook="04"), "?"),
    ("08.3", claiming(notebook="09_nothing"), "?"),
    ("08.3", claiming(notebook="04_fine_tuning.ipynb"), "?"),
    ("08.3", claiming(notebook="05_filters"), "?"),
    ("08.3", claiming(section=""), "?"),
    ("08.3", claiming(section="5"), "?"),
    ("08.3", claiming(section="Train"), "?"),
    ("08.3", claiming(runs=""), "?"),
    ("08.3", claiming(runs="cifar100"), "?"),
    ("08.3", claiming(runs="cifar100_scratch_s0"), "?"),
    ("08.3", claiming(runs=["cifar100_scratch"]), "?"),
    ("08.3", claiming(measure=0.44), "?"),
    ("08.3", claiming(measure=lambda record: None), "?"),
    ("08.3", claiming(measure=lambda record: float("nan")), "?"),
    ("08.3", claiming(measure=lambda record: str(record.result["test_accuracy"])), "?"),
    ("08.3", claiming(measure=lambda record: record.history), "?"),
    ("08.3", claiming(measure=lambda record: record["test_accuracy"]), "?"),
    ("08.3", claiming(measure=lambda record: np.random.random()), "?"),
    ("08.3", claiming(measure=lambda record: (record.result["test_accuracy"], 0.44)[1]), "?"),
    ("08.3", claiming(measure=lambda record: record.result["test_accuracy"] >= 0), "?"),
    ("08.3", lambda: [claiming()()], "?"),
    ("08.3", lambda: claiming(), "?"),
    ("08.3", lambda: "cifar100_scratch reaches 44 %", "?"),
]
RIGHT += [
    ("08.3", claiming()),
    ("08.3", claiming(reported=44, measure=lambda record: record.history["epoch"].max())),
    ("08.3", claiming(measure=lambda record: np.float32(100 * record.result["test_accuracy"]))),
]
