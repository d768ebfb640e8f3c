"""The same training in Keras on its JAX backend, channels last as Keras has them."""

import os

os.environ["KERAS_BACKEND"] = "jax"
import keras
import numpy as np
from contender import CLASSES, batches, data, same, serve


class LRN(keras.layers.Layer):
    """Krizhevsky et al. 2012, section 3.3, with Caffe's alpha / n."""

    def call(self, x):
        padded = keras.ops.pad(keras.ops.square(x), [[0, 0], [0, 0], [0, 0], [2, 2]])
        total = sum(padded[..., i : i + x.shape[-1]] for i in range(5))
        return x / (1 + 1e-4 / 5 * total) ** 0.75


def trunk():
    """conv1 to pool5 as in nets.branch; padding below and to the right makes the last pooling round up."""

    def convolution(filters, kernel, **kwargs):
        return keras.layers.Conv2D(filters, kernel, activation="relu", **kwargs)

    pool = keras.layers.MaxPooling2D
    return keras.Sequential(
        [
            keras.Input((64, 64, 3)),
            convolution(96, 11, strides=2),
            pool(3, 2),
            LRN(),
            convolution(256, 5, padding="same", groups=2),
            pool(3, 2),
            LRN(),
            convolution(384, 3, padding="same"),
            convolution(384, 3, padding="same", groups=2),
            convolution(256, 3, padding="same", groups=2),
            keras.layers.ZeroPadding2D(((0, 1), (0, 1))),
            pool(3, 2),
            keras.layers.Flatten(),
        ]
    )


def classifier(body):
    model = keras.Sequential([body, keras.layers.Dense(CLASSES)])
    model.compile(keras.optimizers.Adam(5e-4), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def main():
    images, labels = data()
    images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))
    body, frozen_body = trunk(), trunk()
    frozen_body.trainable = False
    whole, last = classifier(body), classifier(frozen_body)

    def forward(count):
        for rows in batches(count):
            body.predict_on_batch(images[rows])

    def steps(model, count):
        for rows in batches(count):
            model.train_on_batch(images[rows], labels[rows])

    def pool5():
        convolutions, few = same()
        for layer, (weight, bias) in zip([m for m in body.layers if isinstance(m, keras.layers.Conv2D)], convolutions):
            layer.set_weights([weight.transpose(2, 3, 1, 0), bias])
        flat = body.predict_on_batch(few.transpose(0, 2, 3, 1))
        return flat.reshape(len(few), 3, 3, 256).transpose(0, 3, 1, 2).ravel().tolist()

    serve(forward=forward, train=lambda n: steps(whole, n), frozen=lambda n: steps(last, n), pool5=pool5)


if __name__ == "__main__":
    main()
