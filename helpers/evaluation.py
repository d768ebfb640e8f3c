"""What a trained net says: probabilities, accuracy, confusion, and our measurements beside the report's numbers."""

import hashlib

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.metrics import confusion_matrix
from sklearn.neighbors import NearestNeighbors

from helpers.data.examples import score_blob
from helpers.training.forward import forward


def probabilities(net, examples, batch_size=128):
    """Class probabilities (N, classes), float64: the softmax of the scores that the loss layer reads."""
    blob = score_blob(net)
    scores = np.concatenate([batch[blob].copy() for batch in forward(net, examples, [blob], batch_size)]).astype(
        np.float64
    )
    return softmax(scores, axis=1)


def predicted(probabilities):
    """The most probable class of each row, (N,); of equals the last, as in Caffe's accuracy_layer.cpp."""
    return probabilities.shape[1] - 1 - probabilities[:, ::-1].argmax(axis=1)


def accuracy(probabilities, labels):
    """Share of rows whose largest probability is at the label, in [0, 1]."""
    return float((predicted(probabilities) == labels).mean())


def confusion(probabilities, labels):
    """Counts (classes, classes): row = true class, column = predicted class."""
    return confusion_matrix(labels, predicted(probabilities), labels=range(probabilities.shape[1]))


def most_confident_errors(probabilities, labels, count=8):
    """Indices of the wrong predictions with the highest probability, most confident first."""
    wrong = np.flatnonzero(predicted(probabilities) != labels)
    return wrong[np.argsort(-probabilities[wrong].max(axis=1), kind="stable")][:count]


def difference(right, other, blocks, draws=2000, seed=0):
    """How much more often one net is right than another on the same images: (share, low, high), a 95 % interval.

    right, other: bool (N,). blocks: (N,), equal for images that are alike, see DataStudy.blocks. They are drawn anew
    by whole blocks, since images that overlap are right and wrong together: the paired percentile bootstrap over
    clusters (Davison & Hinkley 1997, sections 3.8 and 5.3). The interval is over test images alone, not over trainings.
    """
    _, block, sizes = np.unique(blocks, return_inverse=True, return_counts=True)
    won = np.bincount(block, np.subtract(right, other, dtype=float))
    rng = np.random.default_rng(seed)
    drawn = (rng.integers(len(sizes), size=len(sizes)) for _ in range(draws))
    low, high = np.percentile([won[blocks].sum() / sizes[blocks].sum() for blocks in drawn], [2.5, 97.5])
    return float(won.sum() / sizes.sum()), float(low), float(high)


def beside_report(runs):
    """A table of trainings: {title: (Recipe of the report, Run)} -> epochs and test accuracy, reported and measured."""
    return pd.DataFrame(
        [
            {
                "training": title,
                "epochs, reported": recipe.reported_epochs,
                "epochs, measured": run.result["epochs"],
                "test accuracy, reported": recipe.reported_test_accuracy,
                "test accuracy, measured": run.result["test_accuracy"],
            }
            for title, (recipe, run) in runs.items()
        ]
    ).set_index("training")


def nearest(training, queries):
    """(distance, index) of each query's nearest training image, float32 and int64 (N,).

    training, queries: uint8 images (N, H, W, 3) of one size. distance: the root of the mean squared difference over
    pixels and channels, in grey levels (0-255).
    """
    neighbours = NearestNeighbors(n_neighbors=1, algorithm="brute")
    neighbours.fit(training.reshape(len(training), -1).astype(np.float32))
    distance, index = neighbours.kneighbors(queries.reshape(len(queries), -1).astype(np.float32))
    return (distance[:, 0] / np.sqrt(training[0].size)).astype(np.float32), index[:, 0]


def digest_order(images):
    """Indices that sort images by the SHA-1 of their bytes: one order, whatever file a data set was read from."""
    return np.array(sorted(range(len(images)), key=lambda index: hashlib.sha1(images[index].tobytes()).digest()))
