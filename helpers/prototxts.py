"""Prototxts, the course's and anybody's: read, counted and instantiated without ending the process.

What Caffe cannot build is an exception (packaging/caffe/checks.hpp), but a net too large for the memory ends the
process, so a copy of the process asks first.
"""

import contextlib
import copy
import faulthandler
import itertools
import os
import pathlib
import pickle
import re
import sys
import tempfile
import warnings

import caffe
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from helpers.phases import filter_net
from helpers.unknown_fields import is_data_layer, without_unknown

READERS = {  # layers that read data from files, and where each says from which
    "Data": "data_param",
    "AnnotatedData": "data_param",
    "ImageData": "image_data_param",
    "WindowData": "window_data_param",
    "HDF5Data": "hdf5_data_param",
}
GUESSES = {1: (2, 4), 2: (128, 256), 3: (128, 256)}  # channels, height, width: two, to see what depends on them


def read(path):
    """The prototxt message (NetParameter) of a file, of yours or anybody's.

    Comments may be in any encoding; the `layers` of 2014 become today's `layer`. Fields of data layers that only
    another Caffe knows are skipped, with a warning. Raises ValueError, naming the file and the line, for what is no
    prototxt.
    """
    try:
        text = pathlib.Path(path).read_text("utf-8-sig")
    except UnicodeDecodeError:
        text = pathlib.Path(path).read_text("latin-1")  # any bytes; all that Caffe reads is ASCII
    text, unknown = without_unknown(text)
    try:
        net = _upgraded(text_format.Parse(text, caffe_pb2.NetParameter()))
    except text_format.ParseError as error:
        raise ValueError(
            f"{path} is not the prototxt of a net: {error} Correct that line; this Caffe knows no fields of others."
        ) from error
    for layer, fields in unknown.items():
        warnings.warn(
            f"{path}: the data layer {layer} has {', '.join(fields)}, unknown to this Caffe and skipped: data layers "
            "are not run here. Where that decides the shape of an example, give it: data=(channels, height, width)",
            stacklevel=2,
        )
    return net


def _upgraded(net):
    """A prototxt message with `layers` as Caffe itself upgrades it (upgrade_proto.cpp); those of 2013 stay."""
    types = {name.lower(): name for name in (*caffe.layer_type_list(), *READERS)} | {"softmaxloss": "SoftmaxWithLoss"}
    if any(old.HasField("layer") for old in net.layers):
        return net
    for old in net.layers:
        kind = old.LayerType.Name(old.type).replace("_", "").lower()
        multipliers = list(itertools.zip_longest(old.param, old.blobs_lr, old.weight_decay))
        for field in ("type", "param"):  # alone of their names, they mean another thing today
            old.ClearField(field)
        new = text_format.Parse(str(old), net.layer.add(), allow_unknown_field=True)
        new.type = types.get(kind, kind)
        for values in multipliers:
            named = zip(("name", "lr_mult", "decay_mult"), values)
            new.param.add(**{field: value for field, value in named if value not in (None, "")})
        source = _source(new)
        for name in ("scale", "mean_file", "crop_size", "mirror") if source is not None else ():
            if name in source.DESCRIPTOR.fields_by_name and source.HasField(name):
                setattr(new.transform_param, name, getattr(source, name))
                source.ClearField(name)
    net.ClearField("layers")
    return net


def up_to(net, last):
    """A copy of a prototxt message that ends with the layer `last`, without labels: what computes, not what trains."""
    short = copy.deepcopy(net)
    end = [layer.name for layer in net.layer].index(last) + 1
    short.ClearField("layer")
    short.layer.extend(layer for layer in net.layer[:end] if layer.name != "label")
    return short


def clear_fillers(net):
    """Take the initial values of parameters out of a prototxt message, in place: quicker, where they do not matter."""
    for layer in net.layer:
        for field, value in layer.ListFields():
            for inner in value.DESCRIPTOR.fields if field.name.endswith("_param") else ():
                if inner.name.endswith("_filler"):
                    value.ClearField(inner.name)


