"""Caffemodels: read and verify them without Caffe, fold BatchNorm or an input scale in, transplant by name, shape."""

import math
import pathlib
import zlib

import numpy as np
from caffe.proto import caffe_pb2
from google.protobuf.message import DecodeError

from helpers.course import write_atomically
from helpers.nets import CONVOLUTIONS, filter_net

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
    for layer, blobs in layers.items():
        blobs.sort(key=lambda blob: blob[0])
        if [number for number, _ in blobs] != list(range(len(blobs))):
            kept = ", ".join(str(number) for number, _ in blobs)
            raise ValueError(
                f"{path}: layer {layer} has its blob {kept} here and shares the others with another layer, which only "
                "the net says (HDF5 keeps shared weights once). Load it with caffe.Net(...).copy_from, and save it as "
                "a .caffemodel, which has them all"
            )
    return {layer: [array for _, array in blobs] for layer, blobs in layers.items()}


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
    of_name = {}
    for layer in message.layer:  # TRAIN and TEST may each have one of the same name
        of_name.setdefault(layer.name, []).append(layer)
    for name, blobs in layers.items():
        if net is not None and name not in of_name:
            raise KeyError(f"the net {net.name!r} has no layer {name}; it has {', '.join(of_name)}")
        for layer in of_name[name] if net is not None else [message.layer.add(name=name)]:
            for array in blobs:
                blob = layer.blobs.add()
                blob.shape.dim.extend(array.shape)
                blob.data.extend(np.asarray(array, np.float32).ravel())
    write_atomically(path, message.SerializeToString())


def of(net):
    """{layer name: [array copies]} of a caffe.Net. Raises ValueError where two layers with weights have one name."""
    return {name: [blob.data.copy() for blob in blobs] for name, blobs in _learned(net).items()}


def _learned(net):
    """{layer name: blobs} of a caffe.Net: its params, which have only one of two layers of the same name."""
    names = [name for name, layer in zip(net._layer_names, net.layers) if len(layer.blobs)]
    if twice := [name for name in net.params if names.count(name) > 1]:
        raise ValueError(f"more than one layer with weights is called {twice[0]}; weights need a name for each layer")
    return net.params


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

    A name such as conv1_s1 also finds the donor's conv1, as AlexNet calls it. A layer that the donor lacks is filled
    where it shares its blobs (param { name: ... }) with others that are.
    Raises KeyError for a layer that the donor or the net lacks, ValueError for blobs of another shape, and for
    different weights of layers that share them; then nothing has been copied. A (1, 1, 1, n) blob of an old file fits
    an (n,) one.
    """
    pairs, absent, learned = {}, [], _learned(net)
    for name in names:
        donor = next((key for key in (name, name.removesuffix("_s1")) if key in layers), None)
        if name not in learned:
            raise KeyError(f"the net has no layer {name}; it has {', '.join(learned)}")
        if donor is None:
            absent.append(name)
            continue
        source, target = layers[donor], learned[name]
        if squeezed(source) != squeezed(blob.data for blob in target):
            raise ValueError(
                f"layer {name}: the weights have shapes {[array.shape for array in source]}, "
                f"the net {[tuple(blob.data.shape) for blob in target]}"
            )
        for blob, array in zip(target, source):
            other, _, same = pairs.setdefault(blob.data.ctypes.data, (name, blob, array))
            if not np.array_equal(same.ravel(), array.ravel()):
                raise ValueError(f"the net's layers {other} and {name} share weights, but are given different ones")
    for name in absent:  # needs none where it shares those of layers that have theirs
        if any(blob.data.ctypes.data not in pairs for blob in learned[name]):
            raise KeyError(f"the weights hold no layer {name}; they hold {', '.join(layers)}")
    for _, blob, array in pairs.values():
        blob.data[...] = array.reshape(blob.data.shape)


def fold_batch_norm(layers, eps=1e-5, net=None):
    """The plain net's layers from those of a net with BatchNorm, and perhaps Scale, after some of its layers.

    In TEST phase y = gamma * (W x + b - mean) / sqrt(variance + eps) + beta, so W and b take the factor in.
    Caffe keeps mean and variance multiplied by the third blob, and takes both for 0 where that is 0, as in a net that
    has seen nothing yet (batch_norm_layer.cpp).

    Parameters
    ----------
    layers : dict
        {layer name: [arrays]}, as `read` and `of` give.
    eps : float
        Of the BatchNorm layers of this course's nets (nets.stacked_cfn), which are known by their names.
    net : NetParameter, optional
        The prototxt message of any other net: it says which layer each BatchNorm follows, and its eps.

    Returns
    -------
    dict
        The same layers without BatchNorm and the Scale behind it. A layer without biases has gained some: its plain
        net wants bias_term: true.

    Raises
    ------
    ValueError
        Names each BatchNorm that cannot be folded: its layer is not known, or is read by others, too.
    """
    followed = _followed_by_name(layers, eps) if net is None else _followed_in(net, layers)
    folded = dict(layers)
    for name, norm, scale, epsilon in followed:
        weight, *bias = layers[name]
        mean, variance, factor = (array.reshape(-1) for array in layers[norm])
        if len(mean) != len(weight):
            raise ValueError(f"{norm} normalises {len(mean)} channels, {name} before it gives {len(weight)}")
        factor = factor if factor.any() else np.float32("inf")
        gamma, *beta = (array.reshape(-1) for array in (folded.pop(scale) if scale else [np.ones_like(mean)]))
        change = gamma / np.sqrt(variance / factor + epsilon)
        scaled = weight * change.reshape(-1, *[1] * (weight.ndim - 1))
        offset = ((bias[0].reshape(-1) if bias else 0) - mean / factor) * change + (beta[0] if beta else 0)
        folded[name] = [scaled, offset]
        del folded[norm]
    return folded


OURS = (*CONVOLUTIONS, "fc6_s1", "fc7", "fc8")  # of nets.stacked_cfn: bn1_s1 and scale1_s1 follow conv1_s1


def _followed_by_name(layers, eps):
    """(layer, its BatchNorm, its Scale, eps) for the names of nets.stacked_cfn, which no other net may have in part."""
    number = {name: name.removeprefix("conv").removeprefix("fc") for name in OURS}
    followers = {name: (f"bn{which}", f"scale{which}") for name, which in number.items()}
    norms = [name for name, blobs in layers.items() if _normalises(blobs)]
    found = [(name, bn, scale if scale in layers else None, eps) for name, (bn, scale) in followers.items()]
    found = [each for each in found if each[0] in layers and each[1] in norms]
    known = {*OURS, *(name for pair in followers.values() for name in pair)}
    if norms and (len(found) < len(norms) or not known.issuperset(layers)):
        raise ValueError(
            f"{', '.join(norms)}: which layers these BatchNorm layers follow, only their net says. "
            "Give its prototxt: fold_batch_norm(layers, net=nets.read(...))"
        )
    return found


def _normalises(blobs):
    """Whether these are a BatchNorm's: as many means as variances, and one factor."""
    shapes = squeezed(blobs)
    return len(shapes) == 3 and shapes[0] == shapes[1] and len(shapes[0]) <= 1 and shapes[2] == ()


