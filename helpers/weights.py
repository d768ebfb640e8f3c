"""Caffemodels: read and verify them without Caffe, fold BatchNorm or an input scale in, transplant by name, shape."""

import math
import pathlib
import zlib

import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from helpers.course import write_atomically
from helpers.nets import CONVOLUTIONS

HDF5 = b"\x89HDF\r\n\x1a\n"
# What others are taken for a caffemodel: a file's first bytes, spaces aside, and what it is then
OTHERS = {
    b"<": "a web page: the server sent an error page. Fetch it again",
    b"version https://git-lfs": "a pointer of Git LFS: get the file itself with `git lfs pull`",
    b"PK\3\4": "a zip archive: unpack it, or convert the weights if it is PyTorch's",
    b"\x1f\x8b": "packed with gzip: unpack it",
    b"\x80": "a Python pickle, of PyTorch perhaps: convert the weights",
}


def read(path):
    """{layer name: [blob arrays, float32]} of a caffemodel, whatever Caffe itself loads: its formats of 2013, 2014 and
    now, single and double precision, and HDF5 (.caffemodel.h5). Parsed without Caffe, which would end the process.

    Raises FileNotFoundError, or ValueError where the file is no caffemodel (a web page, a truncated download,
    another format), in words that say how to go on.
    """
    path = pathlib.Path(path)
    content = path.read_bytes()
    layers = _hdf5(path) if content.startswith(HDF5) else _protobuf(content, path)
    if not layers:
        raise ValueError(f"{path} holds no layer with weights; give a .caffemodel (not a .prototxt or .solverstate)")
    return layers


def _protobuf(content, path):
    net = caffe_pb2.NetParameter()
    try:
        net.ParseFromString(content)
    except DecodeError as error:
        start = content[:256].lstrip()
        what = next((what for first, what in OTHERS.items() if start.startswith(first)), None)
        if what is None:
            what = f"truncated or not a caffemodel ({len(content):,} bytes; nor is a .solverstate or a .prototxt one). "
            what += "If it was downloaded, compare that with the size there, and fetch it again"
        raise ValueError(f"{path} is {what}.") from error
    old = [layer.layer if layer.HasField("layer") else layer for layer in net.layers]
    return {
        # protobuf hands out bytes where a name is not in UTF-8
        layer.name if isinstance(layer.name, str) else layer.name.decode("latin-1"): [
            _array(blob, layer.name, path) for blob in layer.blobs
        ]
        for layer in (*net.layer, *old)
        if layer.blobs
    }


def _hdf5(path):
    import h5py  # Keras brings it; here, because only this format needs it

    layers = {}

    def keep(name, item):
        if isinstance(item, h5py.Dataset):
            layer, _, number = name.rpartition("/")
            layers.setdefault(layer, []).append((int(number), item[()].astype(np.float32)))

    try:
        with h5py.File(path) as file:
            file["data"].visititems(keep)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(
            f"{path} is HDF5, but damaged or not saved by Caffe, which keeps weights as data/<layer>/<number> ({error})"
        ) from error
    return {layer: [array for _, array in sorted(blobs, key=lambda blob: blob[0])] for layer, blobs in layers.items()}


def _array(blob, layer, path):
    """One BlobProto as an array; as in blob.cpp, num, channels, height, width are its shape where a file has them."""
    old = [blob.num, blob.channels, blob.height, blob.width]
    shape = tuple(old if any(map(blob.HasField, ("num", "channels", "height", "width"))) else blob.shape.dim)
    data = np.array(blob.double_data or blob.data, np.float32)
    if min(shape, default=1) < 1 or data.size != math.prod(shape):
        raise ValueError(
            f"{path}: layer {layer} declares shape {shape} and holds {data.size} numbers, which Caffe refuses too. "
            "It is damaged, or another program's that keeps the numbers elsewhere."
        )
    return data.reshape(shape)


def write(path, layers, net=None):
    """Write {layer name: [arrays]} as a caffemodel that `caffe` on the command line reads too.

    net: the prototxt message that the layers belong to, which is then written with them as Caffe does, so that other
    programs know their types and can draw the net. Raises KeyError for a layer that it lacks.
    """
    message = caffe_pb2.NetParameter()
    if net is not None:
        message.CopyFrom(net)
    of_name = {layer.name: layer for layer in message.layer}
    for name, blobs in layers.items():
        layer = of_name[name] if net is not None else message.layer.add(name=name)
        for array in blobs:
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(np.asarray(array, np.float32).ravel())
    write_atomically(path, message.SerializeToString())


