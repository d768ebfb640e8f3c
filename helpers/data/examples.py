"""Images or features with their labels, dealt to a Caffe net batch by batch."""

import inspect
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers.data import identity


@dataclass(frozen=True)
class Examples:
    """What a net is fed: inputs, labels, and how a batch of inputs becomes the blob `data`.

    Parameters
    ----------
    inputs : ndarray, (N, ...)
        As they are stored: uint8 images, float32 features.
    labels : ndarray, (N,)
        Whole numbers.
    transform : callable, optional
        Turns a batch of inputs into float32 of the data blob's shape, e.g. `lambda images: to_caffe(images,
        statistics)`. None uses them as they are. One that augments takes a second argument, a NumPy Generator:

            def flipped(images, rng):
                mirrored = rng.random(len(images)) < 0.5
                return to_caffe(np.where(mirrored[:, None, None, None], images[:, :, ::-1], images), statistics)

        It is seeded by the training's seed, the epoch and the batch: each epoch sees other images, and a training
        that was interrupted sees the same ones when it goes on. Outside of an epoch, for a score or for features,
        each batch is transformed in one way. Random numbers from elsewhere cannot be repeated.
    name : str, optional
        Says what the transform does, such as "flips, version 2". A training whose transform has another name is
        another training. None: the transform's code, and the numbers, texts and arrays that it uses, say it.

    Raises
    ------
    ValueError
        Where inputs and labels differ in length or there are none, and for a transform of other arguments.
    """

    inputs: np.ndarray
    labels: np.ndarray
    transform: Callable | None = None
    name: str | None = None

    def __post_init__(self):
        if len(self.inputs) != len(self.labels) or not len(self.labels):
            raise ValueError(
                f"{len(self.inputs)} inputs and {len(self.labels)} labels; give one label per input, at least one"
            )
        # Now: a transform may change what it holds on to.
        object.__setattr__(self, "_augments", self.transform is not None and _takes_generator(self.transform))
        object.__setattr__(self, "_identity", self._identified())

    def _identified(self):
        if self.transform is None:
            return b""
        return str(self.name).encode() if self.name is not None else identity.crc_of(self.transform).to_bytes(4, "big")

    def __len__(self):
        return len(self.labels)

    def batch(self, indices, seed=0, epoch=0):
        """(data, labels) at `indices` (an array or a slice), float32 and C-contiguous as Caffe wants them.

        seed, epoch: with the indices, they seed the generator of a transform that takes one. Raises ValueError for no
        index at all, since a layer of Caffe ends the process where its batch is empty, and for a transform that gives
        another number of examples.
        """
        data, labels = self.inputs[indices], self.labels[indices].astype(np.float32)
        if not len(data):
            raise ValueError(f"the batch is empty; choose indices among the {len(self)} examples")
        if self._augments:
            places = np.arange(len(self))[indices].tolist()
            data = self.transform(data, np.random.default_rng([seed, epoch, len(labels), *places]))
        elif self.transform:
            data = self.transform(data)
        if np.shape(data)[:1] != labels.shape:
            raise ValueError(
                f"the transform makes {np.shape(data)} of {len(labels)} inputs; it has to give one example for each"
            )
        return np.ascontiguousarray(data, np.float32), labels

    def random(self):
        """Whether `transform` may make something else of the same inputs: it takes a generator, or does so at once."""
        if self._augments or self.transform is None:
            return self._augments
        some = np.arange(min(8, len(self)))
        first, second = self.batch(some)[0], self.batch(some)[0]
        return not np.array_equal(first, second, equal_nan=True)

    def epoch(self, size, seed, epoch):
        """Yield all examples once, in batches, in the order that (seed, epoch) decides.

        The last batch holds what is left, it is not dropped.
        """
        order = np.random.default_rng([seed, epoch]).permutation(len(self))
        for start in range(0, len(order), size):
            yield self.batch(order[start : start + size], seed, epoch)

    def label_range(self):
        """Lowest and highest label."""
        return self.labels.min(), self.labels.max()

    def fingerprint(self):
        """CRC-32 of the inputs, the labels and the transform's identity; not of what it gives, which may be random."""
        crc = zlib.crc32(np.ascontiguousarray(self.inputs))
        crc = zlib.crc32(np.ascontiguousarray(self.labels.astype(np.int64)), crc)
        if self.transform:
            return zlib.crc32(self._identity, crc)
        for array in self.batch(np.arange(min(8, len(self)))):  # adds nothing, and keeps the numbers of older trainings
            crc = zlib.crc32(array, crc)
        return crc


def _takes_generator(transform):
    """Whether a transform takes (batch, rng) rather than (batch). Raises ValueError where it takes neither."""
    try:
        arguments = inspect.signature(transform).parameters.values()
    except (TypeError, ValueError):  # a function in C that does not say
        return False
    placed = [each for each in arguments if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    needed = [each for each in placed if each.default is each.empty]
    takes_any = any(each.kind == each.VAR_POSITIONAL for each in arguments)
    if len(needed) > 2 or not placed and not takes_any:
        name = getattr(transform, "__name__", transform)
        raise ValueError(
            f"the transform {name} takes ({', '.join(each.name for each in needed)}); write it as "
            "transform(batch), or transform(batch, rng) for one that augments"
        )
    return len(needed) == 2 or [each.name for each in placed[1:2]] == ["rng"]


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
    if isinstance(examples, Examples) and not examples._augments and examples.random():
        warnings.warn(
            "the transform gives other numbers each time that it sees the same batch, and nobody can repeat them: a "
            "training that is interrupted goes on from its last epoch, but not as it would have. Take the generator as "
            "a second argument, transform(batch, rng), and it does",
            stacklevel=3,
        )
    classes = net.blobs[score_blob(net)].data.shape[1]
    low, high = examples.label_range()
    if low < 0 or high >= classes:
        raise ValueError(f"labels run from {low} to {high}, the net has {classes} outputs (labels 0 to {classes - 1})")


def feed(net, data, labels):
    """Put one batch into the blobs data and label, which take its length. Raises ValueError for another shape."""
    if data.shape[1:] != tuple(net.blobs["data"].shape)[1:]:
        expected = tuple(net.blobs["data"].shape)[1:]
        raise ValueError(
            f"the data blob takes {expected} per example, this batch has {data.shape[1:]}; see `transform`"
        )
    net.blobs["data"].reshape(*data.shape)
    net.blobs["label"].reshape(len(labels))
    net.blobs["data"].data[...] = data
    net.blobs["label"].data[...] = labels
