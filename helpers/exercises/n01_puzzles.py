"""Notebook 01: a puzzle is cut, undone and normalised, and permutations that lie far apart are found."""

import itertools

import numpy as np

from helpers.exercises.engine import exercise


def cut(photo, cell, tile, rng):
    """Nine tiles of a photograph, and where each was cut.

    photo: uint8 (height, width, 3). cell, tile: pixels. rng: a NumPy Generator.
    A square of 3 x 3 cells lies at a random place of the photograph, each tile at a random place
    of its own inside its cell. Returns the tiles (9, tile, tile, 3), row by row, and the row and
    column of each one's first pixel, (9, 2).
    """
    height, width = photo.shape[:2]
    top, left = rng.integers(0, height - 3 * cell + 1), rng.integers(0, width - 3 * cell + 1)
    tiles, corners = [], []
    for row, column in np.ndindex(3, 3):
        y, x = (top + row * cell, left + column * cell) + rng.integers(0, cell - tile + 1, size=2)
        tiles.append(photo[y : y + tile, x : x + tile])
        corners.append((y, x))
    return np.stack(tiles), np.array(corners)


@exercise(
    "01.1",
    "Cut a puzzle",
    cut,
)
def _cut(attempt):
    rng = np.random.default_rng(1)
    steps = np.array(list(np.ndindex(3, 3)))
    begins = "The tile of cell (row, column) begins at the square's corner + (row, column) * cell + its own offset."
    ends = "rng.integers(0, n) never gives n: a tile of 64 in a cell of 85 has 22 places along each side, 0 to 21."
    draws = (
        "Draw the square's row and column once; then, for each of the nine tiles, a row and a column inside its cell."
    )

    def tried(height, width, cell, tile, seed):
        photo = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        answer = attempt(photo, cell, tile, np.random.default_rng(seed))
        attempt.pair(answer, "it returns two things: tiles and places")
        tiles = attempt.array(answer[0], (9, tile, tile, 3), "there are nine square tiles in colour")
        corners = attempt.array(answer[1], (9, 2), "each tile has a place: the row and column of its first pixel")
        for number, (own, (y, x)) in enumerate(zip(tiles, corners), 1):
            same = np.array_equal(own, photo[y : y + tile, x : x + tile])
            attempt.must(
                same,
                "each tile shows the photograph at its place",
                f"tile {number}, at row {y}, column {x}",
                "A tile is photo[y : y + tile, x : x + tile], untouched; its place is (y, x), counted in the "
                "photograph.",
            )
        # The square can begin anywhere between these, by each tile's own testimony; all nine must agree.
        latest, earliest = corners - steps * cell, corners - steps * cell - (cell - tile)
        room = np.array([height, width]) - 3 * cell
        low, high = np.maximum(earliest.max(axis=0), 0), np.minimum(latest.min(axis=0), room)
        attempt.must(
            (low <= high).all(),
            "each tile lies inside its own cell of one 3 x 3 square inside the photograph",
            f"tiles began at {corners.tolist()}, cells are {cell} wide",
            begins,
        )
        if tile == cell:
            square = tiles.reshape(3, 3, tile, tile, 3).swapaxes(1, 2).reshape(3 * tile, 3 * tile, 3)
            y, x = corners[0]
            whole = np.array_equal(square, photo[y : y + 3 * cell, x : x + 3 * cell])
            attempt.must(whole, "tiles as large as their cells put the square together again", hint=begins)
        return corners

    for seed in range(10):
        tried(*rng.integers(40, 70, size=2), 12, (9, 12)[seed % 2], seed)
    attempt.repeats(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8), 12, 9)
    again = [tried(60, 60, 12, 9, seed) for seed in (5, 6)]
    attempt.must(not np.array_equal(*again), "another rng gives another puzzle", hint=draws)
    places = np.array([tried(39, 40, 12, 12, seed)[0] for seed in range(80)])
    seen = f"80 squares with 3 rows and 4 columns to spare began at {np.unique(places, axis=0).tolist()}"
    everywhere = {*places[:, 0].tolist()} == {*range(4)} and {*places[:, 1].tolist()} == {*range(5)}
    attempt.must(
        everywhere, "the square can lie anywhere", seen, "With room for d pixels there are d + 1 places. " + ends
    )
    both = len(np.unique(places, axis=0)) > 8  # of 20: one number for both gives five at most
    attempt.must(both, "the square's row and column are two random numbers", seen, draws)
    offsets = np.array([tried(36, 36, 12, 9, seed) for seed in range(80)]) - steps * 12
    seen = f"with 3 pixels to spare, offsets were {sorted(set(offsets.ravel().tolist()))}"
    reached = all(set(axis.tolist()) == {0, 1, 2, 3} for axis in offsets.reshape(80, 18).T)
    attempt.must(reached, "a tile can lie anywhere inside its cell", seen, ends)
    numbers = [(tile, axis) for tile in range(9) for axis in range(2)]
    for (i, (tile, axis)), (j, (other, across)) in itertools.combinations(enumerate(numbers), 2):
        one, two = offsets.reshape(80, 18)[:, [i, j]].T
        if np.array_equal(one, two):
            words = f"in 80 puzzles the {'column' if axis else 'row'} of tile {tile + 1} was offset as the "
            words += f"{'column' if across else 'row'} of tile {other + 1}"
            attempt.must(tile != other, "a tile's row and column are two random numbers", words, draws)
            attempt.must(False, "each tile has an offset of its own", words, draws)


