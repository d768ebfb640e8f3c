"""The wheel's Caffe does as BVLC's 1.0, where the release that it is compiled from does not; and what ends the process
in BVLC's is an exception."""

import os
import pathlib
import subprocess
import sys

import caffe
import h5py
import numpy as np
import pytest
from caffe import build_info, layers as L, params as P
from caffe.proto import caffe_pb2

from helpers import nets

TOOL = pathlib.Path(sys.executable).with_name("caffe")
RNG = np.random.default_rng(0)


def built(phase=caffe.TRAIN, **layers):
    """A caffe.Net of NetSpec layers, {name: layer, or a function of the spec}; force_backward."""
    spec = caffe.NetSpec()
    for name, layer in layers.items():
        spec[name] = layer(spec) if callable(layer) and not isinstance(layer, caffe.net_spec.Top) else layer
    message = spec.to_proto()
    message.force_backward = True
    return nets.instantiate(message, phase)


def fed(*shape):
    return L.Input(shape={"dim": list(shape)})


def filled(net, **arrays):
    for name, array in arrays.items():
        net.blobs[name].data[...] = array
    return net.forward()


def tool(*words, **environment):
    return subprocess.run(
        [TOOL, *map(str, words)],
        capture_output=True,
        text=True,
        env=os.environ | {"GLOG_minloglevel": "0"} | environment,
    )


def known(folder, name, value, layers=("fc",)):
    """Weights `value` of some layers of net.prototxt, in a file."""
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TRAIN)
    message = caffe_pb2.NetParameter()
    for layer in layers:
        blobs = [caffe.io.array_to_blobproto(np.full(blob.shape, value, np.float32)) for blob in net.params[layer]]
        message.layer.add(name=layer, type="InnerProduct", blobs=blobs)
    (folder / name).write_bytes(message.SerializeToString())
    return folder / name


@pytest.fixture
def training(tmp_path):
    """A folder: net.prototxt, the inner products `fc` and `a/b` of constants, and solver.prototxt: tiny steps."""
    spec = caffe.NetSpec()
    spec.data = L.DummyData(shape={"dim": [4, 6]}, data_filler={"type": "constant", "value": 1})
    spec.label = L.DummyData(shape={"dim": [4]}, data_filler={"type": "constant", "value": 1})
    spec.fc = L.InnerProduct(spec.data, num_output=3, weight_filler={"type": "xavier"})
    spec["a/b"] = L.InnerProduct(spec.fc, num_output=3, weight_filler={"type": "xavier"})
    spec.loss = L.SoftmaxWithLoss(spec["a/b"], spec.label)
    (tmp_path / "net.prototxt").write_text(str(spec.to_proto()))
    write_solver(tmp_path)
    return tmp_path


def write_solver(folder, **fields):
    fields = {
        "net": str(folder / "net.prototxt"),
        "base_lr": 1e-6,
        "lr_policy": "fixed",
        "max_iter": 2,
        "test_iter": [1],
        "test_interval": 1000,
        "test_initialization": False,
        "snapshot_prefix": str(folder / "run"),
        "solver_mode": "CPU",
    } | fields
    message = caffe_pb2.SolverParameter(**{name: value for name, value in fields.items() if value is not None})
    (folder / "solver.prototxt").write_text(str(message))
    return str(folder / "solver.prototxt")


def weights(folder, name="run_iter_2.caffemodel"):
    net = caffe_pb2.NetParameter.FromString((folder / name).read_bytes())
    return {layer.name: np.array(layer.blobs[0].data) for layer in net.layer if layer.blobs}


# --- Weights to start from ------------------------------------------------------------------------


def test_the_command_trains_from_a_list_of_weights(training):
    fc, other = known(training, "fc.caffemodel", 7), known(training, "other.caffemodel", 5, ["a/b"])
    trained = tool("train", f"--solver={training}/solver.prototxt", f"--weights={fc}, {other}")
    assert trained.returncode == 0 and f"Finetuning from {other}" in trained.stderr, trained.stderr
    after = weights(training)
    np.testing.assert_allclose(after["fc"], 7, atol=1e-3)
    np.testing.assert_allclose(after["a/b"], 5, atol=1e-3)


