"""A training of a second that several test modules halt, kill, damage or resume."""

import dataclasses
import pathlib

import numpy as np
import pandas as pd
import pytest

from helpers import nets, recipes, solver
from helpers.data.examples import Examples
from helpers.training import snapshots

RECIPE = dataclasses.replace(
    recipes.CIFAR100_LAST_LAYER, name="test", max_epochs=6, batch_size=8, base_lr=0.002, patience=20
)
TIMES = ["seconds", "waiting"]


def net():
    """A small net with a convolution and dropout, whose random numbers have to be the same after a resume, too."""
    prototxt = nets.head(3, (4, 5, 5), RECIPE.batch_size)
    prototxt.layer[2].bottom[0] = "drop"
    for name, kind, bottom in (("conv", "Convolution", "data"), ("relu", "ReLU", "conv"), ("drop", "Dropout", "relu")):
        prototxt.layer.add(name=name, type=kind, bottom=[bottom], top=[name])
    convolution = prototxt.layer[-3].convolution_param
    convolution.num_output, convolution.weight_filler.type = 4, "msra"
    convolution.kernel_size.append(3)
    layers = [prototxt.layer[index] for index in (0, 1, 5, 6, 7, 2, 3, 4)]
    ordered = type(prototxt)(name=prototxt.name)
    ordered.layer.extend(layers)
    return ordered


def examples(count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=count)
    return Examples((rng.standard_normal((count, 4, 5, 5)) + labels[:, None, None, None]).astype(np.float32), labels)


def fit(folder, transform=None, name=None, **kwargs):
    training = dataclasses.replace(examples(30, 1), transform=transform, name=name)
    return solver.fit(net(), RECIPE, training, examples(10, 2), folder, test=examples(10, 3), progress=False, **kwargs)


def assert_same(run, whole):
    assert run.best.read_bytes() == whole.best.read_bytes()
    pd.testing.assert_frame_equal(run.history.drop(columns=TIMES), whole.history.drop(columns=TIMES), check_exact=True)
    pd.testing.assert_frame_equal(run.iterations, whole.iterations, check_exact=True)
    last = [max(each.folder.glob("snapshot_*")) / "last.solverstate" for each in (run, whole)]
    states = []
    for path in last:  # the path of the weights is noted in it, and is a temporary one
        state = snapshots.caffe_pb2.SolverState.FromString(path.read_bytes())
        state.ClearField("learned_net")
        states.append(state.SerializeToString())
    assert states[0] == states[1]
    for key in ("status", "best_epoch", "best_validation_loss", "test_loss", "test_accuracy"):
        assert run.result[key] == whole.result[key]


def snapshots_of(folder):
    return sorted(pathlib.Path(folder).glob("snapshot_????"))


def stop_after(epochs):
    """An on_epoch that ends the training as a crash would, once so many epochs are saved."""

    def stop(row, active):
        if row["epoch"] == epochs:
            raise SystemError("crash")

    return stop


def halted(folder, epochs=3, **kwargs):
    with pytest.raises(SystemError):
        fit(folder, on_epoch=stop_after(epochs), **kwargs)
    return folder
