"""Reading, writing and transplanting caffemodels; every broken file is an exception before Caffe sees it."""

import caffe
import numpy as np
import pytest
from caffe import layers as L
from caffe.proto import caffe_pb2
from google.protobuf import text_format
from hypothesis import given, strategies as st

from helpers import nets, weights, zoo
from helpers.pretext import puzzle_head


@pytest.fixture(scope="module")
def net():
    caffe.set_random_seed(1)
    return nets.instantiate(nets.branch(5, width=0.25))


def equal(first, second):
    return first.keys() == second.keys() and all(
        np.array_equal(a, b) for name in first for a, b in zip(first[name], second[name], strict=True)
    )


def test_caffe_writes_what_we_read_and_reads_what_we_write(net, tmp_path):
    net.save(str(tmp_path / "caffe.caffemodel"))
    assert equal(weights.read(tmp_path / "caffe.caffemodel"), weights.of(net))

    doubled = {name: [2 * array for array in blobs] for name, blobs in weights.of(net).items()}
    weights.write(tmp_path / "ours.caffemodel", doubled)
    other = nets.instantiate(nets.branch(5, width=0.25))
    other.copy_from(str(tmp_path / "ours.caffemodel"))
    assert equal(weights.of(other), doubled)


def test_old_formats_are_read(tmp_path):
    """V1 `layers` and blobs with num, channels, height, width, as in models of 2014."""
    old = caffe_pb2.NetParameter()
    blob = old.layers.add(name="fc").blobs.add(num=1, channels=1, height=2, width=3)
    blob.data.extend(range(6))
    (tmp_path / "old.caffemodel").write_bytes(old.SerializeToString())
    np.testing.assert_array_equal(
        weights.read(tmp_path / "old.caffemodel")["fc"][0], np.arange(6.0).reshape(1, 1, 2, 3)
    )


def one_blob(layer):
    layer.name = "fc"
    layer.blobs.add(num=1, channels=1, height=2, width=3).data.extend(range(6))


def test_what_caffe_loads_is_read(tmp_path):
    """V0, double precision, gradients beside, unpacked numbers, names that are empty or in another encoding."""
    path = tmp_path / "other.caffemodel"

    def first(message, name="fc"):
        path.write_bytes(message if isinstance(message, bytes) else message.SerializeToString())
        return weights.read(path)[name][0].tolist()

    old, double, named = (caffe_pb2.NetParameter() for _ in range(3))
    one_blob(old.layers.add().layer)  # V0
    assert first(old) == [[[[0, 1, 2], [3, 4, 5]]]]
    blob = double.layer.add(name="fc").blobs.add()
    blob.shape.dim.extend([2])
    blob.double_data.extend([0.5, 1.5])
    blob.double_diff.extend([9, 9])
    assert first(double) == [0.5, 1.5]
    one_blob(named.layer.add())
    named.name = "<" + "n" * 59  # a name of 60 letters makes a file begin with "\\n<", as web pages do
    assert first(named) == [[[[0, 1, 2], [3, 4, 5]]]]
    named.layer[0].name = ""
    assert first(named, "") == [[[[0, 1, 2], [3, 4, 5]]]]
    named.layer[0].name = "fc"
    assert first(named.SerializeToString().replace(b"\x02fc", b"\x02\xe9c"), "\xe9c") == [[[[0, 1, 2], [3, 4, 5]]]]
    # BlobProto by hand: field 5 (data) as two separate floats, field 7 (shape) {dim: 2}
    unpacked = b"\x2d" + np.float32(1).tobytes() + b"\x2d" + np.float32(2).tobytes() + b"\x3a\x02\x08\x02"
    layer = b"\x0a\x02fc\x3a" + bytes([len(unpacked)]) + unpacked
    assert first(b"\xa2\x06" + bytes([len(layer)]) + layer) == [1, 2]


def test_hdf5_caffemodels(net, tmp_path):
    path = tmp_path / "caffe.caffemodel.h5"
    net.save_hdf5(str(path))
    assert equal(weights.read(path), dict(sorted(weights.of(net).items())))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="caffe.caffemodel.h5 is HDF5, but damaged"):
        weights.read(path)


