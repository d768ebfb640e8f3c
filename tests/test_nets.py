"""The nets hold the layers, shapes and numbers of the authors' prototxts."""

import caffe
import numpy as np
import pytest

from helpers import nets, weights


@pytest.mark.parametrize(
    "net, count",
    [
        (nets.branch(100), 2_564_580),
        (nets.branch(81), 2_520_785),
        (nets.cfn(1000), 46_544_232),
        (nets.cfn(100), 42_856_932),
        (nets.cfn(1000, tile=75, fc6=512), 27_407_208),
        (nets.alexnet(), 60_965_224),
        (nets.alexnet(100, size=64, stride=2), 28_966_372),
        (nets.alexnet_c100(), 181_828),
        (nets.head(100), 230_500),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_parameter_counts(net, count):
    assert sum(nets.parameter_counts(net).values()) == count


def test_branch_shapes():
    """Noroozi & Favaro's branch at 64x64: Caffe's pooling rounds up."""
    shapes = nets.blob_shapes(nets.branch(100, batch_size=2))
    assert {name: shape[1:] for name, shape in shapes.items() if len(shape) == 4} == {
        "data": (3, 64, 64),
        "conv1_s1": (96, 27, 27),
        "pool1_s1": (96, 13, 13),
        "norm1_s1": (96, 13, 13),
        "conv2_s1": (256, 13, 13),
        "pool2_s1": (256, 6, 6),
        "norm2_s1": (256, 6, 6),
        "conv3_s1": (384, 6, 6),
        "conv4_s1": (384, 6, 6),
        "conv5_s1": (256, 6, 6),
        "pool5_s1": (256, 3, 3),
    }
    assert shapes["fc6"] == (2, 100)


def test_fc6_is_glorot_uniform():
    """Uniform within sqrt(6 / (fan_in + fan_out)) = 0.0500, not Caffe's default 0.0361 (filler.hpp)."""
    values = nets.instantiate(nets.branch(100)).params["fc6"][0].data
    bound = np.sqrt(6 / (2304 + 100))
    assert 0.999 * bound < np.abs(values).max() <= bound
    assert values.std() == pytest.approx(bound / np.sqrt(3), rel=0.01)


def test_frozen_branch_learns_fc6_only():
    net = nets.branch(10, trains="fc6")
    multipliers = {layer.name: [param.lr_mult for param in layer.param] for layer in net.layer if layer.param}
    assert multipliers.pop("fc6") == [1, 2]
    assert set(multipliers) == set(nets.CONVOLUTIONS)
    assert all(values == [0, 0] for values in multipliers.values())


@pytest.mark.parametrize("wrong", [{"trains": "conv1"}, {"fillers": "glorot"}])
def test_unknown_choices_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong.values()))):
        nets.branch(10, **wrong)


def small(make, **kwargs):
    return make(5, tile=35, batch_size=2, fc6=16, fc7=32, **kwargs)


def test_stacked_cfn_is_the_siamese_cfn():
    """Equal outputs and gradients from nine branches with shared weights and from one trunk with stacked tiles."""
    caffe.set_random_seed(1)
    siamese, stacked = (nets.instantiate(small(make)) for make in (nets.cfn, nets.stacked_cfn))  # TEST: no dropout
    for name in stacked.params:
        for mine, theirs in zip(stacked.params[name], siamese.params[name]):
            theirs.data[...] = mine.data * (30 if name.startswith("conv") else 1)
            mine.data[...] = theirs.data
    puzzles = np.random.default_rng(0).standard_normal(stacked.blobs["data"].data.shape)
    for net in (siamese, stacked):
        net.blobs["data"].data[...] = puzzles
        net.blobs["label"].data[...] = [1, 4]
        net.clear_param_diffs()
        net.forward()
        net.backward()
    np.testing.assert_allclose(stacked.blobs["fc8"].data, siamese.blobs["fc8"].data, rtol=1e-4, atol=1e-5)
    for name in stacked.params:
        for mine, theirs in zip(stacked.params[name], siamese.params[name]):
            scale = np.abs(theirs.diff).max()
            assert scale > 0
            np.testing.assert_allclose(mine.diff, theirs.diff, atol=1e-4 * scale)


