"""Fruits-360 (Muresan & Oltean 2018): the released folders read and checked, varieties merged, splits by angle.

Each class folder holds one fruit (or vegetable) on a shaft that turns once while it is filmed: `12_100.jpg` is frame 12
of the turn, `r_12_100.jpg` frame 12 of a turn about another axis. Neighbouring frames are nearly the same picture, in
the release on both sides of Training and Test too.
"""

import json
import pathlib
import re
import zipfile

import numpy as np

from helpers import course, recipes
from helpers.data import archives, preprocessing
from helpers.data.datasets import ImageSet

URL = "https://www.kaggle.com/datasets/moltean/fruits"
# Kaggle gives the newest release. This repository, of the data set's first author, has the classes of the report's; not
# downloaded by us: `load` checks what came.
GET = (
    "Fruits-360 is not here. Get the report's release, 131 classes: `git clone --depth 1 "
    "https://github.com/Horea94/Fruit-Images-Dataset fruits360` in any folder, then set the environment variable "
    "JIGSAW_DATA to that folder; a zip of it, fruits360.zip, does as well"
)
# Release 2020.05.18.0, the report's: its images per split, and its classes.
RELEASE = {"Training": 67_692, "Test": 22_688}
CLASSES = tuple(json.loads(pathlib.Path(__file__).with_name("fruits360.json").read_text(encoding="utf-8")))
FRAME = re.compile(r"(?P<turn>(?:.*_)?)(?P<number>\d+)_100\.jpg")
TURN = 328  # frames of one turn: the released numbers run from 0 to 327
GAP = 10  # frames, 11 degrees: what is left out on each side between two splits by angle
SHOWN = 20  # names in a message


def lists():
    """The lists of classes that the study trains on: {"complete": [names], "first": ..., "draw1": ...}.

    "source" and "commit" name a public copy of the release, "rule" how the lists were drawn from its folders.
    """
    return json.loads((course.ROOT / "recorded" / "fruits360_classes.json").read_text(encoding="utf-8"))


def load(path, every=recipes.FRUITS360_EVERY, size=recipes.IMAGE_SIZE, classes=None, test_every=None):
    """Fruits-360 from disk: (training, test) ImageSets, resized to size x size pixels, `files` being the file names.

    path: a folder or a zip file that holds Training/<class>/*.jpg and Test/<class>/*.jpg, under a top folder or not.
    every: of each class folder, images 0, every, 2 * every... are read, in the order of turns and frames.
    test_every: the same of Test's folders; None: `every`.
    classes: the class folders to read, labelled in this order; None reads all of Training's, sorted by name, and they
        must be the 131-class release's or some of them.
    Raises FileNotFoundError for a missing path, and ValueError that names the folder, class or files for anything else:
    no Training or Test, two releases in one place, another release, images missing from the whole release, a class not
    there or empty, unreadable images, every or test_every below 1.
    """
    path, test_every = pathlib.Path(path), every if test_every is None else test_every
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; download Fruits-360 ({URL}), give its zip")
    steps = {"Training": every, "Test": test_every}
    for name, step in (("every", every), ("test_every", test_every)):
        if step < 1:
            raise ValueError(f"{name} is {step}; 1 reads each image, 4 one in four")
    if path.is_dir():
        return _load(path, archives.below(path), lambda name: (path / name).read_bytes(), steps, size, classes)
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is neither a folder nor a zip file; download Fruits-360 again ({URL})")
    with archives.naming(path), zipfile.ZipFile(path) as archive:
        return _load(path, archive.namelist(), archive.read, steps, size, classes)


def _load(path, names, read, steps, size, classes):
    """`load` on the file names below `path` and a function that reads one of them. steps: {split: every}."""
    folders = _folders(path, names)
    if classes is None:
        _check_release(path, folders)
        classes = sorted(folders["Training"])
    classes = tuple(classes)
    if not classes:
        raise ValueError(f"classes is empty; use None for all, or name some of {', '.join(folders['Training'])}")
    for split, found in folders.items():
        missing = [name for name in classes if not found.get(name)]
        if missing:
            there = sorted(name for name in found if found[name])
            raise ValueError(f"{path}: {split} has no images of {_some(missing)}; it has {_some(there)}")
    chosen = {
        split: [name for class_name in classes for name in sorted(found[class_name], key=_order)[:: steps[split]]]
        for split, found in folders.items()
    }
    images = _read(path, read, [name for names in chosen.values() for name in names], size)
    index = {name: label for label, name in enumerate(classes)}
    return tuple(
        ImageSet(
            np.stack([images[name] for name in names]),
            np.array([index[name.split("/")[-2]] for name in names], np.int64),
            classes,
            np.array(names),
        )
        for names in chosen.values()
    )


def _folders(path, names):
    """{"Training": {class: [file names]}, "Test": ...} of the one release among `names`."""
    folders = {"Training": {}, "Test": {}}
    tops = set()
    for name in names:
        *top, split, class_name, file = ["", "", *name.split("/")]
        if split in folders and not archives.hidden(name):
            images = folders[split].setdefault(class_name, [])  # a folder has an entry too, "Training/Kiwi/"
            if file.endswith(".jpg"):
                images.append(name)
                tops.add("/".join(top[2:]) or ".")
    for split, found in folders.items():
        if not any(found.values()):
            raise ValueError(f"{path} holds no {split}/<class>/*.jpg; give what holds Training and Test")
    if len(tops) > 1:
        raise ValueError(f"{path} holds more than one release: {', '.join(sorted(tops))}; unpack and give one")
    return folders


