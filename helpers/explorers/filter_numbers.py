"""Convolution filters in numbers: how strong, how colourful, how smooth, which frequencies, which resembles which.

weights are a layer's, float (filters, channels, k, k), as `net.params[layer][0].data` holds them.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

SPECTRUM_SIZE = 32  # a filter is padded with zeros to this side before its spectrum is taken: same values, drawn finer


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
