"""Frozen-trunk activations, computed once: while the trunk does not change, neither do they."""

import os
import pathlib

import numpy as np

from helpers.examples import Examples, forward
from helpers.weights import fingerprint, of


def extract(net, examples, blob="pool5_s1", batch_size=128):
    """Activations (N, ...) float32 of `blob` for every example, in order."""
    return np.concatenate([batch[blob] for batch in forward(net, examples, [blob], batch_size)])


def upstream(net, blob):
    """Names of the layers with weights that `blob` is computed from: of pool5 the convolutions, not the new fc6."""
    needed, found = {blob}, []
    for layer in reversed(net._layer_names):
        if needed.intersection(net.top_names[layer]):
            needed.update(net.bottom_names[layer])
            found += [layer] if layer in net.params else []
    return found[::-1]


def cached(folder, net, examples, blob="pool5_s1"):
    """Examples of `blob`'s activations with the same labels, from a file in `folder` or computed into it.

    The file's name carries a CRC-32 of the weights upstream and of what is fed, so other weights give another file.
    """
    layers = of(net)
    weights = fingerprint({name: layers[name] for name in upstream(net, blob)})
    path = pathlib.Path(folder) / f"{blob}_{weights:08x}_{examples.fingerprint():08x}.npy"
    if not path.exists():
        part = path.with_suffix(f".{os.getpid()}.npy")  # several processes may compute the same
        np.save(part, extract(net, examples, blob))
        os.replace(part, path)
    return Examples(np.load(path), examples.labels)