def _check_release(path, folders):
    """Raise ValueError for classes that the report's release lacks, and for another number of images of all 131."""
    strange = sorted({name for found in folders.values() for name in found} - set(CLASSES))
    if strange:
        raise ValueError(
            f"{path} holds {len(strange)} class folders that release 2020.05.18.0 (131 classes) does not have: "
            f"{_some(strange)}. It is another release, or they are left over from one: get that "
            f"release ({URL}), delete them, or name the classes to read, classes=[...]"
        )
    counts = {split: sum(map(len, found.values())) for split, found in folders.items()}
    if set(folders["Training"]) == set(CLASSES) and counts != RELEASE:
        raise ValueError(
            f"{path} has all 131 classes, but {counts['Training']} + {counts['Test']} images where release "
            f"2020.05.18.0 has {RELEASE['Training']} + {RELEASE['Test']}: unpack it again into an empty folder"
        )


def _read(path, read, names, size):
    """{name: uint8 (size, size, 3)}. Raises one ValueError that lists every image that cannot be read."""
    images, broken = {}, []
    for name in names:
        try:
            images[name] = preprocessing.resize(archives.picture(read(name), name)[None], size)[0]
        except ValueError:
            broken.append(name)
    if broken:
        raise ValueError(
            f"{path}: {len(broken)} not readable as images: {_some(broken)}; download Fruits-360 again ({URL}) or "
            "delete them"
        )
    return images


def _some(names):
    """The first names of a list that may be long, as text."""
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")


def _order(name):
    """Sorting key: the first turn before the others, then by frame, 9 before 10; other names last."""
    match = FRAME.fullmatch(name.split("/")[-1])
    return (0, match["turn"], int(match["number"])) if match else (1, name, 0)


def merge_varieties(image_set):
    """The ImageSet with numbered varieties as one class: "Apple Golden 1", "Apple Golden 2" -> "Apple Golden".

    The report names a class "Apple Golden" and says that it had 81 classes, not which. This merging leaves 113 of the
    131, so it did something more that we do not know.
    """
    names = [re.sub(r" \d+$", "", name) for name in image_set.class_names]
    merged = tuple(dict.fromkeys(names))
    new_label = np.array([merged.index(name) for name in names], np.int64)
    return ImageSet(image_set.images, new_label[image_set.labels], merged, image_set.files)


def turns(image_set):
    """(turn, frame) of each image: the turn it belongs to, str (N,), and its frame number, int (N,).

    Raises ValueError for an ImageSet without files and for a file name that is not a frame's.
    """
    if image_set.files is None:
        raise ValueError("these images have no file names; load them with fruits360.load")
    matches = [FRAME.fullmatch(name.split("/")[-1]) for name in image_set.files]
    if None in matches:
        raise ValueError(f"{image_set.files[matches.index(None)]} is not named like a frame, r_12_100.jpg")
    labels = [image_set.class_names[label] for label in image_set.labels]
    turn = np.array([f"{label}/{match['turn']}" for label, match in zip(labels, matches)])
    return turn, np.array([int(match["number"]) for match in matches])


def split_by_angle(image_set, test=0.25, validation=recipes.VALIDATION_FRACTION, gap=GAP, seed=0):
    """(training, validation, test) of an ImageSet: of each turn one arc is tested on, and one validated on.

    test: share of the turn; validation: share of the rest. Between two splits `gap` frames of the turn are left out on
    every border, so no frame has a neighbour within `gap` frames in another split. The arcs lie elsewhere in each turn.
    Raises ValueError where these shares and gaps leave nothing to train on.
    """
    turn, frame = turns(image_set)
    rng = np.random.default_rng(seed)
    starts = {name: rng.integers(TURN) for name in np.unique(turn)}
    place = (frame - np.array([starts[name] for name in turn])) % TURN
    test_end = round(test * TURN)
    validation_end = test_end + gap + round(validation * (TURN - test_end))
    if validation_end + gap >= TURN - gap:
        raise ValueError(
            f"test {test}, validation {validation} and gap {gap} leave no frame of a turn's {TURN} to train on; "
            "choose smaller ones"
        )
    inside = {
        "training": (place >= validation_end + gap) & (place < TURN - gap),
        "validation": (place >= test_end + gap) & (place < validation_end),
        "test": place < test_end,
    }
    return tuple(image_set.subset(mask) for mask in inside.values())


def split_at_random(image_set, sizes, seed=0):
    """Random ImageSets of the given sizes, without a common image: the control of `split_by_angle`."""
    order = np.random.default_rng(seed).permutation(len(image_set))
    ends = np.cumsum(sizes)
    return tuple(image_set.subset(order[end - size : end]) for size, end in zip(sizes, ends))


def pool(image_sets):
    """One ImageSet of several with the same classes."""
    return ImageSet(
        np.concatenate([one.images for one in image_sets]),
        np.concatenate([one.labels for one in image_sets]),
        image_sets[0].class_names,
        np.concatenate([one.files for one in image_sets]),
    )