def test_weights_of_the_solver_go_into_its_training_and_test_nets(training):
    files = known(training, "fc.caffemodel", 7), known(training, "other.caffemodel", 5, ["a/b"])
    solver = caffe.get_solver(write_solver(training, weights=map(str, files)))
    for net in (solver.net, solver.test_nets[0]):
        assert (net.params["fc"][0].data == 7).all() and (net.params["a/b"][0].data == 5).all()
    # those of the command count more, and a snapshot counts alone
    nine = known(training, "nine.caffemodel", 9)
    assert tool("train", f"--solver={training}/solver.prototxt", f"--weights={nine}").returncode == 0
    after = weights(training)
    np.testing.assert_allclose(after["fc"], 9, atol=1e-3)
    assert (np.abs(after["a/b"]) < 2).all()
    solver.step(1)
    solver.snapshot()
    write_solver(training, weights=[str(training / "not there")])
    state = f"--snapshot={training}/run_iter_1.solverstate"
    assert tool("train", f"--solver={training}/solver.prototxt", state).returncode == 0
    both = tool("train", f"--solver={training}/solver.prototxt", state, f"--weights={nine}")
    assert both.returncode and "not both" in both.stderr


def test_weights_that_are_not_there_end_the_command_with_words(training):
    missing = tool("train", f"--solver={training}/solver.prototxt", "--weights=missing.caffemodel")
    assert missing.returncode == 1 and "File not found: missing.caffemodel" in missing.stderr


# --- HDF5 -----------------------------------------------------------------------------------------


def test_hdf5_of_another_shape_is_refused_and_changes_no_shape(tmp_path):
    def net(classes):
        return built(data=fed(2, 6), fc=lambda s: L.InnerProduct(s.data, num_output=classes))

    net(20).save_hdf5(str(tmp_path / "w.caffemodel.h5"))
    mine = net(3)
    with pytest.raises(ValueError, match=r"shape mismatch. Source shape is 20 6 \(120\) target shape is 3 6 \(18\)"):
        mine.copy_from(str(tmp_path / "w.caffemodel.h5"))
    assert mine.params["fc"][0].data.shape == (3, 6) and mine.forward()["fc"].shape == (2, 3)


def test_hdf5_is_known_by_what_it_holds(tmp_path):
    net = built(data=fed(2, 6), fc=lambda s: L.InnerProduct(s.data, num_output=3, weight_filler={"type": "xavier"}))
    for suffix in ("", ".h5", ".caffemodel"):
        net.save_hdf5(str(tmp_path / f"w{suffix}"))
        other = built(data=fed(2, 6), fc=lambda s: L.InnerProduct(s.data, num_output=3))
        other.copy_from(str(tmp_path / f"w{suffix}"))
        np.testing.assert_array_equal(other.params["fc"][0].data, net.params["fc"][0].data)
    net.save(str(tmp_path / "binary.h5"))
    other.params["fc"][0].data[...] = 0
    other.copy_from(str(tmp_path / "binary.h5"))
    np.testing.assert_array_equal(other.params["fc"][0].data, net.params["fc"][0].data)


def test_hdf5_data_comes_back_from_hdf5_output(tmp_path):
    (tmp_path / "list").write_text(str(tmp_path / "in.h5"))
    arrays = {"data": RNG.normal(size=(6, 2, 3)).astype(np.float32), "label": np.arange(6, dtype=np.float32)}
    with h5py.File(tmp_path / "in.h5", "w") as file:
        file.update(arrays)
    spec = caffe.NetSpec()
    spec.data, spec.label = L.HDF5Data(source=str(tmp_path / "list"), batch_size=6, ntop=2)
    spec.out = L.HDF5Output(spec.data, spec.label, hdf5_output_param={"file_name": str(tmp_path / "out.h5")}, ntop=0)
    (tmp_path / "net.prototxt").write_text(str(spec.to_proto()))
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.forward()
    del net  # closes the file
    with h5py.File(tmp_path / "out.h5") as file:
        np.testing.assert_array_equal(file["data"][:].reshape(6, 2, 3), arrays["data"])
        np.testing.assert_array_equal(file["label"][:].ravel(), arrays["label"])


NAMES = """layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "%s" type: "InnerProduct" bottom: "data" top: "x" inner_product_param {
  num_output: 4 weight_filler { type: "gaussian" } } }
layer { type: "ReLU" bottom: "x" top: "x" } layer { type: "TanH" bottom: "x" top: "x" }
layer { name: "%s" type: "InnerProduct" bottom: "x" top: "y" inner_product_param {
  num_output: 4 weight_filler { type: "gaussian" } } }"""