def inverse(permutation):
    """The permutation that undoes this one.

    permutation: each of 1 to n once. A puzzle's tile at position i is tiles[permutation[i] - 1];
    shuffled again by the inverse, the tiles lie as they did. Returns integers 1 to n, (n,).
    """
    undone = np.empty_like(permutation)
    undone[permutation - 1] = np.arange(1, len(permutation) + 1)
    return undone


@exercise(
    "01.2",
    "Undo a permutation",
    inverse,
)
def _inverse(attempt):
    rng = np.random.default_rng(2)
    for count in range(1000):
        permutation = rng.permutation(9 if count else 5) + 1
        tiles, size = rng.integers(0, 1000, len(permutation)), len(permutation)
        undo = attempt.array(attempt(permutation), (size,), "it has as many numbers as the permutation")
        values = f"it holds each of 1 to {size} once"
        ones = (
            "Positions count from 0 in Python and from 1 here. np.argsort gives the positions in the order of the "
            "values."
        )
        attempt.must(sorted(undo.tolist()) == list(range(1, size + 1)), values, f"{undo.tolist()}", ones)
        whole = "np.zeros makes floats, which are no indices: np.zeros(n, int), or np.empty_like(permutation)."
        attempt.must(undo.dtype.kind in "iu", "its numbers are integers", f"they are {undo.dtype}", whole)
        back = tiles[permutation - 1][undo - 1]
        attempt.must(
            np.array_equal(back, tiles),
            "shuffled, and shuffled by the inverse, tiles lie as they did",
            hint="Where did tile 1 go? The inverse's first number is the position of 1 in the permutation.",
        )


def normalise(tiles):
    """Each colour channel of each tile with mean 0 and standard deviation 1.

    tiles: uint8 (n, side, side, 3). A channel that is constant becomes zeros.
    Returns floats of the same shape.
    """
    centred = tiles - tiles.mean(axis=(1, 2), keepdims=True)
    deviation = centred.std(axis=(1, 2), keepdims=True)
    return centred / np.where(deviation > 0, deviation, 1)


