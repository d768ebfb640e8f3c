"""pycaffe's Python half on the NumPy, scikit-image and protobuf of today, and what BVLC's Caffe 1.0 has beside."""

import inspect
import re
import shutil

import caffe
import numpy as np
import pytest
import skimage.io
from caffe import coord_map, draw, io, net_spec
from caffe.proto import caffe_pb2

from helpers import course, nets

PHOTO = np.random.default_rng(0).random((60, 80, 3)).astype(np.float32)
BYTES = (PHOTO * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with deploy.prototxt, w.caffemodel, a colour, a grey and a transparent picture."""
    folder = tmp_path_factory.mktemp("pycaffe")
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": [10, 3, 24, 24]})
    spec.fc = caffe.layers.InnerProduct(spec.data, num_output=5, weight_filler={"type": "gaussian", "std": 0.1})
    spec.prob = caffe.layers.Softmax(spec.fc)
    (folder / "deploy.prototxt").write_text(str(spec.to_proto()))
    caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST).save(str(folder / "w.caffemodel"))
    skimage.io.imsave(folder / "colour.png", BYTES, check_contrast=False)
    skimage.io.imsave(folder / "grey.png", BYTES[..., 0], check_contrast=False)
    skimage.io.imsave(folder / "transparent.png", np.dstack([BYTES, BYTES[..., :1]]), check_contrast=False)
    return folder


def files(folder):
    return str(folder / "deploy.prototxt"), str(folder / "w.caffemodel")


# --- caffe.io -------------------------------------------------------------------------------------


def test_every_public_function_of_io_is_tested_here():
    tested = inspect.getsource(inspect.getmodule(test_every_public_function_of_io_is_tested_here))
    own = {name for name, value in vars(io).items() if inspect.isfunction(value) and value.__module__ == "caffe.io"} | {
        name for name in vars(io.Transformer) if not name.startswith("_")
    }
    assert len(own) == 16
    assert {name for name in own if f".{name}(" not in tested} == set()


def test_pictures_of_every_kind(folder):
    np.testing.assert_allclose(io.load_image(str(folder / "colour.png")), BYTES / 255, atol=1e-6)
    np.testing.assert_allclose(io.load_image(str(folder / "transparent.png")), BYTES / 255, atol=1e-6)
    grey = io.load_image(str(folder / "grey.png"))
    assert grey.shape == (60, 80, 3) and (grey[..., 0] == grey[..., 2]).all()
    assert io.load_image(str(folder / "grey.png"), color=False).shape == (60, 80, 1)
    from_colour = io.load_image(str(folder / "colour.png"), color=False)
    np.testing.assert_allclose(from_colour[..., 0], BYTES / 255 @ [0.2125, 0.7154, 0.0721], atol=1e-5)


def test_resizing_interpolates_and_does_not_blur():
    ramp = np.broadcast_to(np.arange(8, dtype=np.float32)[:, None, None], (8, 8, 3))
    np.testing.assert_allclose(
        io.resize_image(ramp, (4, 8))[:, 3], [[0.5] * 3, [2.5] * 3, [4.5] * 3, [6.5] * 3], rtol=1e-6
    )
    dot = np.zeros((9, 9, 1), np.float32)
    dot[4, 4] = 1
    assert io.resize_image(dot, (3, 3))[1, 1, 0] == 1
    assert (io.resize_image(np.full((5, 5, 3), 7, np.float32), (9, 4)) == 7).all()
    assert io.resize_image(np.random.rand(6, 8, 5), (12, 4)).shape == (12, 4, 5)


@pytest.mark.parametrize("array", [BYTES.transpose(2, 0, 1), PHOTO.transpose(2, 0, 1)], ids=["bytes", "floats"])
def test_datum_and_back(array):
    datum = caffe_pb2.Datum.FromString(io.array_to_datum(array, 3).SerializeToString())
    again = io.datum_to_array(datum)
    np.testing.assert_array_equal(again, array)
    again[0] = 0  # an array of one's own
    assert datum.label == 3
    with pytest.raises(ValueError, match="shape"):
        io.array_to_datum(array[0])


def test_blobproto_and_back():
    array, diff = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    blob = io.array_to_blobproto(array, diff)
    np.testing.assert_array_equal(io.blobproto_to_array(blob), array)
    np.testing.assert_array_equal(io.blobproto_to_array(blob, return_diff=True), diff)
    old = caffe_pb2.BlobProto(num=1, channels=1, height=2, width=3, data=range(6))
    assert io.blobproto_to_array(old).shape == (1, 1, 2, 3)
    text = io.arraylist_to_blobprotovector_str([array, diff])
    for left, right in zip(io.blobprotovector_str_to_arraylist(text), [array, diff], strict=True):
        np.testing.assert_array_equal(left, right)


def test_oversample():
    crops = io.oversample([PHOTO, PHOTO], (24, 32))
    assert crops.shape == (20, 24, 32, 3)
    np.testing.assert_array_equal(crops[0], PHOTO[:24, :32])
    np.testing.assert_array_equal(crops[4], PHOTO[18:42, 24:56])
    np.testing.assert_array_equal(crops[5], PHOTO[:24, :32][:, ::-1])


@pytest.mark.parametrize("mean", [np.array([1.0, 2, 3]), np.full((3, 24, 24), 2.0), np.random.rand(3, 32, 32)])
def test_a_transformer_and_back(mean):
    transformer = io.Transformer({"data": (10, 3, 24, 24)})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", mean)
    transformer.set_input_scale("data", 0.5)
    picture = PHOTO[:24, :24]
    ready = transformer.preprocess("data", picture)
    if mean.ndim == 1:
        expected = (picture.transpose(2, 0, 1)[::-1] * 255 - mean[:, None, None]) * 0.5
        np.testing.assert_allclose(ready, expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(transformer.deprocess("data", ready), picture, atol=1e-5)
    assert transformer.preprocess("data", PHOTO).shape == (3, 24, 24)


# --- Classifier, Detector -------------------------------------------------------------------------


@pytest.mark.parametrize("oversample", [True, False])
@pytest.mark.parametrize("image_dims", [None, (32, 40)])
def test_a_classifier(folder, oversample, image_dims):
    classifier = caffe.Classifier(
        *files(folder), image_dims=image_dims, mean=np.zeros(3), input_scale=1, raw_scale=255, channel_swap=(2, 1, 0)
    )
    predictions = classifier.predict([PHOTO, PHOTO[:30]], oversample)
    assert predictions.shape == (2, 5)
    np.testing.assert_allclose(predictions.sum(1), 1, rtol=1e-5)


@pytest.mark.parametrize("context_pad", [None, 4])
def test_a_detector(folder, context_pad):
    detector = caffe.Detector(*files(folder), mean=np.zeros(3), raw_scale=255, context_pad=context_pad)
    windows = np.array([[0, 0, 30, 30], [10, 20, 59, 79]])
    found = detector.detect_windows([(str(folder / "colour.png"), windows)])
    assert [list(one["window"]) for one in found] == windows.tolist()
    assert all(one["prediction"].shape == (5,) for one in found)


# --- Net, draw, net_spec, coord_map ---------------------------------------------------------------


def test_a_net_in_batches(folder):
    net = caffe.Net(*files(folder), caffe.TEST)
    data = np.random.default_rng(0).random((13, 3, 24, 24)).astype(np.float32)
    everything = net.forward_all(data=data, blobs=["fc"])
    assert everything["prob"].shape == everything["fc"].shape == (13, 5)
    one = net.forward(data=data[:10], end="fc")
    np.testing.assert_allclose(one["fc"], everything["fc"][:10], rtol=1e-5)
    net.backward(prob=np.ones((10, 5)), diffs=["fc"])
    blobs, diffs = net.forward_backward_all(data=data, prob=np.ones((13, 5)))
    assert blobs["prob"].shape == (13, 5) and diffs["data"].shape == data.shape
    assert list(net.layer_dict) == ["data", "fc", "prob"] and net.top_names["fc"] == net.bottom_names["prob"] == ["fc"]
    assert net.blob_loss_weights["prob"] == 0


@pytest.mark.parametrize("rankdir", ["LR", "TB"])
def test_every_net_of_ours_is_drawn(rankdir, tmp_path):
    for net in (nets.branch(3), nets.stacked_cfn(100, batch_norm=True)):
        graph = draw.get_pydot_graph(net, rankdir, phase=caffe.TRAIN, display_lrm=True)
        assert len(graph.get_nodes()) > len(net.layer)
        if shutil.which("dot"):
            draw.draw_net_to_file(net, str(tmp_path / "net.png"), rankdir)
            assert (tmp_path / "net.png").read_bytes().startswith(b"\x89PNG")
            assert draw.draw_net(net, rankdir, "svg").startswith(b"<?xml")
        else:
            with pytest.raises(FileNotFoundError, match="dot"):
                draw.draw_net_to_file(net, str(tmp_path / "net.png"), rankdir)


def test_net_spec_and_coord_map():
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": [1, 3, 99, 99]})
    spec.conv = caffe.layers.Convolution(spec.data, num_output=2, kernel_size=5, stride=2, pad=1)
    spec.up = caffe.layers.Deconvolution(spec.conv, convolution_param={"num_output": 2, "kernel_size": 5, "stride": 2})
    axis, scale, shift = coord_map.coord_map_from_to(spec.up, spec.data)
    assert (axis, *scale, *shift) == (1, 1, -1)
    spec.crop = coord_map.crop(spec.up, spec.data)
    assert spec.to_proto().layer[-1].crop_param.offset[:] == [1]
    assert net_spec.to_proto(spec.crop).layer[-1].type == "Crop"
    assert net_spec.param_name_dict()["Convolution"] == "convolution"


# --- What BVLC's has ------------------------------------------------------------------------------


def test_a_timer_measures():
    timer = caffe.Timer()
    timer.start()
    sum(range(200_000))
    timer.stop()
    assert 0 < timer.ms < 10_000


def test_logs_counts_and_ranks():
    caffe.init_log(2)
    caffe.init_log(2, True)  # again: glog itself would end the process
    caffe.log("a line")
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.multiprocess(), caffe.has_nccl()) == (1, 0, False, False)
    caffe.set_solver_count(2)
    caffe.set_solver_rank(1)
    caffe.set_multiprocess(True)
    assert (caffe.solver_count(), caffe.solver_rank(), caffe.multiprocess()) == (2, 1, True)
    caffe.set_solver_count(1)
    caffe.set_solver_rank(0)
    caffe.set_multiprocess(False)


def solver(folder, kind, layer, **fields):
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": [16, 4]})
    spec.label = caffe.layers.Input(shape={"dim": [16]})
    layer(spec)
    spec.loss = caffe.layers.SoftmaxWithLoss(spec.fc, spec.label)
    (folder / "net.prototxt").write_text(str(spec.to_proto()))
    message = caffe_pb2.SolverParameter(
        net=str(folder / "net.prototxt"), type=kind, base_lr=0.01, lr_policy="fixed", random_seed=1, **fields
    )
    (folder / "solver.prototxt").write_text(str(message))
    return caffe.get_solver(str(folder / "solver.prototxt"))


def linear(spec):
    spec.fc = caffe.layers.InnerProduct(spec.data, num_output=2)


def test_apply_update_and_share_weights(tmp_path):
    one, other = solver(tmp_path, "SGD", linear), solver(tmp_path, "SGD", linear)
    weight = one.net.params["fc"][0]
    weight.data[...], weight.diff[...] = 0, 1
    one.apply_update()
    np.testing.assert_allclose(weight.data, -0.01, rtol=1e-6)
    one.share_weights(other.net)
    assert (other.net.params["fc"][0].data == weight.data).all()


@pytest.mark.parametrize("integer", [np.int64, np.int32, np.uint8])
def test_numpy_s_integers_are_integers(integer, tmp_path):
    one = solver(tmp_path, "SGD", linear)
    one.step(integer(2))
    assert one.iter == 2
    one.net.blobs["data"].reshape(integer(3), 4)
    assert one.net.blobs["data"].data.shape == (3, 4)
    caffe.set_random_seed(integer(7))
    with pytest.raises(TypeError):
        one.net.blobs["data"].reshape(np.float32(3), 4)
    with pytest.raises(OverflowError):
        one.net.blobs["data"].reshape(np.int64(2**40))


# --- BatchNorm's statistics -----------------------------------------------------------------------


def normalised(number):
    """A net's middle with BatchNorm, `number` of whose parameters are named, with a rate: others' prototxts differ."""

    def layers(spec):
        names = [{"lr_mult": 1, "name": f"bn{i}"} for i in range(number)]
        param = {"param": names} if names else {}
        spec.bn = caffe.layers.BatchNorm(spec.data, moving_average_fraction=0.95, **param)
        spec.fc = caffe.layers.InnerProduct(spec.bn, num_output=2, weight_filler={"type": "xavier"})

    return layers


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_batch_norm_s_statistics_are_those_of_the_data_whatever_the_solver_does(kind, number, tmp_path):
    momentum = {} if kind in ("AdaGrad", "RMSProp") else {"momentum": 0.9}
    one = solver(tmp_path, kind, normalised(number), weight_decay=0.1, delta=1e-6, **momentum)
    rng, mean, variance, factor = np.random.default_rng(0), 0, 0, 0
    for _ in range(20):
        data = rng.normal(1, [1, 0.3, 0.1, 0.02], (16, 4)).astype(np.float32)
        one.net.blobs["data"].data[...] = data
        one.net.blobs["label"].data[...] = rng.integers(2, size=16)
        one.step(1)
        mean, variance, factor = 0.95 * mean + data.mean(0), 0.95 * variance + data.var(0, ddof=1), 0.95 * factor + 1
    for blob, expected in zip(one.net.params["bn"], (mean, variance, factor), strict=True):
        np.testing.assert_allclose(blob.data, expected, rtol=1e-4)


# --- Large files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("power, exact", [(2, np.square), (0.5, np.sqrt), (3, None), (-0.75, None)])
def test_powers_are_numpys_and_squares_and_roots_to_the_last_bit(power, exact, tmp_path):
    """These two go through no `pow`; a square is one of negative numbers, too."""
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": [100_000]})
    spec.power = caffe.layers.Power(spec.data, power=power)
    (tmp_path / "power.prototxt").write_text(str(spec.to_proto()))
    net = caffe.Net(str(tmp_path / "power.prototxt"), caffe.TEST)
    numbers = np.random.default_rng(0).lognormal(sigma=5, size=100_000).astype(np.float32)
    if power == 2:
        numbers[::2] *= -1
    net.blobs["data"].data[...] = numbers
    found = net.forward()["power"]
    if exact:
        np.testing.assert_array_equal(found, exact(numbers))
    else:
        np.testing.assert_allclose(found, numbers.astype(float) ** power, rtol=1e-6)


def test_a_caffemodel_of_553_mb_loads(tmp_path):
    """As large as VGG-16's. The release stops at 512 MB, BVLC's Caffe 1.0 at 2 GB."""
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": [1, 33800]})
    spec.fc = caffe.layers.InnerProduct(spec.data, num_output=4096)
    net = nets.instantiate(spec.to_proto(), caffe.TEST)
    net.params["fc"][0].data[-1] = 1
    net.save(str(tmp_path / "w.caffemodel"))
    net.params["fc"][0].data[-1] = 0
    net.copy_from(str(tmp_path / "w.caffemodel"))
    assert (net.params["fc"][0].data[-1] == 1).all()
    (tmp_path / "w.caffemodel").unlink()


def test_the_readme_of_the_wheel_says_what_it_holds(monkeypatch):
    """Layers as measured here, sources and checksum as built from, each file with layers of ours named."""
    folder = course.ROOT / "packaging" / "caffe"
    monkeypatch.syspath_prepend(folder)
    import build_wheel

    text = (folder / "README.md").read_text()
    for release, hashed in build_wheel.SOURCES.items():
        assert "`{}` {}".format(*release.rsplit("-", 1)) in text and hashed in text
    missing, more = re.search(
        r"^Layers that are not there: (.*?), which need.*?BVLC's:\n(.*?)\.$", text, re.M | re.S
    ).groups()
    layers = set(caffe.layer_type_list())
    assert not layers & set(re.findall(r"`(\w+)`", missing))
    more = set(re.findall(r"`(\w+)`", more))
    assert more <= layers and len(layers - more) == 59  # BVLC's 61 without those two
    ours = {path.name for path in folder.glob("*.cpp")} - {"pycaffe_more.cpp"}
    assert ours == set(re.findall(r"\b\w+\.cpp\b", text[text.index("## Layers of ours") :]))
