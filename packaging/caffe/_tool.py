"""The `caffe` command (train, test, time, device_query): tools/caffe.cpp, run inside this interpreter."""

import ctypes
import sys

from caffe import _caffe


def main():
    """Call the tool's main() with this process's arguments; PyDLL keeps the GIL for Python layers."""
    tool = ctypes.PyDLL(_caffe.__file__)
    arguments = [argument.encode() for argument in sys.argv]
    argv = (ctypes.c_char_p * (len(arguments) + 1))(*arguments, None)
    sys.exit(tool.main(len(arguments), argv))
