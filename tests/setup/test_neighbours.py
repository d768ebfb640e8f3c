"""Caffe beside other libraries in one process, whichever is imported first; those that are installed."""

import importlib.util
import subprocess
import sys

import pytest

# Protobuf at work in C++ and in Python: a prototxt is read, a caffemodel written and read. sys.argv[1] is a folder.
NETS = """
import sys, caffe
spec = caffe.NetSpec()
spec.data = caffe.layers.Input(shape={"dim": [1, 3, 8, 8]})
spec.conv = caffe.layers.Convolution(spec.data, num_output=2, kernel_size=3, weight_filler={"type": "xavier"})
with open(sys.argv[1] + "/net.prototxt", "w") as file:
    file.write(str(spec.to_proto()))
net = caffe.Net(sys.argv[1] + "/net.prototxt", caffe.TEST)
net.forward()
net.save(sys.argv[1] + "/net.caffemodel")
net.copy_from(sys.argv[1] + "/net.caffemodel")
"""
WORK = {
    "tensorflow": "assert float(tensorflow.reduce_sum(tensorflow.ones((2, 3)) @ tensorflow.ones((3, 2)))) == 12",
    "torch": "assert float((torch.ones(2, 3) @ torch.ones(3, 2)).sum()) == 12",
    "jax": "assert float((jax.numpy.ones((2, 3)) @ jax.numpy.ones((3, 2))).sum()) == 12",
    "cv2": "import numpy; assert cv2.resize(numpy.ones((4, 4), numpy.float32), (2, 2)).sum() == 4",
    "onnx": 'assert onnx.parser.parse_model(\'<ir_version: 8, opset_import: ["": 18]> g (float[2] x) => (float[2] y) '
    "{ y = Relu(x) }').graph.name == 'g'",
}
PACKAGES = {"tensorflow": "tensorflow-cpu", "cv2": "opencv-python-headless"}


@pytest.mark.parametrize("first", ["caffe", "other"])
@pytest.mark.parametrize("name", WORK)
def test_caffe_beside(name, first, tmp_path):
    if not importlib.util.find_spec(name):
        pytest.skip(f"{name} is not installed here: pip install {PACKAGES.get(name, name)}")
    imports = ["import caffe", f"import {name}"]
    code = "\n".join([*(imports if first == "caffe" else imports[::-1]), WORK[name], NETS, WORK[name]])
    result = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]


def test_caffe_after_all_of_them(tmp_path):
    here = [name for name in WORK if importlib.util.find_spec(name)]
    code = "\n".join([*(f"import {name}" for name in here), NETS, *(WORK[name] for name in here)])
    result = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-2000:]
