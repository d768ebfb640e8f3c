"""The course's trainings, each defined once: a notebook that needs an earlier one loads it from here, or makes it.

In the `quick` profile the data are crops of the embedded photographs, few enough for two cores and minutes; in `full`
they are CIFAR-100. Both train the whole branch, from the convolutions that ship with the course (`zoo.load("ours")`).
How such convolutions are made is shown on a small CFN, live in both profiles.
"""

from dataclasses import dataclass, replace

import numpy as np

from helpers import course, features, jigsaw, nets, recipes, solver, weights, zoo
from helpers.data import datasets, fruits360, preprocessing
from helpers.data.examples import Examples

WIDTH = 0.25  # share of each convolution's filters that the small CFN keeps
PERMUTATIONS = 10  # of the small CFN; the authors use 100 to 1000
TILE, CELL = 32, 42  # pixels, half the authors' 64 and 85, as the photographs are shown at several scales
PUZZLES = 3072  # different ones, seen once per epoch
PHOTO_SIZES = (200, 300, 400)  # pixels on the short side


@dataclass(frozen=True, eq=False)
class DataStudy:
    """One data set, ready for Caffe, and how it is trained on.

    training, validation, test: Examples of uint8 (N, 64, 64, 3) images. class_names: tuple of str.
    statistics: of the training images. blocks: int64 (N,), equal for test images that were cut from one block of one
    photograph and so are alike; where images are files of their own, each has its own number.
    """

    name: str
    training: Examples
    validation: Examples
    test: Examples
    class_names: tuple[str, ...]
    statistics: preprocessing.Statistics
    last_layer: recipes.Recipe
    fine_tune: recipes.Recipe
    blocks: np.ndarray

    def branch(self, trains="all"):
        """The prototxt of the branch for this study's classes."""
        return nets.branch(len(self.class_names), trains, self.fine_tune.batch_size)

    def head(self):
        """The prototxt of fc6 alone, on pool5 features of this study's branch."""
        return nets.head(len(self.class_names), batch_size=self.last_layer.batch_size)

    def features(self, net):
        """pool5 of training, validation and test images, a list of Examples, each computed once (features.cached)."""
        folder = course.run_folder(f"{self.name}_features")
        return [features.cached(folder, net, split) for split in (self.training, self.validation, self.test)]


def prepared(name, splits, recipe_pair, scale="report"):
    """The DataStudy of three resized ImageSets: training, validation, test. scale: see preprocessing.to_caffe."""
    statistics = preprocessing.channel_statistics(splits[0].images)
    named = f"to_caffe, {scale}, {statistics.mean.tolist()}, {statistics.std.tolist()}"
    examples = [
        Examples(split.images, split.labels, lambda batch: preprocessing.to_caffe(batch, statistics, scale), named)
        for split in splits
    ]
    test = splits[2]
    files = np.arange(len(test)) if test.files is None else test.files
    blocks = np.unique(files, return_inverse=True)[1]
    return DataStudy(name, *examples, test.class_names, statistics, *recipe_pair, blocks)


def cifar100_study(size=recipes.IMAGE_SIZE, scale="report"):
    """The DataStudy of CIFAR-100 as in the report; resized images are kept in the cache (737 MB at 64 pixels)."""
    training, test = datasets.load_cifar100()
    splits = (*preprocessing.split_validation(training, recipes.VALIDATION_FRACTION), test)
    if size != datasets.CROP_SIZE:
        splits = [
            replace(split, images=preprocessing.cached_resize(course.cache_folder(), split.images, size))
            for split in splits
        ]
    return prepared("cifar100", splits, (recipes.CIFAR100_LAST_LAYER, recipes.CIFAR100_FINE_TUNE), scale=scale)


def fruits360_study(split="released", scale="report"):
    """The DataStudy of Fruits-360, 1 image in 4 of each class, from fruits360.zip or fruits360/ in $JIGSAW_DATA.

    split: "released" is the report's, Training's images with 15 % of them at random for validation, and Test's.
    "complete" is that on the classes of fruits360.lists()["complete"] alone, with all of Test's images.
    "angles" and "mixed" share out the same images anew: by arcs of each turn (fruits360.split_by_angle), or the same
    numbers of them at random. Raises FileNotFoundError where the data set is not there, ValueError where classes are
    missing.
    """
    path = datasets.local_file("fruits360.zip", "fruits360")
    if path is None:
        raise FileNotFoundError(fruits360.GET)
    chosen = {"classes": fruits360.lists()["complete"], "test_every": 1} if split == "complete" else {}
    training, test = fruits360.load(path, **chosen)
    if split in ("released", "complete"):
        splits = (*preprocessing.split_validation(training, recipes.VALIDATION_FRACTION), test)
    else:
        images = fruits360.pool((training, test))
        splits = fruits360.split_by_angle(images)
        if split == "mixed":
            splits = fruits360.split_at_random(images, [len(part) for part in splits])
    pair = (recipes.FRUITS360_LAST_LAYER, recipes.FRUITS360_FINE_TUNE)
    return prepared(f"fruits360_{split}", splits, pair, scale=scale)


