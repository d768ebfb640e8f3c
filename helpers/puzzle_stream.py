"""Puzzles without end for the pretext task, prepared by worker processes while the solver trains."""

import collections
import concurrent.futures
import math
import mmap
import multiprocessing
import os
import signal
import threading
import zlib
from concurrent.futures.process import BrokenProcessPool

import numpy as np

from helpers import jigsaw

SLOTS = 5  # batches in memory: one that the solver copies, the others ahead of it
CHUNK = 16  # puzzles that one worker makes at a time


def spare_cores():
    """Cores that this process may use, less the one that trains."""
    return len(os.sched_getaffinity(0)) - 1


class PuzzleStream:
    """Training examples for solver.fit: each epoch deals `size` puzzles that were never dealt before.

    Puzzle i of an epoch is decided by (seed, epoch, i) alone, so a resumed training deals the same puzzles, whatever
    the number of workers. Batches are float32, as jigsaw.to_caffe makes them, in memory that all processes share.

    photos: photo_archive.Photos. permutations: (m, 9). size: puzzles per epoch.
    batch_size: the largest batch that will be asked for; memory for SLOTS of them is set aside.
    workers: processes that make puzzles; None takes every spare core, 0 makes them when they are asked for.
    The workers start here, as copies of this process (fork): before Caffe has touched a GPU, so that they never do.
    Use it in a `with` block, or call close(). Raises ValueError where there are no photographs.
    """

    def __init__(self, photos, permutations, size, batch_size, variation=None, workers=None, tile=None, cell=None):
        if not len(photos):
            raise ValueError("there are no photographs to cut puzzles from; give at least one")
        self.photos, self.permutations, self.size = photos, np.asarray(permutations), size
        self.variation = variation or jigsaw.Variation()
        self.cell, self.tile = cell or jigsaw.CELL, tile or jigsaw.TILE
        self.workers = spare_cores() if workers is None else workers
        self._shape = (3 * self.permutations.shape[1], self.tile, self.tile)
        self._pool = None
        if self.workers:
            shape = (SLOTS, batch_size, *self._shape)
            memory = mmap.mmap(-1, 4 * math.prod(shape))  # nameless: nothing is left behind, however we end
            self._ring = np.frombuffer(memory, np.float32).reshape(shape)
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self.workers, multiprocessing.get_context("fork"), _become_worker, (self,)
            )
            self._pool.submit(os.getpid).result()  # the first task starts all workers

    def __len__(self):
        return self.size

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """End the workers."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)

    def puzzle(self, seed, epoch, index):
        """(uint8 (9, tile, tile, 3), label): one puzzle."""
        rng = np.random.default_rng([seed, epoch, index])
        photo, label = rng.integers([len(self.photos), len(self.permutations)])
        permutation = self.permutations[label]
        tiles = jigsaw.varied_puzzle(self.photos[photo], permutation, rng, self.variation, self.cell, self.tile)
        return tiles, label

    def puzzles(self, seed, epoch, indices):
        """uint8 (n, 9, tile, tile, 3) and int64 (n,): the puzzles and labels at `indices` of an epoch."""
        tiles, labels = zip(*(self.puzzle(seed, epoch, index) for index in indices))
        return np.stack(tiles), np.array(labels)

    def fill(self, out, seed, epoch, indices):
        """Write the puzzles at `indices` of an epoch into out, float32 (n, 27, tile, tile); return labels, float32."""
        labels = np.empty(len(indices), np.float32)
        for row, index in enumerate(indices):
            puzzle, labels[row] = self.puzzle(seed, epoch, index)
            jigsaw.to_caffe(puzzle[None], out[row : row + 1], self.variation.per_tile)
        return labels

    def batch(self, indices, seed=0, epoch=0):
        """(data, labels) at `indices` of an epoch, float32, made here and now."""
        data = np.empty((len(indices), *self._shape), np.float32)
        return data, self.fill(data, seed, epoch, indices)

    def label_range(self):
        """Lowest and highest label."""
        return 0, len(self.permutations) - 1

    def fingerprint(self):
        """CRC-32 of all that decides the puzzles."""
        photos, permutations = self.photos.fingerprint(), self.permutations.tolist()
        settings = (photos, permutations, self.size, self.variation, self.cell, self.tile)
        return zlib.crc32(repr(settings).encode())

    def epoch(self, batch_size, seed, epoch):
        """Yield (data, labels) batch by batch; data is overwritten some batches later, so copy what should last.

        Raises RuntimeError when a worker has died.
        """
        batches = [range(start, min(start + batch_size, self.size)) for start in range(0, self.size, batch_size)]
        if not self._pool:
            data = np.empty((batch_size, *self._shape), np.float32)
            for indices in batches:
                yield data[: len(indices)], self.fill(data, seed, epoch, indices)
            return
        if batch_size > self._ring.shape[1]:
            raise ValueError(f"batch_size is {batch_size}; this stream was made for at most {self._ring.shape[1]}")
        ahead = collections.deque()
        try:
            for number, indices in enumerate(batches):
                while len(ahead) < SLOTS - 1 and number + len(ahead) < len(batches):
                    later = number + len(ahead)
                    ahead.append(self._submit(later % SLOTS, batches[later], seed, epoch))
                labels = np.concatenate([task.result() for task in ahead[0]])
                ahead.popleft()
                yield self._ring[number % SLOTS, : len(indices)], labels
        except BrokenProcessPool as error:
            raise RuntimeError(
                "a worker process that makes puzzles has died; was it killed for memory? "
                "Train again with fewer workers (0 makes the puzzles in place); finished epochs are saved"
            ) from error
        finally:  # nobody may write into the memory after the epoch has ended or was given up
            tasks = [task for batch in ahead for task in batch if not task.cancel()]
            concurrent.futures.wait(tasks)

    def _submit(self, slot, indices, seed, epoch):
        """Have the workers fill a slot; the tasks return the labels."""
        return [
            self._pool.submit(_fill, slot, start, seed, epoch, indices[start : start + CHUNK])
            for start in range(0, len(indices), CHUNK)
        ]


_stream = None  # the worker's copy of the stream


def _become_worker(stream):
    """First thing in a worker: Ctrl-C is for the process that trains, and without that one there is no work."""
    global _stream
    _stream = stream
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    multiprocessing.parent_process().join()
    os._exit(1)


def _fill(slot, start, seed, epoch, indices):
    """Make the puzzles at `indices` into the ring's slot, from row `start` on; return their labels."""
    return _stream.fill(_stream._ring[slot, start:], seed, epoch, indices)
