"""Images and puzzles on their way to Caffe: data sets, preprocessing, photographs, downloads."""

from helpers.data import fruits360
from helpers.data.datasets import (
    CIFAR100_SUPERCLASSES,
    SPLITS,
    ImageSet,
    load_cifar100,
    load_photo_crops,
    load_photos,
    local_file,
    photo_regions,
    photo_windows,
)
from helpers.data.examples import Examples, feed
from helpers.data.preprocessing import (
    CHANNELS,
    SCALES,
    channel_statistics,
    resize,
    resize_short_side,
    split_validation,
    to_caffe,
)

__all__ = [
    "CHANNELS", "CIFAR100_SUPERCLASSES", "Examples", "ImageSet", "SCALES", "SPLITS", "channel_statistics", "feed",
    "fruits360", "load_cifar100", "load_photo_crops", "load_photos", "local_file", "photo_regions", "photo_windows",
    "resize", "resize_short_side", "split_validation", "to_caffe",
]  # fmt: skip
