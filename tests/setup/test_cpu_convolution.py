"""The layers that the CPU build puts in place of the release's: the same numbers, and the same bits again.

That they are the same for any number of threads: tests/training/test_threads.py.
"""

import gc
import multiprocessing
import os
import platform
from pathlib import Path

import caffe
import numpy as np
import pytest
from caffe.proto import caffe_pb2
from hypothesis import given, settings, strategies as st

from helpers import nets
from helpers.training import memory

OURS, RELEASE = caffe_pb2.ConvolutionParameter.DEFAULT, caffe_pb2.ConvolutionParameter.CAFFE


def has_avx2():
    return platform.machine() == "x86_64" and " avx2 " in Path("/proc/cpuinfo").read_text()


def convolution(shape, engine, **parameters):
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": list(shape)})
    spec.conv = caffe.layers.Convolution(spec.data, engine=engine, **parameters)
    net = spec.to_proto()
    net.force_backward = True
    return nets.instantiate(net, caffe.TRAIN)


def passes(net, seed=0):
    """Output, and the gradients of the input, the weights and the bias, for random numbers; gradients add up."""
    rng = np.random.default_rng(seed)
    data, top, parameters = net.blobs["data"], net.blobs["conv"], net.params["conv"]
    for blob in parameters:
        blob.data[...] = rng.standard_normal(blob.data.shape)
        blob.diff[...] = rng.standard_normal(blob.data.shape)
    data.data[...] = rng.standard_normal(data.data.shape)
    net.forward()
    output = top.data.copy()
    top.diff[...] = rng.standard_normal(top.data.shape)
    net.backward()
    return [output, data.diff.copy(), *(blob.diff.copy() for blob in parameters)]


def assert_equal_to_the_release_s(shape, **parameters):
    for ours, theirs in zip(
        passes(convolution(shape, OURS, **parameters)), passes(convolution(shape, RELEASE, **parameters))
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=2e-5 * np.abs(theirs).max())


def errors_of_winograd_s_form(shape, **parameters):
    """Largest differences from the release's layer as shares of its largest number: output, gradients."""
    pairs = zip(passes(convolution(shape, OURS, **parameters)), passes(convolution(shape, RELEASE, **parameters)))
    return [np.abs(ours - theirs).max() / np.abs(theirs).max() for ours, theirs in pairs]


BRANCH = {
    "conv1": ((3, 64, 64), {"num_output": 96, "kernel_size": 11, "stride": 2}),
    "conv2": ((96, 13, 13), {"num_output": 256, "kernel_size": 5, "pad": 2, "group": 2}),
    "conv3": ((256, 6, 6), {"num_output": 384, "kernel_size": 3, "pad": 1}),
    "conv4": ((384, 6, 6), {"num_output": 384, "kernel_size": 3, "pad": 1, "group": 2}),
    "conv5": ((384, 6, 6), {"num_output": 256, "kernel_size": 3, "pad": 1, "group": 2}),
}


