"""What a net looks at: the part of an image that a unit sees, the patches a filter likes, what a class depends on."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps

from helpers import evaluation, recipes
from helpers.data import archives
from helpers.data.examples import Examples, feed

OCCLUDER = 16  # pixels, the side of the square that hides a part of the image
OCCLUDER_STEP = 8  # pixels between two places of it


@dataclass(frozen=True)
class Field:
    """The receptive field of a blob's units: unit (y, x) sees `size` pixels each way from (y, x) * stride + offset."""

    size: int
    stride: int
    offset: int

    def box(self, row, column, side):
        """(top, left, bottom, right) that a unit sees of an image `side` pixels high and wide; the end is exclusive."""
        top, left = (self.offset + self.stride * place for place in (row, column))
        ends = (min(side, place + self.size) for place in (top, left))
        return (max(0, top), max(0, left), *ends)


def receptive_fields(net):
    """{blob: Field} of every blob that lies over the image, from a prototxt message: data, convolutions, pools, norms.

    The recurrence (a layer with kernel k, stride s and pad p): size += (k - 1) * stride, offset -= p * stride,
    stride *= s.
    """
    fields = {"data": Field(1, 1, 0)}
    for layer in net.layer:
        if not layer.bottom or layer.bottom[0] not in fields or layer.type in ("InnerProduct", "SoftmaxWithLoss"):
            continue
        kernel, stride, pad = _window(layer)
        below = fields[layer.bottom[0]]
        fields[layer.top[0]] = Field(
            below.size + (kernel - 1) * below.stride, below.stride * stride, below.offset - pad * below.stride
        )
    return fields


def _window(layer):
    """(kernel, stride, pad) of a layer; (1, 1, 0) where each unit sees its own place alone."""
    if layer.type == "Convolution":
        param = layer.convolution_param
        return param.kernel_size[0], (list(param.stride) or [1])[0], (list(param.pad) or [0])[0]
    if layer.type == "Pooling":
        return layer.pooling_param.kernel_size, layer.pooling_param.stride, layer.pooling_param.pad
    return 1, 1, 0


def strongest(net, examples, blobs, count=12, images=200, batch_size=50):
    """Where each channel of the named blobs answers most strongly: {blob: int (channels, count, 3)}.

    Each place is (image, row, column), the strongest image first and at most one place per image, among the first
    `images` examples. With receptive_fields that makes the patches a filter likes.
    """
    images = min(images, len(examples))
    found = {blob: [] for blob in blobs}
    for start in range(0, images, batch_size):
        feed(net, *examples.batch(np.arange(start, min(start + batch_size, images))))
        net.forward()
        for blob in blobs:
            data = net.blobs[blob].data
            flat = data.reshape(*data.shape[:2], -1)
            found[blob].append(np.stack([flat.max(axis=2), flat.argmax(axis=2)]))
    places = {}
    for blob, parts in found.items():
        values, at = np.concatenate(parts, axis=1)  # (images, channels) each
        best = np.argsort(-values, axis=0, kind="stable")[:count]
        rows, columns = np.divmod(np.take_along_axis(at, best, axis=0).astype(int), net.blobs[blob].data.shape[3])
        places[blob] = np.stack([best, rows, columns], axis=-1).transpose(1, 0, 2)
    return places


@dataclass(frozen=True, eq=False)
class Look:
    """One image's way through a branch.

    image: uint8 (64, 64, 3). blobs: {name: float32 (channels, height, width)}. probabilities: (classes,).
    occlusion: (places, places), by how much the predicted class's probability falls when a square there is hidden.
    """

    image: np.ndarray
    blobs: dict
    probabilities: np.ndarray
    occlusion: np.ndarray


def look(net, image, transform):
    """The Look of `net` at an image uint8 (H, W, 3); transform: (1, H, W, 3) images -> data, as Examples have it."""
    data = transform(image[None])
    probabilities = _probabilities(net, data)[0]
    blobs = {name: blob.data[0].copy() for name, blob in net.blobs.items() if blob.data.ndim == 4 and name != "data"}
    hidden = _probabilities(net, _occluded(data[0]))[:, probabilities.argmax()]
    places = int(np.sqrt(len(hidden)))
    return Look(image, blobs, probabilities, probabilities.max() - hidden.reshape(places, places))


def _occluded(data):
    """One image (3, H, W) with each square in turn hidden behind 0, the training images' mean colour: (N, 3, H, W)."""
    starts = range(0, data.shape[1] - OCCLUDER + 1, OCCLUDER_STEP)
    copies = np.repeat(data[None], len(starts) ** 2, axis=0)
    for copy, (top, left) in zip(copies, ((top, left) for top in starts for left in starts)):
        copy[:, top : top + OCCLUDER, left : left + OCCLUDER] = 0
    return copies


def _probabilities(net, data):
    return evaluation.probabilities(net, Examples(data, np.zeros(len(data), np.int64)))


def own_image(content, name, size=recipes.IMAGE_SIZE):
    """Somebody's own picture as the branch takes it: the middle square of a file's bytes, uint8 (size, size, 3) RGB.

    Raises ValueError, with the way out, where the bytes are no image.
    """
    picture = Image.fromarray(archives.picture(content, name))
    return np.asarray(ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR))
