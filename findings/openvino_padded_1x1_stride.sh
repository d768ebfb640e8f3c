#!/usr/bin/env bash
# OpenVINO 2026.4.1 drops the padding of a 1x1 convolution with a stride that follows a ReLU: another shape, other numbers.
#
# Valid input: the ONNX operator specification (Conv, opset 13) lets `pads` and `strides` stand beside a kernel_shape of
# [1, 1]; onnx.checker accepts the model; onnxruntime and onnx's own shape inference give 4 x 4 for a map of 5 x 5.
# OpenVINO gives 5 x 5. Without the ReLU, with stride 1, or with a 3x3 kernel it agrees. It reads as if the stride were
# moved in front of the ReLU (its "strides optimization") and the padding were then put around the thinned map.
# Consequence: an exported net with such a layer computes something else, and nothing is said.
# Exit status 0: it behaves as described here; 1: it no longer does.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2
cat >"$folder/compare.py" <<'PY'
import sys

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

path = sys.argv[1] + "/net.onnx"
x = np.random.default_rng(0).normal(size=(1, 2, 5, 5)).astype("f")


def shapes(relu, kernel, stride):
    weights = np.random.default_rng(1).normal(size=(2, 2, kernel, kernel)).astype("f")
    nodes = [helper.make_node("Relu", ["x"], ["r"])] if relu else []
    how = dict(kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[1] * 4)
    nodes.append(helper.make_node("Conv", ["r" if relu else "x", "w"], ["y"], **how))
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, "height", "width"])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    expected = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    found = openvino.compile_model(path, "CPU")(x)[0]
    words = f"ReLU {relu!s:5} kernel {kernel} stride {stride} pad 1: onnxruntime {expected.shape}, OpenVINO {found.shape}"
    same = expected.shape == found.shape and np.allclose(expected, found, atol=1e-2)
    print(words, "the same" if same else "OTHER")
    return same


print("openvino", openvino.__version__, "onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
agree = [shapes(False, 1, 2), shapes(True, 1, 1), shapes(True, 3, 2)]
differ = [shapes(True, 1, 2), shapes(True, 1, 3)]
sys.exit(not (all(agree) and not any(differ)))
PY
"$folder/venv/bin/python" "$folder/compare.py" "$folder"
