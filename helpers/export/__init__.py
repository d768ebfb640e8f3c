"""A Caffe net with its weights for programs that know no Caffe: ONNX, for onnxruntime, for a browser."""

from helpers.export.onnx_file import to_onnx

__all__ = ["to_onnx"]
