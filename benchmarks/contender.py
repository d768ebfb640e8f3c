"""What the contenders of benchmarks/cpu.py have in common: a process that times what it is asked for."""

import json
import sys
import time

import numpy as np

BATCH, CLASSES = 128, 100
IMAGES = 1024  # different ones in memory; measuring more goes over them again


def batches(images):
    """Slices over `images` images, batch by batch, going over the IMAGES in memory again and again."""
    for start in range(0, images, BATCH):
        start %= IMAGES
        yield slice(start, start + min(BATCH, images))


def data():
    """float32 (IMAGES, 3, 64, 64) and int64 (IMAGES,): noise, since speed does not depend on what is in an image."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((IMAGES, 3, 64, 64), np.float32), rng.integers(CLASSES, size=IMAGES)


def same():
    """(conv1 to conv5 as (weights, biases) in Caffe's layout, float32; two images): the same for every contender."""
    rng = np.random.default_rng(1)
    shapes = [(96, 3, 11, 11), (256, 48, 5, 5), (384, 256, 3, 3), (384, 192, 3, 3), (256, 192, 3, 3)]
    weights = [np.sqrt(2 / np.prod(shape[1:])) * rng.standard_normal(shape) for shape in shapes]
    biases = [rng.standard_normal(shape[0]) for shape in shapes]
    return [(np.float32(w), np.float32(b)) for w, b in zip(weights, biases)], data()[0][:2]


def serve(**tasks):
    """Answer lines such as `["train", 256]` on standard input with the seconds that tasks["train"](256) took."""
    print("ready", flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        start = time.perf_counter()
        result = tasks[name](*arguments)
        seconds = time.perf_counter() - start
        print(json.dumps(seconds if result is None else result), flush=True)
