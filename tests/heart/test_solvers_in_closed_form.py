"""Caffe's solvers, set up as recipes are, against their formulas in NumPy, over settings that hypothesis draws."""

import dataclasses
import pathlib
import tempfile

import caffe
import numpy as np
from hypothesis import given, settings, strategies as st

from helpers import recipes, solver

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 5 dim: 3 } } }
layer { name: "target" type: "Input" top: "target" input_param { shape { dim: 5 dim: 2 } } }
layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
        param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "fc" bottom: "target" top: "loss" }"""
STEPS, PER_EPOCH = 7, 2
SETTINGS = st.fixed_dictionaries(
    {
        "base_lr": st.floats(1e-5, 0.05),
        "gamma": st.floats(0.1, 1),
        "weight_decay": st.floats(0, 0.5),
        "momentum": st.floats(0, 0.95),
        "momentum2": st.floats(0.5, 0.9999),
        "stepsize_epochs": st.integers(1, 3),
        "power": st.floats(0.5, 3),
        "solver": st.sampled_from(["Adam", "SGD"]),
        "lr_policy": st.sampled_from(["exp", "step", "poly"]),
    }
)


def rate(recipe, iteration):
    """The learning rate as Caffe's documentation gives it (caffe.proto, SolverParameter.lr_policy)."""
    if recipe.lr_policy == "exp":
        return recipe.base_lr * recipe.gamma**iteration
    if recipe.lr_policy == "step":
        return recipe.base_lr * recipe.gamma ** (iteration // (recipe.stepsize_epochs * PER_EPOCH))
    return recipe.base_lr * (1 - iteration / (recipe.max_epochs * PER_EPOCH)) ** recipe.power


def closed_form(recipe, weight, bias, data, target):
    """Weights and biases after STEPS steps in float64. The loss is the mean over examples of half the squared error;
    weight decay is added to the gradient; Adam as in Kingma & Ba 2015, algorithm 1, rearranged at the end of its
    section 2, with epsilon added to the root of the second moment itself.
    """
    values, factors, decays = [weight, bias], (1, 2), (recipe.weight_decay, 0)
    first, second = ([np.zeros_like(value) for value in values] for _ in range(2))
    for iteration in range(STEPS):
        error = (data @ values[0].T + values[1] - target) / len(data)
        for i, gradient in enumerate((error.T @ data, error.sum(axis=0))):
            gradient = gradient + decays[i] * values[i]
            lr = rate(recipe, iteration) * factors[i]
            if recipe.solver == "SGD":
                first[i] = recipe.momentum * first[i] + lr * gradient
                values[i] = values[i] - first[i]
                continue
            b1, b2, t = recipe.momentum, recipe.momentum2, iteration + 1
            first[i] = b1 * first[i] + (1 - b1) * gradient
            second[i] = b2 * second[i] + (1 - b2) * gradient**2
            lr *= np.sqrt(1 - b2**t) / (1 - b1**t)
            values[i] = values[i] - lr * first[i] / (np.sqrt(second[i]) + 1e-8)
    return values


@settings(max_examples=60, deadline=None)
@given(SETTINGS, st.integers(0, 2**31))
def test_weights_after_seven_steps(changes, seed):
    recipe = dataclasses.replace(recipes.CIFAR100_FINE_TUNE, max_epochs=5, **changes)
    rng = np.random.default_rng(seed)
    data, target = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    with tempfile.TemporaryDirectory() as folder:
        net, path = pathlib.Path(folder, "net.prototxt"), pathlib.Path(folder, "solver.prototxt")
        net.write_text(NET)
        path.write_text(str(solver.solver_parameter(recipe, net, PER_EPOCH, seed=seed % 1000)))
        steps = caffe.get_solver(str(path))
    steps.net.blobs["data"].data[...], steps.net.blobs["target"].data[...] = data, target
    weight, bias = (blob.data.astype(np.float64) for blob in steps.net.params["fc"])
    steps.step(STEPS)
    expected = closed_form(recipe, weight, bias, data, target)
    for blob, value in zip(steps.net.params["fc"], expected):
        np.testing.assert_allclose(blob.data, value, rtol=2e-4, atol=2e-5)
