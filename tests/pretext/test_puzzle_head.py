"""The head that solves puzzles on the frozen trunk: what it is trained on, the command, and what ships."""

import dataclasses

import numpy as np
import pytest

from helpers import jigsaw, nets, recipes, solver, weights
from helpers.data.examples import feed
from helpers.pretext import puzzle_head

RNG = np.random.default_rng(0)
TILES = RNG.normal(size=(50, 9, 2, 3)).astype(np.float16)
ORDERS = jigsaw.choose_permutations(7)
STREAM = puzzle_head.ShuffledFeatures(TILES, ORDERS)


def test_a_row_is_shuffled_as_its_label_says():
    data, labels = STREAM.batch(np.array([3, 41]), np.array([6, 2]))
    assert data.dtype == labels.dtype == np.float32
    np.testing.assert_array_equal(data[0], jigsaw.shuffle_tiles(TILES[3], ORDERS[6]))
    np.testing.assert_array_equal(data[1], jigsaw.shuffle_tiles(TILES[41], ORDERS[2]))


def test_an_epoch_deals_every_cut_once_and_anew():
    first, again, second = ([np.concatenate(part) for part in zip(*STREAM.epoch(16, 0, epoch))] for epoch in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    assert not np.array_equal(first[1], second[1])

    def cuts(data):  # a cut is known by the numbers in it, whatever their order
        return sorted(map(tuple, np.sort(data.reshape(len(data), -1))))

    assert cuts(first[0]) == cuts(second[0]) == cuts(TILES.astype(np.float32))


def test_the_fingerprint_changes_with_features_and_permutations():
    others = puzzle_head.ShuffledFeatures(TILES + 1, ORDERS), puzzle_head.ShuffledFeatures(TILES, ORDERS[::-1])
    assert len({stream.fingerprint() for stream in (STREAM, *others)}) == 3


def test_on_cached_features_it_computes_what_the_whole_net_computes():
    small = dict(fc6=8, fc7=16)
    whole = nets.instantiate(nets.stacked_cfn(7, 64, 4, fillers="he", dropout=False, width=1 / 16, **small))
    puzzles = RNG.integers(0, 256, (4, 9, 64, 64, 3), dtype=np.uint8)
    feed(whole, jigsaw.to_caffe(puzzles), np.arange(4))
    whole.forward()
    pool5 = whole.blobs["pool5_s1"].data
    head = nets.instantiate(nets.puzzle_head(7, pool5.shape[1:], 4, **small, batch_norm=False))
    weights.transplant(weights.of(whole), head, puzzle_head.LAYERS)
    feed(head, pool5.reshape(4, 9, *pool5.shape[1:]), np.arange(4))
    head.forward()
    np.testing.assert_allclose(head.blobs["fc8"].data, whole.blobs["fc8"].data, rtol=1e-5, atol=1e-6)


def test_the_command_trains_a_head_and_writes_its_card(photos, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setenv("JIGSAW_RUNS", str(tmp_path))
    monkeypatch.setattr(recipes, "CFN_HEAD", dataclasses.replace(recipes.CFN_HEAD, max_epochs=2))
    monkeypatch.setattr(puzzle_head, "SHOWN", 8)
    monkeypatch.setattr(puzzle_head.trunks, "HELD_OUT_PUZZLES", 8)
    assert puzzle_head.main(f"--photos {photos} --folder {tmp_path}/head".split()) == 0
    run = solver.load(tmp_path / "head")
    assert run.result["epochs"] == 2
    head = weights.read(tmp_path / "head" / "head.caffemodel")
    assert {name: blobs[0].shape for name, blobs in head.items()} == {
        "fc6_s1": (puzzle_head.FC6, 2304),
        "fc7": (puzzle_head.FC7, 9 * puzzle_head.FC6),
        "fc8": (100, puzzle_head.FC7),
    }
    card = (tmp_path / "head" / "head.md").read_text()
    assert "38 photographs of photos.zip, cut 2 times" in card and f"--folder {tmp_path}/head" in card
    assert f"{2 * 2 * 38:,}, each the tiles" in card


def test_another_archive_is_refused(photos):  # noqa: F811
    with pytest.raises(ValueError, match="leave --photos out"):
        puzzle_head.check(puzzle_head.photo_archive.read(photos))


def test_the_command_wants_to_know_what_to_do(capsys):
    with pytest.raises(SystemExit):
        puzzle_head.main([])
    assert "--check" in capsys.readouterr().err


def test_what_ships_solves_what_its_card_says():
    ((what, stated, measured),) = puzzle_head.check()
    assert stated > 0.3 and abs(stated - measured) < puzzle_head.TOLERANCE, what


def test_answers_are_probabilities_of_the_shipped_permutations():
    puzzles, labels = puzzle_head.shown()
    found = puzzle_head.answers(puzzle_head.load(), puzzles[:20])
    assert found.shape == (20, len(puzzle_head.permutations()))
    np.testing.assert_allclose(found.sum(axis=1), 1)
    assert (found.argmax(axis=1) == labels[:20]).sum() >= 6
