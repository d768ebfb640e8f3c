#!/usr/bin/env bash
# OpenVINO 2026.4.1 folds a product with a constant map into the weights of the convolution behind it, if both are 3 x 3.
#
# Valid input: the ONNX operator specification lets Mul broadcast; a map of 3 x 3 numbers times a blob of 3 x 3 pixels
# weighs each pixel. OpenVINO multiplies the weights of the 3x3 convolution that follows by it instead, which would be
# the same for a factor per channel only. With a 2x2 kernel, or with a factor per channel, it agrees with onnxruntime.
# Consequence: masks, positional weights or Caffe's average pooling in front of a convolution give other numbers,
# and nothing is said.
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
random = np.random.default_rng(0)
x = random.normal(size=(1, 2, 3, 3)).astype("f")


def difference(factor, kernel):
    constants = {"m": random.uniform(0.3, 2, factor), "w": random.normal(size=(2, 2, kernel, kernel))}
    pads = [kernel // 3] * 4
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["x", "m"], ["a"]),
            helper.make_node("Conv", ["a", "w"], ["y"], kernel_shape=[kernel] * 2, pads=pads),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, "height", "width"])],
        [numpy_helper.from_array(values.astype("f"), name) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    expected = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    found = openvino.compile_model(path, "CPU")(x)[0]
    worst = np.abs(found - expected).max() / np.abs(expected).max()
    print(f"Mul by {factor}, kernel {kernel}: they differ by {worst:.2%} of the largest output")
    return worst


print("openvino", openvino.__version__, "onnxruntime", onnxruntime.__version__, "onnx", onnx.__version__)
agree = [difference((3, 3), 2), difference((2, 1, 1), 3)]
differ = [difference((3, 3), 3), difference((1, 1, 3, 3), 3)]
sys.exit(not (max(agree) < 0.02 and min(differ) > 0.1))
PY
"$folder/venv/bin/python" "$folder/compare.py" "$folder"
