"""Frozen-trunk activations, computed once: while the trunk does not change, neither do they."""

import os
import pathlib
import zlib

import numpy as np
from caffe.proto import caffe_pb2

from helpers import nets
from helpers.data import kept
from helpers.data.examples import Examples
from helpers.training import device, parallel
from helpers.training.forward import forward
from helpers.weights import fingerprint, of


def extract(net, examples, blob="pool5_s1", batch_size=128, processes=None):
    """Activations (N, ...) float32 of `blob` for every example, in order. processes: see parallel.count."""
    return extract_several(net, examples, [blob], batch_size, processes)[blob]


def extract_several(net, examples, blobs, batch_size=128, processes=None):
    """{blob: activations (N, ...) float32} of several blobs in one pass."""
    obstacle = "a GPU computes in one process" if device.use() == "gpu" else None
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
    """Names of the layers that `blob` is computed from: of pool5 all up to it, not the new fc6."""
    needed, found = {blob}, []
    for layer in reversed(net._layer_names):
        if needed.intersection(net.top_names[layer]):
            needed.update(net.bottom_names[layer])
            found.append(layer)
    return found[::-1]


def _definitions(net):
    """{layer: its prototxt, as far as it decides what is computed} of a caffe.Net."""
    with os.fdopen(os.memfd_create("net"), "rb") as file:
        net.save(f"/proc/self/fd/{file.fileno()}")  # the only way to a caffe.Net's prototxt
        saved = caffe_pb2.NetParameter.FromString(file.read())
    nets.clear_fillers(saved)
    split, found = {}, {}  # Caffe's own copies of a blob that several layers read: what else reads it does not matter
    for layer in saved.layer:
        for field in ("blobs", "param", "loss_weight"):
            layer.ClearField(field)
        layer.bottom[:] = [split.get(blob, blob) for blob in layer.bottom]
        if layer.type == "Split":
            split |= {top: layer.bottom[0] for top in layer.top}
        elif layer.type != "Input":
            found[layer.name] = str(layer)
    return found


def cached(folder, net, examples, blob="pool5_s1", processes=None, beside=()):
    """Examples of `blob`'s activations with the same labels, from a file in `folder` or computed into it.

    The file's name carries CRC-32s of the layers upstream, their weights and prototxt, and of what is fed, so another
    net gives another file; see kept. The activations are mapped from it, not copied into memory.
    processes: see parallel.count. beside: blobs that will be asked for later; where one of them or `blob` is missing,
    all that are missing are computed in the same pass.
    Of a transform that is random one draw is computed, a line says so, and no file is kept: training on it would show
    the same draw in each epoch.
    """
    if examples.random():
        print(
            f"The transform is random: these activations of {blob} are those of one draw, the same in each epoch, and "
            "are not kept in a file. Compute them of the images as they are (Examples without it), or augment the "
            "images that a whole net is trained on."
        )
        return Examples(extract(net, examples, blob, processes=processes), examples.labels)
    layers, definitions, fed = of(net), _definitions(net), examples.fingerprint()
    paths = {}
    for name in (blob, *beside):
        needed = upstream(net, name)
        made = "".join(definitions[layer] for layer in needed if layer in definitions).encode()
        crc = zlib.crc32(made, fingerprint({layer: layers[layer] for layer in needed if layer in layers}))
        paths[name] = pathlib.Path(folder) / f"{name}_{crc:08x}_{fed:08x}.npy"
    world = parallel.world()
    missing = world.share([name for name, path in paths.items() if not kept.whole(path)])
    activations = extract_several(net, examples, missing, processes=processes) if missing else {}
    if world.rank == 0:
        activations = {name: kept.keep(paths[name], array) for name, array in activations.items()}
    array = activations[blob] if blob in activations else np.load(paths[blob], mmap_mode="r")
    return Examples(array, examples.labels)