@pytest.mark.parametrize(
    "names", [("3a/1x1", "3a/3x3"), ("conv1", "conv1/bn"), ("a/0", "a"), ("a//b/", "/a"), ("a%2Fb", "a b")]
)
def test_hdf5_takes_any_layer_s_name(names, tmp_path):
    """Layers without names, too; the first five are GoogLeNet's and other people's."""
    (tmp_path / "net.prototxt").write_text(NAMES % names)
    net, other = (caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST) for _ in range(2))
    net.save_hdf5(str(tmp_path / "w.h5"))
    other.copy_from(str(tmp_path / "w.h5"))
    for name in names:
        np.testing.assert_array_equal(other.params[name][0].data, net.params[name][0].data)


def test_a_training_goes_on_from_snapshots_in_hdf5(training):
    path = write_solver(training, snapshot=3, snapshot_format="HDF5", base_lr=0.1, momentum=0.9, snapshot_diff=True)
    first = caffe.get_solver(path)
    first.step(5)
    second = caffe.get_solver(path)
    second.restore(str(training / "run_iter_3.solverstate.h5"))
    second.step(2)
    assert second.iter == 5
    for name in ("fc", "a/b"):
        np.testing.assert_array_equal(second.net.params[name][0].data, first.net.params[name][0].data)


@pytest.mark.parametrize("form", ["HDF5", "BINARYPROTO"])
def test_the_test_nets_of_a_restored_solver_have_its_weights(form, training):
    path = write_solver(training, snapshot_format=form)
    first, second = (caffe.get_solver(path) for _ in range(2))
    first.snapshot()
    second.restore(str(next(training.glob("run_iter_0.solverstate*"))))
    for name in ("fc", "a/b"):
        np.testing.assert_array_equal(second.test_nets[0].params[name][0].data, first.net.params[name][0].data)
    second.net.params["fc"][0].data[...] = 3
    assert (second.test_nets[0].params["fc"][0].data == 3).all()


# --- Losses and accuracy --------------------------------------------------------------------------


DIVISORS = {"BATCH_SIZE": lambda outer, inner, valid: outer, "VALID": lambda outer, inner, valid: max(valid, 1)} | {
    "FULL": lambda outer, inner, valid: outer * inner,
    "NONE": lambda outer, inner, valid: 1,
}


@pytest.mark.parametrize("mode", [*DIVISORS, "normalize", "default"])
@pytest.mark.parametrize("ignore", [-1, None])
def test_sigmoid_cross_entropy(mode, ignore):
    scores, labels = RNG.normal(0, 3, (4, 3, 2)), RNG.integers(-1 if ignore else 0, 2, (4, 3, 2))
    scores[0, 0] = 80, -80  # where exp overflows float32 soon
    fields = {"default": {}, "normalize": {"normalize": True}}.get(mode, {"normalization": getattr(P.Loss, mode, None)})
    fields |= {"ignore_label": ignore} if ignore else {}
    net = built(
        scores=fed(4, 3, 2),
        labels=fed(4, 3, 2),
        loss=lambda s: L.SigmoidCrossEntropyLoss(s.scores, s.labels, loss_param=fields, propagate_down=[True, False]),
    )
    counts = labels != ignore if ignore else np.full(labels.shape, True)
    name = {"default": "BATCH_SIZE", "normalize": "VALID"}.get(mode, mode)
    divisor = DIVISORS[name](4, 6, counts.sum())
    loss = (np.maximum(scores, 0) - scores * labels + np.log1p(np.exp(-np.abs(scores))))[counts].sum() / divisor
    np.testing.assert_allclose(filled(net, scores=scores, labels=labels)["loss"], loss, rtol=1e-5)
    net.backward()
    gradient = np.where(counts, 1 / (1 + np.exp(-scores)) - labels, 0) / divisor
    np.testing.assert_allclose(net.blobs["scores"].diff, gradient, atol=1e-6)


