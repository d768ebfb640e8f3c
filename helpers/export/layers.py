"""Caffe's layers as ONNX nodes: LAYERS[type](graph, layer, bottoms, tops) adds what computes the same.

Where ONNX's operator differs (Caffe's pooling rounds up, its averages count the padding inside the blob's borders only,
BatchNorm keeps sums), the nodes follow Caffe's own file, which each function names. Attributes that importers are known
to ignore are not written.
"""

import numpy as np
from onnx import helper, numpy_helper


class Graph:
    """Nodes and constants of an ONNX graph in the making, with the caffe.Net that knows shapes and weights."""

    def __init__(self, net):
        self.net, self.nodes, self.constants = net, [], []
        self._names = set(net.blobs)

    def new(self, name):
        """`name`, or what makes it one that no blob and nothing else in the graph has."""
        while name in self._names:
            name += "'"
        self._names.add(name)
        return name

    def node(self, kind, inputs, output, **attributes):
        outputs = output if isinstance(output, list) else [output]
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))
        return output

    def constant(self, name, values):
        """A constant's name; values: array, of floats or of integers (shapes and the like)."""
        values = np.asarray(values)
        values, name = values.astype(np.int64 if values.dtype.kind == "i" else np.float32), self.new(name)
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weights(self, layer):
        """The layer's blobs as constants, a list of names."""
        blobs = self.net.params[layer.name]
        return [self.constant(f"{layer.name}.{i}", blob.data) for i, blob in enumerate(blobs)]

    def shape(self, blob):
        return tuple(self.net.blobs[blob].data.shape)


def _refuse(layer, what):
    raise ValueError(f"{layer.name}: {what} of a {layer.type} layer cannot be written as ONNX here")


def _pair(param, name, default):
    """(vertical, horizontal) of a field that is given once, twice, or as its _h and _w (base_conv_layer.cpp)."""
    height, width = (f"{'kernel' if name == 'kernel_size' else name}_{side}" for side in "hw")
    if height in param.DESCRIPTOR.fields_by_name and (param.HasField(height) or param.HasField(width)):
        return getattr(param, height), getattr(param, width)
    values = getattr(param, name)  # ConvolutionParameter repeats it, PoolingParameter has it once
    return tuple(np.resize(values or [default], 2).tolist())


def convolution(graph, layer, bottoms, tops):
    """conv_layer.cpp: the window, its steps and groups as in ONNX's Conv."""
    param = layer.convolution_param
    if param.axis != 1:
        _refuse(layer, f"axis {param.axis}")
    pads = _pair(param, "pad", 0)
    graph.node(
        "Conv",
        [*bottoms, *graph.weights(layer)],
        tops[0],
        kernel_shape=graph.net.params[layer.name][0].data.shape[2:],
        strides=_pair(param, "stride", 1),
        pads=[*pads, *pads],
        dilations=_pair(param, "dilation", 1),
        group=param.group,
    )


def pooling(graph, layer, bottoms, tops):
    """pooling_layer.cpp: the output is rounded up, so what is lacking at the end is padded there."""
    param = layer.pooling_param
    if param.pool not in (param.MAX, param.AVE):
        _refuse(layer, "stochastic pooling")
    if param.global_pooling:
        graph.node("GlobalMaxPool" if param.pool == param.MAX else "GlobalAveragePool", bottoms, tops[0])
        return
    size, out = graph.shape(layer.bottom[0])[2:], graph.shape(layer.top[0])[2:]
    kernel, stride, pad = _pair(param, "kernel_size", 1), _pair(param, "stride", 1), _pair(param, "pad", 0)
    if any((o - 1) * s >= n + p for o, s, n, p in zip(out, stride, size, pad)):
        _refuse(layer, "a window that lies outside of its blob")
    ends = [max(0, (o - 1) * s + k - n - p) for o, s, k, n, p in zip(out, stride, kernel, size, pad)]
    window = dict(kernel_shape=kernel, strides=stride, pads=[*pad, *ends])
    if param.pool == param.MAX:
        graph.node("MaxPool", bottoms, tops[0], **window)
        return
    window_sizes = [
        np.minimum(np.arange(o) * s + k, n + 2 * p) - np.arange(o) * s
        for o, s, k, n, p in zip(out, stride, kernel, size, pad)
    ]
    factor = _numbers_inside(out, stride, kernel, size, pad) / np.outer(*window_sizes)
    if (factor == 1).all():
        graph.node("AveragePool", bottoms, tops[0], **window)
        return
    # mean + (factor - 1) mean: OpenVINO 2026.4 takes a Mul by a map for one by the kernel of the convolution behind it,
    # where they have the same shape (findings/openvino_map_before_convolution.sh), but not behind an Add.
    mean = graph.node("AveragePool", bottoms, graph.new(f"{tops[0]}/mean"), **window)
    change = graph.constant(f"{layer.name}.change", factor - 1)
    graph.node("Add", [mean, graph.node("Mul", [mean, change], graph.new(f"{tops[0]}/change"))], tops[0])


