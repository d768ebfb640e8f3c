"""The `caffe` command (train, test, time, device_query): tools/caffe.cpp, run inside this interpreter."""

import ctypes
import pathlib
import sys

from caffe import _caffe  # noqa: F401  Boost.Python's converters, which Python layers need


def main():
    """Call the tool's main() with this process's arguments; PyDLL keeps the GIL for Python layers."""
    tool = ctypes.PyDLL(pathlib.Path(__file__).with_name("lib") / "libcaffe_tool.so")
    arguments = [argument.encode() for argument in sys.argv]
    argv = (ctypes.c_char_p * (len(arguments) + 1))(*arguments, None)
    sys.exit(tool.main(len(arguments), argv))
