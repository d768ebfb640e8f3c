"""Probabilities, accuracy and confusion against scikit-learn and SciPy."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax
from sklearn.metrics import accuracy_score

from helpers import evaluation, nets, recipes, solver
from helpers.data.examples import Examples


@pytest.fixture(scope="module")
def scored():
    net = nets.instantiate(nets.head(4, (2, 1, 1)))
    net.params["fc6"][0].data[...] *= 40  # far from uniform
    rng = np.random.default_rng(0)
    examples = Examples(rng.standard_normal((37, 2, 1, 1)).astype(np.float32), rng.integers(4, size=37))
    return net, examples, evaluation.probabilities(net, examples, batch_size=10)


def test_probabilities_are_the_softmax_of_fc6(scored):
    net, examples, probabilities = scored
    weight, bias = (blob.data for blob in net.params["fc6"])
    scores = examples.inputs.reshape(37, 2) @ weight.T + bias
    np.testing.assert_allclose(probabilities, softmax(scores, axis=1), rtol=1e-4, atol=1e-9)


def test_accuracy_and_confusion(scored):
    _, examples, probabilities = scored
    predicted = probabilities.argmax(axis=1)
    assert evaluation.accuracy(probabilities, examples.labels) == accuracy_score(examples.labels, predicted)
    matrix = evaluation.confusion(probabilities, examples.labels)
    assert matrix.shape == (4, 4) and matrix.sum() == 37
    assert matrix[2, 1] == ((examples.labels == 2) & (predicted == 1)).sum()


def test_of_equal_scores_the_class_is_the_one_that_caffes_accuracy_takes():
    """Scores in the thousands are equal now and then; 0.2543 in result.json stood against 0.2544 by argmax."""
    net = nets.instantiate(nets.head(4, (2, 1, 1), batch_size=8))
    net.params["fc6"][0].data[...] = [[1, 0], [1, 0], [0, 1], [0, 1]]
    examples = Examples(np.float32([[5, 1], [1, 5]] * 4).reshape(8, 2, 1, 1), np.array([1, 3, 1, 3, 0, 2, 1, 2]))
    measured = evaluation.accuracy(evaluation.probabilities(net, examples), examples.labels)
    assert measured == pytest.approx(solver.score(net, examples, 8)[1]) == 5 / 8


def test_a_class_that_never_occurs_keeps_its_row():
    assert evaluation.confusion(np.eye(5)[[0, 1]], np.array([0, 1])).shape == (5, 5)


def test_most_confident_errors(scored):
    _, examples, probabilities = scored
    worst = evaluation.most_confident_errors(probabilities, examples.labels, count=5)
    predicted = probabilities.argmax(axis=1)
    assert (predicted[worst] != examples.labels[worst]).all()
    confidence = probabilities.max(axis=1)
    assert (np.diff(confidence[worst]) <= 0).all()
    others = np.setdiff1d(np.flatnonzero(predicted != examples.labels), worst)
    assert confidence[worst].min() >= confidence[others].max()


def test_beside_report():
    run = SimpleNamespace(result={"epochs": 20, "test_accuracy": 0.4})
    table = evaluation.beside_report({"last layer": (recipes.CIFAR100_LAST_LAYER, run)})
    assert table.loc["last layer"].to_dict() == {
        "epochs, reported": 64,
        "epochs, measured": 20,
        "test accuracy, reported": 0.3766,
        "test accuracy, measured": 0.4,
    }


def test_nearest_finds_the_image_and_its_distance_in_grey_levels():
    rng = np.random.default_rng(0)
    training = rng.integers(0, 200, (30, 5, 5, 3), dtype=np.uint8)
    distance, index = evaluation.nearest(training, training[[4, 17]] + np.uint8(7))
    assert index.tolist() == [4, 17]
    np.testing.assert_allclose(distance, 7, rtol=1e-5)


def test_without_blocks_the_interval_is_that_of_scipys_paired_bootstrap():
    rng = np.random.default_rng(0)
    right, other = rng.random(1000) < 0.6, rng.random(1000) < 0.5
    share, low, high = evaluation.difference(right, other, np.arange(1000), draws=4000)
    theirs = stats.bootstrap((right - other.astype(float),), np.mean, method="percentile", rng=rng).confidence_interval
    assert share == pytest.approx(right.mean() - other.mean())
    assert (low, high) == pytest.approx(tuple(theirs), abs=0.003)


def test_an_interval_over_blocks_covers_what_one_over_single_images_does_not():
    """60 blocks of about 17 alike images, the second net as good as the first: zero belongs in 95 of 100 intervals."""
    rng, covered = np.random.default_rng(0), {"blocks": 0, "images": 0}
    for _ in range(200):
        blocks = np.repeat(np.arange(60), rng.integers(5, 30, 60))
        chance = np.clip(0.5 + rng.normal(0, 0.3, (2, 60)), 0, 1)[:, blocks]
        right, other = rng.random(chance.shape) < chance
        for kind, groups in (("blocks", blocks), ("images", np.arange(len(blocks)))):
            _, low, high = evaluation.difference(right, other, groups, draws=200)
            covered[kind] += low <= 0 <= high
    assert covered["blocks"] >= 0.9 * 200 and covered["images"] < 0.7 * 200
