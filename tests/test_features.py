"""Features are computed once for the same weights and images, whatever the layers behind them hold."""

import numpy as np
import pytest

from helpers import features, nets, weights
from helpers.examples import Examples


@pytest.fixture
def trunk_and_images():
    net = nets.instantiate(nets.branch(3, fillers="he", batch_size=2, width=0.25))
    images = np.random.default_rng(0).standard_normal((3, 3, 64, 64)).astype(np.float32)
    return weights.of(net), Examples(images, np.array([0, 1, 2]))


def again(layers):
    """The same convolutions in a new net, whose fc6 is drawn anew."""
    net = nets.instantiate(nets.branch(3, fillers="he", batch_size=2, width=0.25))
    weights.transplant(layers, net)
    return net


def test_only_what_is_before_a_blob_is_upstream_of_it(trunk_and_images):
    net = again(trunk_and_images[0])
    assert features.upstream(net, "pool5_s1") == list(nets.CONVOLUTIONS)
    assert features.upstream(net, "conv3_s1") == list(nets.CONVOLUTIONS[:3])
    assert features.upstream(net, "fc6") == [*nets.CONVOLUTIONS, "fc6"]


def test_the_same_convolutions_are_not_computed_twice(tmp_path, monkeypatch, trunk_and_images):
    layers, examples = trunk_and_images
    first = features.cached(tmp_path, again(layers), examples)
    monkeypatch.setattr(features, "extract_several", None)  # would fail if called
    np.testing.assert_array_equal(features.cached(tmp_path, again(layers), examples).inputs, first.inputs)


def test_other_weights_or_images_are_computed_anew(tmp_path, trunk_and_images):
    layers, examples = trunk_and_images
    first = features.cached(tmp_path, again(layers), examples)
    layers["conv5_s1"][0][0] *= 1.5
    assert (features.cached(tmp_path, again(layers), examples).inputs != first.inputs).any()
    examples.inputs[2] += 1
    features.cached(tmp_path, again(layers), examples)
    assert len(list(tmp_path.iterdir())) == 3


def test_what_will_be_asked_for_later_is_computed_in_the_same_pass(tmp_path, monkeypatch, trunk_and_images):
    layers, examples = trunk_and_images
    alone = {blob: features.extract(again(layers), examples, blob) for blob in ("conv3_s1", "pool5_s1")}
    features.cached(tmp_path, again(layers), examples, "conv3_s1", beside=["pool5_s1"])
    monkeypatch.setattr(features, "extract_several", None)  # would fail if called
    for blob, expected in alone.items():
        np.testing.assert_array_equal(features.cached(tmp_path, again(layers), examples, blob).inputs, expected)