@pytest.mark.parametrize("fc", [False, True])
def test_folded_batch_norm_gives_the_same_outputs(fc):
    normalised = small(nets.stacked_cfn, fillers="he", batch_norm=True, batch_norm_fc=fc)
    net = nets.instantiate(normalised, caffe.TRAIN)
    rng = np.random.default_rng(0)
    for _ in range(3):  # moves the running statistics off their start
        net.blobs["data"].data[...] = rng.standard_normal(net.blobs["data"].data.shape)
        net.forward()
    for name in net.params:
        if name.startswith("scale"):
            for blob in net.params[name]:
                blob.data[...] += rng.uniform(-0.3, 0.3, blob.data.shape)
    layers = weights.of(net)
    assert ("bn7" in layers) == fc
    trained = nets.instantiate(normalised)
    plain = nets.instantiate(small(nets.stacked_cfn))
    weights.transplant(layers, trained, layers)
    folded = weights.fold_batch_norm(layers)
    weights.transplant(folded, plain, folded)
    outputs = []
    for net in (trained, plain):
        net.blobs["data"].data[...] = np.random.default_rng(1).standard_normal(net.blobs["data"].data.shape)
        net.forward()
        outputs.append(net.blobs["fc8"].data.copy())
    assert outputs[0].std() > 1e-3
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("trains, frozen", [("all", 0), ("conv2", 1), ("conv4", 3), ("fc6", 5)])
def test_layers_before_the_first_that_learns_keep_their_weights(tmp_path, trains, frozen):
    """One real solver step at a width that is quick: the first `frozen` convolutions do not move, the others do."""
    (tmp_path / "net.prototxt").write_text(str(nets.branch(2, trains, batch_size=4, fillers="he", width=0.25)))
    (tmp_path / "solver.prototxt").write_text(f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed"')
    solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
    solver.net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal((4, 3, 64, 64))
    solver.net.blobs["label"].data[...] = [0, 1, 0, 1]
    before = weights.of(solver.net)
    solver.step(1)
    moved = [bool((solver.net.params[name][0].data != before[name][0]).any()) for name in nets.CONVOLUTIONS]
    assert moved == [False] * frozen + [True] * (5 - frozen)


def test_alexnet_on_small_images_has_the_branchs_shapes():
    """Same convolutions, stride 2 in conv1: whatever the branch is given, it sees the same number of pixels."""
    branch, alexnet = nets.blob_shapes(nets.branch(2, batch_size=1)), nets.blob_shapes(nets.alexnet(2, 1, 64, 2))
    for layer in ("conv1", "conv2", "conv3", "conv4", "conv5", "pool5"):
        assert branch[f"{layer}_s1"] == alexnet[layer]


def test_alexnet_c100_is_caffes_cifar10_full_net():
    """Three 5x5 convolutions; conv1 pools before its ReLU, the other two after (nofe_AlexNet-C100)."""
    net = nets.alexnet_c100(batch_size=2)
    shapes = nets.blob_shapes(net)
    assert [shapes[name] for name in ("conv1", "pool1", "pool2", "pool3", "ip1")] == [
        (2, 32, 32, 32), (2, 32, 16, 16), (2, 32, 8, 8), (2, 64, 4, 4), (2, 100)
    ]  # fmt: skip
    letters = {"Convolution": "C", "Pooling": "P", "ReLU": "R", "LRN": "N"}
    assert "".join(letters.get(layer.type, "") for layer in net.layer) == "CPRN" + "CRPN" + "CRP"
    assert [layer.pooling_param.pool for layer in net.layer if layer.type == "Pooling"] == [0, 1, 1]  # max, mean, mean


def test_a_prototxt_is_read_or_its_line_is_named(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(str(nets.branch(4)))
    assert nets.read(path) == nets.branch(4)
    path.write_text(str(nets.branch(4)).replace("num_output: 96", "num_outputs: 96"))
    with pytest.raises(ValueError, match="net.prototxt is not the prototxt of a net: .*num_outputs"):
        nets.read(path)


@pytest.mark.parametrize("trains", nets.READS)
def test_the_upper_branch_is_the_rest_of_the_branch(trains):
    """On the blob that `trains` reads, its scores are the whole branch's."""
    branch = nets.instantiate(nets.branch(3, fillers="he", batch_size=2))
    branch.blobs["data"].data[...] = np.random.default_rng(0).standard_normal((2, 3, 64, 64))
    branch.forward()
    read = branch.blobs[nets.READS[trains]].data.copy()
    upper = nets.instantiate(nets.upper_branch(3, trains, read.shape[1:], 2))
    weights.transplant(weights.of(branch), upper, [*nets.CONVOLUTIONS, "fc6"][nets.TRAINS.index(trains) :])
    upper.blobs["data"].data[...] = read
    upper.forward()
    np.testing.assert_allclose(upper.blobs["fc6"].data, branch.blobs["fc6"].data, rtol=1e-4, atol=1e-5)