def infogain(matrix, shape, given, folder, axis=1, **loss_param):
    layer = {"axis": axis}
    bottoms = {"scores": fed(*shape), "labels": fed(*np.delete(shape, axis))}
    if given:
        bottoms["matrix"] = fed(1, 1, *matrix.shape)
    else:
        (folder / "h").write_bytes(caffe.io.array_to_blobproto(matrix[None, None]).SerializeToString())
        layer["source"] = str(folder / "h")
    net = built(
        **bottoms,
        loss=lambda s: L.InfogainLoss(
            *(s[name] for name in bottoms),
            infogain_loss_param=layer,
            loss_param=loss_param,
            propagate_down=[True, False, False][: len(bottoms)],
        ),
    )
    if given:
        net.blobs["matrix"].data[...] = matrix
    return net


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("mode", DIVISORS)
def test_infogain(given, axis, mode, tmp_path):
    """Of scores, through softmax: with the identity for H it is SoftmaxWithLoss."""
    shape = (2, 3, 3, 2)
    matrix, scores = RNG.random((3, 3)), RNG.normal(size=shape)
    labels = RNG.integers(-1, 3, np.delete(shape, axis))
    net = infogain(matrix, shape, given, tmp_path, axis, ignore_label=-1, normalization=getattr(P.Loss, mode))
    found = filled(net, scores=scores, labels=labels)["loss"]
    net.backward()
    last = np.moveaxis(scores, axis, -1)
    prob = np.exp(last) / np.exp(last).sum(-1, keepdims=True)
    counts, gains = labels >= 0, matrix[labels]
    outer = int(np.prod(shape[:axis]))
    divisor = DIVISORS[mode](outer, labels.size // outer, counts.sum())
    np.testing.assert_allclose(found, -(gains * np.log(prob)).sum(-1)[counts].sum() / divisor, rtol=1e-5)
    gradient = (prob * gains.sum(-1, keepdims=True) - gains) * counts[..., None] / divisor
    np.testing.assert_allclose(net.blobs["scores"].diff, np.moveaxis(gradient, -1, axis), atol=1e-6)


def test_infogain_of_the_identity_is_softmax_with_loss_and_gives_the_probabilities(tmp_path):
    (tmp_path / "h").write_bytes(caffe.io.array_to_blobproto(np.eye(5)[None, None]).SerializeToString())
    spec = caffe.NetSpec()
    spec.scores, spec.labels = fed(4, 5), fed(4)
    source = {"source": str(tmp_path / "h")}
    spec.one, spec.prob = L.InfogainLoss(
        spec.scores, spec.labels, infogain_loss_param=source, ntop=2, loss_weight=[1, 0]
    )
    spec.other = L.SoftmaxWithLoss(spec.scores, spec.labels)
    net = nets.instantiate(spec.to_proto(), caffe.TRAIN)
    found = filled(net, scores=RNG.normal(size=(4, 5)), labels=[0, 1, 4, 4])
    np.testing.assert_allclose(found["one"], found["other"], rtol=1e-6)
    np.testing.assert_allclose(found["prob"].sum(1), 1, rtol=1e-6)
    with pytest.raises(ValueError, match="H must be 3x3"):
        infogain(np.eye(2), (2, 3), True, tmp_path)


def accuracy(scores, labels, top=1, **fields):
    spec = caffe.NetSpec()
    spec.scores, spec.labels = fed(*np.shape(scores)), fed(*np.shape(labels))
    spec.accuracy, spec.classes = L.Accuracy(spec.scores, spec.labels, top_k=top, ntop=2, **fields)
    net = nets.instantiate(spec.to_proto(), caffe.TEST)
    found = filled(net, scores=scores, labels=labels)
    return float(found["accuracy"]), found["classes"].tolist()


def test_of_equal_scores_the_last_class_comes_first():
    """As in BVLC's tag 1.0, and in the release; 9b89154 calls a label among equals wrong."""
    assert accuracy(np.zeros((2, 3)), [0, 2]) == (0.5, [0, 0, 1])
    assert accuracy(np.zeros((3, 3)), [0, 1, 2], top=2)[1] == [0, 1, 1]
    assert accuracy([[1, 1, 0.0], [1, 1, 2.0]], [1, 0], top=2) == (0.5, [0, 1, 0])


def test_accuracy_of_nothing_is_0_and_nan_is_never_right():
    assert accuracy([[1, 0.0]], [1], ignore_label=1) == (0, [0, 0])
    assert accuracy(np.full((2, 3), np.nan), [0, 1], top=3)[0] == 0


@pytest.mark.parametrize("top", [1, 2, 3])
def test_accuracy_over_maps(top):
    scores, labels = RNG.normal(size=(2, 4, 3, 2)), RNG.integers(0, 4, (2, 3, 2))
    ranks = np.argsort(np.argsort(-scores, 1), 1) < top
    right = np.take_along_axis(ranks, labels[:, None], 1)[:, 0]
    found, classes = accuracy(scores, labels, top)
    np.testing.assert_allclose(found, right.mean(), rtol=1e-6)
    np.testing.assert_allclose(classes, [right[labels == k].mean() if (labels == k).any() else 0 for k in range(4)])


@pytest.mark.parametrize("label", [3, -1])
@pytest.mark.parametrize("kind", ["Accuracy", "SoftmaxWithLoss"])
def test_a_label_beyond_the_classes_is_an_exception(kind, label):
    net = built(scores=fed(2, 3), labels=fed(2), top=lambda s: getattr(L, kind)(s.scores, s.labels))
    with pytest.raises(ValueError, match=str(label)):
        filled(net, labels=label)


def test_accuracy_has_two_tops_at_most():
    spec = caffe.NetSpec()
    spec.scores, spec.labels = fed(2, 3), fed(2)
    spec.a, spec.b, spec.c = L.Accuracy(spec.scores, spec.labels, ntop=3)
    with pytest.raises(ValueError, match="at most 2 top"):
        nets.instantiate(spec.to_proto())


# --- Other layers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [P.Eltwise.SUM, P.Eltwise.PROD, P.Eltwise.MAX])
@pytest.mark.parametrize("shape", [(2, 3, 4), (2, 12), (2, 3, 5, 4), (1, 3, 4, 4)])
def test_eltwise_takes_blobs_of_one_shape(operation, shape):
    with pytest.raises(ValueError, match=r"bottom\[0\]: 2 3 4 4 \(96\), bottom\[1\]: "):
        built(a=fed(2, 3, 4, 4), b=fed(*shape), c=lambda s: L.Eltwise(s.a, s.b, operation=operation))


@pytest.mark.parametrize("shape, axis", [((2, 2), 0), ((4,), 1), ((3, 3), 1), ((3, 1), 1)])
def test_scale_takes_factors_that_fit(shape, axis):
    with pytest.raises(ValueError, match="dimension mismatch between bottom"):
        built(a=fed(2, 3, 4, 4), b=fed(*shape), c=lambda s: L.Scale(s.a, s.b, axis=axis))


def test_scale_takes_numbers_from_the_prototxt(tmp_path):
    message = caffe_pb2.NetParameter()
    message.layer.add(name="data", type="Input", top=["data"]).input_param.shape.add(dim=[2, 3])
    layer = message.layer.add(name="scale", type="Scale", bottom=["data"], top=["scale"])
    layer.scale_param.bias_term = True
    layer.blobs.add(data=[1, 2, 3]).shape.dim[:] = [3]
    layer.blobs.add(data=[10, 20, 30]).shape.dim[:] = [3]
    net = nets.instantiate(message)
    assert [blob.data.tolist() for blob in net.params["scale"]] == [[1, 2, 3], [10, 20, 30]]
    np.testing.assert_array_equal(filled(net, data=1)["scale"], [[11, 22, 33]] * 2)


@pytest.mark.parametrize("size, pad", [(7, 0), (8, 0), (8, 1), (9, 1)])
@pytest.mark.parametrize("mode", ["CEIL", "FLOOR"])
@pytest.mark.parametrize("kind", ["MAX", "AVE"])
def test_pooling_rounds_as_it_is_asked_to(size, pad, mode, kind):
    window = {"kernel_size": 3, "stride": 2, "pad": pad, "round_mode": getattr(P.Pooling, mode)}
    net = built(data=fed(1, 1, size, size), pool=lambda s: L.Pooling(s.data, pool=getattr(P.Pooling, kind), **window))
    whole = (size + 2 * pad - 3) / 2
    expected = int(np.ceil(whole) if mode == "CEIL" else np.floor(whole)) + 1
    if pad and (expected - 1) * 2 >= size + pad:
        expected -= 1
    assert net.blobs["pool"].data.shape[2:] == (expected, expected)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("beta", [1, 0.5, 2])
def test_swish(beta, in_place):
    net = built(data=fed(5, 7), top=lambda s: L.Swish(s.data, beta=beta, in_place=in_place))
    data = RNG.normal(0, 3, (5, 7))
    sigmoid = 1 / (1 + np.exp(-beta * data))
    out = net.outputs[0]
    np.testing.assert_allclose(filled(net, data=data)[out], data * sigmoid, atol=1e-6)
    net.blobs[out].diff[...] = 2
    net.backward()
    slope = sigmoid + beta * data * sigmoid * (1 - sigmoid)
    np.testing.assert_allclose(net.blobs["data"].diff, 2 * slope, atol=1e-5)


@pytest.mark.parametrize("in_place", [False, True])
def test_clip(in_place):
    net = built(data=fed(1, 5), top=lambda s: L.Clip(s.data, min=-1, max=2, in_place=in_place))
    out = net.outputs[0]
    assert filled(net, data=[-3, -1, 0, 2, 5])[out].tolist() == [[-1, -1, 0, 2, 2]]
    net.blobs[out].diff[...] = 3
    net.backward()
    if not in_place:
        assert net.blobs["data"].diff.tolist() == [[0, 3, 3, 3, 0]]


@pytest.mark.parametrize("kind", ["xavier", "msra", "positive_unitball"])
def test_fillers_of_three_dimensional_kernels(kind):
    net = built(
        data=fed(1, 8, 9, 9, 9),
        conv=lambda s: L.Convolution(s.data, num_output=32, kernel_size=3, weight_filler={"type": kind}),
    )
    weight = net.params["conv"][0].data
    assert weight.shape == (32, 8, 3, 3, 3)
    fan_in = 8 * 27
    if kind == "positive_unitball":
        np.testing.assert_allclose(weight.reshape(32, -1).sum(1), 1, rtol=1e-5)
    else:
        np.testing.assert_allclose(weight.std(), np.sqrt((1 if kind == "xavier" else 2) / fan_in), rtol=0.05)


@pytest.mark.parametrize("size", range(1, 8))
def test_a_bilinear_kernel_is_symmetric(size):
    net = built(
        data=fed(1, 1, 4, 4),
        up=lambda s: L.Deconvolution(
            s.data, convolution_param={"num_output": 1, "kernel_size": size, "weight_filler": {"type": "bilinear"}}
        ),
    )
    kernel = net.params["up"][0].data[0, 0]
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-6)
    half = np.ceil(size / 2)
    line = 1 - np.abs(np.arange(size) / half - (size - 1) / (2 * half))
    np.testing.assert_allclose(kernel, np.outer(line, line), atol=1e-6)