def profile_study():
    """The DataStudy of the profile: "quick" is the photograph crops, "full" is CIFAR-100."""
    if course.profile() == "full":
        return cifar100_study()
    crops = datasets.load_photo_crops(recipes.PHOTOS_CROPS)
    splits = [replace(split, images=preprocessing.resize(split.images)) for split in crops]
    return prepared("photos", splits, (recipes.PHOTOS_LAST_LAYER, recipes.PHOTOS_FINE_TUNE))


def puzzle_photos():
    """(training, held-out) lists of uint8 photographs: the left two thirds and the right third of each, at three sizes.

    No pixel is in both. Held-out pieces too small for a puzzle are left out.
    """
    scaled = [
        preprocessing.resize_short_side(photo, size)
        for photo in datasets.load_photos().values()
        for size in PHOTO_SIZES
    ]
    left = [photo[:, : photo.shape[1] * 2 // 3] for photo in scaled]
    right = [photo[:, photo.shape[1] * 2 // 3 :] for photo in scaled]
    return left, [photo for photo in right if photo.shape[1] >= jigsaw.GRID * CELL]


def puzzle_examples(photos, count, seed):
    """Examples of puzzles cut from `photos`, PERMUTATIONS permutations, half the authors' cell and tile."""
    permutations = jigsaw.choose_permutations(PERMUTATIONS)
    return Examples(*jigsaw.puzzles(photos, permutations, count, seed, CELL, TILE), jigsaw.to_caffe, "to_caffe")


def pretext_net():
    """The prototxt of the small CFN: BatchNorm while training, no dropout, WIDTH."""
    small = dict(fc6=64, fc7=256, width=WIDTH)
    made = dict(fillers="he", batch_norm=True, dropout=False)
    return nets.stacked_cfn(PERMUTATIONS, TILE, recipes.PHOTOS_PRETEXT.batch_size, **small, **made)


def pretext(progress=True):
    """The Run of the small CFN on puzzles of the embedded photographs, validated on fresh ones (notebook 01)."""
    photos, _ = puzzle_photos()
    training, validation = puzzle_examples(photos, PUZZLES, seed=1), puzzle_examples(photos, PUZZLES // 8, seed=2)
    folder = course.run_folder("pretext")
    return solver.fit(pretext_net(), recipes.PHOTOS_PRETEXT, training, validation, folder, progress=progress)


def last_layer(study, initial, name="last_layer_jigsaw_s0", progress=True):
    """The Run of fc6 on the frozen convolutions of `initial`, whose pool5 is computed once (notebook 03).

    name: of the run folder, behind the study's; named as in the full-size study (helpers/study/plan.py), which in
    `full` finds the training there instead of repeating it.
    """
    folder = course.run_folder(f"{study.name}_{name}")
    net = nets.instantiate(study.branch("fc6"))
    weights.transplant(initial, net)
    pooled = study.features(net)
    return solver.fit(study.head(), study.last_layer, pooled[0], pooled[1], folder, test=pooled[2], progress=progress)


def fine_tune(study, initial, head, progress=True):
    """The Run of the whole branch, from the convolutions of `initial` and the fc6 of the Run `head` (notebook 04)."""
    start = dict(initial=initial | head.weights(), layers=(*nets.CONVOLUTIONS, "fc6"))
    return _whole_branch(study, "fine_tune_jigsaw_s0", study.branch(), study.fine_tune, progress, **start)


def scratch(study, progress=True):
    """The Run of the whole branch from He-initialised weights, everything else as in fine-tuning (notebooks 05, 06)."""
    start = dict(initial=zoo.load("random"), layers=nets.CONVOLUTIONS)
    return _whole_branch(study, "scratch_s0", study.branch(), study.fine_tune, progress, **start)


def _whole_branch(study, name, net, recipe, progress, **start):
    folder = course.run_folder(f"{study.name}_{name}")
    return solver.fit(
        net, recipe, study.training, study.validation, folder, test=study.test, progress=progress, **start
    )
