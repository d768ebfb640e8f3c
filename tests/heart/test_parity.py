"""The branch in Caffe against the same net built independently in Keras: forward, gradients, Adam, both policies."""

import dataclasses

import caffe
import numpy as np
import pytest

from helpers import nets, recipes, solver, weights
from helpers.data.examples import Examples, feed

CLASSES, BATCH = 7, 4
keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")
if keras.backend.backend() != "jax":
    pytest.skip("the independent implementation runs on Keras's JAX backend", allow_module_level=True)


class LRN(keras.layers.Layer):
    """Krizhevsky et al. 2012, section 3.3, with Caffe's alpha / n: x / (1 + alpha/5 * sum of 5 squares)^0.75."""

    def call(self, x):
        padded = keras.ops.pad(keras.ops.square(x), [[0, 0], [0, 0], [0, 0], [2, 2]])
        total = sum(padded[..., i : i + x.shape[-1]] for i in range(5))
        return x / (1 + 1e-4 / 5 * total) ** 0.75


def keras_branch(weight_decay):
    """Channels last; the last pooling rounds up, which padding (ReLU outputs are >= 0) gives too."""
    half_l2 = keras.regularizers.L2(weight_decay / 2)  # Caffe's gradient is weight_decay * w

    def convolution(name, filters, kernel, **kwargs):
        return keras.layers.Conv2D(filters, kernel, activation="relu", kernel_regularizer=half_l2, name=name, **kwargs)

    pool = keras.layers.MaxPooling2D
    return keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            convolution("conv1_s1", 96, 11, strides=2),
            pool(3, 2),
            LRN(),
            convolution("conv2_s1", 256, 5, padding="same", groups=2),
            pool(3, 2),
            LRN(),
            convolution("conv3_s1", 384, 3, padding="same"),
            convolution("conv4_s1", 384, 3, padding="same", groups=2),
            convolution("conv5_s1", 256, 3, padding="same", groups=2),
            keras.layers.ZeroPadding2D(((0, 1), (0, 1))),
            pool(3, 2),
            keras.layers.Permute((3, 1, 2)),
            keras.layers.Flatten(),  # Caffe flattens channels first
            keras.layers.Dense(CLASSES, kernel_regularizer=half_l2, name="fc6"),
        ]
    )


def to_keras(blobs):
    """Caffe's (out, in, height, width) and (out, in) as Keras's (height, width, in, out) and (in, out)."""
    weight, bias = blobs
    return [weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T, bias]


def initial():
    """He-initialised weights, so that every layer's activations and gradients are far from zero."""
    caffe.set_random_seed(3)
    return weights.of(nets.instantiate(nets.branch(CLASSES, fillers="he")))


def examples(count):
    rng = np.random.default_rng(5)
    return Examples(rng.standard_normal((count, 3, 64, 64)).astype(np.float32), rng.integers(CLASSES, size=count))


def twin(layers, weight_decay=0.0):
    model = keras_branch(weight_decay)
    for name, blobs in layers.items():
        model.get_layer(name).set_weights(to_keras(blobs))
    return model


def loss_function(model):
    """loss(trainable, images, labels) with the regularisation terms, and the scores."""

    def loss(trainable, images, labels):
        scores, _, penalties = model.stateless_call(
            trainable, model.non_trainable_variables, images, return_losses=True
        )
        cross_entropy = keras.losses.sparse_categorical_crossentropy(labels, scores, from_logits=True)
        return keras.ops.mean(cross_entropy) + sum(penalties), scores

    return jax.jit(jax.value_and_grad(loss, has_aux=True))


