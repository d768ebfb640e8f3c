"""Frozen-trunk activations, computed once: while the trunk does not change, neither do they."""

import os
import pathlib

import numpy as np

from helpers import device, parallel
from helpers.examples import Examples, forward
from helpers.weights import fingerprint, of


def extract(net, examples, blob="pool5_s1", batch_size=128, processes=None):
    """Activations (N, ...) float32 of `blob` for every example, in order. processes: see parallel.count."""
    return extract_several(net, examples, [blob], batch_size, processes)[blob]


def extract_several(net, examples, blobs, batch_size=128, processes=None):
    """{blob: activations (N, ...) float32} of several blobs in one pass."""
    obstacle = "a GPU computes in one process" if device.chosen() == "gpu" else None
    batches = -(-len(examples) // batch_size)
    size = min(parallel.count(processes, batch_size, obstacle=obstacle), batches)
    activations = {blob: parallel.shared_array((len(examples), *net.blobs[blob].shape[1:])) for blob in blobs}
    parallel.run(size, _extract, net, examples, batch_size, activations)
    return activations


def _extract(team, net, examples, batch_size, activations):
    for batch in forward(net, examples, list(activations), batch_size, team.rank, team.size):
        for blob, array in activations.items():
            array[batch["rows"]] = batch[blob]
    for array in activations.values():
        team.complete(array)


def upstream(net, blob):
    """Names of the layers with weights that `blob` is computed from: of pool5 the convolutions, not the new fc6."""
    needed, found = {blob}, []
    for layer in reversed(net._layer_names):
        if needed.intersection(net.top_names[layer]):
            needed.update(net.bottom_names[layer])
            found += [layer] if layer in net.params else []
    return found[::-1]


def cached(folder, net, examples, blob="pool5_s1", processes=None, beside=()):
    """Examples of `blob`'s activations with the same labels, from a file in `folder` or computed into it.

    The file's name carries a CRC-32 of the weights upstream and of what is fed, so other weights give another file.
    processes: see parallel.count. beside: blobs that will be asked for later; where one of them or `blob` is missing,
    all that are missing are computed in the same pass.
    """
    layers, fed = of(net), examples.fingerprint()
    paths = {}
    for name in (blob, *beside):
        weights = fingerprint({layer: layers[layer] for layer in upstream(net, name)})
        paths[name] = pathlib.Path(folder) / f"{name}_{weights:08x}_{fed:08x}.npy"
    world = parallel.world()
    if missing := world.share([name for name, path in paths.items() if not path.exists()]):
        activations = extract_several(net, examples, missing, processes=processes)
        if world.rank == 0:
            for name, array in activations.items():
                part = paths[name].with_suffix(f".{os.getpid()}.npy")  # several trainings may compute the same
                np.save(part, array)
                os.replace(part, paths[name])
        world.share()
    return Examples(np.load(paths[blob]), examples.labels)