def _followed_in(net, layers):
    """(layer, its BatchNorm, its Scale or None, eps) of each BatchNorm in the TEST phase of a prototxt message."""
    there, found, wrong = filter_net(net).layer, [], []
    for number, norm in enumerate(there):
        if norm.type != "BatchNorm":
            continue
        makers = [i for i in range(number) if norm.bottom[0] in there[i].top]
        before = there[makers[-1]] if makers else None
        if before is None or not _folds(before) or _readers(there, makers[-1]) != [number]:
            wrong.append(f"{norm.name} follows no convolution or inner product that it alone reads")
        elif norm.batch_norm_param.HasField("use_global_stats") and not norm.batch_norm_param.use_global_stats:
            wrong.append(f"{norm.name} takes each batch's own statistics (use_global_stats: false)")
        elif missing := [one.name for one in (before, norm) if one.name not in layers]:
            wrong.append(f"{norm.name}: the weights hold no layer {missing[0]}")
        else:
            behind = [there[i] for i in _readers(there, number)]
            scale = behind[0] if len(behind) == 1 and _per_channel(behind[0]) and behind[0].name in layers else None
            found.append((before.name, norm.name, scale and scale.name, norm.batch_norm_param.eps))
    if wrong:
        raise ValueError(f"BatchNorm cannot be folded into {net.name!r}: {'; '.join(wrong)}")
    return found


def _readers(there, maker):
    """Numbers of the layers that read what layer number `maker` puts into its first blob, until another writes it."""
    blob, found = there[maker].top[0], []
    for number in range(maker + 1, len(there)):
        if blob in there[number].bottom:
            found.append(number)
        if blob in there[number].top:
            break
    return found


def _folds(layer):
    """Whether the first axis of a layer's weights are its channels."""
    inner = layer.inner_product_param
    return (layer.type == "Convolution" and layer.convolution_param.axis == 1) or (
        layer.type == "InnerProduct" and inner.axis == 1 and not inner.transpose
    )


def _per_channel(layer):
    """Whether a layer is a Scale with a learnt factor for each channel."""
    param = layer.scale_param
    return layer.type == "Scale" and len(layer.bottom) == 1 and (param.axis, param.num_axes) == (1, 1)


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