def instantiate(net, phase=caffe.TEST):
    """A caffe.Net from a prototxt message. Raises ValueError, in Caffe's own words, for a net that it cannot build."""
    _tried(net, phase, lambda built: None)
    return _built(net, phase)


def _built(net, phase):
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt", encoding="utf-8") as file:  # Caffe reads nothing else
        file.write(str(net))
        file.flush()
        return caffe.Net(file.name, phase)


def _readable(built):
    """A caffe.Net whose blobs all hold something: Caffe builds others, and ends the process when such a blob is read.

    pooling_layer.cpp makes one, without padding, of a window that is larger than its map.
    """
    for name, blob in built.blobs.items():
        if 0 in blob.shape:
            words = f"the blob {name} would have the shape {tuple(blob.shape)}; is a window larger than its map?"
            print(words, file=sys.stderr)
            raise ValueError(words)
    return built


def _tried(net, phase, question):
    """question(caffe.Net) of a prototxt message in a copy of this process: a CHECK that fails ends the copy alone.

    Raises ValueError with Caffe's words.
    """
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as answer, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python and JAX warn of their threads, none of which the copy needs
        child = os.fork()
        if not child:
            try:
                faulthandler.disable()  # the copy may die, and the caller says why
                os.dup2(said.fileno(), 2)
                sys.stderr = open(2, "w", closefd=False)
                caffe.set_mode_cpu()
                pickle.dump(question(_readable(_built(net, phase))), answer)
                answer.flush()
                os._exit(0)
            except BaseException as error:
                sys.stderr.write(f"\n{error}")
                sys.stderr.flush()
            finally:
                os._exit(1)
        died = os.waitpid(child, 0)[1]
        for file in (said, answer):
            file.seek(0)
        if not died:
            return pickle.load(answer)
        words = said.read().decode(errors="replace").strip()
    fatal = re.search(r"^F\d.*?\] (.*)$", words, re.MULTILINE)  # glog's line
    last = fatal[1] if fatal else words.rpartition("\n")[2] if os.WIFEXITED(died) else ""
    last = re.sub(r"^Check failed: | \(known types.*| \(\w+\.[ch]pp:\d+\)$", "", last)
    reason = last or "its process was killed; is there too little memory?"
    absent = {f"{layer.name} reads {path}, which is not here": None for layer in net.layer for path in _absent(layer)}
    raise ValueError("; ".join([f"Caffe cannot build the net {net.name!r}: {reason}", *absent]))


def _source(layer):
    """The message that says from where a data layer reads, one of an unknown type included; None of another layer."""
    if layer.type in READERS:
        return getattr(layer, READERS[layer.type])
    if not is_data_layer(layer):
        return None
    given = [field for field in dict.fromkeys(READERS.values()) if layer.HasField(field)]
    return getattr(layer, (given or ["data_param"])[0])


def _absent(layer):
    """The files that a data layer reads and that are not here; none of another layer."""
    source = _source(layer)
    files = source and [source.source, getattr(source, "mean_file", ""), layer.transform_param.mean_file]
    return [path for path in files or () if path and not pathlib.Path(path).exists()]


def _example(layer):
    """[channels, height, width] of one example that a data layer gives, as far as its prototxt says; None: it does not.

    Raises ValueError for HDF5, where only the file knows how many axes there are.
    """
    source, transform = _source(layer), layer.transform_param
    if layer.type == "HDF5Data":
        raise ValueError(
            f"{layer.name} reads {source.source}, which is not here, and only that file says what shape its blobs "
            "have: give the shape of one example, data=(...)"
        )
    size = transform.crop_size or getattr(source, "crop_size", 0)
    height, width = (size, size) if size else (getattr(source, f"new_{side}", 0) for side in ("height", "width"))
    if layer.type in ("ImageData", "WindowData"):
        channels = 3 if layer.type == "WindowData" or source.is_color else 1
    elif transform.force_gray:
        channels = 1
    else:  # cropped images are photographs, in colour unless they say otherwise
        channels = 3 if transform.force_color or size or len(transform.mean_value) == 3 else None
    return [channels, height or None, width or None]