def test_forward_and_gradients():
    layers, batch = initial(), examples(BATCH)
    net = nets.instantiate(nets.branch(CLASSES), caffe.TRAIN)
    weights.transplant(layers, net, layers)
    feed(net, batch.inputs, batch.labels)
    net.forward()
    net.backward()

    model = twin(layers)
    (loss, scores), gradients = loss_function(model)(
        [v.value for v in model.trainable_variables], batch.inputs.transpose(0, 2, 3, 1), batch.labels
    )
    np.testing.assert_allclose(net.blobs["fc6"].data, scores, rtol=1e-4, atol=1e-5)
    assert float(net.blobs["loss"].data) == pytest.approx(float(loss), rel=1e-5)
    theirs = iter(gradients)
    for name in layers:
        for mine in to_keras([blob.diff for blob in net.params[name]]):
            their = np.asarray(next(theirs))
            assert np.abs(their).max() > 1e-6
            np.testing.assert_allclose(mine, their, atol=2e-4 * np.abs(their).max(), err_msg=name)


POLICIES = [
    dataclasses.replace(recipes.CIFAR100_FINE_TUNE, name="exp", lr_policy="exp", gamma=0.7, base_lr=1e-3),
    dataclasses.replace(
        recipes.CIFAR100_FINE_TUNE, name="step", lr_policy="step", gamma=0.2, stepsize_epochs=1, base_lr=1e-3
    ),
]


@pytest.mark.parametrize("recipe", POLICIES, ids=lambda recipe: recipe.name)
def test_five_adam_iterations_with_weight_decay(recipe, tmp_path):
    """Two optimisers in Keras: biases learn at twice the rate and without decay (lr_mult 2, decay_mult 0)."""
    recipe = dataclasses.replace(recipe, weight_decay=0.05, batch_size=BATCH)  # a decay large enough to see
    layers, data, per_epoch = initial(), examples(5 * BATCH), 2

    net_path, solver_path = tmp_path / "train.prototxt", tmp_path / "solver.prototxt"
    net_path.write_text(str(nets.branch(CLASSES)))
    solver_path.write_text(str(solver.solver_parameter(recipe, net_path, per_epoch)))
    caffe_solver = caffe.get_solver(str(solver_path))
    weights.transplant(layers, caffe_solver.net, layers)

    model = twin(layers, recipe.weight_decay)
    values = [v.value for v in model.trainable_variables]
    gradient = loss_function(model)
    optimizers, states = [], []
    for kind in (0, 1):  # weights, biases
        optimizer = keras.optimizers.Adam(1.0, beta_1=recipe.momentum, beta_2=recipe.momentum2, epsilon=1e-8)
        optimizer.build(model.trainable_variables[kind::2])
        optimizers.append(optimizer)
        states.append([v.value for v in optimizer.variables])

    for iteration, rows in enumerate(np.arange(len(data)).reshape(-1, BATCH)):
        images, labels = data.batch(rows)
        feed(caffe_solver.net, images, labels)
        caffe_solver.step(1)
        (loss, _), gradients = gradient(values, images.transpose(0, 2, 3, 1), labels.astype(int))
        rate = recipe.base_lr * recipe.gamma ** (iteration if recipe.lr_policy == "exp" else iteration // per_epoch)
        for kind, optimizer in enumerate(optimizers):
            names = [v.path for v in optimizer.variables]
            states[kind][names.index(next(n for n in names if n.endswith("learning_rate")))] = np.float32(
                rate * (1 + kind)
            )
            values[kind::2], states[kind] = optimizer.stateless_apply(states[kind], gradients[kind::2], values[kind::2])

    theirs = iter(values)
    for name, before in layers.items():
        for mine, start in zip(to_keras([blob.data for blob in caffe_solver.net.params[name]]), to_keras(before)):
            moved = np.abs(mine - start).max()
            assert moved > recipe.base_lr
            # Adam divides by the gradient's size, so where a gradient is near 0 its rounding decides the sign.
            assert np.median(np.abs(mine - np.asarray(their := next(theirs)))) < 1e-3 * moved, name
            assert np.mean(np.abs(mine - np.asarray(their)) < 0.02 * moved) > 0.995, name
