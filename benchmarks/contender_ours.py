"""What the course's helpers do: features once, and threads inside Caffe's layers."""

import dataclasses
import functools
import pathlib
import tempfile

import caffe
import numpy as np
from contender import BATCH, CLASSES, IMAGES, data, same, serve

from helpers import features, nets, recipes, weights
from helpers.data.examples import Examples, feed
from helpers.training import device, schedule

RECIPE = dataclasses.replace(recipes.CIFAR100_FINE_TUNE, batch_size=BATCH)


def first(examples, count):
    return Examples(examples.inputs[:count], examples.labels[:count])


def training_loop(net_solver, examples, count):
    """solver.fit's loop, without its validation and snapshots: `count` examples, batch by batch, epoch after epoch."""
    examples, left, epoch = first(examples, count), count, 0
    while left > 0:
        for data_, labels in examples.epoch(BATCH, 0, epoch):
            feed(net_solver.net, data_, labels)
            net_solver.step(1)
            left -= len(labels)
        epoch += 1


def solver_of(net, folder):
    path = pathlib.Path(folder, "net.prototxt")
    path.write_text(str(net))
    pathlib.Path(folder, "solver.prototxt").write_text(str(schedule.solver_parameter(RECIPE, path, 333)))
    return caffe.get_solver(str(pathlib.Path(folder, "solver.prototxt")))


def main():
    device.use()
    examples = Examples(*data())
    rng = np.random.default_rng(1)
    pooled = Examples(rng.standard_normal((IMAGES * 4, 256, 3, 3), np.float32), rng.integers(CLASSES, size=IMAGES * 4))
    with tempfile.TemporaryDirectory() as folder:
        branch = solver_of(nets.branch(CLASSES, "all", BATCH, "he"), folder)
        head = solver_of(nets.head(CLASSES, batch_size=BATCH), folder)
    net = nets.instantiate(nets.branch(CLASSES, "fc6", BATCH, "he"))

    def forward(count, threads="auto"):
        for _ in range(0, count, IMAGES):
            features.extract(net, first(examples, count), batch_size=BATCH, threads=threads)

    @functools.cache
    def many(count):
        """As many examples as a data set's, the same again and again."""
        return Examples(*(np.concatenate([array] * (count // IMAGES)) for array in (examples.inputs, examples.labels)))

    def at_once(count):
        features.extract(net, many(count), batch_size=BATCH)

    def train(count, threads="auto"):
        with device.working_threads(threads):
            training_loop(branch, examples, count)

    def pool5():
        convolutions, few = same()
        weights.transplant(dict(zip(nets.CONVOLUTIONS, convolutions)), net)
        return features.extract(net, Examples(few, np.zeros(len(few)))).ravel().tolist()

    serve(
        pool5=pool5,
        forward=forward,
        many=lambda count: many(count) and None,
        at_once=at_once,
        train=train,
        head=lambda count: training_loop(head, pooled, count),
    )


if __name__ == "__main__":
    main()