def _asked(net, question, data):
    """[question(caffe.Net) twice] of a prototxt message's TEST phase, or of TRAIN where there is no other.

    Data layers whose files are not here, or that the wheel cannot read, are replaced by blobs of the same shape, with a
    warning. What a prototxt leaves open is one thing in the first answer and another in the second.
    """
    try:
        return _asked_in(caffe.TEST, net, question, data)
    except ValueError:
        with contextlib.suppress(ValueError):
            return _asked_in(caffe.TRAIN, net, question, data)
        raise


def _asked_in(phase, net, question, data):
    plain, taken, words, known = filter_net(net, phase), [], [], caffe.layer_type_list()
    clear_fillers(plain)
    for layer in plain.layer:
        source = _source(layer)
        unread = layer.type in ("Data", "AnnotatedData") or layer.type not in known or _absent(layer)  # no LMDB
        if source is not None and unread:
            shape = [source.batch_size or 1, *(data or _example(layer))]
            taken.append((layer, shape))
            what = f"reads {source.source}" if source.source else f"is of the type {layer.type}"
            words.append(
                f"{layer.name} {what}, which is not read here: it is taken to give "
                + " x ".join(map(str, shape))
                + ", and what depends on None is not known" * (None in shape)
                + "; data=(channels, height, width) says otherwise"
            )
    answers = []
    for turn in range(2 if any(None in shape for _, shape in taken) else 1):
        for layer, shape in taken:
            layer.type = "DummyData"
            whole = [GUESSES[axis][turn] if n is None else n for axis, n in enumerate(shape)]
            shapes = [dict(dim=whole), *[dict(dim=whole[:1])] * (len(layer.top) - 1)]  # the others are labels
            layer.dummy_data_param.CopyFrom(caffe_pb2.DummyDataParameter(shape=shapes))
        try:
            answers.append(_tried(plain, phase, question))
        except ValueError as error:
            raise ValueError("; ".join([str(error), *words])) from None
    for line in words:
        warnings.warn(line, stacklevel=4)
    return answers[0], answers[-1]


def parameter_counts(net, data=None):
    """Learnable numbers per layer, {layer name: int}, weights shared between layers counted once. Caffe infers them.

    net: any prototxt message, Caffe's older formats included. It is counted in the TEST phase, in TRAIN where it has no
    other; `filter_net` chooses another phase, stages or a level. data: shape of one example, (channels, height, width),
    for data layers whose files are not here; where neither it nor the prototxt says, what depends on it is None.
    Raises ValueError, in Caffe's own words, for a net that it cannot build.
    """

    def count(net):
        seen, counts = set(), {}
        for name, layer in zip(net._layer_names, net.layers):  # net.params has one of two layers of the same name
            new = {blob.data.ctypes.data: blob.count for blob in layer.blobs if blob.data.ctypes.data not in seen}
            counts |= {name: counts.get(name, 0) + sum(new.values())} if new else {}
            seen.update(new)
        return counts

    first, second = _asked(net, count, data)
    return {name: number if number == second[name] else None for name, number in first.items()}


def blob_shapes(net, data=None):
    """{blob name: shape tuple} of a prototxt message, as Caffe infers them; net, data and errors as above.

    An axis whose length depends on data that are not here is None.
    """

    def shapes(net):
        return {name: tuple(blob.shape) for name, blob in net.blobs.items()}

    first, second = _asked(net, shapes, data)
    return {name: tuple(a if a == b else None for a, b in zip(shape, second[name])) for name, shape in first.items()}
