"""Convolution filters in numbers: how strong, how colourful, how smooth, which frequencies, which resembles which.

weights are a layer's, float (filters, channels, k, k), as `net.params[layer][0].data` holds them.
"""

import functools

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.special import entr

SPECTRUM_SIZE = 32  # a filter is padded with zeros to this side before its spectrum is taken: same values, drawn finer

ANGLES = 24  # directions in half a turn in which a filter's spectrum is read: fine enough for bands of five periods
CHANCE = 0.01  # share of noise that passes for a band, and for a circle
KINDS = BANDS, CIRCLES, OTHER = "bands", "circles", "neither"


def norms(weights):
    """Euclidean norm of each filter, (filters,): its strength."""
    return np.linalg.norm(weights.reshape(len(weights), -1), axis=1)


def colourfulness(weights):
    """Share of a filter's energy that is not common to its three colour channels, 0 (grey) to 1, (filters,)."""
    grey = weights.mean(axis=1, keepdims=True)
    return ((weights - grey) ** 2).sum(axis=(1, 2, 3)) / (weights**2).sum(axis=(1, 2, 3))


def smoothness(weights):
    """Correlation of horizontally and vertically neighbouring weights, (filters,): noise 0, a smooth blob near 1."""
    centred = weights - weights.mean(axis=(1, 2, 3), keepdims=True)
    across = (centred[..., 1:] * centred[..., :-1]).mean(axis=(1, 2, 3))
    down = (centred[..., 1:, :] * centred[..., :-1, :]).mean(axis=(1, 2, 3))
    return (across + down) / 2 / (centred**2).mean(axis=(1, 2, 3))


def change(before, after):
    """|after - before| / |before| of each filter, (filters,)."""
    _same_shape(before, after)
    return norms(np.subtract(after, before)) / norms(before)


def spectrum(weight):
    """Magnitude of a filter's Fourier transform, root of the sum of squares over its channels.

    weight: (channels, k, k). Returns (SPECTRUM_SIZE, SPECTRUM_SIZE), frequency 0 at [SPECTRUM_SIZE // 2] * 2, which
    runs from -1/2 to 1/2 cycles per pixel.
    """
    transformed = np.fft.fft2(weight, s=(SPECTRUM_SIZE, SPECTRUM_SIZE))
    return np.fft.fftshift(np.sqrt((np.abs(transformed) ** 2).sum(axis=0)))


def patterns(weights):
    """What repeats in each filter, from its power spectrum on circles of 1, 2, ... k // 2 periods across the filter.

    Read is the picture that varies most of all mixtures of a filter's channels (their first principal component), which
    leaves noise in other colours aside. No window: over 11 pixels Hann's halves the resolution, and noise passes for
    bands more easily. Returns a dictionary of arrays (filters,), float64 but for the first:

    periods: int, of the strongest frequency; 0 where that is the filter's own mean, in a blob or a plain colour.
    orientation: axis of the bands in degrees, 0 lying to 90 upright, counter-clockwise, below 180.
    bandedness: coherence (l1 - l2) / (l1 + l2) of the second-moment matrix of the spectrum's directions (Bigun &
        Granlund 1987) on the circle of that many periods, which is the mean resultant length of their doubled angles
        (Mardia & Jupp 2000): 0 is no axis, 1 is all along one.
    circularity: entropy of the power over the directions of that circle, as a share of the largest possible: 1 is the
        same in every direction, as in rings or a centre and its surround.

    Where periods is 0, orientation is NaN and the last two are 0. None knows the phase: noise that is even in all
    directions is a circle, too.
    """
    count, channels, side = np.shape(weights)[:3]
    flat = np.asarray(weights, np.float64).reshape(count, channels, -1)
    varying = flat - flat.mean(axis=2, keepdims=True)
    colour = np.linalg.eigh(varying @ varying.transpose(0, 2, 1))[1][:, None, :, -1]
    own_mean = (flat.sum(axis=2) ** 2).sum(axis=1)
    down, across = np.indices((side, side)).reshape(2, -1)
    angles = np.arange(ANGLES) * np.pi / ANGLES
    radii = np.arange(1, side // 2 + 1)[:, None]
    waves = np.outer(across, radii * np.cos(angles)) + np.outer(down, radii * np.sin(angles))
    power = np.abs((colour @ varying)[:, 0] @ np.exp(-2j * np.pi / side * waves)) ** 2
    power = power.reshape(count, len(radii), ANGLES)
    strongest = power.max(axis=2)
    periods = np.where(strongest.max(axis=1) > own_mean, 1 + strongest.argmax(axis=1), 0)
    ring = power[np.arange(count), np.maximum(periods, 1) - 1]
    share = ring / np.maximum(ring.sum(axis=1, keepdims=True), np.finfo(float).tiny) * (periods > 0)[:, None]
    axis = share @ np.exp(2j * angles)
    return {
        "periods": periods,
        # bands lie across the direction in which they vary
        "orientation": np.where(periods > 0, (90 - np.degrees(np.angle(axis)) / 2) % 180, np.nan),
        "bandedness": np.abs(axis),
        "circularity": entr(share).sum(axis=1) / np.log(ANGLES),
    }


@functools.cache
def chance(side=11, filters=10_000):
    """What of `patterns` only CHANCE of noise exceeds: {"bandedness" or "circularity": (1 + side // 2,), by periods}.

    The noise is white, or smoothed by Gaussians of 1/2 to 2 pixels, a fifth each, in three channels; compared is noise
    of as many periods. Seeded: the same each time.
    """
    blur, margin = np.array([0.1, 0.5, 1, 1.5, 2])[:, None, None], 4
    distances = np.arange(side)[:, None] + margin - np.arange(side + 2 * margin)
    smooth = np.exp(-0.5 * (distances / blur) ** 2)[:, None, None]
    shape = (len(blur), filters // len(blur), 3, side + 2 * margin, side + 2 * margin)
    noise = smooth @ np.random.default_rng(0).standard_normal(shape, np.float32) @ smooth.swapaxes(-1, -2)
    found = patterns(noise.reshape(-1, 3, side, side))
    alike = [found["periods"] == periods for periods in range(1, 1 + side // 2)]
    return {
        name: np.array([1, *(np.quantile(found[name][those], 1 - CHANCE) for those in alike)])
        for name in ("bandedness", "circularity")
    }


def kinds(weights):
    """The kind of each filter, str (filters,): one of KINDS. Bands and circles are beyond what `chance` gives."""
    found, limits = patterns(weights), chance(np.shape(weights)[-1])
    beyond = [found[name] > limits[name][found["periods"]] for name in ("bandedness", "circularity")]
    return np.select(beyond, [BANDS, CIRCLES], OTHER)


def match(first, second):
    """Which filter of `second` stands beside each of `first`: one to one, so that the sum of correlations is largest.

    Returns (order, correlations), both (filters,): second[order[i]] resembles first[i]. The correlation is that of
    the weights with their mean removed; a constant filter correlates with none. Solved exactly, by scipy's
    linear_sum_assignment. Raises ValueError where the two differ in shape.
    """
    _same_shape(first, second)
    unit = [_unit_vectors(weights) for weights in (first, second)]
    correlations = unit[0] @ unit[1].T
    rows, order = linear_sum_assignment(correlations, maximize=True)
    return order, correlations[rows, order]


def _unit_vectors(weights):
    vectors = np.asarray(weights, np.float64).reshape(len(weights), -1)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _same_shape(first, second):
    if np.shape(first) != np.shape(second):
        raise ValueError(f"filters are {np.shape(first)} and {np.shape(second)}; compare layers of one shape")
