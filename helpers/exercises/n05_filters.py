"""Notebook 05: smoothness at any distance, what a unit sees, and change by two measures."""

import contextlib

import caffe
import numpy as np
from caffe import layers as L, params as P

from helpers import nets
from helpers.exercises.engine import exercise
from helpers.training import device


def smoothness(weights, lag):
    """How alike weights are that lie `lag` pixels apart.

    weights: (filters, channels, k, k). Each filter's own mean is removed; then the mean product of
    weights `lag` apart along rows, and along columns, is taken, the two are averaged and divided by
    the filter's variance. Returns (filters,).
    """
    centred = weights - weights.mean(axis=(1, 2, 3), keepdims=True)
    across = (centred[..., lag:] * centred[..., :-lag]).mean(axis=(1, 2, 3))
    down = (centred[..., lag:, :] * centred[..., :-lag, :]).mean(axis=(1, 2, 3))
    return (across + down) / 2 / (centred**2).mean(axis=(1, 2, 3))


@exercise(
    "05.1",
    "Smoothness at a distance",
    smoothness,
)
def _smoothness(attempt):
    rng = np.random.default_rng(1)
    views = (
        "Two views of the same array: one without its first `lag` columns, one without its last `lag`; then the "
        "same with the rows, and the mean of both."
    )
    own = "The mean is a filter's own, over its channels, rows and columns: axis=(1, 2, 3), keepdims=True."
    square = "Divide by the mean square of the centred filter: then a filter twice as strong is no smoother."
    for lag in (1, 2, 3):
        weights = rng.normal(rng.uniform(-1, 1), 1, (6, 3, 11, 11))
        mine = attempt.array(attempt(weights, lag), (6,), "it returns one number for each filter")
        for wanted, other, hint in (
            ("a constant added to a filter changes nothing", weights + 0.7, own),
            ("a filter twice as strong is as smooth", weights * 2, square),
            ("rows and columns count alike", weights.swapaxes(2, 3), views),
            ("each filter is measured by itself", np.concatenate([weights[:1], weights[1:] * 5 + 3]), own),
        ):
            attempt.must(np.allclose(attempt(other, lag), mine, atol=1e-5), wanted, hint=hint)  # float32 is enough
        wave = np.broadcast_to(np.sin(2 * np.pi * np.arange(12) / (2 * lag) + 0.5), (2, 3, 12, 12))
        near = float(np.asarray(attempt(wave + 0.0, lag))[0])
        words = f"{near:.2f} at lag {lag} for a wave of period {2 * lag} along the rows"
        attempt.must(abs(near) < 0.35, "opposite across and equal down average out", words, views)
        noise = np.asarray(attempt(rng.normal(size=(400, 3, 11, 11)), lag)).mean()
        attempt.must(abs(noise) < 0.02, "noise has smoothness 0, on average", f"{noise:.3f}", views)
        centred = weights[0] - weights[0].mean()
        pairs = [
            [centred[c, y, x] * centred[c, y + down, x + right] for c, y, x in np.ndindex(3, 11 - down, 11 - right)]
            for down, right in ((0, lag), (lag, 0))
        ]
        right = np.mean([np.mean(one) for one in pairs]) / np.mean(centred**2)
        words = f"{mine[0]:.4f} at lag {lag}, pair by pair it is {right:.4f}"
        attempt.must(
            np.isclose(mine[0], right, rtol=1e-3, atol=1e-6),
            "it is the mean product of weights `lag` apart, over the variance",
            words,
            f"{views} {square}",
        )


def how_far(before, after):
    """How far a layer's filters have moved, by two measures.

    before, after: weights of one shape. Returns the length of the way, |after - before|, and the same
    as a share of the length before, |after - before| / |before|; Euclidean, over all weights.
    """
    way = np.linalg.norm((after - before).ravel())
    return way, way / np.linalg.norm(before.ravel())