def _numbers_inside(out, stride, kernel, size, pad):
    """How many numbers of the blob itself each window holds, (rows, columns): what ONNX's AveragePool divides by.

    Caffe counts padding inside the window, too. ONNX has count_include_pad for that, which the importers of OpenCV 4
    and MNN ignore; so it is left out, and a product with a constant map makes the difference.
    """
    ends = [
        np.minimum(np.arange(o) * s - p + k, n) - np.maximum(np.arange(o) * s - p, 0)
        for o, s, k, n, p in zip(out, stride, kernel, size, pad)
    ]
    return np.outer(*ends)


def lrn(graph, layer, bottoms, tops):
    """lrn_layer.cpp: across channels it is ONNX's LRN; within a channel a mean of squares over a padded window."""
    param = layer.lrn_param
    if param.norm_region == param.ACROSS_CHANNELS:
        how = dict(size=param.local_size, alpha=param.alpha, beta=param.beta, bias=param.k)
        graph.node("LRN", bottoms, tops[0], **how)
        return
    top, kernel = tops[0], (param.local_size,) * 2
    pad, size = ((param.local_size - 1) // 2,) * 2, graph.shape(layer.bottom[0])[2:]
    squares = graph.node("Mul", bottoms * 2, graph.new(f"{top}/squares"))
    mean = graph.node("AveragePool", [squares], graph.new(f"{top}/mean"), kernel_shape=kernel, pads=[*pad, *pad])
    factor = param.alpha * _numbers_inside(size, (1, 1), kernel, size, pad) / np.prod(kernel)
    scaled = graph.node("Mul", [mean, graph.constant(f"{layer.name}.alpha", factor)], graph.new(f"{top}/scaled"))
    shifted = graph.node("Add", [scaled, graph.constant(f"{layer.name}.one", 1.0)], graph.new(f"{top}/shifted"))
    power = graph.constant(f"{layer.name}.beta", -param.beta)
    graph.node("Mul", [*bottoms, graph.node("Pow", [shifted, power], graph.new(f"{top}/power"))], top)


def batch_norm(graph, layer, bottoms, tops):
    """batch_norm_layer.cpp: mean and variance are kept multiplied by the third blob, and are 0 where that is 0."""
    param = layer.batch_norm_param
    if param.HasField("use_global_stats") and not param.use_global_stats:
        _refuse(layer, "use_global_stats: false")
    mean, variance, factor = (blob.data.astype(np.float64) for blob in graph.net.params[layer.name])
    scale = 1 / factor[0] if factor[0] else 0
    deviation = np.sqrt(variance * scale + param.eps)
    _affine(graph, layer, bottoms, tops, 1, 1 / deviation, -mean * scale / deviation)


def scale(graph, layer, bottoms, tops):
    """scale_layer.cpp: a factor, and perhaps an offset, along the axes from `axis` on."""
    if len(bottoms) > 1:
        _refuse(layer, "a second bottom")
    factor, *offset = (blob.data for blob in graph.net.params[layer.name])
    _affine(graph, layer, bottoms, tops, layer.scale_param.axis, factor, *offset)


def _affine(graph, layer, bottoms, tops, axis, factor, offset=None):
    axes = len(graph.shape(layer.bottom[0]))
    shape = [*factor.shape, *[1] * (axes - axis % axes - factor.ndim)]
    scaled = tops[0] if offset is None else graph.new(f"{tops[0]}/scaled")
    graph.node("Mul", [*bottoms, graph.constant(f"{layer.name}.factor", factor.reshape(shape))], scaled)
    if offset is not None:
        graph.node("Add", [scaled, graph.constant(f"{layer.name}.offset", offset.reshape(shape))], tops[0])


def inner_product(graph, layer, bottoms, tops):
    """inner_product_layer.cpp: everything behind the batch axis in one row."""
    param = layer.inner_product_param
    if param.axis != 1:
        _refuse(layer, f"axis {param.axis}")
    rows = graph.node("Flatten", bottoms, graph.new(f"{tops[0]}/rows"), axis=1)
    graph.node("Gemm", [rows, *graph.weights(layer)], tops[0], transB=int(not param.transpose))


def relu(graph, layer, bottoms, tops):
    slope = layer.relu_param.negative_slope
    graph.node("LeakyRelu", bottoms, tops[0], alpha=slope) if slope else graph.node("Relu", bottoms, tops[0])


def concat(graph, layer, bottoms, tops):
    param = layer.concat_param
    graph.node("Concat", bottoms, tops[0], axis=param.concat_dim if param.HasField("concat_dim") else param.axis)


def slice_(graph, layer, bottoms, tops):
    """slice_layer.cpp: at slice_point, or into equal parts."""
    param = layer.slice_param
    axis = param.slice_dim if param.HasField("slice_dim") else param.axis % len(graph.shape(layer.bottom[0]))
    if axis == 0:
        _refuse(layer, "the batch axis")
    sizes = [graph.shape(top)[axis] for top in layer.top]
    graph.node("Split", [*bottoms, graph.constant(f"{layer.name}.sizes", sizes)], tops, axis=axis)


def reshape(graph, layer, bottoms, tops):
    """reshape_layer.cpp: `shape` takes the place of num_axes axes from `axis` on; 0 copies, -1 is what is left."""
    param, before = layer.reshape_param, graph.shape(layer.bottom[0])
    first = param.axis if param.axis >= 0 else param.axis + len(before) + 1
    last = len(before) if param.num_axes == -1 else first + param.num_axes
    behind = before[last:] if last else ()
    shape = [0] * first + list(param.shape.dim) + list(behind)
    graph.node("Reshape", [*bottoms, graph.constant(f"{layer.name}.shape", shape)], tops[0])


def flatten(graph, layer, bottoms, tops):
    param = layer.flatten_param
    if (param.axis, param.end_axis) != (1, -1):
        _refuse(layer, f"axis {param.axis} to {param.end_axis}")
    graph.node("Flatten", bottoms, tops[0], axis=1)


def softmax(graph, layer, bottoms, tops):
    graph.node("Softmax", bottoms, tops[0], axis=layer.softmax_param.axis)


def eltwise(graph, layer, bottoms, tops):
    """eltwise_layer.cpp: sum with coefficients, product, or maximum."""
    param = layer.eltwise_param
    if param.operation == param.MAX:
        graph.node("Max", bottoms, tops[0])
        return
    kind = "Add" if param.operation == param.SUM else "Mul"
    for i, coefficient in enumerate(param.coeff):
        factor = graph.constant(f"{layer.name}.{i}", coefficient)
        bottoms[i] = graph.node("Mul", [bottoms[i], factor], graph.new(f"{tops[0]}/{i}"))
    total = bottoms[0]
    for i, bottom in enumerate(bottoms[1:], start=1):
        name = tops[0] if i == len(bottoms) - 1 else graph.new(f"{tops[0]}/first{i + 1}")
        total = graph.node(kind, [total, bottom], name)


def same(graph, layer, bottoms, tops):
    """What hands on its bottom: dropout in the TEST phase, one blob to several tops."""
    for top in tops:
        graph.node("Identity", bottoms, top)


LAYERS = {
    "BatchNorm": batch_norm,
    "Concat": concat,
    "Convolution": convolution,
    "Dropout": same,
    "Eltwise": eltwise,
    "Flatten": flatten,
    "InnerProduct": inner_product,
    "LRN": lrn,
    "Pooling": pooling,
    "ReLU": relu,
    "Reshape": reshape,
    "Scale": scale,
    "Slice": slice_,
    "Softmax": softmax,
    "Split": same,
}