@pytest.mark.parametrize("images", [3, 16, 37])
@pytest.mark.parametrize("layer", BRANCH)
def test_the_branch_s_layers(layer, images):
    shape, parameters = BRANCH[layer]
    assert_equal_to_the_release_s((images, *shape), **parameters)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_every_shape(data):
    def draw(low, high):
        return data.draw(st.integers(low, high))

    group, pair = draw(1, 3), {"kernel": (draw(1, 5), draw(1, 5)), "pad": (draw(0, 5), draw(0, 5))}
    pair |= {"stride": (draw(1, 3), draw(1, 3))}
    dilation = draw(1, 2)
    size = [dilation * (k - 1) + 1 + draw(0, 7) for k in pair["kernel"]]
    parameters = {f"{name}_{axis}": value[i] for name, value in pair.items() for i, axis in enumerate("hw")}
    assert_equal_to_the_release_s(
        (draw(1, 40), group * draw(1, 9), *size),
        num_output=group * draw(1, 20),
        group=group,
        dilation=dilation,
        bias_term=draw(0, 1) == 1,
        **parameters,
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_winograd_s_form_is_as_exact(data):
    """3x3 and 5x5 with steps of 1 and enough channels are computed by tiles of 2x2 outputs.

    A gradient of the weights adds up images and places; its bound is for the sum of all of them.
    """

    def draw(low, high):
        return data.draw(st.integers(low, high))

    kernel, group = data.draw(st.sampled_from([3, 5])), draw(1, 2)
    channels, outputs = draw(16, 40), draw(16, 40)
    size = (draw(8, 40), group * channels, draw(kernel, 15), draw(kernel, 15))
    pads = {"pad_h": draw(0, kernel - 1), "pad_w": draw(0, kernel - 1)}
    output, *gradients = errors_of_winograd_s_form(
        size, num_output=group * outputs, group=group, kernel_size=kernel, **pads
    )
    assert output < 1e-5 and gradients[0] < 1e-5
    assert max(gradients[1:]) < 2e-5


@pytest.mark.parametrize("parameters", [{"force_nd_im2col": True}, {"axis": 2}], ids=["N-d code", "another axis"])
def test_unusual_requests_are_the_release_s(parameters):
    assert_equal_to_the_release_s((20, 4, 9, 9), num_output=8, kernel_size=3, **parameters)


def test_a_batch_of_another_size():
    """What an earlier and larger batch left in memory that is used again is not seen."""
    parameters = {"num_output": 12, "kernel_size": 3, "pad": 1}
    net = convolution((40, 5, 7, 7), OURS, **parameters)
    for images in (40, 9, 3, 21):
        net.blobs["data"].reshape(images, 5, 7, 7)
        net.reshape()
        again = convolution((images, 5, 7, 7), OURS, **parameters)
        for left, right in zip(passes(net, images), passes(again, images)):
            np.testing.assert_array_equal(left, right)


def test_the_same_bits_again_and_at_any_place_in_the_batch():
    shape, parameters = BRANCH["conv4"]
    net = convolution((21, *shape), OURS, **parameters)
    first = passes(net)
    for left, right in zip(first, passes(net)):
        np.testing.assert_array_equal(left, right)
    order = np.random.default_rng(1).permutation(21)
    net.blobs["data"].data[...] = net.blobs["data"].data[order]
    net.forward()
    np.testing.assert_array_equal(net.blobs["conv"].data, first[0][order])


@pytest.mark.skipif(not has_avx2(), reason="ours is for processors with AVX2")
def test_ours_is_the_default_and_caffe_s_can_be_asked_for():
    """They round differently: the last bits tell which one ran."""
    shape, parameters = BRANCH["conv3"]
    ours, release = (passes(convolution((16, *shape), engine, **parameters))[0] for engine in (OURS, RELEASE))
    assert (ours != release).any()


def memory_of_a_net():
    """(bytes that passes take beside the blobs, bytes that go with the net, numbers of one image)."""

    def resident():
        gc.collect()
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    net = convolution((16, 16, 200, 200), OURS, num_output=16, kernel_size=3, pad=1)
    arrays = [net.blobs["data"].data, net.blobs["data"].diff, net.blobs["conv"].data, net.blobs["conv"].diff]
    for array in arrays:
        array[...] = 1
    before, largest = resident(), net.blobs["data"].count // 16
    net.forward()
    net.backward()
    taken = resident() - before
    del net, arrays, array
    return taken, before - resident(), largest


def test_intermediate_memory_goes_with_the_net_and_is_counted():
    """In a process of its own: what it takes is shared with other nets that are still there, and goes with the last."""
    with multiprocessing.get_context("spawn").Pool(1) as alone:
        taken, gone, largest = alone.apply(memory_of_a_net)
    assert taken < 4 * 2 * memory.TOGETHER * largest
    if has_avx2():
        assert taken > 4 * memory.TOGETHER * largest  # 41 MB; an image of ours has a border
    assert gone > 3 * 4 * 16 * largest  # nothing of it stays


# --- The small layers -----------------------------------------------------------------------------


def small_layer(kind, engine, images, data, **parameters):
    """Output and gradient of the input, for given numbers."""
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": list(images.shape)})
    spec.top = getattr(caffe.layers, kind)(spec.data, engine=engine, **parameters)
    net = spec.to_proto()
    net.force_backward = True
    net = nets.instantiate(net, caffe.TRAIN)
    net.blobs["data"].data[...] = images
    net.forward()
    top = net.blobs[net.outputs[0]]  # "data" where it is done in place
    output = top.data.copy()
    top.diff[...] = np.random.default_rng(data).standard_normal(output.shape)
    net.backward()
    return output, net.blobs["data"].diff.copy()


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.integers(1, 4),
    stride=st.integers(1, 6),
    pad=st.integers(0, 3),
    pool=st.sampled_from([caffe.params.Pooling.MAX, caffe.params.Pooling.AVE]),
    size=st.tuples(*[st.integers(1, 3)] * 2, *[st.integers(4, 9)] * 2),
    seed=st.integers(0, 99),
)
def test_pooling_is_the_release_s_to_the_last_bit(kernel, stride, pad, pool, size, seed):
    """Whole numbers, so that many are equal: the first of the largest gets the gradient. NaN: test_caffe_cpp.py."""
    images = np.random.default_rng(seed).integers(-2, 3, size)
    window = {"kernel_size": kernel, "stride": stride, "pad": min(pad, kernel - 1), "pool": pool}
    results = [small_layer("Pooling", engine, images, seed, **window) for engine in (OURS, RELEASE)]
    for ours, theirs in zip(*results):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("engine", [OURS, RELEASE])
