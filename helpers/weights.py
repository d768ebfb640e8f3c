"""Caffemodels: read and verify them without Caffe, fold BatchNorm or an input scale in, transplant by name, shape."""

import math
import os
import pathlib
import zlib

import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from helpers.nets import CONVOLUTIONS


def read(path):
    """{layer name: [blob arrays, float32]} of a caffemodel, parsed with protobuf alone.

    Raises FileNotFoundError, or ValueError where the file is no caffemodel (a web page, a truncated download,
    another format), in words that say how to go on. Caffe itself would abort the whole process.
    """
    path = pathlib.Path(path)
    content = path.read_bytes()
    if content[:256].lstrip()[:1] == b"<":
        raise ValueError(
            f"{path} is a web page, not a caffemodel: the server sent an error page. Delete it and fetch it again."
        )
    net = caffe_pb2.NetParameter()
    try:
        net.ParseFromString(content)
        if not all(isinstance(layer.name, str) for layer in (*net.layer, *net.layers)):
            raise DecodeError("a layer's name is no text")  # protobuf then hands out bytes
    except DecodeError as error:
        raise ValueError(
            f"{path} is truncated or not a caffemodel ({len(content)} bytes). Delete it and fetch it again."
        ) from error
    layers = {
        layer.name: [_array(blob, layer.name, path) for blob in layer.blobs]
        for layer in (*net.layer, *net.layers)
        if layer.blobs
    }
    if not layers:
        raise ValueError(f"{path} holds no layer with weights; give a .caffemodel (not a .prototxt or .solverstate)")
    return layers


def _array(blob, layer, path):
    """One BlobProto as an array; old files give its shape as num, channels, height, width."""
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    data = np.array(blob.data, np.float32)
    if min(shape, default=1) < 1 or data.size != math.prod(shape):
        raise ValueError(
            f"{path}: layer {layer} declares shape {shape} and holds {data.size} numbers. Fetch the file again."
        )
    return data.reshape(shape)


def write(path, layers):
    """Write {layer name: [arrays]} as a caffemodel that `caffe` on the command line reads too."""
    net = caffe_pb2.NetParameter()
    for name, blobs in layers.items():
        layer = net.layer.add(name=name)
        for array in blobs:
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(np.asarray(array, np.float32).ravel())
    part = pathlib.Path(f"{path}.part")
    part.write_bytes(net.SerializeToString())
    os.replace(part, path)


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
        squeezed = [tuple(n for n in array.shape if n > 1) for array in source]
        if squeezed != [tuple(n for n in blob.data.shape if n > 1) for blob in target]:
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
    Caffe keeps mean and variance multiplied by the third blob (batch_norm_layer.cpp).
    """
    folded = {name: blobs for name, blobs in layers.items() if not name.startswith(("bn", "scale"))}
    for name, (weight, bias) in folded.items():
        which = name.removeprefix("conv").removeprefix("fc")  # conv1_s1 is followed by bn1_s1, fc7 by bn7
        if f"bn{which}" not in layers:
            continue
        mean, variance, factor = layers[f"bn{which}"]
        gamma, beta = layers[f"scale{which}"]
        scale = gamma / np.sqrt(variance / factor + eps)
        scaled = weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        folded[name] = [scaled, (bias - mean / factor) * scale + beta]
    return folded


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
