"""Frozen-trunk activations, computed once: while the trunk does not change, neither do they."""

import os
import pathlib
import zlib

import numpy as np
from caffe.proto import caffe_pb2

from helpers import nets
from helpers.data import kept
from helpers.data.examples import Examples
from helpers.training import device
from helpers.training.forward import forward
from helpers.weights import fingerprint, of


def extract(net, examples, blob="pool5_s1", batch_size=128, threads=None):
    """Activations (N, ...) float32 of `blob` for every example, in order. threads: see device.threads."""
    return extract_several(net, examples, [blob], batch_size, threads)[blob]


def extract_several(net, examples, blobs, batch_size=128, threads=None):
    """{blob: activations (N, ...) float32} of several blobs in one pass."""
    activations = {blob: np.empty((len(examples), *net.blobs[blob].shape[1:]), np.float32) for blob in blobs}
    with device.working_threads(threads):
        for batch in forward(net, examples, blobs, batch_size):
            for blob, array in activations.items():
                array[batch["rows"]] = batch[blob]
    return activations


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


def cached(folder, net, examples, blob="pool5_s1", threads=None, beside=()):
    """Examples of `blob`'s activations with the same labels, from a file in `folder` or computed into it.

    The file's name carries CRC-32s of the layers upstream, their weights and prototxt, and of what is fed, so another
    net gives another file; see kept. The activations are mapped from it, not copied into memory.
    threads: see device.threads. beside: blobs that will be asked for later; where one of them or `blob` is missing,
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
        return Examples(extract(net, examples, blob, threads=threads), examples.labels)
    layers, definitions, fed = of(net), _definitions(net), examples.fingerprint()
    paths = {}
    for name in (blob, *beside):
        needed = upstream(net, name)
        made = "".join(definitions[layer] for layer in needed if layer in definitions).encode()
        crc = zlib.crc32(made, fingerprint({layer: layers[layer] for layer in needed if layer in layers}))
        paths[name] = pathlib.Path(folder) / f"{name}_{crc:08x}_{fed:08x}.npy"
    missing = [name for name, path in paths.items() if not kept.whole(path)]
    activations = extract_several(net, examples, missing, threads=threads) if missing else {}
    activations = {name: kept.keep(paths[name], array) for name, array in activations.items()}
    array = activations[blob] if blob in activations else np.load(paths[blob], mmap_mode="r")
    return Examples(array, examples.labels)
