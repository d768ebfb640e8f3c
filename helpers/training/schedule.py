"""A recipe as Caffe's solver prototxt, and the learning rate that it gives each iteration."""

import pathlib

import numpy as np
from caffe.proto import caffe_pb2


def iterations_per_epoch(examples, recipe):
    """Batches in one epoch; the last one may be smaller."""
    return -(-len(examples) // recipe.batch_size)


def solver_parameter(recipe, net_path, per_epoch, seed=0, mode="cpu"):
    """The SolverParameter (solver prototxt) of a recipe: one net, no testing or displaying of its own.

    per_epoch: iterations per epoch, which turns the recipe's stepsize in epochs into Caffe's in iterations.
    mode: "cpu" or "gpu", for the caffe command; in Python device.use decides.
    Adam's beta1 is `momentum` and its weight decay is coupled L2 (adam_solver.cpp, sgd_solver.cpp).
    """
    parameter = caffe_pb2.SolverParameter(
        net=str(net_path),
        type=recipe.solver,
        base_lr=recipe.base_lr,
        lr_policy=recipe.lr_policy,
        gamma=recipe.gamma,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        max_iter=recipe.max_epochs * per_epoch,
        test_initialization=False,
        display=0,
        random_seed=seed,
        snapshot_prefix=str(pathlib.Path(net_path).with_name("part")),
        snapshot_after_train=False,
        solver_mode=caffe_pb2.SolverParameter.SolverMode.Value(mode.upper()),
    )
    if recipe.solver == "Adam":
        parameter.momentum2 = recipe.momentum2
    if recipe.lr_policy == "step":
        parameter.stepsize = _stepsize(recipe, per_epoch)
    if recipe.lr_policy == "poly":
        parameter.power = recipe.power
    return parameter


def _stepsize(recipe, per_epoch):
    """Iterations between two steps of the policy "step"."""
    return recipe.stepsize or recipe.stepsize_epochs * per_epoch


def learning_rates(recipe, iterations, per_epoch):
    """The learning rate of each iteration, by the recipe's lr_policy: sgd_solver.cpp, GetLearningRate.

    iterations: int or integer array, counted from 0 over the whole training. Returns float64 of the same shape.
    """
    iterations = np.asarray(iterations)
    if recipe.lr_policy == "exp":
        return recipe.base_lr * recipe.gamma**iterations
    if recipe.lr_policy == "step":
        return recipe.base_lr * recipe.gamma ** (iterations // _stepsize(recipe, per_epoch))
    if recipe.lr_policy == "poly":
        return recipe.base_lr * (1 - iterations / (recipe.max_epochs * per_epoch)) ** recipe.power
    raise ValueError(f"lr_policy is {recipe.lr_policy!r}; this course uses 'exp', 'step' and 'poly'")
