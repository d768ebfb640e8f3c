"""Features are computed once for the same weights and images, whatever the layers behind them hold."""

import dataclasses

import numpy as np
import pytest

from helpers import features, nets, weights
from helpers.data.examples import Examples


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
    pool5, conv3, fc6 = (features.upstream(net, blob) for blob in ("pool5_s1", "conv3_s1", "fc6"))
    assert pool5[:5] == ["data", "conv1_s1", "relu1_s1", "pool1_s1", "norm1_s1"] and pool5[-1] == "pool5_s1"
    assert conv3[-2:] == ["conv3_s1", "relu3_s1"] and conv3 == pool5[: len(conv3)]
    assert fc6 == [*pool5, "fc6"]


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


def changed(layers, change, prototxt):
    """A net of that prototxt, changed, with the same weights."""
    change({layer.name: layer for layer in prototxt.layer})
    net = nets.instantiate(prototxt)
    weights.transplant(layers, net)
    return net


@pytest.mark.parametrize(
    "change",
    [
        lambda layers: setattr(layers["norm1_s1"].lrn_param, "alpha", 0.1),
        lambda layers: setattr(layers["pool2_s1"].pooling_param, "pool", 1),
        lambda layers: setattr(layers["relu3_s1"].relu_param, "negative_slope", 0.5),
        lambda layers: setattr(layers["norm2_s1"].lrn_param, "local_size", 3),
    ],
    ids=["LRN", "pooling", "ReLU", "size"],
)
def test_the_same_weights_in_another_net_are_computed_anew(tmp_path, trunk_and_images, change):
    layers, examples = trunk_and_images
    first = features.cached(tmp_path, again(layers), examples)
    other = changed(layers, change, nets.branch(3, fillers="he", batch_size=2, width=0.25))
    second = features.cached(tmp_path, other, examples).inputs
    np.testing.assert_array_equal(second, features.extract(other, examples))
    assert (second != first.inputs).any() and len(list(tmp_path.iterdir())) == 2


def test_what_does_not_change_the_activations_is_not_computed_twice(tmp_path, monkeypatch, trunk_and_images):
    """More classes, another batch size, frozen layers, other fillers, and what else reads the blobs."""
    layers, examples = trunk_and_images
    first = features.cached(tmp_path, again(layers), examples)
    monkeypatch.setattr(features, "extract_several", None)  # would fail if called
    prototxt = nets.branch(7, "conv5", 5, "authors", width=0.25)
    probe = prototxt.layer.add(name="probe", type="Pooling", bottom=["conv2_s1"], top=["probe"])
    probe.pooling_param.kernel_size = 2
    other = changed(layers, lambda _: None, prototxt)
    np.testing.assert_array_equal(features.cached(tmp_path, other, examples).inputs, first.inputs)


def test_a_cache_that_is_cut_short_is_made_again(tmp_path, trunk_and_images):
    layers, examples = trunk_and_images
    first = np.array(features.cached(tmp_path, again(layers), examples).inputs)  # a copy: it is mapped from the file
    (path,) = tmp_path.iterdir()
    for content in (path.read_bytes()[:-100], b""):
        path.write_bytes(content)
        np.testing.assert_array_equal(features.cached(tmp_path, again(layers), examples).inputs, first)


def test_a_random_transform_says_so_and_leaves_no_files(tmp_path, capsys, trunk_and_images):
    layers, examples = trunk_and_images
    fresh = np.random.default_rng()
    with pytest.warns(UserWarning, match="gives other numbers"):
        for transform in (lambda batch, rng: batch + rng.normal(), lambda batch: batch + fresh.normal()):
            random = dataclasses.replace(examples, transform=transform)
            assert features.cached(tmp_path, again(layers), random).inputs.shape == (3, 64, 3, 3)
            assert "are those of one draw" in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
    fixed = dataclasses.replace(examples, transform=lambda batch: 2 * batch)
    features.cached(tmp_path, again(layers), fixed)
    assert len(list(tmp_path.iterdir())) == 1 and not capsys.readouterr().out


def test_features_are_computed_on_the_device_that_is_chosen(monkeypatch, trunk_and_images):
    layers, examples = trunk_and_images
    used = []
    monkeypatch.setattr(features.device, "use", lambda: used.append("gpu") or "gpu")
    features.extract(again(layers), examples)
    assert used == ["gpu"]


def test_what_will_be_asked_for_later_is_computed_in_the_same_pass(tmp_path, monkeypatch, trunk_and_images):
    layers, examples = trunk_and_images
    alone = {blob: features.extract(again(layers), examples, blob) for blob in ("conv3_s1", "pool5_s1")}
    features.cached(tmp_path, again(layers), examples, "conv3_s1", beside=["pool5_s1"])
    monkeypatch.setattr(features, "extract_several", None)  # would fail if called
    for blob, expected in alone.items():
        np.testing.assert_array_equal(features.cached(tmp_path, again(layers), examples, blob).inputs, expected)
