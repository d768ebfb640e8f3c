"""A prototxt and its weights as an ONNX file: names and batch axis stay, what only trains is left out."""

import caffe
import onnx
from onnx import TensorProto, helper

from helpers import nets, weights as caffemodel
from helpers.course import write_atomically
from helpers.export.layers import LAYERS, Graph

OPSET, IR_VERSION = 13, 8  # of 2020 and 2021: every runtime in use reads them
TRAINS_ONLY = ("Accuracy", "Silence")  # and every layer called loss


def to_onnx(net, weights, path, outputs=None):
    """Write a net as an ONNX file whose outputs are Caffe's, within float32's rounding; axis 0 of its blobs stays free.

    net: prototxt message with Input layers, as helpers.nets makes and nets.read reads; its TEST phase is written,
    without losses. weights: {layer: [arrays]}, as helpers.weights.read gives. path: of the file.
    outputs: blobs to give, as they are at the end of a forward pass; None gives those that no layer reads.
    In the file a blob has the name that it has in Caffe. What layers in place make of it on the way has theirs behind
    it: conv1_s1 is what relu1_s1 left there, and what the convolution gave is conv1_s1/conv1_s1.
    Raises ValueError that names the layer for what ONNX or this module does not know, and for an output that the net
    lacks; KeyError for a layer without weights. Nothing is written then.
    """
    built = nets.instantiate(net)
    layers = [layer for layer in net.layer if _tests(layer)]
    inputs = _inputs(net, layers, built)
    layers = [one for one in layers if one.type != "Input" and one.type not in TRAINS_ONLY and "Loss" not in one.type]
    made = dict.fromkeys(blob for layer in layers for blob in layer.top)
    outputs = outputs or [b for b in made if all(b not in layer.bottom or b in layer.top for layer in layers)]
    unknown = [blob for blob in outputs if blob not in made]
    if unknown or not outputs:
        raise ValueError(f"{net.name!r} makes no blob {unknown or ''}; it makes {', '.join(sorted(made)) or 'nothing'}")
    layers = _needed(layers, outputs)
    for layer in layers:
        if layer.type not in LAYERS:
            raise ValueError(f"{layer.name}: layers of type {layer.type} cannot be written as ONNX here")
    _fill(built, layers, weights)

    graph = Graph(built)
    last = {blob: layer.name for layer in layers for blob in layer.top if blob not in inputs}
    current = {blob: blob for blob in inputs}
    for layer in layers:
        bottoms = [current[blob] for blob in layer.bottom]
        tops = [blob if last.get(blob) == layer.name else f"{blob}/{layer.name}" for blob in layer.top]
        LAYERS[layer.type](graph, layer, bottoms, tops)
        current.update(zip(layer.top, tops))
    read = {blob for layer in layers for blob in layer.bottom}
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            net.name or "net",
            [_value(blob, shape) for blob, shape in inputs.items() if blob in read],
            [_value(current[blob], built.blobs[blob].data.shape) for blob in outputs],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="jigsaw-course",
    )
    onnx.checker.check_model(model, full_check=True)
    write_atomically(path, model.SerializeToString())


def _tests(layer):
    """Whether a layer is there in the TEST phase (net.cpp's FilterNet)."""

    def holds(rule):
        return not rule.HasField("phase") or rule.phase == caffe.TEST

    return any(map(holds, layer.include)) if layer.include else not any(map(holds, layer.exclude))


def _inputs(net, layers, built):
    """{blob: shape} of what the net is fed: its Input layers, or the input fields of 2014."""
    names = [*net.input, *(blob for layer in layers if layer.type == "Input" for blob in layer.top)]
    return {name: built.blobs[name].data.shape for name in names}


def _needed(layers, outputs):
    """The layers that the outputs depend on, in the net's order."""
    wanted, needed = set(outputs), []
    for layer in reversed(layers):
        if wanted & set(layer.top):
            wanted.update(layer.bottom)
            needed.insert(0, layer)
    return needed


def _fill(built, layers, weights):
    """Put the weights into the built net; a layer that shares its blobs with one that has weights needs none."""
    learned = [layer.name for layer in layers if layer.name in built.params]
    given = [name for name in learned if name in weights]
    filled = {blob.data.ctypes.data for name in given for blob in built.params[name]}
    without = [n for n in learned if {blob.data.ctypes.data for blob in built.params[n]} - filled]
    caffemodel.transplant(weights, built, [*given, *without])


def _value(name, shape):
    """A blob's name and shape, its first axis free."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape[1:]] if len(shape) else [])