def test_nan_is_the_maximum_of_its_windows_and_the_layer_above_reads_no_mask_before_its_blob(engine):
    images = np.zeros((2, 3, 5, 5))
    images[0, 0, 2, 2] = np.nan
    pooled, gradient = small_layer("Pooling", engine, images, 0, kernel_size=2, stride=2)
    assert np.isnan(pooled[0, 0, 1, 1]) and np.isnan(pooled).sum() == 1
    assert gradient[0, 0, 2, 2] != 0 and np.isfinite(gradient).all()


def test_maximum_of_nothing_and_its_place_are_left_out_when_unpooled():
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": [1, 1, 4, 4]})
    spec.pool, spec.mask = caffe.layers.Pooling(
        spec.data, kernel_size=1, stride=3, pool=caffe.params.Pooling.MAX, ntop=2
    )
    spec.back = caffe.layers.MaxUnPool(spec.pool, spec.mask, max_unpool_param={"dst_h": 4, "dst_w": 4})
    net = nets.instantiate(spec.to_proto(), caffe.TEST)
    net.blobs["data"].data[...] = -np.inf  # no number above -FLT_MAX: no place
    net.forward()
    assert (net.blobs["mask"].data == -1).all() and (net.blobs["back"].data == 0).all()


@pytest.mark.parametrize("slope", [0, 0.1])
@pytest.mark.parametrize("in_place", [False, True])
def test_relu_is_the_release_s_to_the_last_bit(slope, in_place):
    images = np.random.default_rng(0).standard_normal((3, 2, 5, 7))
    images[0] = 0
    images[1, 0, :3, 0] = np.nan, np.inf, -np.inf
    results = [
        small_layer("ReLU", engine, images, 1, negative_slope=slope, in_place=in_place) for engine in (OURS, RELEASE)
    ]
    for ours, theirs in zip(*results):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(
    local_size=st.sampled_from([1, 3, 5, 9]),
    alpha=st.floats(1e-4, 1),
    k=st.floats(0.5, 2),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 12), st.integers(1, 5), st.integers(1, 5)),
    seed=st.integers(0, 99),
)
def test_lrn_without_pow(local_size, alpha, k, shape, seed):
    """The formula of Krizhevsky et al. 2012, section 3.3, as Caffe has it (alpha over size), and its derivative."""
    images = (3 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32).astype(float)
    channel = np.arange(shape[1])
    near = (np.abs(channel[:, None] - channel) <= local_size // 2) * alpha / local_size
    scale = k + np.einsum("ck,nkhw->nchw", near, images**2)
    expected = images * scale**-0.75
    window = {"local_size": local_size, "alpha": alpha, "beta": 0.75, "k": k}
    output, gradient = small_layer("LRN", OURS, images, seed, **window)
    np.testing.assert_allclose(output, expected, rtol=1e-5)
    above = np.random.default_rng(seed).standard_normal(shape)
    below = above * scale**-0.75 - 1.5 * images * np.einsum("kc,nkhw->nchw", near, above * expected / scale)
    np.testing.assert_allclose(gradient, below, rtol=1e-4, atol=1e-5 * np.abs(below).max())


def test_alexnet_s_lrn_is_the_release_s():
    images = 10 * np.random.default_rng(0).random((3, 96, 13, 13))
    window = {"local_size": 5, "alpha": 1e-4, "beta": 0.75}
    for ours, theirs in zip(*[small_layer("LRN", engine, images, 0, **window) for engine in (OURS, RELEASE)]):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-6 * np.abs(theirs).max())


@settings(max_examples=40, deadline=None)
@given(
    local_size=st.sampled_from([1, 3, 5]),
    alpha=st.floats(1e-4, 1),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(5, 9), st.integers(5, 9)),
    seed=st.integers(0, 99),
)
def test_lrn_within_a_channel_is_the_release_s(local_size, alpha, shape, seed):
    images = 3 * np.random.default_rng(seed).standard_normal(shape)
    window = {"local_size": local_size, "alpha": alpha, "norm_region": caffe.params.LRN.WITHIN_CHANNEL}
    for ours, theirs in zip(*[small_layer("LRN", engine, images, 0, **window) for engine in (OURS, RELEASE)]):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=2e-6 * np.abs(theirs).max())


