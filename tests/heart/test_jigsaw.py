"""Permutation sets against the paper's figures, tiles and puzzles against what they must preserve."""

import dataclasses
import itertools
import struct

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from helpers import jigsaw

permutations_of_nine = st.permutations(range(1, 10))


def random_photo(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def position_photo(height, width):
    """A photograph whose pixels say where they are: red is the row, green the column."""
    rows, columns = np.mgrid[:height, :width].astype(np.uint8)
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1)


@pytest.fixture(scope="module")
def hundred():
    return jigsaw.choose_permutations(100)


def test_a_hundred_permutations_are_as_far_apart_as_the_authors(hundred):
    distances = jigsaw.hamming_distances(hundred)
    assert distances.shape == (100 * 99 // 2,)
    assert distances.mean() == pytest.approx(8.08, abs=0.005)  # permutations_100_max.bin: mean 8.08, minimum 2
    assert distances.min() >= 2


def test_permutations_are_distinct_and_of_one_to_nine(hundred):
    assert hundred.shape == (100, 9) and np.issubdtype(hundred.dtype, np.integer)
    assert len(np.unique(hundred, axis=0)) == 100
    assert (np.sort(hundred, axis=1) == np.arange(1, 10)).all()


def test_the_seed_decides_the_set():
    first, again, other = (jigsaw.choose_permutations(5, seed) for seed in (7, 7, 8))
    assert (first == again).all()
    assert (first != other).any()


def test_a_smaller_set_is_the_start_of_a_larger_one(hundred):
    assert (jigsaw.choose_permutations(10) == hundred[:10]).all()


@pytest.mark.parametrize("seed", range(3))
def test_each_choice_has_the_largest_mean_distance(seed):
    """The greedy rule, checked against an enumeration in plain Python."""
    chosen = [tuple(row) for row in jigsaw.choose_permutations(12, seed, tiles=4)]

    def summed(candidate, others):
        return sum(a != b for other in others for a, b in zip(candidate, other))

    for n in range(1, len(chosen)):
        free = set(itertools.permutations(range(1, 5))) - set(chosen[:n])
        assert summed(chosen[n], chosen[:n]) == max(summed(candidate, chosen[:n]) for candidate in free)


def test_every_permutation_of_four_tiles_can_be_chosen():
    everything = jigsaw.choose_permutations(24, tiles=4)
    assert {tuple(row) for row in everything} == set(itertools.permutations(range(1, 5)))


@pytest.mark.parametrize("count, tiles", [(0, 9), (-1, 9), (362_881, 9), (25, 4), (3, 1), (3, 10)])
def test_impossible_sets_are_refused(count, tiles):
    with pytest.raises(ValueError, match="choose"):
        jigsaw.choose_permutations(count, tiles=tiles)


def test_hamming_distances_of_three_rows():
    assert jigsaw.hamming_distances([[1, 2, 3], [1, 3, 2], [2, 3, 1]]).tolist() == [2, 3, 2]
    assert jigsaw.hamming_distances([[1, 2, 3]]).shape == (0,)


def test_tile_i_comes_from_cell_permutation_i():
    cells = np.arange(1, 10)  # each "tile" is its own cell number
    permutation = np.array([3, 1, 2, 9, 8, 7, 4, 6, 5])
    assert jigsaw.shuffle_tiles(cells, permutation).tolist() == permutation.tolist()


@given(permutation=permutations_of_nine)
def test_the_inverse_solves_the_puzzle(permutation):
    tiles = jigsaw.cut_tiles(random_photo(60, 60), cell=20, tile=16, rng=1)
    shuffled = jigsaw.shuffle_tiles(tiles, permutation)
    assert (jigsaw.shuffle_tiles(shuffled, jigsaw.inverse(permutation)) == tiles).all()


@pytest.mark.parametrize("bad", [range(9), [1] * 9, [1, 2, 3, 4, 5, 6, 7, 8, 10]])
def test_what_is_not_a_permutation_is_refused(bad):
    with pytest.raises(ValueError, match="not a permutation"):
        jigsaw.shuffle_tiles(np.zeros(9), bad)
    with pytest.raises(ValueError, match="not a permutation"):
        jigsaw.inverse(bad)


def test_a_permutation_of_another_length_is_refused():
    with pytest.raises(ValueError, match="9 tiles"):
        jigsaw.shuffle_tiles(np.zeros(9), [2, 1, 3, 4])


@settings(deadline=None)
@given(
    cell=st.integers(1, 40),
    less=st.integers(0, 12),
    seed=st.integers(0, 99),
    more=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
def test_tiles_stay_in_their_cells(cell, less, more, seed):
    tile = max(1, cell - less)
    shape = (3 * cell + more[0], 3 * cell + more[1], 3)
    rng = np.random.default_rng(seed)
    cells = jigsaw.cell_corners(shape, cell, rng)
    corners = jigsaw.tile_corners(cells, cell, tile, rng)
    assert (corners >= cells).all() and (corners + tile <= cells + cell).all()
    corners = corners.reshape(3, 3, 2)
    assert corners.min() >= 0
    assert (corners + tile <= shape[:2]).all()
    down = np.diff(corners[..., 0], axis=0) - tile
    across = np.diff(corners[..., 1], axis=1) - tile
    for gap in (down, across):
        assert gap.min() >= 0 and gap.max() <= 2 * (cell - tile)


def test_every_gap_from_none_to_twice_the_slack_occurs():
    cells = jigsaw.cell_corners((12, 12), cell=4)
    corners = np.stack([jigsaw.tile_corners(cells, cell=4, tile=3, rng=seed) for seed in range(100)])
    corners = corners.reshape(-1, 3, 3, 2)
    assert set((np.diff(corners[..., 0], axis=1) - 3).ravel()) == {0, 1, 2}


def test_the_square_moves_over_the_whole_photograph():
    corners = np.stack([jigsaw.cell_corners((10, 12), cell=3, rng=seed)[0] for seed in range(200)])
    assert {tuple(corner) for corner in corners} == set(itertools.product(range(2), range(4)))


def test_tiles_are_the_photographs_own_pixels():
    photo = position_photo(200, 220)
    rng = np.random.default_rng(4)
    corners = jigsaw.tile_corners(jigsaw.cell_corners(photo.shape, cell=60, rng=rng), cell=60, tile=50, rng=rng)
    tiles = jigsaw.cut_tiles(photo, cell=60, tile=50, rng=4)
    assert tiles.shape == (9, 50, 50, 3) and tiles.dtype == np.uint8
    assert (tiles[:, 0, 0, :2] == corners).all()
    assert (tiles[:, -1, -1, :2] == corners + 49).all()


def test_tiles_as_large_as_their_cells_are_the_photograph():
    photo = random_photo(30, 30)
    assert (jigsaw.assemble(jigsaw.cut_tiles(photo, cell=10, tile=10, rng=0), gap=0) == photo).all()


def test_assemble_leaves_white_gaps():
    tiles = np.zeros((9, 5, 5, 3), dtype=np.uint8) + np.arange(1, 10, dtype=np.uint8)[:, None, None, None]
    picture = jigsaw.assemble(tiles, gap=2)
    assert picture.shape == (19, 19, 3) and picture.dtype == np.uint8
    assert (picture[5:7] == 255).all() and (picture[:, 12:14] == 255).all()
    assert picture[0, 7, 0] == 2 and picture[18, 18, 0] == 9


@pytest.mark.parametrize(
    "photo, options, way_out",
    [
        (random_photo(254, 400), {}, "cell of at most 84"),
        (random_photo(400, 100), {"cell": 40, "tile": 32}, "cell of at most 33"),
        (random_photo(300, 300), {"cell": 50, "tile": 51}, "between 1 and 50"),
        (random_photo(300, 300), {"tile": 0}, "between 1 and 85"),
        (random_photo(300, 300)[..., 0], {}, "gray2rgb"),
        (random_photo(300, 300) / 255, {}, "img_as_ubyte"),
    ],
)
def test_unsuitable_photographs_are_refused_with_a_way_out(photo, options, way_out):
    with pytest.raises(ValueError, match=way_out):
        jigsaw.cut_tiles(photo, rng=0, **options)


@given(seed=st.integers(0, 99), low=st.integers(0, 250), spread=st.integers(2, 200))
def test_normalised_tiles_have_mean_zero_and_deviation_one(seed, low, spread):
    tiles = np.random.default_rng(seed).integers(low, min(256, low + spread), (9, 16, 16, 3), dtype=np.uint8)
    normalised = jigsaw.normalise_tiles(tiles)
    assert normalised.dtype == np.float32 and normalised.shape == tiles.shape
    np.testing.assert_allclose(normalised.mean(axis=(1, 2), dtype=np.float64), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(axis=(1, 2), dtype=np.float64), 1, atol=1e-4)


@given(value=st.integers(0, 255))
def test_a_constant_tile_becomes_zeros(value):
    assert (jigsaw.normalise_tiles(np.full((9, 64, 64, 3), value, dtype=np.uint8)) == 0).all()


def test_one_flat_channel_leaves_the_others_alone():
    tiles = random_photo(16, 16)[None].copy()
    tiles[..., 1] = 200
    normalised = jigsaw.normalise_tiles(tiles)
    assert (normalised[..., 1] == 0).all()
    assert normalised[..., [0, 2]].std() == pytest.approx(1, abs=1e-4)


def test_a_batch_holds_each_puzzle_under_its_label(hundred):
    """With cells of one photograph that differ in contrast pattern, the label says which pattern is where."""
    cell = 8
    patterns = np.random.default_rng(0).integers(0, 256, (9, cell, cell, 3), dtype=np.uint8)
    photo = jigsaw.assemble(patterns, gap=0)
    puzzles, labels = jigsaw.puzzles([photo], hundred, count=20, rng=3, cell=cell, tile=cell)
    assert puzzles.shape == (20, 9, cell, cell, 3) and puzzles.dtype == np.uint8
    data = jigsaw.to_caffe(puzzles)
    assert data.shape == (20, 27, cell, cell) and data.dtype == np.float32
    assert labels.shape == (20,) and labels.dtype == np.int64
    assert len(set(labels)) > 10
    expected = jigsaw.normalise_tiles(patterns)
    for puzzle, label in zip(data.reshape(20, 9, 3, cell, cell), labels):
        for position, source in enumerate(hundred[label] - 1):
            np.testing.assert_array_equal(puzzle[position], expected[source].transpose(2, 0, 1))


def test_a_batch_is_decided_by_its_generator(hundred):
    photos = [random_photo(40, 50, seed) for seed in range(3)]

    def batch(generator):
        return jigsaw.puzzles(photos, hundred, 4, generator, cell=12, tile=10)

    generator = np.random.default_rng(5)
    first, second, again = batch(generator), batch(generator), batch(np.random.default_rng(5))
    assert all((a == b).all() for a, b in zip(first, again))
    assert (first[0] != second[0]).any()


@pytest.mark.parametrize("rule", ["mean", "minimum", "random"])
def test_every_rule_gives_distinct_permutations_and_follows_the_seed(rule):
    chosen = jigsaw.choose_permutations(50, seed=3, tiles=6, rule=rule)
    assert len({tuple(row) for row in chosen}) == 50
    assert (np.sort(chosen, axis=1) == np.arange(1, 7)).all()
    np.testing.assert_array_equal(chosen, jigsaw.choose_permutations(50, seed=3, tiles=6, rule=rule))
    assert (chosen != jigsaw.choose_permutations(50, seed=4, tiles=6, rule=rule)).any()


@pytest.mark.parametrize("rule, combine", [("mean", np.mean), ("minimum", np.min)])
def test_each_next_permutation_is_the_farthest_by_its_rule(rule, combine):
    """Held against all 120 permutations of five tiles, one by one."""
    chosen = jigsaw.choose_permutations(12, seed=1, tiles=5, rule=rule)
    everything = np.array(list(itertools.permutations(range(1, 6))))
    for count in range(1, 12):
        before = chosen[:count]
        far = combine((everything[:, None] != before[None]).sum(axis=2), axis=1)
        far[[(before == row).all(axis=1).any() for row in everything]] = -1
        assert combine((chosen[count] != before).sum(axis=1)) == far.max()


def test_the_minimum_rule_keeps_pairs_apart(hundred):
    assert jigsaw.hamming_distances(jigsaw.choose_permutations(100, rule="minimum")).min() > (
        jigsaw.hamming_distances(hundred).min()
    )


def test_the_authors_file_format(tmp_path, hundred):
    path = tmp_path / "permutations_100_max.bin"
    jigsaw.save_permutations(path, hundred)
    values = struct.unpack("<902i", path.read_bytes())  # int32 n, int32 9, then n x 9 values
    assert values[:2] == (100, 9) and list(values[2:11]) == list(hundred[0])
    np.testing.assert_array_equal(jigsaw.load_permutations(path), hundred)


@given(st.binary(max_size=120))
def test_any_bytes_are_permutations_or_a_named_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "permutations.bin"
    path.write_bytes(content)
    try:
        rows = jigsaw.load_permutations(path)
    except ValueError as error:
        assert str(path) in str(error)
    else:
        assert (np.sort(rows, axis=1) == np.arange(1, rows.shape[1] + 1)).all()


def test_broken_permutations_are_refused(tmp_path, hundred):
    path = tmp_path / "permutations.bin"
    with pytest.raises(ValueError, match="not a permutation"):
        jigsaw.save_permutations(path, [[1, 2, 2]])
    assert not path.exists()
    jigsaw.save_permutations(path, hundred)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ValueError, match="truncated"):
        jigsaw.load_permutations(path)
    with pytest.raises(ValueError, match="rule is 'max'"):
        jigsaw.choose_permutations(5, rule="max")


def test_shifted_channels_move_by_at_most_the_shift_and_stay_in_the_photograph():
    """Pixels whose three channels all hold the same position: after the shift they differ by what each was moved."""
    rows, _ = np.mgrid[:60, :60]
    photo = np.repeat((2 * rows).astype(np.uint8)[..., None], 3, axis=2)
    still = jigsaw.cut_tiles(photo, cell=20, tile=20, rng=5).astype(int)
    moved = jigsaw.cut_tiles(photo, cell=20, tile=20, rng=5, shift=2).astype(int)
    steps = (moved - still) / 2  # rows by which each channel of each tile was moved
    assert (steps == steps[:, :1, :1]).all()  # a channel moves as a whole
    assert np.abs(steps).max() <= 2 and len(np.unique(steps)) > 2
    assert (steps[:3] >= 0).all() and (steps[6:] <= 0).all()  # at the borders, cells of the outer rows stay inside


def test_grey_tiles_have_three_equal_channels(hundred):
    pixel = np.array([[[10, 200, 90]]], dtype=np.uint8)
    assert jigsaw.grey_tiles(pixel).tolist() == [[[131, 131, 131]]]  # 0.299 * 10 + 0.587 * 200 + 0.114 * 90 = 130.65
    tile = jigsaw.puzzles([random_photo(60, 60)], hundred, 200, 1, cell=20, tile=16)[0][0, 0]
    grey = np.array(Image.fromarray(tile).convert("L"))
    np.testing.assert_array_equal(jigsaw.grey_tiles(tile), np.repeat(grey[..., None], 3, 2))


PLAIN = jigsaw.Variation(scale=(1, 1), flip=0, grey=0, blur=0, shift=0)


def varied(photo, seed=0, permutation=range(1, 10), **variation):
    options = dataclasses.replace(PLAIN, **variation)
    return jigsaw.varied_puzzle(photo, np.array(permutation), np.random.default_rng(seed), options)


def test_without_variation_a_puzzle_shows_the_photographs_pixels_under_its_permutation(hundred):
    photo = position_photo(255, 255)
    for seed, permutation in enumerate(hundred[:5]):
        puzzle = varied(photo, seed, permutation)
        rows, columns = puzzle[:, 0, 0, 0].astype(int), puzzle[:, 0, 0, 1].astype(int)
        np.testing.assert_array_equal(rows // 85 * 3 + columns // 85 + 1, permutation)
        np.testing.assert_array_equal(puzzle, jigsaw.cut_at(photo, np.stack([rows, columns], axis=1)))


def test_mirrored_puzzles_run_from_right_to_left():
    puzzle = varied(position_photo(255, 255), flip=1).astype(int)
    assert (np.diff(puzzle[..., 1], axis=2) == -1).all() and (np.diff(puzzle[..., 0], axis=1) == 1).all()


def test_the_square_is_a_share_of_the_short_side_anywhere_in_the_photograph():
    """The squares reach both ends and never beyond."""
    photo = position_photo(100, 200)
    spans, lefts = [], []
    for seed in range(200):
        columns = varied(photo, seed, scale=(0.7, 1.0))[..., 1].astype(int)
        spans.append(columns.max() - columns.min())
        lefts.append(columns.min())
    assert min(lefts) <= 12 and max(lefts) >= 95
    assert 50 < min(spans) < 65 and 85 < max(spans) <= 101  # 70 to 100 pixels, less the gaps at the border


def test_grey_puzzles_are_the_colour_ones_in_grey():
    photo = random_photo(255, 255)
    np.testing.assert_allclose(varied(photo, grey=1).astype(int), jigsaw.grey_tiles(varied(photo)), atol=1)
    shifted = varied(photo, grey=1, shift=2)  # channels that are equal stay equal
    assert (shifted == shifted[..., :1]).all()


def test_each_channel_of_each_tile_is_shifted_by_up_to_two_pixels():
    ramp = np.repeat(np.arange(255, dtype=np.uint8)[:, None, None], 255, axis=1).repeat(3, axis=2)
    moves = set()
    for seed in range(60):
        rows = varied(ramp, seed, shift=2)[:, 0, 0].astype(int)  # row of each channel's first pixel
        moves |= set((rows[:, 0] - rows[:, 1]).tolist())
    assert moves == set(range(-4, 5))


def test_blurred_puzzles_have_lost_the_finest_detail():
    """A board of one-pixel squares is gone after down- and upsampling, one of 16-pixel squares stays."""
    for square, left in ((1, (0, 2)), (16, (100, 128))):
        rows, columns = np.mgrid[:255, :255] // square
        board = np.repeat(((rows + columns) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
        assert left[0] <= varied(board, blur=1).std(axis=(1, 2)).mean() <= left[1]
        assert varied(board, blur=0).std(axis=(1, 2)).mean() > 120


def test_each_variation_happens_as_often_as_asked():
    photo = np.clip(position_photo(255, 255).astype(int) + [0, 0, 77], 0, 255).astype(np.uint8)
    puzzles = np.stack([varied(photo, seed, flip=0.5, grey=0.3) for seed in range(150)]).astype(int)
    grey = (puzzles[..., 0] == puzzles[..., 2]).all(axis=(1, 2, 3))
    mirrored = puzzles[:, 0, 0, 0, 1] > puzzles[:, 0, 0, -1, 1]
    assert grey.mean() == pytest.approx(0.3, abs=0.11)
    assert mirrored[~grey].mean() == pytest.approx(0.5, abs=0.14)


def test_a_batch_is_written_where_asked():
    tiles = np.random.default_rng(0).integers(0, 256, (3, 9, 8, 8, 3), dtype=np.uint8)
    out = np.full((3, 27, 8, 8), np.nan, np.float32)
    assert jigsaw.to_caffe(tiles, out) is out
    expected = jigsaw.normalise_tiles(tiles).transpose(0, 1, 4, 2, 3).reshape(3, 27, 8, 8)
    np.testing.assert_array_equal(out, expected)


def test_normalising_the_whole_puzzle_leaves_the_tiles_differences():
    tiles = np.random.default_rng(0).integers(0, 100, (2, 9, 8, 8, 3), dtype=np.uint8)
    tiles[:, 4] += 100
    whole = jigsaw.to_caffe(tiles, per_tile=False)
    np.testing.assert_allclose(whole.mean(axis=(1, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(whole.std(axis=(1, 2, 3)), 1, rtol=1e-5)
    assert (whole[:, 12:15].mean(axis=(2, 3)) > 1).all()
    own = jigsaw.to_caffe(tiles)
    np.testing.assert_allclose(own.mean(axis=(2, 3)), 0, atol=1e-5)
