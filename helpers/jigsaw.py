"""Jigsaw puzzles as in Noroozi & Favaro, ECCV 2016 (arXiv 1603.09246): permutation sets, tiles, batches for the CFN.

A permutation is nine integers 1..9. The tile at position i of a puzzle is the one cut from cell permutation[i]; cells
and positions are counted from the top left, row by row, as in the authors' code (MehdiNoroozi/JigsawPuzzleSolver).
Wherever an argument is called rng it is a NumPy Generator, or an integer seed that makes one.
"""

import itertools
import math
import pathlib
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.spatial.distance import pdist

from helpers.course import write_atomically

GRID = 3  # cells along a side of the puzzle
CELL = 85  # pixels: 3 x 85 = 255, the authors' crop of a 256-pixel image
TILE = 64  # pixels: leaves a gap of 21 on average between two tiles, so that their edges cannot be matched


def choose_permutations(count, seed=0, tiles=GRID * GRID, rule="mean"):
    """A set of permutations that lie far apart, chosen greedily (paper, section 3).

    The first is random; each next one is, by `rule`,
    "mean": the one whose mean Hamming distance to those already chosen is largest, as the authors do;
    "minimum": the one whose smallest distance to them is largest;
    "random": any other one, the control.
    Ties are decided by the seed. Returns int64 (count, tiles) with values 1..tiles, all rows distinct.
    Raises ValueError where count is not in 1..tiles!, tiles is not in 2..9 (10! candidates no longer fit), or for
    another rule.
    """
    if not 2 <= tiles <= GRID * GRID:
        raise ValueError(f"tiles is {tiles}; choose between 2 and {GRID * GRID}")
    if not 1 <= count <= math.factorial(tiles):
        raise ValueError(
            f"count is {count}; choose between 1 and {math.factorial(tiles):,}, all the permutations {tiles} tiles have"
        )
    if rule not in ("mean", "minimum", "random"):
        raise ValueError(f"rule is {rule!r}; choose 'mean', 'minimum' or 'random'")
    candidates = np.array(list(itertools.permutations(range(1, tiles + 1))), dtype=np.uint8)
    candidates = np.random.default_rng(seed).permutation(candidates)  # random start, random winner of a tie
    if rule == "random":
        return candidates[:count].astype(np.int64)
    positions = np.ascontiguousarray(candidates.T)  # position by position: comparing is then one pass over memory
    far = np.full(len(candidates), 0 if rule == "mean" else tiles, dtype=np.int32)  # how far from the chosen ones
    combine = np.add if rule == "mean" else np.minimum
    taken = np.iinfo(np.int32).min // 2  # so low that no sum of distances lifts it above a free candidate
    chosen = [0]
    while len(chosen) < count:
        latest = chosen[-1]
        distance = sum((position != position[latest]).view(np.uint8) for position in positions)
        combine(far, distance, out=far)
        far[latest] = taken
        chosen.append(int(far.argmax()))
    return candidates[chosen].astype(np.int64)


def save_permutations(path, permutations):
    """Write permutations (count, tiles) in the authors' format: int32 count, int32 tiles, then the values row by row.

    Little-endian, as permutations_100_max.bin of MehdiNoroozi/JigsawPuzzleSolver. Raises ValueError for a row that is
    no permutation of 1..tiles.
    """
    rows = np.array([_checked(row) for row in permutations], dtype="<i4")
    write_atomically(path, np.array(rows.shape, dtype="<i4").tobytes() + rows.tobytes())


