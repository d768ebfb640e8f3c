"""The nets hold the layers, shapes and numbers of the authors' prototxts."""

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from google.protobuf import text_format

from helpers import nets, plots, weights


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


def test_fc6_can_start_as_the_authors_last_layer():
    """Gaussian 0.01, their fc8's (train_val_cfn_jps.prototxt)."""
    weight, bias = nets.instantiate(nets.head(100, filler="gaussian")).params["fc6"]
    assert weight.data.std() == pytest.approx(0.01, rel=0.01) and np.abs(weight.data).max() > 0.03
    assert not bias.data.any()
    with pytest.raises(ValueError, match="filler is 'msra'; choose one of xavier, gaussian"):
        nets.head(100, filler="msra")


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


INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }\n'
CONV = """layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
    convolution_param { num_output: 8 kernel_size: 5 weight_filler { type: "gaussian" } } }"""
POOLING = 'layer { name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param { kernel_size: 10 } }'
V1 = """input: "data" input_dim: 1 input_dim: 3 input_dim: 9 input_dim: 9
layers { name: "conv1" type: CONVOLUTION bottom: "data" top: "conv1" param: "w" param: "b"
    convolution_param { num_output: 8 kernel_size: 5 } }
layers { name: "conv2" type: CONVOLUTION bottom: "data" top: "conv2" param: "w" param: "b"
    convolution_param { num_output: 8 kernel_size: 5 } }"""


@pytest.mark.parametrize(
    "content",
    [
        V1.encode(),
        b"\xef\xbb\xbf" + (INPUT + CONV).encode(),
        (INPUT + CONV).encode().replace(b"NOTE", "\u5377\u79ef".encode("gbk")),
        (INPUT + CONV).encode().replace(b"NOTE", "r\u00e9seau".encode("latin-1")),
        (INPUT + CONV).replace("\n", "\r\n").encode(),
    ],
    ids=["V1 with shared weights", "byte-order mark", "GBK", "Latin-1", "CRLF"],
)
def test_prototxts_of_others(tmp_path, content):
    (tmp_path / "net.prototxt").write_bytes(content)
    net = nets.read(tmp_path / "net.prototxt")
    assert nets.parameter_counts(net) == {"conv1": 608}
    assert nets.blob_shapes(net)["conv1"] == (1, 8, 5, 5)
    assert nets.instantiate(net).blobs["conv1"].data.shape == (1, 8, 5, 5)


def message(text):
    return text_format.Parse(text, caffe_pb2.NetParameter())


def reads(kind, parameter, transform="", rules=""):
    return message(
        f'layer {{ name: "data" type: "{kind}" top: "data" top: "label" {parameter} {rules} '
        f"transform_param {{ {transform} }} }} {CONV}"
    )


LMDB = 'data_param { source: "train_lmdb" batch_size: 4 backend: LMDB }'
IMAGES = 'image_data_param { source: "list.txt" batch_size: 4 %s }'
OPEN, KNOWN = (None, (4, None, None, None)), (608, (4, 3, 9, 9))


@pytest.mark.parametrize(
    "net, answer",
    [
        (reads("Data", LMDB), OPEN),
        (reads("Data", LMDB, 'mean_file: "mean.binaryproto"'), OPEN),
        (reads("Data", LMDB, "crop_size: 9"), KNOWN),
        (reads("Data", LMDB, "crop_size: 9", "include { phase: TRAIN }"), KNOWN),
        (reads("Data", LMDB, "crop_size: 9 force_gray: true"), (208, (4, 1, 9, 9))),
        (reads("ImageData", IMAGES % ""), (608, (4, 3, None, None))),
        (reads("ImageData", IMAGES % "new_height: 9 new_width: 9"), KNOWN),
        (reads("ImageData", IMAGES % "is_color: false new_height: 9 new_width: 9"), (208, (4, 1, 9, 9))),
        (reads("WindowData", 'window_data_param { source: "w.txt" batch_size: 4 crop_size: 9 }'), KNOWN),
    ],
)
def test_data_that_is_not_here_is_replaced_by_its_shape(net, answer):
    with pytest.warns(UserWarning, match=r"data reads (train_lmdb|list.txt|w.txt), which is not read here"):
        assert nets.parameter_counts(net) == {"conv1": answer[0]}
    with pytest.warns(UserWarning, match="data=.channels, height, width. says otherwise"):
        assert nets.blob_shapes(net)["data"] == answer[1]
    with pytest.warns(UserWarning, match="4 x 1 x 28 x 28"):
        assert nets.blob_shapes(net, data=(1, 28, 28))["conv1"] == (4, 8, 24, 24)


