"""Notebook 02: images become a blob, windows are shared out, channel statistics are taken in one pass."""

import numpy as np

from helpers.exercises.engine import exercise


def share_out(windows, rng):
    """A split for each window, so that no pixel serves two splits.

    windows: a list of (row, column, side): squares, in pixels. rng: a NumPy Generator.
    Every window gets one of "training", "validation" and "test"; all three are used wherever
    the windows allow it. Returns a list of names, one for each window.
    """
    group = list(range(len(windows)))  # windows that overlap, if only by way of others, are one group
    for i, (row, column, side) in enumerate(windows):
        for j, (top, left, size) in enumerate(windows[:i]):
            if row < top + size and top < row + side and column < left + size and left < column + side:
                group = [group[j] if g == group[i] else g for g in group]
    groups = list(rng.permutation(sorted(set(group))))
    names = ("training", "validation", "test")
    return [names[groups.index(g) % 3] for g in group]


def _overlap(a, b):
    return all(a[axis] < b[axis] + b[2] and b[axis] < a[axis] + a[2] for axis in (0, 1))


def _groups(windows):
    """How many groups of windows share no pixel with another group."""
    left, count = set(range(len(windows))), 0
    while left:
        count, reached = count + 1, [left.pop()]
        while reached:
            window = windows[reached.pop()]
            near = {other for other in left if _overlap(window, windows[other])}
            left -= near
            reached += near
    return count


@exercise(
    "02.1",
    "A split in which no windows overlap",
    share_out,
    "When do two squares overlap? When they do so along the rows and along the columns.",
    "If a overlaps b and b overlaps c, all three must go together, even where a and c do not meet.",
    "Give every window a group of its own; wherever two overlap, merge their groups; then deal whole groups.",
)
def _share_out(attempt):
    rng = np.random.default_rng(2)
    chain = [(0, 6 * i, 10) for i in range(5)]
    layouts = [
        [(0, 0, 8), (0, 4, 8), (30, 30, 8), (60, 60, 8)],
        [(0, 0, 40), (10, 10, 5), (50, 50, 8), (80, 0, 8)],  # one inside another
        [*chain, (40, 0, 10), (80, 0, 10)],
        [(0, 0, 8), (0, 8, 8), (0, 16, 8)],  # touching: no pixel is shared
        [(0, 0, 8), (8, 0, 8), (16, 0, 8)],
        [(0, 0, 10), (50, 0, 10), (0, 50, 10), (50, 50, 10)],  # the same rows or columns, apart
        *[[(*rng.integers(0, 90, 2).tolist(), int(rng.integers(4, 24))) for _ in range(12)] for _ in range(60)],
    ]
    for seed, windows in enumerate([*layouts, *(layout[::-1] for layout in layouts)]):
        answer = list(attempt(list(windows), np.random.default_rng(seed)))
        attempt.must(len(answer) == len(windows), "every window gets a split", f"{len(answer)} for {len(windows)}")
        odd = set(answer) - {"training", "validation", "test"}
        attempt.must(not odd, 'the splits are "training", "validation" and "test"', f"there is {odd}")
        for i, a in enumerate(windows):
            for j, b in enumerate(windows[:i]):
                words = f"{a} is in {answer[i]}, {b} in {answer[j]}"
                attempt.must(answer[i] == answer[j] or not _overlap(a, b), "no pixel serves two splits", words)
        groups, used = _groups(windows), len(set(answer))
        words = f"there are {groups} groups of windows that share no pixel, and {used} splits were used"
        attempt.must(used >= min(groups, 3), "all three splits are used where the windows allow it", words)


def channel_statistics(batches):
    """Mean and standard deviation of each channel, over all pixels of all images, in one pass.

    batches: yields uint8 (n, height, width, 3); n differs from batch to batch, and what has been
    read is gone. Returns mean and std, each (3,), in grey levels.
    """
    count, total, squares = 0, np.zeros(3), np.zeros(3)
    for batch in batches:
        pixels = batch.reshape(-1, 3).astype(np.float64)
        count += len(pixels)
        total += pixels.sum(axis=0)
        squares += (pixels**2).sum(axis=0)
    mean = total / count
    return mean, np.sqrt(squares / count - mean**2)


@exercise(
    "02.2",
    "Channel statistics in one pass",
    channel_statistics,
    "The mean of the batches' means is wrong where batches differ in size: add up sums, and divide at the end.",
    "The variance is the mean of the squares minus the square of the mean: three running numbers are enough.",
    "uint8 holds 0 to 255: 20 * 20 is 144 there. Make the pixels float64 before you square them.",
)
def _statistics(attempt):
    rng = np.random.default_rng(3)
    for turn in range(12):
        centre = rng.uniform(40, 200, 3)
        images = np.clip(rng.normal(centre, rng.uniform(5, 60, 3), (40, 6, 6, 3)), 0, 255).astype(np.uint8)
        images[::7] //= 3  # so that batches differ
        cuts = sorted(rng.choice(np.arange(1, 40), size=turn % 5, replace=False).tolist())
        answer = attempt(batch for batch in np.split(images, cuts))
        attempt.pair(answer, "it returns mean and std")
        pixels = images.reshape(-1, 3).astype(np.float64)
        words = f"{len(cuts) + 1} batches of {[len(batch) for batch in np.split(images, cuts)]} images"
        for name, mine, right in zip(("mean", "std"), answer, (pixels.mean(axis=0), pixels.std(axis=0))):
            mine = attempt.array(mine, (3,), f"the {name} is three numbers, one for each channel")
            found = f"{mine.round(3).tolist()} instead of {right.round(3).tolist()}; {words}"
            attempt.must(
                np.allclose(mine, right, rtol=1e-7), f"the {name} is NumPy's, however the images were batched", found
            )


def to_caffe(images, mean, std):
    """A batch as Caffe wants it.

    images: uint8 (n, height, width, 3). mean, std: of each channel, (3,).
    Returns (images - mean) / std as float32 (n, 3, height, width), contiguous in memory.
    """
    scaled = (images - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2), dtype=np.float32)


@exercise(
    "02.3",
    "Into Caffe's layout",
    to_caffe,
    "Subtract and divide while the channels are still last: then (3,) fits by itself.",
    "reshape cuts the same bytes elsewhere; transpose(0, 3, 1, 2) is what moves an axis.",
    "transpose moves no bytes: np.ascontiguousarray does. And NumPy computed in float64.",
)
def _to_caffe(attempt):
    rng = np.random.default_rng(1)
    for height, width in ((2, 3), (5, 4), (8, 8)):
        images = rng.integers(0, 256, (4, height, width, 3), dtype=np.uint8)
        mean, std = rng.uniform(90, 160, 3), rng.uniform(20, 80, 3)
        given = images.copy()
        blob = attempt.array(attempt(images, mean, std), (4, 3, height, width), "its shape is (n, 3, height, width)")
        attempt.must(np.array_equal(given, images), "the images that were given stay as they were")
        attempt.must(blob.dtype == np.float32, "its type is float32", f"it is {blob.dtype}")
        back = blob * std[:, None, None] + mean[:, None, None]
        y, x = height - 1, 1
        first, returned = images[0, y, x].tolist(), back[0, :, y, x].round(1).tolist()
        words = f"image 0, row {y}, column {x}: {first} came back as {returned}"
        attempt.must(
            np.allclose(back.transpose(0, 2, 3, 1), images, atol=0.02), "times std, plus mean: the images", words
        )
        attempt.must(blob.flags.c_contiguous, "it is contiguous in memory", f"its strides are {blob.strides}")
