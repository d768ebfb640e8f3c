"""Figures made of pictures: images, puzzles, filters, activations. Notebooks call them from plots, like the others."""

import math
import textwrap

import numpy as np
from matplotlib.patches import Rectangle

from helpers import jigsaw
from helpers.drawing import ORANGE, one_axes, panels, styled


@styled
def image_grid(images, titles=None, columns=8, title=None):
    """Images (a sequence of (H, W, 3) or (H, W), uint8; floats are stretched by one scale for all) in rows."""
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"{len(images)} images have {len(titles)} titles; give one each")
    columns = min(columns, len(images))
    width = min(2, 10 / columns)
    figure, grid = panels(math.ceil(len(images) / columns), columns, width, text=bool(titles))
    for axes, image, words in zip(grid.flat, as_pictures(images), titles or [""] * len(images)):
        axes.imshow(image, cmap="gray", vmin=0, vmax=255)
        axes.set_title(textwrap.fill(words, int(12 * width)), fontsize=10, fontweight="normal", loc="center")
    if title:
        figure.suptitle(title, x=0.01, ha="left")
    return figure


@styled
def class_examples(image_set, per_class=8):
    """The first images of each class, one class per row, the class name at its left. image_set: a datasets.ImageSet."""
    side = image_set.images.shape[1]
    rows = np.full((len(image_set.class_names), per_class) + image_set.images.shape[1:], 255, dtype=np.uint8)
    for label, row in enumerate(rows):
        found = image_set.images[image_set.labels == label][:per_class]
        row[: len(found)] = found
    figure, axes = one_axes("", "", size=(1.3 + 0.75 * per_class, 0.2 + 0.76 * len(rows)))
    axes.imshow(mosaic(rows.reshape(-1, *rows.shape[2:]), per_class, gap=255))
    axes.set_yticks(np.arange(len(rows)) * (side + 1) + side / 2, image_set.class_names)
    axes.set_xticks([])
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return figure


@styled
def tiles(tiles, permutation=None, title=None):
    """Nine tiles (9, t, t, 3) as a 3x3 grid, each with the number of its cell: 1..9, or as the permutation says."""
    figure, grid = panels(1, 1, width=4.2)
    _tiles_on(grid[0, 0], tiles, permutation, title)
    return figure


@styled
def puzzle(photo, tiles, shuffled, permutation):
    """From photograph to puzzle in three panels: the photo, its tiles (9, t, t, 3), the same tiles shuffled."""
    figure, grid = panels(1, 3, width=3.4)
    grid[0, 0].imshow(photo)
    grid[0, 0].set_title("photograph")
    _tiles_on(grid[0, 1], tiles, None, "nine tiles")
    _tiles_on(grid[0, 2], shuffled, permutation, "the puzzle")
    return figure


@styled
def grid_on_photo(photo, cells, cell, corners, tile):
    """Where tiles are cut from a photo (H, W, 3): cells and tiles as squares.

    cells, corners: (9, 2) rows and columns, from jigsaw.cell_corners and jigsaw.tile_corners.
    """
    figure, grid = panels(1, 1, width=5.5, ratio=photo.shape[0] / photo.shape[1])
    grid[0, 0].imshow(photo)
    for positions, size, colour, width in ((cells, cell, "white", 1.3), (corners, tile, ORANGE, 2.2)):
        for row, column in positions:
            square = Rectangle((column - 0.5, row - 0.5), size, size, fill=False, edgecolor=colour, linewidth=width)
            grid[0, 0].add_patch(square)
    grid[0, 0].set_title(f"cells of {cell} pixels (white), tiles of {tile} (orange)")
    return figure


@styled
def filters(weights, title=None, columns=12, scaling="filter", order="RGB"):
    """A first layer's filters as colour tiles. weights: float (N, 3, k, k), or (N, 1, k, k) for grey ones.

    scaling: "filter" stretches each filter over its own range; "shared" has one scale for all, 0 at mid grey, and
    clips the largest 0.5 % of the weights, which would leave the others pale.
    order: "BGR" for weights trained on BGR images, as the authors' and BVLC's are.
    """
    figure, grid = panels(1, 1, width=7.5, ratio=math.ceil(len(weights) / columns) / columns)
    _filters_on(grid[0, 0], weights, title, columns, scaling, order)
    return figure


@styled
def filters_beside(weights, columns=8, scaling="filter", order="RGB"):
    """Several networks' filters side by side (Figures 7 and 8). weights: {label: (N, 3, k, k)}, else as `filters`."""
    rows = max(math.ceil(len(values) / columns) for values in weights.values())
    figure, grid = panels(1, len(weights), width=min(5, 10.5 / len(weights)), ratio=rows / columns)
    for axes, (label, values) in zip(grid.flat, weights.items()):
        _filters_on(axes, values, label, columns, scaling, order)
    return figure


