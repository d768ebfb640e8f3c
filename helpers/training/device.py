"""What Caffe runs on, CPU or GPU, and with how many threads; `python -m helpers.training.device` tries it.

A mode is a thread's own (common.cpp); the number of threads is the process's, and importing this sets it.
"""

import contextlib
import ctypes
import functools
from dataclasses import dataclass

import caffe
from caffe import build_info

from helpers import course, limits, prototxts

MOST_THREADS = 64  # packaging/caffe/cpu_threads.hpp
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute, cuda.h


@dataclass(frozen=True)
class Card:
    """A CUDA card. capability: e.g. (7, 5) of a T4."""

    name: str
    capability: tuple[int, int]


@functools.cache
def card():
    """The first CUDA Card that the driver shows, None where there is no driver or no card."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    count, name, number = ctypes.c_int(), ctypes.create_string_buffer(128), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    driver.cuDeviceGetName(name, len(name), 0)
    capability = []
    for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(number), attribute, 0)
        capability.append(number.value)
    return Card(name.value.decode(), tuple(capability))


def obstacle():
    """Why Caffe cannot use a GPU here, in words that say the way out; None where it can."""
    if not build_info.CUDA:
        return (
            "the installed Caffe wheel was built for the CPU. Where there are a GPU and nvcc, "
            "`JIGSAW_DEVICE=gpu bash colab_setup.sh` builds the other one; then restart the kernel"
        )
    if card() is None:
        return (
            "this machine shows no CUDA card (`nvidia-smi` tells more). On Colab: Runtime, Change runtime type, "
            "T4 GPU; or go on with JIGSAW_DEVICE=cpu"
        )
    built_for = min(tuple(divmod(int(number), 10)) for number in build_info.ARCHITECTURES)
    if card().capability < built_for:
        return (
            f"the installed Caffe wheel needs compute capability {built_for[0]}.{built_for[1]} or later, {card().name} "
            f"has {card().capability[0]}.{card().capability[1]}; run `bash colab_setup.sh` on this machine"
        )
    return None


def chosen():
    """ "cpu" or "gpu" by the environment variable JIGSAW_DEVICE: "auto" (the default), "cpu" or "gpu".

    Raises ValueError for another value and RuntimeError, with the way out, for a GPU that cannot be used.
    Caffe itself would end the process.
    """
    name = course.variable("JIGSAW_DEVICE")
    if name == "gpu" and obstacle():
        raise RuntimeError(f"JIGSAW_DEVICE asks for a GPU, but {obstacle()}")
    return "cpu" if name == "cpu" or obstacle() else "gpu"


def use():
    """Set Caffe's mode for the calling thread to what `chosen` says, and return it: "cpu" or "gpu".

    Every thread that runs a net needs its own call.
    """
    name = chosen()
    if name == "gpu":
        caffe.set_device(0)
        caffe.set_mode_gpu()
    else:
        caffe.set_mode_cpu()
    return name


def threads(wanted=None):
    """How many threads should share a layer's work on the CPU. Results are equal to the bit for any number.

    Parameters
    ----------
    wanted : int, "auto" or None
        None takes the environment variable JIGSAW_THREADS, "auto" one thread for each core that this process may use.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        For a `wanted` that is no such number. A variable is for the whole course: where it says something else, a line
        says so, and "auto" holds.
    """
    if wanted is None:
        wanted = course.variable("JIGSAW_THREADS")
        if wanted != "auto" and not _possible(wanted):
            print(f"JIGSAW_THREADS is {wanted!r}, not 'auto' or a number from 1 to {MOST_THREADS}: 'auto' holds.")
            wanted = "auto"
    if wanted == "auto":
        return min(limits.cores(), MOST_THREADS)
    if not _possible(wanted):
        raise ValueError(f"threads is {wanted!r}; choose 'auto' or a number from 1 to {MOST_THREADS}")
    return int(wanted)


def _possible(number):
    return str(number).isdecimal() and 1 <= int(number) <= MOST_THREADS


@contextlib.contextmanager
def working_threads(wanted=None):
    """Inside, so many threads share each layer's work; see `threads`."""
    before = caffe.get_threads()
    caffe.set_threads(threads(wanted))
    try:
        yield
    finally:
        caffe.set_threads(before)


def describe():
    """One line about the device in use, e.g. "CPU" or "Tesla T4 (CUDA 12.8, cuDNN 9.2)"."""
    if chosen() == "cpu":
        return "CPU"
    cudnn = f", cuDNN {build_info.CUDNN}" if build_info.CUDNN else ", no cuDNN"
    return f"{card().name} (CUDA {build_info.CUDA}{cudnn})"


def check():
    """Run a 1x1 convolution of ones over three channels of twos on the chosen device: 6 everywhere. Print one line.

    Raises ArithmeticError where it gives something else.
    """
    use()
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": [1, 3, 4, 4]})
    spec.conv = caffe.layers.Convolution(
        spec.data, num_output=1, kernel_size=1, weight_filler={"type": "constant", "value": 1}
    )
    net = prototxts.instantiate(spec.to_proto())
    net.blobs["data"].data[...] = 2
    net.forward()
    if not (net.blobs["conv"].data == 6).all():
        raise ArithmeticError(f"a forward pass gave {net.blobs['conv'].data.ravel()[0]} where 6 is right")
    why = f" ({obstacle()})" if card() and obstacle() else ""
    how = f", with {caffe.get_threads()} thread(s)" if chosen() == "cpu" else ""
    print(f"[OK]   Caffe runs on {describe()}: a forward pass gives the right numbers{how}{why}")


caffe.set_threads(threads())

if __name__ == "__main__":
    check()
