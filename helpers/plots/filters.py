"""Filters: all of a layer's, of one network or of several, what a training changed, one enlarged."""

import numpy as np

from helpers.plots.pages import HALF, PAGE, TITLE, coloured, grids, headline, page, picture, write
from helpers.plots.style import styled


def filters(
    weights, title=None, columns=12, scaling="filter", order="RGB", limit=None, selected=None, width=7.5, numbered=()
):
    """A layer's filters as colour tiles. weights: float (N, 3, k, k), or (N, 1, k, k) for grey ones.

    scaling: "filter" stretches each filter over its own range; "shared" has one scale for all, 0 at mid grey, and
    clips the largest 0.5 % of the weights, which would leave the others pale.
    order: "BGR" for weights trained on BGR images, as the authors' and BVLC's are.
    limit: the weight drawn white where the scaling is shared, instead of these weights' own.
    selected: the place of a filter that is outlined. numbered: those of filters that are outlined with their number.
    """
    return _beside({title: filter_pictures(weights, scaling, order, limit)}, columns, width, selected, numbered)


def filters_beside(weights, columns=8, scaling="filter", order="RGB"):
    """Several networks' filters side by side (Figures 7 and 8). weights: {label: (N, 3, k, k)}, else as `filters`."""
    shown = {label: filter_pictures(values, scaling, order) for label, values in weights.items()}
    return _beside(shown, columns, min(5, 10.5 / len(weights)))


def filter_change(before, after, columns=8, order="RGB"):
    """Filters before and after a training, on one scale, and their difference on a scale of its own, with its size."""
    if np.shape(before) != np.shape(after):
        raise ValueError(f"filters before are {np.shape(before)}, after {np.shape(after)}; compare the same layer")
    change = np.asarray(after) - before
    limit = white_weight(before)
    zoom = f", enlarged {limit / white_weight(change):,.3g} times" if change.any() else ""
    words = f"change{zoom}\n({np.linalg.norm(change) / np.linalg.norm(before):.2%} of the norm before)"
    shown = {"before": (before, limit), "after": (after, limit), words: (change, None)}
    pictures = {title: filter_pictures(values, "shared", order, top) for title, (values, top) in shown.items()}
    return _beside(pictures, columns, 3.5)


@styled
def filter_detail(weight, spectrum, title, limit=None):
    """One filter (3 or 1, k, k), enlarged, and its spectrum (n, n), as filters.spectrum gives it.

    limit: the weight drawn white; None stretches the filter over its own range.
    """
    figure = page(PAGE, TITLE + HALF + 0.45)
    headline(figure, 0, title)
    picture(figure, 0, TITLE, HALF, filter_pictures(weight[None], "shared" if limit else "filter", limit=limit)[0])
    headline(figure, PAGE - HALF, "its spectrum")
    picture(figure, PAGE - HALF, TITLE, HALF, coloured(spectrum, 0, spectrum.max()))
    for share, words, side in ((0, "−0.5", "left"), (0.5, "0\ncycles per pixel", "center"), (1, "0.5", "right")):
        write(figure, PAGE - HALF + share * HALF, TITLE + HALF + 0.05, words, ha=side)
    return figure


def white_weight(weights):
    """The absolute value that "shared" scaling draws as black or white."""
    return np.percentile(np.abs(weights), 99.5) or np.abs(weights).max() or 1.0


def filter_pictures(weights, scaling="filter", order="RGB", limit=None):
    """Filters as pictures, uint8 (N, k, k, 3); arguments as in `filters`."""
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 4 or weights.shape[1] not in (1, 3):
        raise ValueError(
            f"filters are (N, 3, k, k), or (N, 1, k, k); these are {weights.shape}; "
            "choose one input channel of a deeper layer with weights[:, c:c + 1]"
        )
    if scaling not in ("filter", "shared") or order not in ("RGB", "BGR"):
        raise ValueError(f"scaling is {scaling!r}, order {order!r}; choose 'filter' or 'shared', 'RGB' or 'BGR'")
    if scaling == "filter":
        low, high = (edge(axis=(1, 2, 3), keepdims=True) for edge in (weights.min, weights.max))
        pictures = (weights - low) / np.where(high > low, high - low, 1)
    else:
        pictures = np.clip(0.5 + 0.5 * weights / (limit or white_weight(weights)), 0, 1)
    pictures = pictures.transpose(0, 2, 3, 1)[..., :: -1 if order == "BGR" else 1]
    return np.uint8(np.rint(255 * np.broadcast_to(pictures, pictures.shape[:3] + (3,))))


@styled
def _beside(shown, columns, width, selected=None, numbered=()):
    return grids(list(shown.items()), columns, width, selected, numbered=numbered)[0]
