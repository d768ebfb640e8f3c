"""A forward pass over examples, batch by batch, on the chosen device."""

import numpy as np

from helpers.data.examples import check, feed
from helpers.training import device


def forward(net, examples, blobs, batch_size=128):
    """Yield {name: array} of the named blobs after a forward pass over each batch, in order, on device.use's.

    An array is the blob's own memory: the next batch overwrites it, so copy what should last. With them come "size",
    the batch's length, and "rows", the slice of the examples it holds.
    """
    device.use()
    check(net, examples)
    for start in range(0, len(examples), batch_size):
        rows = slice(start, min(start + batch_size, len(examples)))
        feed(net, *examples.batch(rows))
        net.forward()
        yield {"size": rows.stop - rows.start, "rows": rows} | {name: net.blobs[name].data for name in blobs}


def score(net, examples, batch_size=128):
    """(mean loss in nats, accuracy in [0, 1]) of `net` over all examples."""
    total = np.zeros(2)
    for batch in forward(net, examples, ["loss", "accuracy"], batch_size):
        total += batch["size"] / len(examples) * np.array([float(batch["loss"]), float(batch["accuracy"])])
    return tuple(float(value) for value in total)