@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
def test_another_power_is_the_release_s(region):
    images = np.random.default_rng(0).standard_normal((2, 3, 6, 5))
    window = {"local_size": 3, "beta": 0.5, "norm_region": getattr(caffe.params.LRN, region)}
    for ours, theirs in zip(*[small_layer("LRN", engine, images, 0, **window) for engine in (OURS, RELEASE)]):
        np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    axis=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_softmax_is_the_release_s_to_the_last_bit(shape, axis, seed):
    scores = 5 * np.random.default_rng(seed).standard_normal(shape)
    results = [
        small_layer("Softmax", engine, scores, seed, axis=min(axis, len(shape) - 1)) for engine in (OURS, RELEASE)
    ]
    for ours, theirs in zip(*results):
        np.testing.assert_array_equal(ours, theirs)


def one_layer(layer, shape, passes=1):
    """(input, gradient of the output, output, gradient of the input, parameters) of a net of one layer, top."""
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": list(shape)})
    spec.top = layer(spec.data)
    net = spec.to_proto()
    net.force_backward = True
    net = nets.instantiate(net, caffe.TRAIN)
    rng = np.random.default_rng(0)
    for blob in net.params.get("top", ()):
        blob.data[...] = rng.standard_normal(blob.data.shape)
        blob.diff[...] = 0
    data = rng.standard_normal(shape).astype(np.float32)
    top = net.blobs[net.outputs[0]]
    for _ in range(passes):
        net.blobs["data"].data[...] = data
        net.forward()
        output = top.data.copy()
        top.diff[...] = gradient = np.random.default_rng(1).standard_normal(output.shape).astype(np.float32)
        net.backward()
    return data, gradient, output, net.blobs["data"].diff.copy(), net.params.get("top")


@pytest.mark.parametrize("shape", [(8, 40, 5, 3), (5, 3, 7, 7), (9, 20), (1, 2, 3, 3), (4, 17, 2)])
def test_batch_norm_is_that_of_the_paper(shape):
    """Ioffe and Szegedy 2015, arXiv 1502.03167, algorithm 1 and the gradients below it, without gamma and beta."""
    data, above, output, below, statistics = one_layer(
        lambda bottom: caffe.layers.BatchNorm(bottom, moving_average_fraction=0.9), shape
    )
    over = tuple(axis for axis in range(len(shape)) if axis != 1)
    count, x, dy = data.size / shape[1], data.astype(float), above.astype(float)
    mean, variance = x.mean(over, keepdims=True), x.var(over, keepdims=True)
    y = (x - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(output, y, rtol=1e-5, atol=2e-6)
    slope = (dy * y).mean(over, keepdims=True)
    expected = (dy - dy.mean(over, keepdims=True) - y * slope) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(below, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    rng = np.random.default_rng(0)  # the statistics before, as one_layer drew them
    before = [rng.standard_normal(blob.data.shape) for blob in statistics]
    unbiased = variance.ravel() * (count / (count - 1) if count > 1 else 1)
    for blob, old, new in zip(statistics, before, (mean.ravel(), unbiased, 1)):
        np.testing.assert_allclose(blob.data, 0.9 * old + new, rtol=1e-5, atol=1e-6)


def test_batch_norm_in_the_test_phase_uses_what_it_has_seen():
    """Forward and, as for pictures that drive a unit, backward."""
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": [6, 20, 3, 3]})
    spec.top = caffe.layers.BatchNorm(spec.data)
    proto = spec.to_proto()
    proto.force_backward = True
    net, rng = nets.instantiate(proto, caffe.TEST), np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 6, 20, 3, 3))
    mean, variance, weight = rng.standard_normal(20), rng.random(20), 2.5
    for blob, values in zip(net.params["top"], (mean, variance, weight)):
        blob.data[...] = values
    net.blobs["data"].data[...] = x
    net.forward()
    deviation = np.sqrt(variance / weight + 1e-5)[:, None, None]
    expected = (x - (mean / weight)[:, None, None]) / deviation
    np.testing.assert_allclose(net.blobs["top"].data, expected, rtol=1e-4, atol=1e-5)
    net.blobs["top"].diff[...] = dy
    net.backward()
    np.testing.assert_allclose(net.blobs["data"].diff, dy / deviation, rtol=1e-5)
    np.testing.assert_allclose(net.params["top"][2].data, weight)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape, axis", [((8, 40, 5, 3), 1), ((3, 4, 2, 5), 2), ((7, 9), 1), ((2, 3, 4, 4), 0)])
