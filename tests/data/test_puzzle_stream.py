"""Puzzles from worker processes: the same ones whatever the workers, never a held-out photograph, no worker left."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from helpers import jigsaw
from helpers.data import photo_archive
from helpers.data.puzzle_stream import SLOTS, Stream
from helpers.pretext import tasks

PERMUTATIONS = jigsaw.choose_permutations(4)
SMALL = dict(tile=12, cell=16)


def photographs(count=7, seed=0):
    rng = np.random.default_rng(seed)
    pixels = tuple(rng.integers(0, 256, (50 + i, 60, 3), dtype=np.uint8) for i in range(count))
    return photo_archive.Photos(tuple(f"{i:05d}" for i in range(count)), tuple(range(count)), pixels)


def stream(size=45, workers=0, photos=None, batch_size=20, task=None, **options):
    task = task or tasks.Puzzles(PERMUTATIONS, **SMALL | options)
    return Stream(task, photographs() if photos is None else photos, size, batch_size, workers)


def epoch(puzzles, batch_size=20, seed=0, number=1):
    """(data, labels) of a whole epoch."""
    data, labels = zip(*((data.copy(), labels) for data, labels in puzzles.epoch(batch_size, seed, number)))
    return np.concatenate(data), np.concatenate(labels)


@pytest.mark.parametrize("workers, batch_size", [(0, 7), (1, 20), (3, 20), (3, 7)])
def test_workers_and_batches_do_not_matter(workers, batch_size):
    with stream() as alone, stream(workers=workers) as puzzles:
        for expected, found in zip(epoch(alone), epoch(puzzles, batch_size)):
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == np.float32


def test_each_batch_is_the_length_asked_for():
    with stream(workers=1) as puzzles:
        lengths = [(data.shape, labels.shape) for data, labels in puzzles.epoch(20, 0, 1)]
    assert lengths == [((n, 27, 12, 12), (n,)) for n in (20, 20, 5)]


def test_the_ring_goes_round_without_mixing_batches():
    size = 4 * (3 * SLOTS + 2)
    with stream(size) as alone, stream(size, workers=2, batch_size=4) as puzzles:
        np.testing.assert_array_equal(epoch(puzzles, 4)[0], epoch(alone, 4)[0])


def test_epochs_and_seeds_are_fresh_and_can_be_dealt_again():
    """What resume needs: epoch 2 without epoch 1 before it is the same."""
    with stream(workers=1) as puzzles:
        first, second, other = epoch(puzzles), epoch(puzzles, number=2), epoch(puzzles, seed=1)
    with stream(workers=1) as again:
        np.testing.assert_array_equal(epoch(again, number=2)[0], second[0])
    assert len(np.unique(np.concatenate([first[0], second[0], other[0]]), axis=0)) == 3 * 45


def test_all_photographs_and_labels_are_dealt_evenly():
    flat = tuple(np.full((50, 50, 3), i, np.uint8) for i in range(7))
    photos = photo_archive.Photos(photographs().names, photographs().checksums, flat)
    tiles, labels = stream(photos=photos).examples(0, 1, range(700))
    for values, kinds in ((tiles[:, 0, 0, 0, 0], 7), (labels, 4)):
        counts = np.bincount(values, minlength=kinds)
        assert len(counts) == kinds and abs(counts / 700 * kinds - 1).max() < 0.35


def test_a_puzzle_lies_under_its_label():
    """The tile at each position comes from the cell that the permutation says: the photograph's pixels are cells."""
    cells = np.repeat(np.repeat(np.arange(1, 10, dtype=np.uint8).reshape(3, 3), 40, axis=0), 40, axis=1)
    photos = photo_archive.Photos(("a",), (0,), (np.repeat(cells[..., None], 3, axis=2),))
    plain = jigsaw.Variation(scale=(1, 1), flip=0, grey=0, blur=0, shift=0)
    puzzles, labels = stream(photos=photos, variation=plain, tile=10, cell=40).examples(0, 1, range(20))
    np.testing.assert_array_equal(puzzles[:, :, 5, 5, 0], PERMUTATIONS[labels])


def test_held_out_photographs_are_never_dealt():
    flat = tuple(np.full((50, 50, 3), i, np.uint8) for i in range(60))
    photos = photo_archive.Photos(tuple(f"{i:02d}" for i in range(60)), tuple(range(60)), flat)
    training, held_out = photos.split(20)
    dealt = [set(np.unique(stream(photos=part).examples(0, 1, range(400))[0])) for part in (training, held_out)]
    assert dealt == [set(range(60)) - {0, 20, 40}, {0, 20, 40}]


def test_an_epoch_given_up_halfway_leaves_the_next_one_whole():
    with stream(size=200, workers=2) as puzzles, stream(size=200) as alone:
        batches = puzzles.epoch(20, 0, 1)
        next(batches)
        batches.close()
        np.testing.assert_array_equal(epoch(puzzles, number=2)[0], epoch(alone, number=2)[0])


def test_a_dead_worker_is_an_exception():
    with stream(size=2000, workers=2) as puzzles:
        batches = puzzles.epoch(20, 0, 1)
        next(batches)
        os.kill(next(iter(puzzles._pool._processes)), signal.SIGKILL)
        with pytest.raises(RuntimeError, match="worker process.*fewer workers"):
            for _ in batches:
                pass


def test_an_exception_in_a_worker_arrives_here():
    photos = photo_archive.Photos(("a",), (0,), (np.zeros((50, 50, 7), np.uint8),))
    with stream(photos=photos, workers=1) as puzzles, pytest.raises(Exception, match="handle this data type"):
        epoch(puzzles)


def test_closing_ends_the_workers():
    with stream(workers=2) as puzzles:
        workers = list(puzzles._pool._processes.values())
        assert len(workers) == 2 and all(worker.is_alive() for worker in workers)
    assert not any(worker.is_alive() for worker in workers)


def test_workers_end_with_a_parent_that_was_killed():
    code = (
        "import time; from test_puzzle_stream import stream; puzzles = stream(workers=2)\n"
        "print(*puzzles._pool._processes, flush=True); time.sleep(60)"
    )
    path = os.pathsep.join(sys.path)
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    workers = parent.stdout.readline().split()
    assert len(workers) == 2
    parent.kill()
    assert parent.stdout.read() == ""  # the pipe closes when the last worker, which holds it too, has ended
    parent.wait()


def test_the_module_does_not_bring_caffe():
    code = "import sys, helpers.data.puzzle_stream, helpers.data.photo_archive; sys.exit('caffe' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_what_cannot_be_dealt_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        stream(photos=photographs(0))
    with stream(workers=1) as puzzles, pytest.raises(ValueError, match="at most 20"):
        next(puzzles.epoch(21, 0, 1))


def test_the_fingerprint_changes_with_all_that_decides_the_puzzles():
    variants = [
        stream(),
        stream(size=46),
        stream(photos=photographs(6)),
        stream(variation=jigsaw.Variation(blur=0)),
        stream(tile=11),
    ]
    assert len({variant.fingerprint() for variant in variants}) == len(variants)
    assert stream(workers=0).fingerprint() == variants[0].fingerprint()
