"""A prototxt and its weights as an ONNX file: names and batch axis stay, what only trains is left out."""

import onnx
from onnx import TensorProto, helper

from helpers import nets, weights as caffemodel
from helpers.course import write_atomically
from helpers.export.layers import LAYERS, Graph

OPSET, IR_VERSION = 13, 8  # of 2020 and 2021
TRAINS_ONLY = ("Accuracy", "Silence")  # and every layer called loss


def to_onnx(net, weights, path, outputs=None):
    """Write a net as an ONNX file; axis 0 of its blobs stays free.

    In the file a blob has the name that it has in Caffe. What layers in place make of it on the way has theirs behind
    it: conv1_s1 is what relu1_s1 left there, and what the convolution gave is conv1_s1/conv1_s1.

    Its outputs are Caffe's to 2e-5 of the largest one. That is tested with random nets and the course's own in
    onnxruntime, OpenCV 4.14 and OpenVINO 2026.4 (tests/export); what other programs make of the file is not. OpenVINO
    gets 1x1 convolutions with both padding and a stride wrong (findings/openvino_padded_1x1_stride.sh). One more is
    known: onnxruntime and OpenCV keep a running sum of LRN's squares over the channels in float32, so that a channel
    with inputs a thousand times as large as the others' puts those behind it off by a percent or two.

    Parameters
    ----------
    net : NetParameter
        Prototxt message with Input layers, as helpers.nets makes and nets.read reads. Its TEST phase is written,
        without losses and without a stage; nets.filter_net chooses stages and a level first.
    weights : dict
        {layer: [arrays]}, as helpers.weights.read gives.
    path : path-like
        Of the file.
    outputs : sequence of str, optional
        Blobs to give, as they are at the end of a forward pass; None gives those that no layer reads.

    Raises
    ------
    ValueError
        Names the layer for what ONNX or this module does not know, and an output that the net lacks.
    KeyError
        For a layer without weights. In either case nothing is written.
    """
    net = nets.filter_net(net)
    built = nets.instantiate(net)
    inputs = _inputs(net, built)
    layers = [
        one for one in net.layer if one.type != "Input" and one.type not in TRAINS_ONLY and "Loss" not in one.type
    ]
    made = dict.fromkeys(blob for layer in layers for blob in layer.top)
    outputs = outputs or [b for b in made if all(b not in layer.bottom or b in layer.top for layer in layers)]
    unknown = [blob for blob in outputs if blob not in made]
    if unknown or not outputs:
        raise ValueError(f"{net.name!r} makes no blob {unknown or ''}; it makes {', '.join(sorted(made)) or 'nothing'}")
    layers = _needed(layers, outputs)
    for layer in layers:
        if layer.type not in LAYERS:
            raise ValueError(f"{layer.name}: layers of type {layer.type} cannot be written as ONNX here")
    caffemodel.transplant(weights, built, [layer.name for layer in layers if layer.name in built.params])

    graph = Graph(built)
    last = {blob: number for number, layer in enumerate(layers) for blob in layer.top if blob not in inputs}
    current = {blob: blob for blob in inputs}
    for number, layer in enumerate(layers):
        bottoms = [current[blob] for blob in layer.bottom]
        tops = [blob if last.get(blob) == number else graph.new(f"{blob}/{layer.name}") for blob in layer.top]
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


def _inputs(net, built):
    """{blob: shape} of what the net is fed: its Input layers, or the input fields of 2014."""
    names = [*net.input, *(blob for layer in net.layer if layer.type == "Input" for blob in layer.top)]
    return {name: built.blobs[name].data.shape for name in names}


def _needed(layers, outputs):
    """The layers that the outputs depend on, in the net's order."""
    wanted, needed = set(outputs), []
    for layer in reversed(layers):
        if wanted & set(layer.top):
            wanted.update(layer.bottom)
            needed.insert(0, layer)
    return needed


def _value(name, shape):
    """A blob's name and shape, its first axis free."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape[1:]] if len(shape) else [])
