"""Examples without end for a pretext task, prepared by worker processes while the solver trains."""

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

from helpers import jigsaw, limits

SLOTS = 5  # batches in memory: one that the solver copies, the others ahead of it
CHUNK = 16  # examples that one worker makes at a time


def spare_cores():
    """Cores that this process may use, less the one that trains."""
    return limits.cores() - 1


class Stream:
    """Training examples for solver.fit: each epoch deals `size` that were never dealt before.

    Example i of an epoch is decided by (seed, epoch, i) alone, so a resumed training deals the same ones, whatever
    the number of workers. Batches are float32, as jigsaw.to_caffe makes them, in memory that all processes share.

    task: see tasks. photos: photo_archive.Photos. size: examples per epoch.
    batch_size: the largest batch that will be asked for; memory for SLOTS of them is set aside.
    workers: processes that make examples; None takes every spare core, 0 makes them when they are asked for.
    The workers start here, as copies of this process (fork): before Caffe has touched a GPU, so that they never do.
    Use it in a `with` block, or call close(). Raises ValueError where there are no photographs.
    """

    def __init__(self, task, photos, size, batch_size, workers=None):
        if not len(photos):
            raise ValueError("there are no photographs to cut tiles from; give at least one")
        self.task, self.photos, self.size = task, photos, size
        self.workers = spare_cores() if workers is None else workers
        self._shape = (3 * task.tiles, task.tile, task.tile)
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

    def example(self, seed, epoch, index):
        """(uint8 (tiles, tile, tile, 3), label): one example of the task."""
        return self.task.deal(self.photos, np.random.default_rng([seed, epoch, index]))

    def examples(self, seed, epoch, indices):
        """uint8 (n, tiles, tile, tile, 3) and int64 (n,): the examples and labels at `indices` of an epoch."""
        tiles, labels = zip(*(self.example(seed, epoch, index) for index in indices))
        return np.stack(tiles), np.array(labels)

    def fill(self, out, seed, epoch, indices):
        """Write the examples at `indices` of an epoch into out, float32, as jigsaw.to_caffe does; return labels."""
        labels = np.empty(len(indices), np.float32)
        for row, index in enumerate(indices):
            tiles, labels[row] = self.example(seed, epoch, index)
            jigsaw.to_caffe(tiles[None], out[row : row + 1], self.task.variation.per_tile)
        return labels

    def batch(self, indices, seed=0, epoch=0):
        """(data, labels) at `indices` of an epoch, float32, made here and now."""
        data = np.empty((len(indices), *self._shape), np.float32)
        return data, self.fill(data, seed, epoch, indices)

    def label_range(self):
        """Lowest and highest label."""
        return 0, self.task.answers - 1

    def fingerprint(self):
        """CRC-32 of all that decides the examples."""
        first, *more = self.task.made_by
        return zlib.crc32(repr((self.photos.fingerprint(), first, self.size, *more)).encode())

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
                "a worker process that makes examples has died; was it killed for memory? "
                "Train again with fewer workers (0 makes the examples in place); finished epochs are saved"
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
    """Make the examples at `indices` into the ring's slot, from row `start` on; return their labels."""
    return _stream.fill(_stream._ring[slot, start:], seed, epoch, indices)
