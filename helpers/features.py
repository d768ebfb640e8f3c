"""Frozen-trunk activations, computed once: while the trunk does not change, neither do they."""

import os
import pathlib

import numpy as np

from helpers import device, parallel
from helpers.examples import Examples, forward
from helpers.weights import fingerprint, of


def extract(net, examples, blob="pool5_s1", batch_size=128, processes=None):
    """Activations (N, ...) float32 of `blob` for every example, in order. processes: see parallel.count."""
    obstacle = "a GPU computes in one process" if device.chosen() == "gpu" else None
    batches = -(-len(examples) // batch_size)
    size = min(parallel.count(processes, batch_size, obstacle=obstacle), batches)
    activations = parallel.shared_array((len(examples), *net.blobs[blob].shape[1:]))
    parallel.run(size, _extract, net, examples, blob, batch_size, activations)
    return activations


def _extract(team, net, examples, blob, batch_size, activations):
    for batch in forward(net, examples, [blob], batch_size, team.rank, team.size):
        activations[batch["rows"]] = batch[blob]
    team.complete(activations)


def upstream(net, blob):
    """Names of the layers with weights that `blob` is computed from: of pool5 the convolutions, not the new fc6."""
    needed, found = {blob}, []
    for layer in reversed(net._layer_names):
        if needed.intersection(net.top_names[layer]):
            needed.update(net.bottom_names[layer])
            found += [layer] if layer in net.params else []
    return found[::-1]


def cached(folder, net, examples, blob="pool5_s1", processes=None):
    """Examples of `blob`'s activations with the same labels, from a file in `folder` or computed into it.

    The file's name carries a CRC-32 of the weights upstream and of what is fed, so other weights give another file.
    processes: see parallel.count.
    """
    layers = of(net)
    weights = fingerprint({name: layers[name] for name in upstream(net, blob)})
    path = pathlib.Path(folder) / f"{blob}_{weights:08x}_{examples.fingerprint():08x}.npy"
    world = parallel.world()
    if not world.share(path.exists()):
        activations = extract(net, examples, blob, processes=processes)
        if world.rank == 0:
            part = path.with_suffix(f".{os.getpid()}.npy")  # several trainings may compute the same
            np.save(part, activations)
            os.replace(part, path)
        world.share()
    return Examples(np.load(path), examples.labels)