def test_batch_norm_layers_of_old_prototxts_share_statistics_by_name():
    names = [{"name": f"bn{i}", "lr_mult": 0} for i in range(3)]
    net = built(
        a=fed(4, 3), b=fed(4, 3), x=lambda s: L.BatchNorm(s.a, param=names), y=lambda s: L.BatchNorm(s.b, param=names)
    )
    net.params["x"][0].data[...] = 5
    assert (net.params["y"][0].data == 5).all()


# --- Solvers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam"])
def test_an_update_counts_as_an_iteration_and_every_solver_has_a_rate(kind, training):
    path = write_solver(training, type=kind, lr_policy="step", stepsize=2, gamma=0.5, base_lr=0.25, delta=1e-6)
    assert isinstance(getattr(caffe, f"{kind}Solver")(path), caffe.SGDSolver)
    for solver in (getattr(caffe, f"{kind}Solver")(path), caffe.get_solver(path)):
        rates = []
        for _ in range(4):
            solver.net.forward()
            solver.net.backward()
            rates.append(solver.lr)
            solver.apply_update()
        assert solver.iter == 4 and rates == [0.25, 0.25, 0.125, 0.125]
    solver.step(2)
    assert solver.iter == 6


def test_a_solver_s_parameters(training):
    solver = caffe.get_solver(write_solver(training, base_lr=0.5, max_iter=7, display=3, layer_wise_reduce=False))
    given = solver.param
    assert (given.base_lr, given.max_iter, given.display, given.layer_wise_reduce) == (0.5, 7, 3, False)
    given.base_lr = 0.125
    assert solver.lr == 0.125