def load_permutations(path):
    """Read what save_permutations or the authors wrote: int64 (count, tiles).

    Raises ValueError, naming the file, where its length does not fit its first two numbers or a row is no permutation.
    """
    values = pathlib.Path(path).read_bytes()
    header = np.frombuffer(values[:8], dtype="<i4") if len(values) >= 8 else (0, 0)
    count, tiles = (int(number) for number in header)
    if count < 1 or tiles < 2 or len(values) != 4 * (2 + count * tiles):
        raise ValueError(
            f"{path} has {len(values)} bytes and says it holds {count} permutations of {tiles} tiles: "
            "it is truncated or not a permutation file; make one with save_permutations"
        )
    rows = np.frombuffer(values[8:], dtype="<i4").reshape(count, tiles)
    try:
        return np.array([_checked(row) for row in rows], dtype=np.int64)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def hamming_distances(permutations):
    """How many positions differ, for each pair of permutations.

    permutations: (count, tiles) integers.
    Returns int64 (count * (count - 1) / 2,) in the order of the pairs (0, 1), (0, 2), ... (1, 2), ...
    """
    permutations = np.asarray(permutations)
    return np.rint(pdist(permutations, "hamming") * permutations.shape[1]).astype(np.int64)


def inverse(permutation):
    """The permutation that undoes this one: shuffle_tiles(shuffle_tiles(tiles, p), inverse(p)) gives tiles back."""
    return np.argsort(_checked(permutation)) + 1


def cell_corners(shape, cell=CELL, rng=None):
    """Where nine cells lie in a photograph: a square of 3 x cell pixels at a random place.

    shape: the photograph's (height, width, ...). Returns int64 (9, 2): row and column of each cell's top left pixel.
    Raises ValueError for a photograph that has no room for the square.
    """
    side = GRID * cell
    height, width = shape[:2]
    if min(height, width) < side:
        raise ValueError(
            f"the photograph is {height} x {width} pixels, {GRID} x {GRID} cells of {cell} need "
            f"{side} x {side}; enlarge it, or choose a cell of at most {min(height, width) // GRID}"
        )
    square = np.random.default_rng(rng).integers(0, [height - side + 1, width - side + 1])
    return square + np.array(list(np.ndindex(GRID, GRID))) * cell


def tile_corners(cells, cell=CELL, tile=TILE, rng=None):
    """Where the tiles lie: each at a random offset inside its cell, so that gaps of 0 to 2 (cell - tile) pixels open.

    cells: what cell_corners returns. Returns int64 (9, 2): row and column of each tile's top left pixel.
    Raises ValueError for a tile larger than its cell.
    """
    if not 1 <= tile <= cell:
        raise ValueError(f"a tile of {tile} pixels does not fit a cell of {cell}; choose a tile between 1 and {cell}")
    return cells + np.random.default_rng(rng).integers(0, cell - tile + 1, size=cells.shape)


def cut_at(photo, corners, tile=TILE):
    """The square tiles of a photograph whose top left pixels are given. Returns (len(corners), tile, tile, 3)."""
    return np.stack([photo[row : row + tile, column : column + tile] for row, column in corners])


def cut_tiles(photo, cell=CELL, tile=TILE, rng=None, shift=0):
    """Nine tiles of a photograph in their solved order: cell_corners, then tile_corners, then cut_at.

    photo: uint8 (height, width, 3). Returns uint8 (9, tile, tile, 3).
    shift: pixels by which each colour channel of each tile is moved at most, down or up and across, at random: against
    the colour fringes of lenses, which tell where in the picture a tile was (paper, section 4; there 2). 0: not at all.
    Raises ValueError for any other shape or dtype, and as cell_corners and tile_corners do.
    """
    photo = np.asarray(photo)
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise ValueError(
            f"a photograph is uint8 (height, width, 3), this array is {photo.dtype} {photo.shape}; "
            "skimage.util.img_as_ubyte and skimage.color.gray2rgb convert others"
        )
    rng = np.random.default_rng(rng)
    corners = tile_corners(cell_corners(photo.shape, cell, rng), cell, tile, rng)
    if not shift:
        return cut_at(photo, corners, tile)
    last = np.array(photo.shape[:2]) - tile  # a channel moved over the border of the photograph stops there
    moved = [np.clip(corners + rng.integers(-shift, shift + 1, corners.shape), 0, last) for _ in range(3)]
    return np.stack([cut_at(photo[..., channel], moved[channel], tile) for channel in range(3)], axis=-1)