def test_what_ships_is_what_was_trained_with_its_net(tmp_path):
    """Values to the bit; and the file alone, as a prototxt, is a net that Caffe builds and that computes with them."""
    head = weights.read(puzzle_head.FILE)
    assert weights.fingerprint(zoo.load("ours")) == 0x7ECBA5B6 and weights.fingerprint(head) == 0xD57CBAD7
    for path, layers in (
        (zoo.PRETRAINED / zoo.MODELS["ours"].file, zoo.load("ours")),
        (puzzle_head.FILE, head),
    ):
        whole = caffe_pb2.NetParameter.FromString(path.read_bytes())
        assert whole.name and all(layer.type for layer in whole.layer)
        for layer in whole.layer:
            layer.ClearField("blobs")
        shipped = nets.instantiate(whole)
        shipped.copy_from(str(path))
        assert equal(weights.of(shipped), layers)


@pytest.mark.parametrize("read", [zoo.load, puzzle_head.load])
def test_what_ships_is_verified(tmp_path, monkeypatch, read):
    for file in zoo.PRETRAINED.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    spoilt = tmp_path / (puzzle_head.FILE.name if read is puzzle_head.load else zoo.MODELS["ours"].file)
    content = bytearray(spoilt.read_bytes())
    content[len(content) // 2] ^= 1
    spoilt.write_bytes(content)
    monkeypatch.setattr(zoo, "PRETRAINED", tmp_path)
    monkeypatch.setattr(puzzle_head, "FILE", tmp_path / puzzle_head.FILE.name)
    with pytest.raises(ValueError, match=f"{spoilt.name} is not the file it should be, sha256:"):
        read(*[spoilt] * (read is puzzle_head.load))


def test_batch_norm_that_has_seen_nothing_folds_as_caffe_computes():
    """Its third blob is 0: mean and variance count as 0 then (batch_norm_layer.cpp)."""
    net = nets.instantiate(nets.stacked_cfn(4, batch_size=2, fc6=8, fc7=8, width=0.25, batch_norm=True, dropout=False))
    plain = nets.instantiate(nets.stacked_cfn(4, batch_size=2, fc6=8, fc7=8, width=0.25, dropout=False))
    folded = weights.fold_batch_norm(weights.of(net))
    weights.transplant(folded, plain, list(folded))
    inputs = np.random.default_rng(0).normal(size=net.blobs["data"].data.shape)
    for one in (net, plain):
        one.blobs["data"].data[...] = inputs
        one.forward()
    np.testing.assert_allclose(plain.blobs["fc8"].data, net.blobs["fc8"].data, rtol=1e-3)


NAMES = [("conv1", "bn_conv1", "scale_conv1"), ("res2a", "bn2a", "scale2a"), ("conv1", "conv1/bn", "conv1/scale")]


def normalised(convolution, norm, scale, **how):
    """Prototxts of a net with BatchNorm, and of the plain one; other people's names; eps of their own."""
    made = []
    for whole in (True, False):
        spec = caffe.NetSpec()
        spec.data = L.Input(shape=dict(dim=[2, 3, 6, 6]))
        bias = how.get("bias", True) or not whole
        filler = dict(weight_filler=dict(type="xavier"), bias_term=bias)
        top = spec[convolution] = L.Convolution(spec.data, num_output=4, kernel_size=3, **filler)
        if whole:
            in_place = how.get("in_place", False)
            top = spec[norm] = L.BatchNorm(top, eps=0.1, in_place=in_place)
            if scale:
                top = spec[scale] = L.Scale(top, bias_term=how.get("offset", True), in_place=in_place)
        spec.out = L.ReLU(top)
        made.append(spec.to_proto())
    return made


@pytest.mark.parametrize("names", [*NAMES, ("conv1", "bn1", None)])
@pytest.mark.parametrize("how", [{}, {"bias": False}, {"in_place": True}, {"offset": False}])
def test_batch_norm_of_others_is_folded_by_their_net(names, how):
    whole, plain = normalised(*names, **how)
    nets_, rng = [nets.instantiate(net) for net in (whole, plain)], np.random.default_rng(0)
    for blob, values in zip(nets_[0].params[names[1]], (rng.normal(size=4), rng.uniform(1, 4, 4), 2)):
        blob.data[...] = values
    for blob in nets_[0].params[names[2]] if names[2] else ():
        blob.data[...] = rng.uniform(0.5, 2, 4)
    folded = weights.fold_batch_norm(weights.of(nets_[0]), net=whole)
    assert list(folded) == [names[0]]
    weights.transplant(folded, nets_[1], folded)
    for net in nets_:
        net.blobs["data"].data[...] = np.random.default_rng(1).standard_normal((2, 3, 6, 6))
        net.forward()
    np.testing.assert_allclose(nets_[1].blobs["out"].data, nets_[0].blobs["out"].data, atol=1e-5)


@pytest.mark.parametrize("names", NAMES)
def test_batch_norm_of_others_without_their_net_is_refused_by_name(names):
    layers = weights.of(nets.instantiate(normalised(*names)[0]))
    with pytest.raises(ValueError, match=f"^{names[1]}: which layers .* only their net says"):
        weights.fold_batch_norm(layers)


def test_layers_that_only_sound_like_batch_norm_are_kept():
    layers = {"bnorm_fc": [np.ones((2, 3)), np.ones(2)], "scales": [np.ones((2, 3))], "prelu": [np.ones(4)]}
    assert equal(weights.fold_batch_norm(layers), layers)


INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 6 } } }'
CONV = (
    'layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 3 kernel_size: 1 } }'
)
NORM = 'layer { name: "n" type: "BatchNorm" bottom: "%s" top: "n" %s }'
READER = 'layer { name: "r" type: "ReLU" bottom: "c" top: "r" }'


