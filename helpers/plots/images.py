"""Images and what a net makes of them: rows of images, channels of a blob, what a unit sees, likeliest classes."""

import math
import textwrap

import numpy as np
from PIL import Image

from helpers.jigsaw import assemble
from helpers.plots.classes import bars_of
from helpers.plots.pages import (
    EDGE,
    HALF,
    PAGE,
    TITLE,
    coloured,
    columns_for,
    grids,
    headline,
    outline,
    page,
    picture,
    scale_bar,
    write,
)
from helpers.plots.style import styled

GAP = 0.06  # inches between two images


@styled
def image_grid(images, titles=None, columns=8, title=None, width=None, size=10, none="no image"):
    """Images (a sequence of (H, W, 3) or (H, W), uint8; floats are stretched by one scale for all) in rows.

    titles: a line or more above each, in letters of `size` points. width: inches; None takes as few as look well.
    none: what is said where there are no images.
    """
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"{len(images)} images have {len(titles)} titles; give one each")
    columns = columns if width else min(columns, max(1, len(images)))
    step = (width or columns * min(2, 10 / columns)) / columns
    cell, pictures = step - GAP, as_pictures(images)
    captions = [textwrap.fill(words, int(120 / size * step)) for words in titles or ()]
    above = max((words.count("\n") + 1 for words in captions), default=0) * 1.25 * size / 72 + GAP
    high = max((cell * image.shape[0] / max(image.shape[:2]) for image in pictures), default=cell)
    top, rows = TITLE if title else 0, max(1, math.ceil(len(images) / columns))
    figure = page(columns * step, top + rows * (above + high) + EDGE)
    headline(figure, 0, title)
    if not pictures:
        write(figure, 0, top + 0.1, none)
    for number, image in enumerate(pictures):
        row, column = divmod(number, columns)
        left, down, scale = column * step, top + row * (above + high) + above, cell / max(image.shape[:2])
        picture(figure, left, down, scale * image.shape[1], image)
        outline(figure, left, down, scale, (0, 0, *image.shape[:2]), 0, edgecolor="#A0A0A0", linewidth=0.5)
        if captions:
            place = {"ha": "center", "va": "bottom", "fontsize": size, "linespacing": 1.05}
            write(figure, left + scale * image.shape[1] / 2, down - 0.03, captions[number], **place)
    return figure


@styled
def class_examples(image_set, per_class=8):
    """The first images of each class, one class per row, the class name at its left. image_set: a datasets.ImageSet."""
    left, step = 1.3, 0.75  # inches
    rows = np.full((len(image_set.class_names), per_class) + image_set.images.shape[1:], 255, dtype=np.uint8)
    figure = page(left + step * per_class, step * len(rows))
    for label, row in enumerate(rows):
        found = image_set.images[image_set.labels == label][:per_class]
        row[: len(found)] = found
        look = {"ha": "right", "va": "center"}
        write(figure, left - 0.08, (label + 0.5) * step, image_set.class_names[label], **look)
    picture(figure, left, 0, step * per_class, assemble(rows.reshape(-1, *rows.shape[2:]), 1, per_class))
    return figure


@styled
def activations(blob, columns=None, scaling="shared", title=None, selected=None, width=7.5, scale=True):
    """The channels of one image's blob, float (C, H, W), as tiles; scaling: "shared" or "channel" (its own range).

    selected: a channel that is outlined. scale: whether values stand beside them.
    """
    blob = np.asarray(blob, dtype=np.float64)
    if blob.ndim != 3:
        raise ValueError(
            f"a blob of one image is (channels, height, width), this one is {blob.shape}; "
            "take one image with net.blobs[name].data[i]"
        )
    axis = (1, 2) if scaling == "channel" else None
    low, high = blob.min(axis, keepdims=True), blob.max(axis, keepdims=True)
    shown = [(title, coloured(blob, low, high))]
    figure, top, height = grids(shown, columns or columns_for(len(blob)), width, selected, right=scale and 1.1)
    if scale:
        ends = (0, 1, "share of its range") if scaling == "channel" else (low.item(), high.item(), "activation")
        scale_bar(figure, width + 0.05, top, height, *ends)
    return figure


@styled
def seen_by_unit(image, box):
    """An image with the part that a unit sees outlined, and that part enlarged. box: (top, left, bottom, right)."""
    figure = page(PAGE, TITLE + HALF + 0.03)
    top, left, bottom, right = box
    headline(figure, 0, "the image")
    picture(figure, 0, TITLE, HALF, image)
    outline(figure, 0, TITLE, HALF / image.shape[1], (top, left, bottom - top, right - left))
    headline(figure, PAGE - HALF, "what the unit sees")
    seen = image[top:bottom, left:right]
    picture(figure, PAGE - HALF, TITLE, HALF * seen.shape[1] / max(seen.shape[:2]), seen)
    return figure


@styled
def channel_detail(channel, unit, title):
    """One channel (H, W) with its scale of values, one unit (row, column) outlined."""
    side = 2.5
    figure = page(PAGE, TITLE + side * channel.shape[0] / channel.shape[1] + EDGE)
    headline(figure, EDGE, title)
    picture(figure, EDGE, TITLE, side, coloured(channel, channel.min(), channel.max()))
    outline(figure, EDGE, TITLE, side / channel.shape[1], (*unit, 1, 1), 0)
    scale_bar(figure, side + 0.15, TITLE, side, channel.min(), channel.max(), "activation")
    return figure


@styled
def class_view(image, probabilities, class_names, occlusion, most=5):
    """The likeliest classes as bars, and where hiding a square of the image lowers the first one's probability."""
    side, left = 1.75, PAGE - HALF
    figure = page(PAGE, TITLE + side + 0.6)
    order = np.argsort(-probabilities, kind="stable")[:most]
    headline(figure, 0, "likeliest classes")
    bars_of(figure, left - 0.1, [class_names[label] for label in order], probabilities[order])
    headline(figure, left, "if a square is hidden")
    limit = max(np.abs(occlusion).max(), 0.01)
    grey = np.repeat(image.mean(axis=2, keepdims=True), 3, axis=2)
    smooth = Image.fromarray(occlusion.astype(np.float32)).resize(grey.shape[1::-1], Image.Resampling.BILINEAR)
    fall = coloured(np.asarray(smooth), -limit, limit, "PuOr")
    picture(figure, left, TITLE, side, np.uint8(0.35 * grey + 0.65 * fall))
    scale = coloured(np.linspace(0, 1, 64)[None], 0, 1, "PuOr")
    picture(figure, left, TITLE + side + 0.07, side, scale, height=0.12)
    for share, value, end in ((0, limit, "left"), (0.5, 0, "center"), (1, -limit, "right")):
        words = f"{100 * value:+.0f}".replace("-", "−") if value else "0"
        write(figure, left + share * side, TITLE + side + 0.21, words, ha=end)
    write(figure, left, TITLE + side + 0.38, "points for the first class")
    return figure


def as_pictures(images):
    """Images as uint8 (h, w, 3): uint8 as they are; floats by one scale, the brightest and darkest 1 % clipped."""
    images = [np.asarray(image) for image in images]
    if images and images[0].dtype != np.uint8:
        low, high = np.percentile(np.concatenate([image.ravel() for image in images]), [1, 99])
        images = [np.uint8(255 * np.clip((image - low) / ((high - low) or 1), 0, 1)) for image in images]
    return [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1) for image in images]