def grey_tiles(tiles):
    """Colour tiles (..., 3) uint8 as grey ones, three equal channels: 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601)."""
    grey = (tiles @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=-1)


def shuffle_tiles(tiles, permutation):
    """The tiles in the order of a puzzle: out[i] = tiles[permutation[i] - 1].

    Raises ValueError where the permutation is not one of 1..len(tiles).
    """
    permutation = _checked(permutation)
    if len(permutation) != len(tiles):
        raise ValueError(f"{len(tiles)} tiles cannot be put in the order of {len(permutation)} numbers")
    return tiles[permutation - 1]


@dataclass(frozen=True)
class Variation:
    """What differs from one puzzle of a photograph to the next; each is a switch.

    scale: side of the square that is cut out, as least and greatest share of the photograph's short side.
    flip, grey, blur: shares of the puzzles that are mirrored, grey (paper, section 4: 0.3), or blurred: brought to
    half their size and back, so that a tile shows no more than a 32-pixel CIFAR image enlarged to 64 pixels does.
    shift: pixels by which each colour channel of each tile is moved at most (paper, section 4: 2), see cut_tiles.
    per_tile: normalise each tile by itself, see to_caffe.
    """

    scale: tuple[float, float] = (0.7, 1.0)
    flip: float = 0.5
    grey: float = 0.3
    blur: float = 0.5
    shift: int = 2
    per_tile: bool = True


def varied_puzzle(photo, permutation, rng, variation=Variation(), cell=CELL, tile=TILE):
    """One puzzle of a photograph of any size: a random square, resized to 3 x cell pixels, varied and cut.

    photo: uint8 (height, width, 3) RGB. permutation: nine integers 1..9. Returns uint8 (9, tile, tile, 3), tiles in
    shuffled order. Made for speed: Pillow cuts and resizes in one pass, NumPy takes all tiles at once.
    """
    square = _varied_square(photo, rng, variation, GRID * cell)
    return _varied_tiles(square, tile_corners(_SQUARES * cell, cell, tile, rng)[permutation - 1], rng, variation, tile)


def varied_tile(photo, rng, variation=Variation(), tile=TILE):
    """One tile that shows all of a square such as varied_puzzle cuts into nine: uint8 (tile, tile, 3).

    Blurred, it shows as much as an image of half its size. A frame of variation.shift pixels around it leaves the
    colour channels room to move.
    """
    frame = variation.shift
    square = _varied_square(photo, rng, variation, tile + 2 * frame)
    return _varied_tiles(square, np.full((1, 2), frame), rng, variation, tile)[0]


def _varied_tiles(square, corners, rng, variation, tile):
    """The tiles of a (channels, side, side) square at `corners`, (n, 2), colours shifted: uint8 (n, tile, tile, 3)."""
    channels, side = square.shape[:2]
    count, corners = len(corners), corners[:, None]
    if channels > 1 and variation.shift:  # a grey picture has one channel only
        moves = rng.integers(-variation.shift, variation.shift + 1, size=(count, channels, 2))
        corners = np.clip(corners + moves, 0, side - tile)
    windows = np.lib.stride_tricks.sliding_window_view(square, (tile, tile), axis=(1, 2))
    tiles = windows[np.arange(channels), corners[..., 0], corners[..., 1]]
    return np.moveaxis(np.broadcast_to(tiles, (count, 3, tile, tile)), 1, -1)


_SQUARES = np.array(list(np.ndindex(GRID, GRID)))  # row and column of each cell


def _varied_square(photo, rng, variation, side):
    """A random square of the photograph, resized, mirrored, grey or blurred: uint8 (3 or 1, side, side)."""
    height, width = photo.shape[:2]
    edge = min(height, width) * rng.uniform(*variation.scale)
    top, left = rng.uniform(0, [height - edge, width - edge])
    flip, grey, blur = rng.random(3) < (variation.flip, variation.grey, variation.blur)
    picture, box = Image.fromarray(photo), (left, top, left + edge, top + edge)
    if grey:
        picture = picture.convert("L")  # 0.299 R + 0.587 G + 0.114 B, as grey_tiles
    if blur:
        picture, box = picture.resize((side // 2, side // 2), Image.Resampling.BILINEAR, box), None
    square = np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR, box)).reshape(side, side, -1)
    return np.ascontiguousarray((square[:, ::-1] if flip else square).transpose(2, 0, 1))


