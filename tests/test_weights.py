"""Reading, writing and transplanting caffemodels; every broken file is an exception before Caffe sees it."""

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from hypothesis import given, strategies as st

from helpers import nets, weights


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


def test_a_file_that_is_no_caffemodel(net, tmp_path):
    path = tmp_path / "model.caffemodel"
    net.save(str(path))
    content = path.read_bytes()
    for broken, message in [
        (b"\n <!DOCTYPE html><html>404</html>", "web page"),
        (content[:-1000], "truncated"),
        (b"", "no layer"),
        (b"\x00\x01\x02 not protobuf", "truncated or not"),
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


def test_a_name_that_is_no_text_is_a_broken_file(tmp_path):
    model = caffe_pb2.NetParameter()
    model.layer.add(name="fc").blobs.add(num=1, channels=1, height=1, width=1).data.append(1)
    (tmp_path / "odd.caffemodel").write_bytes(model.SerializeToString().replace(b"fc", b"\xff\xfe"))
    with pytest.raises(ValueError, match="odd.caffemodel is truncated or not a caffemodel"):
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
