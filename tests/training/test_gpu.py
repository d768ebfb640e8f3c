"""On a machine with a GPU: the same numbers as on the CPU, through Caffe's own convolution and through cuDNN."""

import os
from dataclasses import replace

os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # float32 products, for comparison; read when cuDNN starts

import caffe  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from caffe import build_info  # noqa: E402
from caffe.proto import caffe_pb2  # noqa: E402

from helpers import nets, recipes, solver, weights
from helpers.data import examples
from helpers.training import device, run_folder

pytestmark = pytest.mark.skipif(device.obstacle() is not None, reason=f"no GPU: {device.obstacle()}")
ENGINES = ["CAFFE", pytest.param("CUDNN", marks=pytest.mark.skipif(not build_info.CUDNN, reason="built without cuDNN"))]
CLASSES, BATCH = 10, 16


def with_engine(net, name):
    """The same prototxt with every convolution on one engine; "CUDNN" is what DEFAULT takes on a GPU."""
    for layer in net.layer:
        if layer.type == "Convolution":
            layer.convolution_param.engine = caffe_pb2.ConvolutionParameter.Engine.Value(name)
    return net


def batch(seed, count=BATCH):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 3, 64, 64)).astype(np.float32), rng.integers(CLASSES, size=count)


def passes(mode, net, start, data, labels):
    """(scores, {layer: gradients}, {layer: weights afterwards}) of one forward and backward pass."""
    mode()
    net = nets.instantiate(net, caffe.TRAIN)
    weights.transplant(start, net, list(start))
    examples.feed(net, data, labels)
    net.forward()
    net.clear_param_diffs()
    net.backward()
    gradients = {name: [blob.diff.copy() for blob in blobs] for name, blobs in net.params.items()}
    return net.blobs[examples.score_blob(net)].data.copy(), gradients, weights.of(net)


def on_gpu():
    caffe.set_device(0)
    caffe.set_mode_gpu()


@pytest.fixture(scope="module")
def start():
    caffe.set_mode_cpu()
    return weights.of(nets.instantiate(nets.branch(CLASSES, fillers="he"), caffe.TRAIN))


def relative(left, right):
    return np.linalg.norm(left - right) / np.linalg.norm(right)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("count", [1, BATCH])
def test_forward_and_gradients_as_on_the_cpu(engine, count, start):
    scores, gradients, _ = passes(caffe.set_mode_cpu, nets.branch(CLASSES), start, *batch(0, count))
    gpu_scores, gpu_gradients, _ = passes(on_gpu, with_engine(nets.branch(CLASSES), engine), start, *batch(0, count))
    assert relative(gpu_scores, scores) < 1e-5
    for name, blobs in gradients.items():
        for mine, theirs in zip(gpu_gradients[name], blobs):
            assert relative(mine, theirs) < 1e-3, name  # a max-pool tie moves a gradient to a neighbour


@pytest.mark.parametrize("puzzles", [2, 8])
def test_batch_norm_as_on_the_cpu(puzzles):
    def cfn():
        options = dict(fc6=64, fc7=128, fillers="he", batch_norm=True, batch_norm_fc=True, dropout=False, width=0.25)
        return nets.stacked_cfn(CLASSES, 64, puzzles, **options)

    caffe.set_mode_cpu()
    start = weights.of(nets.instantiate(cfn(), caffe.TRAIN))
    rng = np.random.default_rng(puzzles)
    data = rng.normal(size=(puzzles, 27, 64, 64)).astype(np.float32)
    labels = rng.integers(CLASSES, size=puzzles)
    scores, gradients, after = passes(caffe.set_mode_cpu, cfn(), start, data, labels)
    gpu_scores, gpu_gradients, gpu_after = passes(on_gpu, cfn(), start, data, labels)
    assert relative(gpu_scores, scores) < 1e-3
    for name, blobs in after.items():  # BatchNorm's running mean and variance among them
        for mine, theirs in zip(gpu_after[name], blobs):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5, err_msg=name)
    for name in set(gradients) - {name for name in gradients if name.startswith("bn")}:
        # A bias before BatchNorm has no effect: its gradient is rounding.
        count = 2 if name.startswith(("scale", "fc8")) else 1
        for mine, theirs in zip(gpu_gradients[name][:count], gradients[name]):
            assert relative(mine, theirs) < 2e-2, name


@pytest.mark.parametrize("engine", ENGINES)
def test_ten_adam_steps_as_on_the_cpu(engine, start, tmp_path):
    def train(mode, net, name):
        mode()
        path = tmp_path / f"{name}.prototxt"
        path.write_text(str(net))
        recipe = replace(recipes.CIFAR100_FINE_TUNE, base_lr=1e-5)  # at 5e-4 even rounding takes another course
        parameter = solver.solver_parameter(recipe, path, per_epoch=10)
        (tmp_path / f"{name}_solver.prototxt").write_text(str(parameter))
        adam = caffe.get_solver(str(tmp_path / f"{name}_solver.prototxt"))
        weights.transplant(start, adam.net, list(start))
        losses = []
        for step in range(10):
            examples.feed(adam.net, *batch(step))
            adam.step(1)
            losses.append(float(adam.net.blobs["loss"].data))
        return losses, weights.of(adam.net)

    losses, trained = train(caffe.set_mode_cpu, nets.branch(CLASSES), "cpu")
    gpu_losses, gpu_trained = train(on_gpu, with_engine(nets.branch(CLASSES), engine), engine)
    np.testing.assert_allclose(gpu_losses, losses, rtol=2e-3)
    for name, blobs in trained.items():
        assert relative(gpu_trained[name][0], blobs[0]) < 5e-3, name


@pytest.mark.skipif(not build_info.CUDNN, reason="built without cuDNN")
def test_cudnn_follows_a_batch_of_another_size(start):
    on_gpu()
    net = nets.instantiate(with_engine(nets.branch(CLASSES), "CUDNN"), caffe.TEST)
    weights.transplant(start, net, list(start))
    data, labels = batch(3, 32)
    examples.feed(net, data, labels)
    whole = net.forward() and net.blobs["fc6"].data.copy()
    for part in (slice(0, 5), slice(5, 32)):
        examples.feed(net, data[part], labels[part])
        net.forward()
        np.testing.assert_allclose(net.blobs["fc6"].data, whole[part], rtol=1e-4, atol=1e-5)


def test_the_run_folder_names_the_card(monkeypatch):
    monkeypatch.setenv("JIGSAW_DEVICE", "gpu")
    assert run_folder.provenance()["device"] == device.describe() != "CPU"