@pytest.mark.parametrize(
    "fields", [dict(lr_policy="step"), dict(lr_policy="sigmoid"), dict(lr_policy="exp", gamma=-0.5)]
)
def test_a_learning_rate_that_cannot_be(fields, training):
    solver = caffe.get_solver(write_solver(training, **fields))
    with pytest.raises(ValueError, match="stepsize|gamma"):
        solver.step(1)


@pytest.mark.parametrize("prefix", [None, ".", "given"])
def test_snapshots_without_a_prefix_are_named_after_the_solver_s_file(prefix, training, monkeypatch):
    monkeypatch.chdir(training)
    solver = caffe.get_solver(write_solver(training, snapshot_prefix=prefix, snapshot=1))
    solver.step(1)
    assert (training / f"{'given' if prefix == 'given' else 'solver'}_iter_1.solverstate").exists()


def test_what_is_called_around_each_layer(training):
    net, calls = caffe.Net(str(training / "net.prototxt"), caffe.TRAIN), []
    for name in ("before_forward", "after_forward", "before_backward", "after_backward"):
        getattr(net, name)(lambda layer, name=name: calls.append((name, layer)))
    net.forward()
    numbers = range(len(net.layers))
    assert calls == [(f"{when}_forward", i) for i in numbers for when in ("before", "after")]
    calls.clear()
    net.backward()
    assert calls == [(f"{when}_backward", i) for i in reversed(numbers) for when in ("before", "after")]

    def fails(layer):
        raise KeyError("mine")

    net.before_forward(fails)
    with pytest.raises(KeyError, match="mine"):
        net.forward()


