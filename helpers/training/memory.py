"""How much memory a training will need, before Caffe takes it: it ends the process where there is too little."""

import copy

import caffe

from helpers.limits import free_memory as free
from helpers.nets import instantiate

SHARE = 0.9  # of the free memory; the rest is for what else runs
LARGEST_BLOB = 2**31 - 1  # numbers; a blob counts them in an int (blob.cpp)
TOGETHER = 16  # images that a thread of our convolution rearranges at a time
TILES = 2 * 2_500_000 // 4  # numbers that it has in work at a time in Winograd's form: kTiles, of inputs and of outputs
HISTORY = {"SGD": 3, "Adam": 4}  # arrays of a parameter's size that a solver keeps: history, update_, temp_


def parameters(net):
    """The net's parameter blobs, those that layers share once."""
    blobs = [blob for layer in net.params.values() for blob in layer]
    return list({blob.data.ctypes.data: blob for blob in blobs}.values())


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


def check(net, recipe, threads=1):
    """Raise MemoryError, naming batch_size and one that would do, where a training of `net` would not fit."""
    per_example, learnt, largest = sizes(net)
    # Twice: borders of zeros. Beside what each thread has, one more of it is shared, and copies of a layer's weights
    # and of their gradient (packaging/caffe/cpu_convolution.cpp).
    scratch = 2 * learnt + (threads + 1) * (2 * TOGETHER * largest + TILES)
    fixed = 4 * (learnt * (2 + HISTORY[recipe.solver]) + scratch)
    most = min(int((SHARE * free() - fixed) / (4 * 2 * per_example)), LARGEST_BLOB // largest)
    if recipe.batch_size > most:
        raise MemoryError(
            f"batch_size is {recipe.batch_size}, and a training of this net needs "
            f"{4 * 2 * per_example / 2**20:,.1f} MiB per example and {fixed / 2**20:,.0f} MiB beside; "
            f"{free() / 2**30:,.1f} GiB are free. Choose a batch_size of at most {max(most, 0)}"
        )