@exercise(
    "01.3",
    "Normalise each tile by itself",
    normalise,
)
def _normalise(attempt):
    rng = np.random.default_rng(3)
    axes = (
        "axis=(1, 2) with keepdims=True leaves (n, 1, 1, 3): a mean for each tile and each channel, as (n, 3) numbers."
    )
    root = (
        "Divide by the standard deviation (np.std, which divides by n), not by the variance, not by it plus something."
    )
    for _ in range(20):
        tiles = rng.integers(10, 60, (9, 4, 4, 3), dtype=np.uint8)
        out = attempt.array(attempt(tiles), tiles.shape, "the answer has the shape of the tiles")
        floats = (
            "uint8 holds 0 to 255 and no fraction: compute in float, into a new array (np.zeros_like takes the type)."
        )
        attempt.must(out.dtype.kind == "f", "the answer holds floats", f"it holds {out.dtype}", floats)
        off = np.abs(out.mean(axis=(1, 2))).max()
        attempt.must(off < 1e-4, "each channel of each tile has mean 0", f"a mean is {off:.3g} away from it", axes)
        deviation = out.std(axis=(1, 2))
        words = f"deviations run from {deviation.min():.3f} to {deviation.max():.3f}"
        attempt.must(
            np.allclose(deviation, 1, atol=1e-3), "each channel of each tile has standard deviation 1", words, root
        )
        brighter = (tiles * rng.integers(1, 4, (9, 1, 1, 3)) + rng.integers(0, 50, (9, 1, 1, 3))).astype(np.uint8)
        same = np.allclose(attempt(brighter), out, atol=1e-3)
        attempt.must(same, "a * tile + b gives what the tile gives, for any a > 0 and b of each channel", hint=axes)
        back = out * tiles.std(axis=(1, 2), keepdims=True) + tiles.mean(axis=(1, 2), keepdims=True)
        shift = "Nothing is rounded, clipped or moved elsewhere: (channel - its mean) / its deviation, pixel by pixel."
        attempt.must(np.allclose(back, tiles, atol=0.02), "times the deviation, plus the mean: the tiles", hint=shift)
    faint = np.asarray(attempt(tiles // 40)).std(axis=(1, 2))
    attempt.must(
        np.allclose(faint, 1, atol=1e-3), "a tile of little contrast gets standard deviation 1, too", f"{faint}", root
    )
    tiles[2, ..., 1] = 200
    flat = np.asarray(attempt(tiles))[2, ..., 1]
    sky = "What is the deviation of a channel of blue sky, and what is 0 / 0? Each channel can be constant by itself."
    attempt.must((flat == 0).all(), "a channel that is constant becomes zeros", f"it became {flat.flat[0]}", sky)


def far_apart(count, length, rng):
    """`count` permutations of 1 to `length`, chosen greedily to lie far apart.

    The first is any one. Each next is one whose mean Hamming distance to those already chosen is
    largest, among all that are not chosen yet. rng: a NumPy Generator. Returns (count, length).
    """
    left = rng.permutation(list(itertools.permutations(range(1, length + 1))))
    chosen, left = left[:1], left[1:]
    while len(chosen) < count:
        distances = (left[:, None] != chosen).sum(axis=2).mean(axis=1)
        best = distances.argmax()
        chosen, left = np.vstack([chosen, left[best]]), np.delete(left, best, axis=0)
    return chosen


@exercise(
    "01.4",
    "Permutations that lie far apart",
    far_apart,
)
def _far_apart(attempt):
    candidates = "itertools.permutations(range(1, length + 1)) gives all candidates."
    mean = "For each candidate: in how many positions does it differ from each one chosen? The mean of that, over all."
    for count, length, seed in ((1, 3, 0), (6, 3, 1), (4, 4, 2), (12, 4, 3), (24, 4, 4)):
        answer = attempt(count, length, np.random.default_rng(seed))
        chosen = attempt.array(answer, (count, length), "it returns `count` rows of `length` numbers")
        everything = np.array(list(itertools.permutations(range(1, length + 1))))
        proper = (np.sort(chosen, axis=1) == np.arange(1, length + 1)).all()
        attempt.must(proper, "each row is a permutation: every number from 1 on, once", hint=candidates)
        twice = "Keep those chosen and those left apart: what was chosen is no candidate any more."
        attempt.must(len(np.unique(chosen, axis=0)) == count, "no permutation comes twice", hint=twice)
        for step in range(1, count):
            before = chosen[:step]
            distance = np.array([np.mean([(one != old).sum() for old in before]) for one in everything])
            distance[[(one == before).all(axis=1).any() for one in everything]] = -1  # chosen already
            mine = np.mean([(chosen[step] != old).sum() for old in before])
            words = f"row {step + 1}, {chosen[step].tolist()}, has {mine:.2f}; {distance.max():.2f} was to be had"
            greedy = mine > distance.max() - 1e-9
            attempt.must(greedy, "each next permutation has the largest mean distance", words, mean)
    attempt.repeats(5, 4)