def test_a_rank_s_nets_and_solvers_are_built_with_a_seed_of_its_own(training):
    path = write_solver(training, random_seed=3)
    first = caffe.get_solver(path).net.params["fc"][0].data.copy()
    caffe.set_solver_rank(1)
    try:
        other = caffe.get_solver(path)
        assert len(other.test_nets) == 1
        other.step(1)
        second = other.net.params["fc"][0].data.copy()
    finally:
        caffe.set_solver_rank(0)
    moved = caffe.get_solver(write_solver(training, random_seed=4))
    moved.step(1)
    np.testing.assert_array_equal(second, moved.net.params["fc"][0].data)
    assert (np.abs(first - second) > 1e-3).any()


LOGGED = """
import sys, caffe
solver = caffe.get_solver(sys.argv[1])
solver.step(3)
solver.net.copy_from(sys.argv[2])
"""


def test_the_log_says_what_a_net_is_made_of_and_what_debug_info_asks_for(training):
    message = caffe_pb2.NetParameter()
    message.layer.add(name="gone", type="InnerProduct")
    (training / "w.caffemodel").write_bytes(message.SerializeToString())
    path = write_solver(training, display=1, debug_info=True)
    words = [sys.executable, "-c", LOGGED, path, str(training / "w.caffemodel")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GLOG")}
    log = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert log.returncode == 0, log.stderr
    for line in (
        "Creating Layer fc",
        "Top shape: 4 3 (12)",
        "Memory required for data: ",
        "fc needs backward computation.",
        "Network initialization done.",
        "    [Forward] Layer fc, top blob fc data: ",
        "    [Backward] Layer fc, param blob 0 diff: ",
        " iter/s, ",
        "Ignoring source layer gone",
    ):
        assert line in log.stderr, line


# --- Fields ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message, field, number",
    [
        ("SolverParameter", "layer_wise_reduce", 41),
        ("SolverParameter", "weights", 42),
        ("LayerParameter", "swish_param", 147),
        ("LayerParameter", "clip_param", 148),
        ("InfogainLossParameter", "axis", 2),
        ("PoolingParameter", "round_mode", 13),
    ],
)
def test_fields_have_bvlc_s_names_and_numbers(message, field, number):
    descriptor = getattr(caffe_pb2, message).DESCRIPTOR
    assert descriptor.fields_by_name[field].number == number
    assert caffe_pb2.ConvolutionParameter().stride_h == 0


# --- What ends the process in BVLC's is an exception ----------------------------------------------


