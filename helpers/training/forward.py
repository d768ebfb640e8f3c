"""A forward pass over examples, batch by batch, on the chosen device."""

import numpy as np

from helpers.data.examples import check, feed
from helpers.training import device


def forward(net, examples, blobs, batch_size=128, rank=0, ranks=1):
    """Yield {name: array copy} of the named blobs after a forward pass over each batch, in order, on device.use's.

    With them come "size", the batch's length, and "rows", the slice of the examples it holds.
    rank, ranks: process `rank` of `ranks` takes every ranks-th batch.
    """
    device.use()
    check(net, examples)
    for start in range(rank * batch_size, len(examples), ranks * batch_size):
        rows = slice(start, min(start + batch_size, len(examples)))
        feed(net, *examples.batch(np.arange(rows.start, rows.stop)))
        net.forward()
        yield {"size": rows.stop - rows.start, "rows": rows} | {name: net.blobs[name].data.copy() for name in blobs}
