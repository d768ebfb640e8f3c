"""Notebook 02: images become a blob, windows are shared out, channel statistics are taken in one pass."""

import tracemalloc

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
)
def _share_out(attempt):
    chained = (
        "If a overlaps b and b overlaps c, all three go together, even where a and c do not meet: give every window a "
        "group of its own; wherever two overlap, merge their groups; then deal whole groups."
    )
    touching = (
        "Squares overlap where they do so along the rows and along the columns; those that touch share no pixel. Deal "
        "the groups in turn, so that none of the three splits is left over by chance."
    )
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
        answer = attempt(list(windows), np.random.default_rng(seed))
        listed = "names[i] is the split of windows[i]: a list in the order of the windows."
        attempt.must(isinstance(answer, list | tuple | np.ndarray), "it returns a list of names", hint=listed)
        answer = list(answer)
        attempt.must(
            len(answer) == len(windows), "every window gets a split", f"{len(answer)} for {len(windows)}", listed
        )
        odd = set(answer) - {"training", "validation", "test"}
        names = "The names are spelt out, and every window has one."
        attempt.must(not odd, 'the splits are "training", "validation" and "test"', f"there is {odd}", names)
        for i, a in enumerate(windows):
            for j, b in enumerate(windows[:i]):
                words = f"{a} is in {answer[i]}, {b} in {answer[j]}"
                attempt.must(answer[i] == answer[j] or not _overlap(a, b), "no pixel serves two splits", words, chained)
        groups, used = _groups(windows), len(set(answer))
        words = f"there are {groups} groups of windows that share no pixel, and {used} splits were used"
        attempt.must(used >= min(groups, 3), "all three splits are used where the windows allow it", words, touching)
    attempt.repeats(layouts[-1])


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
)
def _statistics(attempt):
    rng, memory = np.random.default_rng(3), np.zeros(40 * 36 * 3, np.uint8)
    hints = {
        "mean": "The mean of the batches' means is wrong where batches differ in size: add up sums, divide at the end.",
        "std": "The variance is the mean of the squares minus the square of the mean, over all pixels: three running "
        "numbers are enough. uint8 holds 0 to 255, 20 * 20 is 144 there: make floats of them before you square.",
    }
    once = (
        "Keep sums, no batch: a reader like this one fills the same memory again and again, for any number of images."
    )

    def yielded(parts, reuse):
        """The batches, each a copy; or each in the memory of the one before, as a reader of files may do it."""
        for part in parts:
            batch = memory[: part.size].reshape(part.shape) if reuse else part.copy()
            batch[...] = part
            yield batch
        memory[...] = 0

    def compared(answer, parts, property="", hint="", rtol=1e-4):
        attempt.pair(answer, "it returns mean and std")
        pixels = np.concatenate([part.reshape(-1, 3) for part in parts]).astype(np.float64)
        words = f"{len(parts)} batches of {[len(part) for part in parts]} images"
        for name, mine, right in zip(("mean", "std"), answer, (pixels.mean(axis=0), pixels.std(axis=0))):
            mine = attempt.array(mine, (3,), f"the {name} is three numbers, one for each channel")
            found = f"{name} {mine.round(3).tolist()} instead of {right.round(3).tolist()}; {words}"
            near = np.allclose(mine, right, rtol=rtol)  # 1e-4: float32 is enough; n - 1 in place of n is not
            attempt.must(
                near, property or f"the {name} is NumPy's, however the images were batched", found, hint or hints[name]
            )

    for turn in range(12):
        centre = rng.uniform(40, 200, 3)
        images = np.clip(rng.normal(centre, rng.uniform(5, 60, 3), (40, 6, 6, 3)), 0, 255).astype(np.uint8)
        images[::7] //= 3  # so that batches differ
        cuts = sorted(rng.choice(np.arange(1, 40), size=turn % 5, replace=False).tolist())
        parts = np.split(images, cuts)
        compared(attempt(yielded(parts, reuse=False)), parts)
        if len(parts) > 1:
            compared(attempt(yielded(parts, reuse=True)), parts, "a batch that has been read is gone", once)
    batch, count = rng.integers(0, 256, (2, 64, 64, 3), dtype=np.uint8), 200
    peak = _peak(lambda: attempt(batch.copy() for _ in range(count)))
    words = f"{count} batches of {batch.nbytes / 1e6:.3f} MB took {peak / 1e6:.1f} MB"
    attempt.must(peak < count * batch.nbytes / 2, "memory does not grow with the number of images", words, once)
    faint = [rng.integers(100, 104, (1, 2, 2, 3), dtype=np.uint8)]
    compared(attempt(yielded(faint, reuse=False)), faint, rtol=1e-2)
    bright = [rng.integers(120, 256, (n, 160, 160, 3), dtype=np.uint8) for n in (2, 1)]
    wide = "65025 for each white pixel: int32 overflows after 33,000 of them. float or int64 does not."
    compared(
        attempt(yielded(bright, reuse=False)), bright, "large images are added up without overflow", wide, rtol=1e-2
    )


def _peak(call):
    """The most bytes that were held at once during a call."""
    own = not tracemalloc.is_tracing()
    if own:
        tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if own:
            tracemalloc.stop()


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
)
def _to_caffe(attempt):
    numbers = (
        "Subtract and divide while the channels are still last: then (3,) fits by itself. reshape cuts the same bytes "
        "elsewhere; transpose(0, 3, 1, 2) is what moves an axis."
    )
    moved = "transpose moves no bytes, nor does a change of type: np.ascontiguousarray, after them, does."
    rng = np.random.default_rng(1)
    for height, width in ((2, 3), (5, 4), (8, 8)):
        images = rng.integers(0, 256, (4, height, width, 3), dtype=np.uint8)
        mean, std = rng.uniform(90, 160, 3), rng.uniform(20, 80, 3)
        blob = attempt(images, mean, std)
        attempt.must(
            isinstance(blob, np.ndarray), "it returns one array", hint="np.stack makes an array of a list of them."
        )
        blob = attempt.array(blob, (4, 3, height, width), "its shape is (n, 3, height, width)")
        half = "NumPy computes in float64 where one side is: .astype(np.float32), or dtype=np.float32."
        attempt.must(blob.dtype == np.float32, "its type is float32", f"it is {blob.dtype}", half)
        back = blob * std[:, None, None] + mean[:, None, None]
        y, x = height - 1, 1
        first, returned = images[0, y, x].tolist(), back[0, :, y, x].round(1).tolist()
        words = f"image 0, row {y}, column {x}: {first} came back as {returned}"
        attempt.must(
            np.allclose(back.transpose(0, 2, 3, 1), images, atol=0.02),
            "times std, plus mean: the images",
            words,
            numbers,
        )
        attempt.must(blob.flags.c_contiguous, "it is contiguous in memory", f"its strides are {blob.strides}", moved)