SPOILT = {
    "a solver that is not there": (RuntimeError, "Could not open file", lambda f: caffe.get_solver(str(f / "no"))),
    "an SGDSolver that is not there": (ValueError, "File not found", lambda f: caffe.SGDSolver(str(f / "no"))),
    "a net that is not there": (RuntimeError, "Could not open file", lambda f: caffe.Net(str(f / "no"), caffe.TEST)),
    "a solver's net that is not there": (
        ValueError,
        "File not found: examples/net.prototxt, from the folder ",
        lambda f: caffe.get_solver(write_solver(f, net="examples/net.prototxt")),
    ),
    "a solver of no kind": (
        ValueError,
        "Unknown solver type: Sgd",
        lambda f: caffe.get_solver(write_solver(f, type="Sgd")),
    ),
    "a folder for snapshots that is not there": (
        ValueError,
        "Cannot write to snapshot prefix",
        lambda f: caffe.get_solver(write_solver(f, snapshot_prefix=str(f / "no" / "run"), snapshot=1)),
    ),
    "a snapshot that is not there": (
        ValueError,
        "File not found",
        lambda f: caffe.get_solver(write_solver(f)).restore(str(f / "no.solverstate")),
    ),
    "weights that are not there": (
        ValueError,
        "File not found",
        lambda f: caffe.Net(str(f / "net.prototxt"), caffe.TEST).copy_from(str(f / "no")),
    ),
    "weights that are no weights": (
        ValueError,
        "Failed to parse NetParameter file",
        lambda f: caffe.Net(str(f / "net.prototxt"), caffe.TEST, weights=str(page(f))),
    ),
    "weights of which nothing came": (
        ValueError,
        "w.caffemodel holds no layers",
        lambda f: caffe.Net(str(f / "net.prototxt"), caffe.TEST, weights=str(page(f, ""))),
    ),
    "weights of another shape": (
        ValueError,
        "Source param shape is 2 2 .* To learn this layer's parameters from scratch .* rename the layer",
        lambda f: caffe.Net(str(f / "net.prototxt"), caffe.TEST, weights=str(other_weights(f))),
    ),
    "a prototxt that is none": (
        ValueError,
        "Failed to parse NetParameter file",
        lambda f: caffe.Net(str(pathlib.Path(__file__)), caffe.TEST),
    ),
    "a layer of no type": (ValueError, "Unknown layer type: Nope", lambda f: layer_of(f, "Nope")),
    "LMDB": (
        ValueError,
        "LMDB or LevelDB, which this Caffe was built without; read the data in Python",
        lambda f: layer_of(f, "Data"),
    ),
    "images": (ValueError, "needs OpenCV, .* feed an Input layer", lambda f: layer_of(f, "ImageData")),
    "a Python layer that is not there": (ModuleNotFoundError, "no_such", lambda f: layer_of(f, "Python", PYTHON)),
    "a blob's shape": (
        ValueError,
        "Check failed",
        lambda f: caffe.Net(str(f / "net.prototxt"), 1).blobs["fc"].reshape(-1),
    ),
    "a folder to save to that is not there": (
        ValueError,
        "Check failed",
        lambda f: caffe.Net(str(f / "net.prototxt"), 1).save(str(f / "no" / "w.caffemodel")),
    ),
}
PYTHON = 'python_param { module: "no_such" layer: "L" }'


def page(folder, text="<html>404</html>"):
    (folder / "w.caffemodel").write_text(text)
    return folder / "w.caffemodel"


def other_weights(folder):
    message = caffe_pb2.NetParameter()
    message.layer.add(name="fc", type="InnerProduct", blobs=[caffe.io.array_to_blobproto(np.ones((2, 2)))] * 2)
    (folder / "other.caffemodel").write_bytes(message.SerializeToString())
    return folder / "other.caffemodel"


def layer_of(folder, kind, fields=""):
    (folder / "one.prototxt").write_text(f'layer {{ name: "one" type: "{kind}" top: "one" {fields} }}')
    return caffe.Net(str(folder / "one.prototxt"), caffe.TEST)


@pytest.mark.parametrize("what", SPOILT)
def test_what_ends_bvlc_s_process_is_an_exception_in_its_words(what, training):
    error, words, work = SPOILT[what]
    with pytest.raises(error, match=words):
        work(training)
    assert caffe.Net(str(training / "net.prototxt"), caffe.TEST).forward()  # and the next one is well


@pytest.mark.skipif(bool(build_info.CUDA), reason="what the build for the CPU says")
@pytest.mark.parametrize("ask", [lambda: caffe.set_device(0), lambda: caffe.set_mode_gpu()])
def test_a_card_that_is_not_there_is_an_exception_with_the_way_out(ask, training):
    with pytest.raises(RuntimeError, match="built for the CPU; leave out caffe.set_mode_gpu.*JIGSAW_DEVICE=gpu"):
        ask()
    assert np.isfinite(caffe.Net(str(training / "net.prototxt"), caffe.TEST).forward()["loss"])


def test_the_tool_ends_with_caffe_s_words(training):
    for words in (
        ("time", "--model=no.prototxt"),
        ("test", "--model=no.prototxt", "--weights=no"),
        ("train", "--solver=no"),
    ):
        ended = tool(*words)
        assert ended.returncode == 1 and "File not found: no" in ended.stderr, ended.stderr
