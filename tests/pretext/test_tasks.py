"""What each task deals: the same squares, an answer that lies in the picture, as many passes through the trunk."""

import numpy as np
import pytest

from helpers import jigsaw, nets
from helpers.data import photo_archive
from helpers.data.puzzle_stream import Stream
from helpers.pretext import tasks

TASKS = {
    "puzzles": tasks.Puzzles(jigsaw.choose_permutations(4)),
    "rotations": tasks.Rotations(),
    "labels": tasks.Labels(("a", "b/c")),
}


def photos(names=("a/1", "b/c/1", "a/2", "b/c/2", "b/c/3")):
    """Photographs whose pixels are the rank of their folder, except for noise in the lowest bits."""
    folders = sorted({name.rpartition("/")[0] for name in names})
    noise = np.random.default_rng(0).integers(0, 8, (len(names), 60, 70, 3), dtype=np.uint8)
    pixels = tuple(np.uint8(100 * folders.index(name.rpartition("/")[0])) + more for name, more in zip(names, noise))
    return photo_archive.Photos(tuple(names), tuple(range(len(names))), pixels)


def test_a_rotation_is_the_upright_tile_turned():
    picture, seen = photos()[0], set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rng.integers([1, 4])  # which photograph, which rotation
        upright = jigsaw.varied_tile(picture, rng)
        tiles, label = tasks.Rotations().deal(photos().some([0]), np.random.default_rng(seed))
        assert tiles.shape == (1, 64, 64, 3) and tiles.dtype == np.uint8
        np.testing.assert_array_equal(tiles[0], np.rot90(upright, label))
        seen.add(int(label))
    assert seen == {0, 1, 2, 3}


def test_a_label_is_the_folder_that_the_photograph_lies_in():
    tiles, labels = Stream(TASKS["labels"], photos(), 40, 8, 0).examples(0, 1, range(40))
    np.testing.assert_array_equal(tiles.mean((1, 2, 3, 4)) > 50, labels)
    assert 40 * 0.4 < labels.sum() < 40 * 0.8  # three photographs of five


def test_without_variation_the_tile_is_the_whole_photograph():
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    plain = jigsaw.Variation(scale=(1, 1), flip=0, grey=0, blur=0, shift=0)
    np.testing.assert_array_equal(jigsaw.varied_tile(picture, np.random.default_rng(0), plain), picture)


def test_colours_move_against_each_other_and_never_out_of_the_photograph():
    """Each channel is a ramp that says where a pixel came from."""
    ramp = np.repeat(np.arange(68, dtype=np.uint8)[:, None] * 3, 68, axis=1)
    shifted = jigsaw.Variation(scale=(1, 1), flip=0, grey=0, blur=0, shift=2)
    moves = set()
    for seed in range(60):
        tile = jigsaw.varied_tile(np.dstack([ramp] * 3), np.random.default_rng(seed), shifted)
        moves |= {tuple(row) for row in (tile[:, 0] // 3 - np.arange(64)[:, None]).tolist()}
    assert {move for moved in moves for move in moved} == {0, 1, 2, 3, 4} and len(moves) > 20


@pytest.mark.parametrize("name", TASKS)
def test_examples_fit_the_net_of_their_task(name):
    task = TASKS[name]
    stream = Stream(task, photos(), 9, 4, 0)
    data, labels = stream.batch(range(4))
    net = nets.instantiate(nets.stacked_cfn(task.answers, task.tile, 4, fc6=4, fc7=4, width=1 / 16, tiles=task.tiles))
    assert net.blobs["data"].data.shape == data.shape == (4, 3 * task.tiles, 64, 64)
    assert net.blobs["fc8"].data.shape == (4, task.answers) and stream.label_range() == (0, task.answers - 1)
    assert net.blobs["pool5_s1"].data.shape[0] == 4 * task.tiles
    np.testing.assert_allclose(data.reshape(4, 3 * task.tiles, -1).mean(2), 0, atol=1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_workers_deal_the_same_examples(name):
    with Stream(TASKS[name], photos(), 40, 16, 0) as alone, Stream(TASKS[name], photos(), 40, 16, 2) as helped:
        for (data, labels), (expected, answers) in zip(helped.epoch(16, 3, 2), alone.epoch(16, 3, 2), strict=True):
            np.testing.assert_array_equal(data, expected)
            np.testing.assert_array_equal(labels, answers)


def test_each_task_is_another_training():
    prints = [Stream(task, photos(), 9, 4, 0).fingerprint() for task in TASKS.values()]
    more = tasks.Labels(("a", "b/c", "d"))
    assert len({*prints, Stream(more, photos(), 9, 4, 0).fingerprint()}) == 4


def test_the_fingerprint_of_puzzles_is_that_of_trainings_made_before_there_were_other_tasks():
    assert Stream(TASKS["puzzles"], photos(), 9, 4, 0).fingerprint() == 1282353734


def test_photographs_outside_any_folder_have_no_label():
    labelled, folders = photos(("0", "a/1", "b/c/1", "b/c/2")).labelled()
    assert labelled.names == ("a/1", "b/c/1", "b/c/2") and folders == ("a", "b/c")
    for names in (("0", "1"), ("a/0", "a/1")):
        with pytest.raises(ValueError, match="a folder of its own, or choose a task without labels"):
            photos(names).labelled()