@styled
def filter_change(before, after, columns=8, order="RGB"):
    """Filters before and after a training, on one scale, and their difference on a scale of its own, with its size."""
    if np.shape(before) != np.shape(after):
        raise ValueError(f"filters before are {np.shape(before)}, after {np.shape(after)}; compare the same layer")
    change = np.asarray(after) - before
    limit = white_weight(before)
    zoom = f", enlarged {limit / white_weight(change):,.3g} times" if change.any() else ""
    words = f"change{zoom}\n({np.linalg.norm(change) / np.linalg.norm(before):.2%} of the norm before)"
    figure, grid = panels(1, 3, width=3.5, ratio=math.ceil(len(before) / columns) / columns, text=True)
    for axes, values, title, top in zip(
        grid.flat, (before, after, change), ("before", "after", words), (limit, limit, white_weight(change))
    ):
        _filters_on(axes, values, title, columns, "shared", order, top)
    return figure


@styled
def activations(blob, columns=16, scaling="shared", title=None):
    """The channels of one image's blob, float (C, H, W), as tiles; scaling: "shared" or "channel" (its own range)."""
    blob = np.asarray(blob, dtype=np.float64)
    if blob.ndim != 3:
        raise ValueError(
            f"a blob of one image is (channels, height, width), this one is {blob.shape}; "
            "take one image with net.blobs[name].data[i]"
        )
    if scaling == "channel":
        blob = _unit(blob, blob.min(axis=(1, 2), keepdims=True), blob.max(axis=(1, 2), keepdims=True))
    figure, grid = panels(1, 1, width=7.5, ratio=math.ceil(len(blob) / columns) / columns)
    drawn = grid[0, 0].imshow(mosaic(blob[..., None], columns, np.nan)[..., 0])
    grid[0, 0].set_title(title or "")
    label = "activation" if scaling == "shared" else "share of its range"
    figure.colorbar(drawn, ax=grid[0, 0], label=label, shrink=0.9, aspect=30)
    return figure


def _tiles_on(axes, tiles, permutation, title):
    if len(tiles) != jigsaw.GRID**2:
        raise ValueError(f"a puzzle has {jigsaw.GRID**2} tiles, these are {len(tiles)}")
    side, gap = tiles.shape[1], max(2, tiles.shape[1] // 12)
    axes.imshow(jigsaw.assemble(np.stack(as_pictures(tiles)), gap))
    axes.set_title(title or "")
    numbers = range(1, len(tiles) + 1) if permutation is None else permutation
    for number, (row, column) in zip(numbers, np.ndindex(jigsaw.GRID, jigsaw.GRID)):
        axes.text(
            column * (side + gap) + side * 0.04,
            row * (side + gap) + side * 0.04,
            number,
            va="top",
            fontsize=11,
            fontweight="bold",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 2.5},
        )


def _unit(values, low, high):
    """Values moved and stretched so that low..high becomes 0..1; all 0 where there is no range."""
    return (values - low) / np.where(high > low, high - low, 1)


def as_pictures(images):
    """Images, uint8 as they are; floats, all by one scale, the brightest and darkest 1 % of values clipped."""
    images = [np.asarray(image) for image in images]
    if images[0].dtype == np.uint8:
        return images
    low, high = np.percentile(np.concatenate([image.ravel() for image in images]), [1, 99])
    return [np.uint8(255 * np.clip(_unit(image, low, high), 0, 1)) for image in images]


def mosaic(pictures, columns, gap):
    """(N, h, w, c) pictures as one, in rows of `columns`, with lines of `gap` between: drawn far faster than N axes."""
    count, height, width, channels = pictures.shape
    rows = math.ceil(count / columns)
    picture = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, channels), gap, dtype=pictures.dtype)
    for i, one in enumerate(pictures):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        picture[top : top + height, left : left + width] = one
    return picture


def white_weight(weights):
    """The absolute value that "shared" scaling draws as black or white."""
    return np.percentile(np.abs(weights), 99.5) or np.abs(weights).max() or 1.0


def filter_pictures(weights, scaling="filter", order="RGB", limit=None):
    """Filters as pictures, float (N, k, k, 3) in [0, 1]; arguments as in `filters`.

    limit: the weight drawn white where the scaling is shared, instead of these weights' own.
    """
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 4 or weights.shape[1] not in (1, 3):
        raise ValueError(
            f"filters are (N, 3, k, k), or (N, 1, k, k); these are {weights.shape}; "
            "choose one input channel of a deeper layer with weights[:, c:c + 1]"
        )
    if scaling not in ("filter", "shared") or order not in ("RGB", "BGR"):
        raise ValueError(f"scaling is {scaling!r}, order {order!r}; choose 'filter' or 'shared', 'RGB' or 'BGR'")
    if scaling == "filter":
        pictures = _unit(weights, *(edge(axis=(1, 2, 3), keepdims=True) for edge in (weights.min, weights.max)))
    else:
        pictures = np.clip(0.5 + 0.5 * weights / (limit or white_weight(weights)), 0, 1)
    pictures = pictures.transpose(0, 2, 3, 1)[..., :: -1 if order == "BGR" else 1]
    return np.broadcast_to(pictures, pictures.shape[:3] + (3,))


def _filters_on(axes, weights, title, columns, scaling, order, limit=None):
    axes.imshow(mosaic(filter_pictures(weights, scaling, order, limit), columns, 1.0))
    axes.set_title(title or "")