@exercise(
    "05.2",
    "Absolute and relative change",
    how_far,
)
def _how_far(attempt):
    rng = np.random.default_rng(3)
    root = (
        "The Euclidean length of an array of weights: the root of the sum of their squares, np.linalg.norm(a.ravel())."
    )
    begun = "The share is of the weights before, of where the way began: one length divided by another."
    for _ in range(30):
        before = rng.normal(0, rng.uniform(0.01, 2), (4, 3, 5, 5))
        after = before + rng.normal(0, rng.uniform(0.001, 1), before.shape)
        way, share = attempt.array(attempt(before, after), (2,), "it returns two numbers: the way and the share")
        nothing = attempt.array(attempt(before, before), (2,), "it returns two numbers: the way and the share")
        attempt.must(
            (nothing == 0).all(), "weights that stayed have moved by 0, by both measures", f"{nothing.tolist()}", root
        )
        doubled = np.asarray(attempt(2 * before, 2 * after))
        attempt.must(np.isclose(doubled[0], 2 * way, rtol=1e-4), "weights twice as large go twice as far", hint=root)
        attempt.must(
            np.isclose(doubled[1], share, rtol=1e-4),
            "the share does not depend on how large the weights are",
            hint=begun,
        )
        stretched = np.asarray(attempt(before, 3 * before))
        words = f"{stretched[1]:.3f}: is it a share of the length after?"
        attempt.must(
            np.isclose(stretched[1], 2, rtol=1e-4),
            "weights that tripled have moved by twice their length",
            words,
            begun,
        )
        right = np.sqrt(((after - before) ** 2).sum())
        words = f"{way:.4f} instead of {right:.4f}"
        attempt.must(np.isclose(way, right, rtol=1e-4), "the way is the Euclidean length", words, root)
        right /= np.sqrt((before**2).sum())
        words = f"{share:.4f} instead of {right:.4f}"
        attempt.must(
            np.isclose(share, right, rtol=1e-4), "the share is that length over the length before", words, begun
        )


def sees(layers, unit):
    """The rows of the image that a unit sees.

    layers: [(kernel, stride, pad), ...], convolutions and poolings, the one at the image first.
    unit: the unit's row in the last layer's output, from 0. Returns the first and the last row,
    which may lie outside of the image where padding is.
    """
    first = last = unit
    for kernel, stride, pad in reversed(layers):
        first, last = first * stride - pad, last * stride - pad + kernel - 1
    return first, last


@contextlib.contextmanager
def _on_cpu():
    """There no algorithm mixes in pixels that a unit does not see; on a GPU one by Fourier transform may."""
    caffe.set_mode_cpu()
    try:
        yield
    finally:
        device.use()


def _chain(layers, side):
    """A net of one channel with these layers, positive weights, and no label."""
    spec = caffe.NetSpec()
    top = spec.data = L.Input(shape=dict(dim=[1, 1, side, side]))
    for number, (kernel, stride, pad) in enumerate(layers):
        if number % 2 and not pad:
            top = spec[f"layer{number}"] = L.Pooling(top, pool=P.Pooling.MAX, kernel_size=kernel, stride=stride)
        else:
            size = dict(num_output=1, kernel_size=kernel, stride=stride, pad=pad)
            top = spec[f"layer{number}"] = L.Convolution(
                top, weight_filler=dict(type="uniform", min=0.1, max=1), **size
            )
    return nets.instantiate(spec.to_proto())


@exercise(
    "05.3",
    "What a unit sees",
    sees,
)
@_on_cpu()
def _sees(attempt):
    rng, side = np.random.default_rng(2), 64
    down = (
        "Begin at the unit and go down: which rows of the layer below does it see? Then which rows do those see? Walk "
        "reversed(layers): the first of the list is at the image."
    )
    step = (
        "Row y of a layer sees rows y * stride - pad to y * stride - pad + kernel - 1 of what lies below: the first"
        " follows from the first, the last from the last."
    )
    pads = "Row -2 is the second of the padding above the image: nothing is cut off at 0, and no padding is forgotten."
    chains = [
        [(5, 1, 0)],
        [(3, 2, 1)],
        [(11, 2, 0), (3, 2, 0)],
        [(5, 2, 0), (3, 2, 0), (5, 1, 2), (3, 1, 0)],
        [(3, 3, 2), (2, 1, 0), (4, 2, 1)],
        [(11, 2, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1)],
    ]
    for layers in chains:
        net = _chain(layers, side)
        top = net.blobs[f"layer{len(layers) - 1}"]
        for unit in {0, top.shape[2] // 2, top.shape[2] - 1}:

            def answer(image, net=net, top=top, unit=unit):
                net.blobs["data"].data[...] = image
                net.forward()
                return float(top.data[0, 0, unit, top.shape[3] // 2])

            bounds = attempt.array(attempt(list(layers), unit), (2,), "it returns the first and the last row")
            first, last = np.clip(bounds, 0, side - 1).astype(int)
            image = rng.random((side, side))
            before = answer(image)
            outside = image + 100 * np.isin(np.arange(side), range(first, last + 1), invert=True)[:, None]
            words = f"rows other than {bounds[0]} to {bounds[1]} matter to the unit in row {unit}"
            attempt.must(answer(outside) == before, "pixels outside change nothing", words, down)
            for name, row in (("first", bounds[0]), ("last", bounds[1])):
                if 0 <= row < side:
                    brighter = image.copy()
                    brighter[int(row)] += 1000
                    words = f"row {int(row)} does not matter to the unit in row {unit}"
                    attempt.must(answer(brighter) > before, f"the {name} row is one that the unit sees", words, step)
            known = sees(layers, unit)
            words = f"{bounds.tolist()} instead of {list(known)}"
            attempt.must(tuple(bounds) == known, "where padding is, the rows go on outside of the image", words, pads)