def of(net):
    """{layer name: [array copies]} of a caffe.Net."""
    return {name: [blob.data.copy() for blob in blobs] for name, blobs in net.params.items()}


def fingerprint(layers):
    """CRC-32 over names and values; None gives 0."""
    crc = 0
    for name, blobs in sorted((layers or {}).items()):
        crc = zlib.crc32(name.encode(), crc)
        for array in blobs:
            crc = zlib.crc32(np.ascontiguousarray(array, np.float32), crc)
    return crc


def squeezed(blobs):
    """The blobs' shapes without axes of length 1: in files of 2014 a bias is (1, 1, 1, n)."""
    return [tuple(n for n in blob.shape if n > 1) for blob in blobs]


def transplant(layers, net, names=CONVOLUTIONS):
    """Copy the named layers' blobs from `layers` into a caffe.Net, in place.

    A name such as conv1_s1 also finds the donor's conv1, as AlexNet calls it.
    Raises KeyError for a layer that the donor or the net lacks, ValueError for blobs of another shape; then
    nothing has been copied. A (1, 1, 1, n) blob of an old file fits an (n,) one.
    """
    pairs = []
    for name in names:
        donor = next((key for key in (name, name.removesuffix("_s1")) if key in layers), None)
        if donor is None:
            raise KeyError(f"the weights hold no layer {name}; they hold {', '.join(layers)}")
        if name not in net.params:
            raise KeyError(f"the net has no layer {name}; it has {', '.join(net.params)}")
        source, target = layers[donor], net.params[name]
        if squeezed(source) != squeezed(blob.data for blob in target):
            raise ValueError(
                f"layer {name}: the weights have shapes {[array.shape for array in source]}, "
                f"the net {[tuple(blob.data.shape) for blob in target]}"
            )
        pairs += [(blob, array) for blob, array in zip(target, source)]
    for blob, array in pairs:
        blob.data[...] = array.reshape(blob.data.shape)


def fold_batch_norm(layers, eps=1e-5):
    """The plain net's layers from a net with BatchNorm and Scale after some of its layers (see nets.stacked_cfn).

    In TEST phase y = gamma * (W x + b - mean) / sqrt(variance + eps) + beta, so W and b take the factor in.
    Caffe keeps mean and variance multiplied by the third blob, and takes both for 0 where that is 0, as in a net that
    has seen nothing yet (batch_norm_layer.cpp).
    """
    folded = {name: blobs for name, blobs in layers.items() if not name.startswith(("bn", "scale"))}
    for name, (weight, bias) in folded.items():
        which = name.removeprefix("conv").removeprefix("fc")  # conv1_s1 is followed by bn1_s1, fc7 by bn7
        if f"bn{which}" not in layers:
            continue
        mean, variance, factor = layers[f"bn{which}"]
        factor = factor if factor.any() else np.float32("inf")
        gamma, beta = layers[f"scale{which}"]
        scale = gamma / np.sqrt(variance / factor + eps)
        scaled = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        folded[name] = [scaled, (bias - mean / factor) * scale + beta]
    return folded


def folded_trunk(layers):
    """{layer: arrays} of the convolutions alone, BatchNorm folded in where there is one, as the branch wants them."""
    folded = fold_batch_norm(layers)
    return {name: folded[name] for name in CONVOLUTIONS}


def fold_input(layers, statistics, mean=None):
    """The same layers for inputs of another kind: they learned from BGR, 0-255 less a mean, and shall see our inputs.

    Those are RGB, (value - statistics.mean) / statistics.std (preprocessing.to_caffe). A convolution is linear, so
    conv1_s1 takes order, deviation and mean into its weights and bias: what it puts out stays the same. It has no
    padding (zeros there would mean another grey), so that is true at the border, too.
    statistics: the training images', preprocessing.channel_statistics. mean: (3,), B, G, R, what was subtracted when
    the layers learned; None where each image's or tile's own mean was: then ours takes its place, and the bias stays.
    """
    weight, bias = layers["conv1_s1"]
    weight = weight[:, ::-1].astype(np.float64)
    shift = np.zeros(3) if mean is None else statistics.mean - np.asarray(mean)[::-1]
    folded = [weight * statistics.std[:, None, None], bias + (weight * shift[:, None, None]).sum((1, 2, 3))]
    return layers | {"conv1_s1": [np.ascontiguousarray(array, np.float32) for array in folded]}
