"""Several processes, one batch: before each update every one has the gradients of the whole batch."""

import zlib

import caffe
import numpy as np

from helpers.data.examples import part


def parameters(net):
    """The net's parameter blobs, those that layers share once."""
    blobs = [blob for layer in net.params.values() for blob in layer]
    return list({blob.data.ctypes.data: blob for blob in blobs}.values())


def numbers(net):
    """How many numbers one averaging adds up: all gradients, the loss and the accuracy."""
    return sum(blob.count for blob in parameters(net)) + 2


class Averaging:
    """Inside (a context manager), a solver's gradients, loss and accuracy are those of the whole batch in each process.

    It hangs on Caffe's callback between the gradients and the update (solver.cpp, Step). team: see parallel.
    """

    def __init__(self, solver, team):
        self.team, self._weight, self._arrays = team, 1.0, []
        if team.size > 1:
            self._arrays = [blob.diff for blob in parameters(solver.net)]
            self._arrays += [solver.net.blobs[name].data for name in ("loss", "accuracy")]
            held = self._held = [self]
            solver.add_callback(lambda: None, lambda: [averaging.average() for averaging in held])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.team.size > 1:
            self._held.clear()  # Caffe never frees a callback, nor what it holds

    def average(self):
        self.team.sum(self._arrays, self._weight)

    def epoch(self, examples, batch_size, seed, epoch):
        """Yield (data, labels, size of the whole batch) for an epoch, this process's share of each batch.

        Dropout begins anew, too, in each process with another seed: all is decided by (seed, epoch), so that a
        training that goes on from a snapshot is the same to the bit.
        """
        rank, ranks = self.team.rank, self.team.size
        caffe.set_random_seed(zlib.crc32(" ".join(map(str, [seed, epoch] + [rank] * (rank > 0))).encode()) >> 1)
        left = len(examples)
        for data, labels in examples.epoch(batch_size, seed, epoch, *((rank, ranks) if ranks > 1 else ())):
            size = min(batch_size, left)
            left -= size
            self._weight = part(np.arange(size), rank, ranks)[1]
            yield data, labels, size