@pytest.mark.parametrize(
    "text, words",
    [
        (INPUT + NORM % ("data", "") + CONV, "n follows no convolution"),
        (INPUT + CONV + READER + NORM % ("c", ""), "n follows no convolution or inner product that it alone reads"),
        (INPUT + CONV + NORM % ("c", "batch_norm_param { use_global_stats: false }"), "n takes each batch's own"),
        (INPUT + CONV + NORM % ("c", 'include { stage: "none" }'), None),
    ],
)
def test_batch_norm_that_no_layer_can_take_in_is_named(text, words):
    net = text_format.Parse(text, caffe_pb2.NetParameter())
    layers = weights.of(nets.instantiate(net))
    if words is None:  # not there in this phase: nothing to fold
        assert equal(weights.fold_batch_norm(layers, net=net), layers)
        return
    with pytest.raises(ValueError, match=f"BatchNorm cannot be folded into .*{words}"):
        weights.fold_batch_norm(layers, net=net)


SHARING = INPUT + "".join(
    f"""layer {{ name: "{name}" type: "Convolution" bottom: "data" top: "{name}" param {{ name: "w" }} {bias}
    convolution_param {{ num_output: 2 kernel_size: 3 weight_filler {{ type: "xavier" }} }} }}"""
    for name, bias in (("one", ""), ("two", ""), ("three", 'param { name: "b" }'), ("four", 'param { name: "b" }'))
)


def test_layers_that_share_their_weights(tmp_path):
    net = nets.instantiate(text_format.Parse(SHARING, caffe_pb2.NetParameter()))
    layers = {name: [array + 1 for array in blobs] for name, blobs in weights.of(net).items()}
    weights.transplant({name: layers[name] for name in ("one", "two", "three")}, net, list(layers))
    assert equal(weights.of(net), layers)  # four shares both of its blobs with three
    with pytest.raises(KeyError, match="no layer two"):  # its biases are its own
        weights.transplant({name: layers[name] for name in ("one", "three", "four")}, net, list(layers))
    before = weights.of(net)
    with pytest.raises(ValueError, match="layers one and two share weights, but are given different ones"):
        weights.transplant(layers | {"two": [layers["two"][0] + 1, layers["two"][1]]}, net, list(layers))
    assert equal(weights.of(net), before)
    net.save_hdf5(str(tmp_path / "shared.caffemodel.h5"))
    with pytest.raises(ValueError, match="layer (two|three) has its blob 1 here and shares the others"):
        weights.read(tmp_path / "shared.caffemodel.h5")


def test_two_layers_of_one_name_are_refused_and_counted():
    text = INPUT + CONV + CONV.replace("num_output: 3", "num_output: 5").replace('top: "c"', 'top: "d"')
    net = text_format.Parse(text, caffe_pb2.NetParameter())
    assert nets.parameter_counts(net) == {"c": 3 * 4 + 5 * 4}
    with pytest.raises(ValueError, match="more than one layer with weights is called c"):
        weights.of(nets.instantiate(net))