def test_scale_multiplies_and_adds_up_its_gradients(shape, axis, bias, in_place):
    parameters = {"axis": axis, "bias_term": bias}
    data, above, output, below, blobs = one_layer(
        lambda bottom: caffe.layers.Scale(bottom, in_place=in_place, **parameters), shape, passes=2
    )
    wide = [1] * len(shape)
    wide[axis] = shape[axis]
    factor = blobs[0].data.reshape(wide)
    np.testing.assert_allclose(
        output, data * factor + (blobs[1].data.reshape(wide) if bias else 0), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(below, above * factor, rtol=1e-6)
    over = tuple(i for i in range(len(shape)) if i != axis)
    for blob, expected in zip(blobs, ((data * above).sum(over), above.sum(over))):  # of two passes
        np.testing.assert_allclose(blob.diff, 2 * expected, rtol=1e-4, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 150), st.integers(1, 300), st.integers(1, 40), st.booleans(), st.booleans())
def test_inner_product_in_slices(images, outputs, inputs, transpose, bias):
    layer = lambda bottom: caffe.layers.InnerProduct(  # noqa: E731
        bottom, num_output=outputs, transpose=transpose, bias_term=bias
    )
    data, above, output, below, blobs = one_layer(layer, (images, inputs), passes=2)
    weights = blobs[0].data.T if transpose else blobs[0].data
    close = {"rtol": 1e-4, "atol": 2e-4}
    np.testing.assert_allclose(output, data @ weights.T + (blobs[1].data if bias else 0), **close)
    np.testing.assert_allclose(below, above @ weights, **close)
    of_weights = 2 * above.T @ data
    np.testing.assert_allclose(blobs[0].diff, of_weights.T if transpose else of_weights, rtol=1e-4, atol=1e-3)
    if bias:
        np.testing.assert_allclose(blobs[1].diff, 2 * above.sum(0), rtol=1e-4, atol=1e-3)


def test_dropout_draws_the_release_s_numbers():
    """One generator, boost's: 0 with probability ratio, else divided by what is left, and the same in the gradient."""
    caffe.set_random_seed(3)
    data, above, output, below, _ = one_layer(
        lambda bottom: caffe.layers.Dropout(bottom, dropout_ratio=0.3), (50, 4000)
    )
    kept = output != 0
    assert abs(kept.mean() - 0.7) < 0.005
    np.testing.assert_allclose(output, np.where(kept, data / 0.7, 0), rtol=1e-6)
    np.testing.assert_allclose(below, np.where(kept, above / 0.7, 0), rtol=1e-6)


def test_adam_is_that_of_the_paper(tmp_path):
    """Kingma and Ba 2015, arXiv 1412.6980, algorithm 1 with the step size of section 2; eps is not in the root."""
    spec = caffe.NetSpec()
    spec.data = caffe.layers.Input(shape={"dim": [4, 70_000]})
    spec.label = caffe.layers.Input(shape={"dim": [4, 1]})
    spec.fc = caffe.layers.InnerProduct(spec.data, num_output=1, bias_term=False, weight_filler={"type": "xavier"})
    spec.loss = caffe.layers.EuclideanLoss(spec.fc, spec.label)
    (tmp_path / "net.prototxt").write_text(str(spec.to_proto()))
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" type: "Adam" base_lr: 0.01 lr_policy: "fixed" momentum: 0.8 momentum2: 0.99 '
        f'delta: 0.1 snapshot_prefix: "{tmp_path}/part" solver_mode: CPU random_seed: 1'
    )
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    assert isinstance(solver, caffe.AdamSolver)
    x = np.random.default_rng(0).standard_normal((4, 70_000))
    solver.net.blobs["data"].data[...] = x
    w = solver.net.params["fc"][0].data.astype(float).ravel()
    mean = square = 0
    for step in range(1, 4):
        solver.step(1)
        gradient = x.T @ (x @ w) / 4
        mean, square = 0.8 * mean + 0.2 * gradient, 0.99 * square + 0.01 * gradient**2
        w = w - 0.01 * np.sqrt(1 - 0.99**step) / (1 - 0.8**step) * mean / (np.sqrt(square) + 0.1)
        np.testing.assert_allclose(solver.net.params["fc"][0].data.ravel(), w, rtol=1e-4, atol=5e-6)
