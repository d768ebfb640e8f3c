"""A stand-in for a caffe solver that answers a wrong batch by an exception: Caffe's own CHECK would end the kernel.

Its blobs are NumPy arrays until `step`, which looks at them before Caffe does.
"""

import numpy as np

from helpers.data.examples import feed


class Blob:
    """As in pycaffe: `data` is written into with [...], `reshape` changes the length."""

    def __init__(self, array):
        self._array = array

    @property
    def data(self):
        return self._array

    @property
    def shape(self):
        return self._array.shape

    num, channels, height, width = (property(lambda self, axis=axis: self.shape[axis]) for axis in range(4))
    count = property(lambda self: self._array.size)

    def reshape(self, *shape):
        self._array = np.zeros(shape, np.float32)


class Net:
    def __init__(self, net):
        names = {name: Blob(np.array(blob.data)) for name, blob in net.blobs.items() if "split" not in name}
        self.blobs = names

    def reshape(self):
        """Nothing: Caffe passes the new lengths on to the layers above, here and in `step` as well."""


class CarefulSolver:
    """solver.net.blobs, solver.step(1) and solver.iter of a caffe solver; `fed` holds the batches it stepped on."""

    def __init__(self, solver, classes):
        self._solver, self._classes, self.net, self.fed = solver, classes, Net(solver.net), []

    @property
    def iter(self):
        return self._solver.iter

    def step(self, count=1):
        """`count` iterations on the batch that lies in the blobs. Raises ValueError for one that Caffe would die of."""
        data, labels = self.net.blobs["data"].data, self.net.blobs["label"].data
        example = tuple(self._solver.net.blobs["data"].data.shape[1:])
        if not isinstance(count, int) or count < 1:
            raise ValueError(f"step({count!r}): give the number of iterations, 1 for one batch")
        if data.ndim != 4 or data.shape[1:] != example or not len(data):
            raise ValueError(f"the blob data is {data.shape}; a batch is (n, {', '.join(map(str, example))})")
        if labels.shape != (len(data),):
            raise ValueError(f"the blob label is {labels.shape}, and data holds {len(data)} images: one label for each")
        if not np.isin(labels, range(self._classes)).all():
            raise ValueError(
                f"the blob label holds {labels.min():g} to {labels.max():g}; classes are 0 to {self._classes - 1}"
            )
        self.fed += [(data.copy(), labels.copy())] * count
        feed(self._solver.net, data, labels)
        self._solver.step(count)
        for name in ("loss", "accuracy"):
            self.net.blobs[name].data[...] = self._solver.net.blobs[name].data  # the same memory, as in pycaffe
