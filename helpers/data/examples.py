"""Images or features with their labels, dealt to a Caffe net batch by batch."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Examples:
    """What a net is fed: inputs (N, ...), labels (N,) and how a batch of inputs becomes the blob `data`.

    inputs stay as they are stored (uint8 images, float32 features); `transform` turns a batch of them into
    float32 of the data blob's shape, e.g. `lambda images: to_caffe(images, statistics)`. None: used as they are.
    Raises ValueError where inputs and labels differ in length or there are none.
    """

    inputs: np.ndarray
    labels: np.ndarray
    transform: Callable | None = None

    def __post_init__(self):
        if len(self.inputs) != len(self.labels) or not len(self.labels):
            raise ValueError(
                f"{len(self.inputs)} inputs and {len(self.labels)} labels; give one label per input, at least one"
            )

    def __len__(self):
        return len(self.labels)

    def batch(self, indices):
        """(data, labels) at `indices` (an array or a slice), float32 and C-contiguous as Caffe wants them.

        Raises ValueError for none at all: a layer of Caffe ends the process where its batch is empty.
        """
        data = self.inputs[indices]
        if not len(data):
            raise ValueError(f"the batch is empty; choose indices among the {len(self)} examples")
        if self.transform:
            data = self.transform(data)
        return np.ascontiguousarray(data, np.float32), self.labels[indices].astype(np.float32)

    def epoch(self, size, seed, epoch):
        """Yield all examples once, in batches, in the order that (seed, epoch) decides.

        The last batch holds what is left, it is not dropped.
        """
        order = np.random.default_rng([seed, epoch]).permutation(len(self))
        for start in range(0, len(order), size):
            yield self.batch(order[start : start + size])

    def label_range(self):
        """Lowest and highest label."""
        return self.labels.min(), self.labels.max()

    def fingerprint(self):
        """CRC-32 of the inputs, the labels and the first transformed batch: changes when anything fed changes."""
        crc = zlib.crc32(np.ascontiguousarray(self.inputs))
        for array in (self.labels.astype(np.int64), *self.batch(np.arange(min(8, len(self))))):
            crc = zlib.crc32(np.ascontiguousarray(array), crc)
        return crc


def score_blob(net):
    """Name of the blob of class scores (N, classes): what the loss layer reads first."""
    return net.bottom_names["loss"][0]


def check(net, examples):
    """Raise ValueError, before Caffe aborts or reads out of bounds, where `examples` do not fit `net`."""
    data, _ = examples.batch(np.arange(1))
    expected = tuple(net.blobs["data"].data.shape[1:])
    if data.shape[1:] != expected:
        raise ValueError(
            f"the net's data blob takes {expected} per example, these give {data.shape[1:]}; check `transform`"
        )
    if not np.isfinite(data).all():
        raise ValueError("the first example holds NaN or infinity; check the images and the statistics")
    classes = net.blobs[score_blob(net)].data.shape[1]
    low, high = examples.label_range()
    if low < 0 or high >= classes:
        raise ValueError(f"labels run from {low} to {high}, the net has {classes} outputs (labels 0 to {classes - 1})")


def feed(net, data, labels):
    """Put one batch into the blobs data and label, which take its length."""
    net.blobs["data"].reshape(*data.shape)
    net.blobs["label"].reshape(len(labels))
    net.blobs["data"].data[...] = data
    net.blobs["label"].data[...] = labels