def normalise_tiles(tiles):
    """Each channel of each tile with mean 0 and standard deviation 1; a channel that is constant becomes zeros.

    Neighbouring tiles of a photograph have similar means and deviations: left in, they would give the answer away.
    This is the paper's rule; the authors' 2016 code removes the mean alone.
    tiles: (..., tile, tile, 3). Returns float32 of the same shape.
    """
    planes = np.moveaxis(np.asarray(tiles), -1, -3)
    out = np.empty(planes.shape, np.float32)
    _normalise_rows(planes.reshape(-1, planes.shape[-2] * planes.shape[-1]), out)
    return np.moveaxis(out, -3, -1)


def _normalise_rows(rows, out):
    """Write each row with mean 0 and standard deviation 1 into out, float32; no large array is made on the way."""
    out = out.reshape(rows.shape)
    np.subtract(rows, rows.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32), out=out)
    deviation = np.sqrt(np.einsum("ij,ij->i", out, out) / rows.shape[1])[:, None]
    np.divide(out, np.where(deviation > 0, deviation, 1), out=out)


def puzzles(photos, permutations, count, rng, cell=CELL, tile=TILE):
    """Puzzles to train on: for each a random photograph, nine fresh tiles and a random permutation.

    photos: a sequence of uint8 (height, width, 3) RGB arrays. permutations: (m, 9).
    Returns uint8 (count, 9, tile, tile, 3), tiles in shuffled order, and int64 (count,): the row of the permutation.
    Raises ValueError as cut_tiles and shuffle_tiles do.
    """
    rng = np.random.default_rng(rng)
    labels = rng.integers(len(permutations), size=count)
    chosen = rng.integers(len(photos), size=count)
    tiles = np.empty((count, GRID * GRID, tile, tile, 3), dtype=np.uint8)
    for puzzle, photo, label in zip(tiles, chosen, labels):
        puzzle[...] = shuffle_tiles(cut_tiles(photos[photo], cell, tile, rng), permutations[label])
    return tiles, labels


def to_caffe(puzzles, out=None, per_tile=True):
    """A batch for the CFN's data blob: uint8 (N, 9, tile, tile, 3) -> float32 (N, 27, tile, tile), tiles normalised.

    Channels 3 i to 3 i + 2 are the RGB channels of the tile at position i.
    out: where to write it, a C-contiguous array of that shape; None makes one.
    per_tile: False normalises each puzzle as a whole, which leaves in how its tiles differ in brightness and colour.
    """
    count, tiles, tile = puzzles.shape[:3]
    out = np.empty((count, 3 * tiles, tile, tile), np.float32) if out is None else out
    for puzzle, blob in zip(puzzles, out):  # one at a time stays in the processor's cache
        _normalise_rows(np.moveaxis(puzzle, -1, 1).reshape(3 * tiles if per_tile else 1, -1), blob)
    return out


def assemble(tiles, gap=4, columns=GRID, fill=255):
    """Tiles, (N, height, width, channels), as one picture, in rows of `columns`: `fill` in the gaps between them.

    Nine of a puzzle make (3 tile + 2 gap, 3 tile + 2 gap, 3).
    """
    count, height, width, channels = tiles.shape
    rows = math.ceil(count / columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
    picture = np.full(shape, fill, dtype=tiles.dtype)
    for place, tile in enumerate(tiles):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        picture[top : top + height, left : left + width] = tile
    return picture


def _checked(permutation):
    permutation = np.asarray(permutation)
    if sorted(permutation.tolist()) != list(range(1, len(permutation) + 1)):
        raise ValueError(f"{permutation.tolist()} is not a permutation: it needs each of 1..{len(permutation)} once")
    return permutation