@pytest.mark.filterwarnings("ignore:data reads train_lmdb")
def test_a_net_of_unknown_shapes_is_not_drawn():
    net = reads("Data", LMDB)
    with pytest.raises(ValueError, match=r"depend on data: give them, nets.blob_shapes\(net, data=...\)"):
        plots.architecture(net, nets.blob_shapes(net))
    assert plots.architecture(net, nets.blob_shapes(net, data=(3, 9, 9)), nets.parameter_counts(net, data=(3, 9, 9)))


def test_only_an_hdf5_file_knows_its_shape():
    net = reads("HDF5Data", 'hdf5_data_param { source: "train.txt" batch_size: 4 }')
    with pytest.raises(ValueError, match=r"data reads train.txt, which is not here, .* data=\(...\)"):
        nets.blob_shapes(net)
    with pytest.warns(UserWarning, match="train.txt"):
        assert nets.parameter_counts(net, data=(3, 9, 9)) == {"conv1": 608}


def test_memory_data_has_its_shape_in_the_prototxt():
    net = reads("MemoryData", "memory_data_param { batch_size: 4 channels: 3 height: 9 width: 9 }")
    assert nets.parameter_counts(net) == {"conv1": 608} and nets.blob_shapes(net)["conv1"] == (4, 8, 5, 5)


@pytest.mark.parametrize(
    "net, reason",
    [
        (reads("Data", LMDB), "data reads LMDB or LevelDB, .*; data reads train_lmdb, which is not here"),
        (message(INPUT + CONV.replace('"Convolution"', '"RoiAlign"')), "Unknown layer type: RoiAlign$"),
        (message(INPUT + CONV.replace('bottom: "data"', 'bottom: "images"')), "Unknown bottom blob 'images'"),
        (message(INPUT + CONV.replace("num_output: 8", "num_output: 0")), "num_output"),
        (message(INPUT + CONV.replace('"gaussian"', '"glorot"')), "Unknown filler name: glorot"),
        (
            message('layer { name: "p" type: "Python" top: "x" python_param { module: "no_such" layer: "L" } }'),
            "No module named 'no_such'",
        ),
        (
            message(INPUT + POOLING),
            r"the blob p would have the shape \(1, 3, 0, 0\); is a window larger than its map\?",
        ),
    ],
)
def test_what_caffe_cannot_build_is_an_exception_in_its_words(net, reason):
    with pytest.raises(ValueError, match=f"Caffe cannot build the net '': .*{reason}"):
        nets.instantiate(net)


def test_layers_of_2014_are_read_as_caffe_upgrades_them(tmp_path):
    """Types, weights' names and rates, data's transformation; and Caffe builds the same from both."""
    (tmp_path / "net.prototxt").write_text(
        """layers { name: "d" type: DATA top: "data" top: "label" include { phase: TRAIN }
            data_param { source: "db" batch_size: 4 crop_size: 9 mean_file: "m" mirror: true scale: 0.5 } }
        layers { name: "c" type: CONVOLUTION bottom: "data" top: "c" param: "w" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
            weight_decay: 0 convolution_param { num_output: 8 kernel_size: 5 } }
        layers { name: "r" type: RELU bottom: "c" top: "c" }
        layers { name: "i" type: INNER_PRODUCT bottom: "c" top: "i" inner_product_param { num_output: 3 } }
        layers { name: "l" type: SOFTMAX_LOSS bottom: "i" bottom: "label" top: "l" loss_weight: 2 }"""
    )
    net = nets.read(tmp_path / "net.prototxt")
    data, convolution = net.layer[:2]
    assert [layer.type for layer in net.layer] == ["Data", "Convolution", "ReLU", "InnerProduct", "SoftmaxWithLoss"]
    assert (data.transform_param.crop_size, data.transform_param.mirror, data.transform_param.scale) == (9, True, 0.5)
    assert not data.data_param.HasField("crop_size") and data.include[0].phase == caffe.TRAIN
    assert [(p.name, p.lr_mult, p.decay_mult) for p in convolution.param] == [("w", 1, 1), ("", 2, 0)]
    assert list(net.layer[4].bottom) == ["i", "label"] and list(net.layer[4].loss_weight) == [2]
    with pytest.warns(UserWarning, match="d reads db, which is not read here: it is taken to give 4 x 3 x 9 x 9"):
        assert nets.parameter_counts(net) == {"c": 608, "i": 603}


@pytest.mark.parametrize("kind", caffe_pb2.V1LayerParameter.LayerType.keys()[1:])
def test_every_type_of_2014_has_its_name_of_today(tmp_path, kind):
    (tmp_path / "net.prototxt").write_text(f'layers {{ name: "x" type: {kind} }}')
    (layer,) = nets.read(tmp_path / "net.prototxt").layer
    assert layer.type in (*caffe.layer_type_list(), "ImageData", "WindowData")
