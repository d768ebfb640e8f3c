"""How much memory a training will need, before Caffe takes it: it ends the process where there is too little."""

import copy
import pathlib

import caffe

from helpers.nets import instantiate
from helpers.training.averaging import parameters

CONTAINER = pathlib.Path("/sys/fs/cgroup")  # its limits (Linux, admin-guide/cgroup-v2.rst, Memory)
SHARE = 0.9  # of the free memory; the rest is for what else runs
LARGEST_BLOB = 2**31 - 1  # numbers; a blob counts them in an int (blob.cpp)
TOGETHER = 16  # images that our convolution rearranges at a time, beside copies of a layer's weights and their gradient
TILES = 2 * 2_500_000 // 4  # numbers that it has in work at a time in Winograd's form: kTiles, of inputs and of outputs
HISTORY = {"SGD": 3, "Adam": 4}  # arrays of a parameter's size that a solver keeps: history, update_, temp_


def free():
    """Bytes that can still be taken: what the system calls available, or what a container's limit leaves."""
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    try:
        limit, used = (int((CONTAINER / f"memory.{name}").read_text()) for name in ("max", "current"))
        kept = dict(line.split() for line in (CONTAINER / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no limit, or "max"
        return available
    cache = int(kept["inactive_file"]) + int(kept["active_file"])  # of files: given back when memory is wanted
    return min(available, limit - used + cache)


def sizes(net):
    """(numbers per example, numbers in parameters, numbers per example in the largest blob) of a prototxt message.

    Caffe infers the shapes, from a copy with one example in a batch. A blob holds as many numbers again for gradients.
    """
    one = copy.deepcopy(net)
    for layer in one.layer:
        for shape in layer.input_param.shape:
            shape.dim[0] = 1
    small = instantiate(one, caffe.TRAIN)
    blobs = [blob.count for blob in small.blobs.values()]
    return sum(blobs), sum(blob.count for blob in parameters(small)), max(blobs)


def check(net, recipe, processes=1):
    """Raise MemoryError, naming batch_size and one that would do, where a training of `net` would not fit."""
    per_example, learnt, largest = sizes(net)
    scratch = 2 * (TOGETHER * largest + learnt) + TILES  # twice: borders of zeros; packaging/caffe/cpu_convolution.cpp
    fixed = 4 * processes * (learnt * (2 + HISTORY[recipe.solver]) + scratch)
    most = min(int((SHARE * free() - fixed) / (4 * 2 * per_example)), LARGEST_BLOB // largest)
    if recipe.batch_size > most:
        raise MemoryError(
            f"batch_size is {recipe.batch_size}, and a training of this net needs "
            f"{4 * 2 * per_example / 2**20:,.1f} MiB per example and {fixed / 2**20:,.0f} MiB beside; "
            f"{free() / 2**30:,.1f} GiB are free. Choose a batch_size of at most {max(most, 0)}"
        )
