"""The report's preprocessing: 64x64 images, the training set's channel statistics, a validation split, Caffe's layout.

Images stay uint8 (N, H, W, 3) until a batch is fed to a net: CIFAR-100's 50,000 training images at 64x64 are 0.61 GB
that way and 2.46 GB in float32.
"""

import pathlib
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image
from sklearn.model_selection import train_test_split

from helpers import recipes
from helpers.data.kept import kept

CHANNELS = ("red", "green", "blue")
SCALES = ("report", "cfn")
HISTOGRAM_IMAGES = 512  # images counted at a time, so that the counting needs tens of megabytes whatever the set's size


@dataclass(frozen=True, eq=False)
class Statistics:
    """Mean and standard deviation of each channel, float64 (3,), in RGB order and 0-255 units.

    Raises ValueError where a channel's deviation is zero: nothing can be divided by it.
    """

    mean: np.ndarray
    std: np.ndarray

    def __post_init__(self):
        constant = [name for name, std in zip(CHANNELS, self.std, strict=True) if std == 0]
        if constant:
            raise ValueError(
                f"every pixel has the same value in {', '.join(constant)}; "
                "check how these training images were read before normalising them"
            )


def resize(images, size=recipes.IMAGE_SIZE):
    """Images resized to size x size pixels: uint8 (N, H, W, 3) -> uint8 (N, size, size, 3).

    The report names no filter. This is Pillow's bilinear one: bilinear is the default of OpenCV, scikit-image and
    TensorFlow, it makes no value that was not between its neighbours', and Pillow's widens when it shrinks an image.
    Raises ValueError for images of another type or shape.
    """
    _check_images(images)
    resized = np.empty((len(images), size, size, 3), np.uint8)
    for target, image in zip(resized, images):
        target[...] = Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR)
    return resized


def cached_resize(folder, images, size=recipes.IMAGE_SIZE):
    """`resize`'s images, from a file in `folder` or computed into it; not copied into memory until they are used.

    The file's name carries a CRC-32 of `images`; see kept. Sixty thousand CIFAR images at 64x64 are a file of 737 MB.
    """
    path = pathlib.Path(folder) / f"resized_{size}_{zlib.crc32(np.ascontiguousarray(images)):08x}.npy"
    return kept(path, lambda: resize(images, size))


def resize_short_side(photo, size):
    """A photograph uint8 (H, W, 3) with its shorter side `size` pixels, the other in proportion (bilinear)."""
    height, width = photo.shape[:2]
    scale = size / min(height, width)
    return np.asarray(
        Image.fromarray(photo).resize((round(width * scale), round(height * scale)), Image.Resampling.BILINEAR)
    )


def channel_statistics(images):
    """Statistics over all pixels of uint8 (N, H, W, 3) images, the training set's; the test set is given the same ones.

    Exact, and without a float copy: the 256 possible values of each channel are counted, and the counts averaged.
    The deviation is the population's (NumPy's ddof=0), as in the published CIFAR-100 figures.
    Raises ValueError for no images, images of another type or shape, and a constant channel.
    """
    _check_images(images)
    if not images.size:
        raise ValueError(f"images are {images.shape}: there is nothing to average; give the training images")
    counts = np.zeros((3, 256))
    for start in range(0, len(images), HISTOGRAM_IMAGES):
        chunk = images[start : start + HISTOGRAM_IMAGES]
        counts += [np.bincount(chunk[..., channel].ravel(), minlength=256) for channel in range(3)]
    values = np.arange(256)
    share = counts / counts.sum(axis=1, keepdims=True)
    mean = share @ values
    variance = (share * (values - mean[:, None]) ** 2).sum(axis=1)
    return Statistics(mean, np.sqrt(variance))


def to_caffe(images, statistics, scale="report"):
    """One batch for a net's data blob: uint8 (N, H, W, 3) -> float32 (N, 3, H, W), C-contiguous.

    statistics: the training images'. scale: "report" gives RGB, (value - mean) / std, unit variance; "cfn" gives
    BGR, value - mean, the 0-255 scale the CFN learned from (its authors remove each tile's own mean; a data set's mean
    here, so that an image keeps its colour).
    Raises ValueError for images of another type or shape and for another scale.
    """
    _check_images(images)
    if scale not in SCALES:
        raise ValueError(f"scale is {scale!r}; choose one of {', '.join(SCALES)}")
    # One cast into the blob's layout, then in place: this feeds a GPU, so no array is made that is not returned.
    planes = images.transpose(0, 3, 1, 2)
    batch = np.empty(planes.shape, np.float32)
    if scale == "report":
        batch[...] = planes
        batch -= statistics.mean.astype(np.float32)[:, None, None]
        batch *= (1 / statistics.std).astype(np.float32)[:, None, None]
    else:
        batch[...] = planes[:, ::-1]
        batch -= statistics.mean[::-1].astype(np.float32)[:, None, None]
    return batch


def split_validation(image_set, fraction=recipes.VALIDATION_FRACTION, seed=0, stratified=False):
    """(train, validation): a random `fraction` of an ImageSet's images, rounded up, becomes the validation set.

    stratified: keep every class's share equal in both. The report does not say that it did. Both parts are shuffled.
    Raises ValueError for a fraction that leaves either part empty, and for a stratified class of fewer than two images.
    """
    if not 0 < fraction < 1 or np.ceil(fraction * len(image_set)) >= len(image_set):
        raise ValueError(
            f"fraction {fraction} of {len(image_set)} images leaves nothing to train on or nothing to "
            "validate with; choose one between 0 and 1, and two images or more"
        )
    if stratified:
        sizes = np.bincount(image_set.labels, minlength=len(image_set.class_names))
        single = [name for name, size in zip(image_set.class_names, sizes) if size == 1]
        if single:
            raise ValueError(f"{', '.join(single)}: one image cannot be in both parts; use stratified=False")
    train, validation = train_test_split(
        np.arange(len(image_set)),
        test_size=fraction,
        random_state=seed,
        stratify=image_set.labels if stratified else None,
    )
    return image_set.subset(train), image_set.subset(validation)


def _check_images(images):
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"images are {images.dtype} {images.shape}; uint8 (N, H, W, 3), RGB last, is needed")