def test_a_layer_of_both_phases_is_written_for_both(tmp_path):
    text = INPUT + "".join(CONV.replace('top: "c"', f'top: "c" include {{ phase: {p} }}') for p in ("TRAIN", "TEST"))
    net = text_format.Parse(text, caffe_pb2.NetParameter())
    layers = {"c": [np.full((3, 3, 1, 1), 2, "f"), np.full(3, 4, "f")]}
    weights.write(tmp_path / "both.caffemodel", layers, net)
    written = caffe_pb2.NetParameter.FromString((tmp_path / "both.caffemodel").read_bytes())
    for phase in (caffe.TRAIN, caffe.TEST):
        assert [len(layer.blobs) for layer in nets.filter_net(written, phase).layer] == [0, 2]
        built = nets.instantiate(net, phase)
        built.copy_from(str(tmp_path / "both.caffemodel"))
        assert equal(weights.of(built), layers)
    with pytest.raises(KeyError, match="has no layer x; it has data, c"):
        weights.write(tmp_path / "other.caffemodel", {"x": []}, net)
    assert not (tmp_path / "other.caffemodel").exists()


def test_a_file_that_is_no_caffemodel(net, tmp_path):
    path = tmp_path / "model.caffemodel"
    net.save(str(path))
    content = path.read_bytes()
    for broken, message in [
        (b"\n <!DOCTYPE html><html>404</html>", "web page"),
        (content[:-1000], "truncated"),
        (b"", "no layer"),
        (b"\x00\x01\x02 not protobuf", "truncated or not"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"PK\x03\x04 whatever", "zip archive"),
    ]:
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=message) as error:
            weights.read(path)
        assert str(path) in str(error.value)
    with pytest.raises(FileNotFoundError):
        weights.read(tmp_path / "missing.caffemodel")


@pytest.mark.parametrize("shape, count", [((-2, -3), 6), ((4, 5), 6), ((0, 2**62), 0), ((2**32, 2**32), 0)])
def test_a_blob_that_is_not_its_shape_is_named(tmp_path, shape, count):
    """Products that come out right by a sign or an overflow included."""
    model = caffe_pb2.NetParameter()
    blob = model.layer.add(name="fc").blobs.add()
    blob.shape.dim.extend(shape)
    blob.data.extend(range(count))
    (tmp_path / "odd.caffemodel").write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"odd.caffemodel: layer fc declares shape .* and holds \d numbers"):
        weights.read(tmp_path / "odd.caffemodel")


@given(st.binary(max_size=400))
def test_any_bytes_give_layers_or_value_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "model.caffemodel"
    path.write_bytes(content)
    try:
        assert weights.read(path)
    except ValueError as error:
        assert str(path) in str(error)


def test_transplant_by_name_and_shape(net):
    target = nets.instantiate(nets.branch(9, width=0.25))
    before = weights.of(target)
    weights.transplant(weights.of(net), target)
    after = weights.of(target)
    for name in nets.CONVOLUTIONS:
        assert np.array_equal(after[name][0], net.params[name][0].data)
    assert np.array_equal(after["fc6"][0], before["fc6"][0])


def test_alexnet_conv1_fits_the_branch():
    """Same 96 filters of 3x11x11; AlexNet calls the layer conv1."""
    alexnet = {"conv1": [np.full((96, 3, 11, 11), 0.5, np.float32), np.zeros((1, 1, 1, 96), np.float32)]}
    target = nets.instantiate(nets.branch(2))
    weights.transplant(alexnet, target, ["conv1_s1"])
    assert (target.params["conv1_s1"][0].data == 0.5).all()


@pytest.mark.parametrize(
    "spoil, error, message",
    [
        (lambda layers: layers.pop("conv3_s1"), KeyError, "no layer conv3_s1"),
        (
            lambda layers: layers.update(conv5_s1=[np.zeros((256, 192, 3, 3)), np.zeros(256)]),
            ValueError,
            "layer conv5_s1",
        ),
    ],
)
def test_a_mismatch_copies_nothing(net, spoil, error, message):
    layers = {name: [array + 1 for array in blobs] for name, blobs in weights.of(net).items()}
    spoil(layers)
    before = weights.of(net)
    with pytest.raises(error, match=message):
        weights.transplant(layers, net)
    assert equal(weights.of(net), before)
