"""The full-size study as a list of named trainings, the most telling first. `python -m helpers.study` runs them.

Each is a function of data, initial weights, recipe and seed. What is compared differs in one of these alone.
"""

import contextlib
import functools
import os
import time
from dataclasses import dataclass, replace

import caffe
import numpy as np

from helpers import course, datasets, device, evaluation, experiments, features, nets, recipes, records, solver, weights
from helpers.examples import Examples

SEEDS = (0, 1, 2)  # of fc6's initial weights, the batches' order, and the random trunks
LABELS_PER_CLASS = (1, 5, 25, 100)  # 425, all of the training images, is the last layer's own run
SUPERVISED = ("bvlc_alexnet.caffemodel", "bvlc_reference_caffenet.caffemodel")
FEATURES = {"pool5": (256, 3, 3), "conv4": (384, 3, 3), "conv3": (384, 3, 3)}  # conv3 and conv4 are max-pooled to 3x3


class NotAtHand(Exception):
    """Data or weights that a planned training needs are not on this machine."""


class OutOfTime(Exception):
    """The run that a planned training starts from could not be finished in the time given."""


@dataclass(frozen=True)
class Planned:
    """One training of the study.

    name: its folder in runs/ and recorded/. section: the question it answers, see SECTIONS.
    net: "fc6" (the last layer, on frozen features), "branch", "alexnet" (BVLC's on 64x64 images), "alexnet_c100", or
        "pixels": no net, the class of the training image whose pixels are nearest.
    start: the trunk's initial weights: "jigsaw" (ours), "he" and "gaussian" (random), "supervised" (BVLC's AlexNet or
        CaffeNet), None for a net's own fillers.
    trains: as in nets.branch. head: name of the run whose fc6 a branch starts from; None: fc6's own filler.
    per_class: labels per class that are trained on; None: all. feature: what fc6 reads, a key of FEATURES.
    scale: of the input, as in preprocessing.to_caffe. after: name of the run to wait for when several run at a time.
    """

    name: str
    section: str
    net: str = "fc6"
    data: str = "cifar100"
    start: str | None = "jigsaw"
    seed: int = 0
    trains: str = "fc6"
    head: str | None = None
    per_class: int | None = None
    feature: str = "pool5"
    scale: str = "report"
    after: str | None = None


SECTIONS = {
    "last layer": "fc6 on frozen features: what the start is worth without training the trunk",
    "fine-tuning": "the whole branch by the report's recipe, against the same branch from random weights",
    "labels": "accuracy against labels per class",
    "frozen layers": "which layers to freeze",
    "feature": "from which layer fc6 should read",
    "input scale": "RGB at unit variance against BGR 0-255 minus the mean",
    "AlexNet": "the references: AlexNetC100, and BVLC's AlexNet on 64x64 images",
    "Fruits-360": "the report's second data set, as released",
    "leak": "Fruits-360 shared out anew: at random, near-duplicates on both sides, or by angle",
}


def _last_layer(start, seed, section="last layer", suffix="", data="cifar100", **changes):
    """fc6 on a frozen trunk. The first of a trunk computes its features; others of the same trunk wait for it."""
    scale = changes.pop("scale", "cfn" if start == "supervised" else "report")  # AlexNet learnt from BGR 0-255
    name = f"{data}_last_layer_{start}"
    shares = f"{name}_s{seed if start in ('he', 'gaussian') else 0}"
    planned = Planned(f"{name}{suffix}_s{seed}", section, data=data, start=start, seed=seed, scale=scale, **changes)
    return replace(planned, after=shares if planned.name != shares else None)


def _branch(name, section, start, seed=0, trains="all", head=None, data="cifar100"):
    scale = "cfn" if start == "supervised" else "report"
    return Planned(name, section, "branch", data, start, seed, trains, head, scale=scale, after=head)


def _fine_tune(start, seed=0, section="fine-tuning", data="cifar100"):
    head = f"{data}_last_layer_{start}_s{seed}"
    return _branch(f"{data}_fine_tune_{start}_s{seed}", section, start, seed, head=head, data=data)


def _scratch(seed=0, section="fine-tuning", data="cifar100"):
    return _branch(f"{data}_scratch_s{seed}", section, "he", seed, data=data)


def _frozen(start, layer):
    head = f"cifar100_last_layer_{start}_s0"
    return _branch(f"cifar100_from_{layer}_{start}", "frozen layers", start, trains=layer, head=head)


def cifar100():
    """The trainings on CIFAR-100, a list of Planned."""
    return [
        *[_last_layer(start, seed) for start in ("jigsaw", "he") for seed in SEEDS],
        _fine_tune("jigsaw"),
        _scratch(),
        *[_last_layer(start, seed) for start in ("gaussian", "supervised") for seed in SEEDS],
        _fine_tune("supervised"),
        *[
            _last_layer(start, seed, "labels", f"_{count:03d}_labels", per_class=count)
            for start in ("jigsaw", "he", "supervised")
            for count in LABELS_PER_CLASS
            for seed in SEEDS
        ],
        *[
            _last_layer(start, seed, "feature", f"_{feature}", feature=feature)
            for start in ("jigsaw", "he")
            for feature in ("conv3", "conv4")
            for seed in SEEDS
        ],
        *[_last_layer(start, seed, "input scale", "_bgr", scale="cfn") for start in ("jigsaw", "he") for seed in SEEDS],
        *[_frozen("jigsaw", layer) for layer in ("conv5", "conv4", "conv3", "conv2")],
        Planned("cifar100_alexnet_c100", "AlexNet", "alexnet_c100", start=None, trains="all", scale="cfn"),
        Planned("cifar100_alexnet", "AlexNet", "alexnet", start=None, trains="all"),
        *[_frozen("he", layer) for layer in ("conv5", "conv4", "conv3", "conv2")],
        *[_fine_tune("jigsaw", seed) for seed in SEEDS[1:]],
        *[_scratch(seed) for seed in SEEDS[1:]],
    ]


def fruits360():
    """The trainings on Fruits-360, a list of Planned: the report's, and two splits that differ in near-duplicates."""
    runs = []
    for split, section in (("released", "Fruits-360"), ("mixed", "leak"), ("angles", "leak")):
        data = f"fruits360_{split}"
        runs += [Planned(f"{data}_pixels", section, "pixels", data, start=None, trains="nothing")]
        runs += [_last_layer(start, seed, section, data=data) for start in ("jigsaw", "he") for seed in SEEDS]
        runs += [_fine_tune("jigsaw", 0, section, data), _scratch(0, section, data)]
    return runs


def everything():
    """{name: Planned} of the whole study, in order of importance."""
    return {planned.name: planned for planned in (*cifar100(), *fruits360())}


def _study(name, size, scale):
    if name == "cifar100":
        return experiments.cifar100_study(size, scale)
    try:
        return experiments.fruits360_study(name.removeprefix("fruits360_"), scale)
    except FileNotFoundError as error:
        raise NotAtHand(str(error)) from error


@functools.lru_cache(maxsize=2)
def data(name, size, scale, dry=False):
    """The Study (see experiments) that a training is fed from. dry: its first images only, one epoch."""
    study = _study(name, size, scale)
    if not dry:
        return study
    parts = {part: getattr(study, part) for part in ("training", "validation", "test")}
    few = {part: Examples(e.inputs[:200], e.labels[:200], e.transform) for part, e in parts.items()}
    short = {stage: replace(getattr(study, stage), max_epochs=1) for stage in ("last_layer", "fine_tune")}
    return replace(study, name=f"dry_{study.name}", **few, **short)


@functools.lru_cache(maxsize=2)
def trunk(start, seed, path):
    """{layer: arrays} of conv1_s1 to conv5_s1. path: the caffemodel of the jigsaw trunk.

    Random ones are Caffe's own fillers, seeded. Raises NotAtHand for weights that are not on this machine.
    """
    if start in ("he", "gaussian"):
        caffe.set_random_seed(seed)
        net = nets.instantiate(nets.branch(2, fillers={"he": "he", "gaussian": "authors"}[start], batch_size=1))
        layers = weights.of(net)
    elif start == "supervised":
        path = datasets.local_file(*SUPERVISED)
        if path is None:
            raise NotAtHand(f"no {' or '.join(SUPERVISED)} in the folder that JIGSAW_DATA names")
        layers = {f"{name}_s1": blobs for name, blobs in weights.read(path).items()}
    else:
        if path is None:
            raise NotAtHand("no jigsaw trunk was given; add --trunk FILE.caffemodel")
        layers = weights.read(path)
    missing = [name for name in nets.CONVOLUTIONS if name not in layers]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(layers)}")
    return {name: layers[name] for name in nets.CONVOLUTIONS}


def few_labels(examples, per_class, seed):
    """`per_class` Examples of each class, drawn at random and repeated until they are as many as `examples`.

    So an epoch is the same number of iterations whatever the number of labels. With epochs of one iteration the
    stopping rule would end the training inside the first jumps of Adam at the report's base_lr (measured: after seven
    iterations). A class that has fewer gives all it has.
    """
    rng = np.random.default_rng([seed, per_class])
    drawn = []
    for label in np.unique(examples.labels):
        own = np.flatnonzero(examples.labels == label)
        drawn.append(rng.permutation(own)[:per_class])
    chosen = np.resize(np.sort(np.concatenate(drawn)), len(examples))
    return Examples(examples.inputs[chosen], examples.labels[chosen], examples.transform)


def pooled(study, layers, feature):
    """Examples of the training, validation and test images' features (N, channels, 3, 3) on the trunk `layers`."""
    device.use()
    prototxt, blob = study.branch("fc6"), f"{feature}_s1"
    if feature != "pool5":  # 6x6 to 3x3, so that every layer is read at the same size
        layer = prototxt.layer.add(name=f"{feature}_3x3", type="Pooling", bottom=[blob], top=[f"{feature}_3x3"])
        layer.pooling_param.kernel_size = layer.pooling_param.stride = 2
        blob = layer.name
    net = nets.instantiate(prototxt)
    weights.transplant(layers, net)
    cache = course.run_folder(f"{study.name}_features")
    return [features.cached(cache, net, part, blob) for part in (study.training, study.validation, study.test)]


@contextlib.contextmanager
def _on_the_cpu():
    """Inside, trainings run on the CPU: fc6 alone is 230,500 numbers, and the card stays free for whole nets."""
    before = os.environ.get("JIGSAW_DEVICE")
    os.environ["JIGSAW_DEVICE"] = "cpu"
    try:
        yield
    finally:
        os.environ.pop("JIGSAW_DEVICE")
        if before is not None:
            os.environ["JIGSAW_DEVICE"] = before


def folder(planned, dry=False):
    """The run folder of a Planned."""
    return course.run_folder(f"dry/{planned.name}" if dry else planned.name)


def train(planned, path=None, seconds=None, dry=False, on_epoch=None):
    """The solver.Run of a Planned: trained, resumed, or loaded where it is finished.

    path: the jigsaw trunk's caffemodel. seconds: for this call; the run is paused where they are too few, see
    solver.fit. Raises NotAtHand, and OutOfTime where they are too few for the head it starts from.
    """
    deadline = time.monotonic() + (seconds or float("inf"))
    study = data(planned.data, 32 if planned.net == "alexnet_c100" else recipes.IMAGE_SIZE, planned.scale, dry)

    def fit(*arguments, **options):
        left = max(deadline - time.monotonic(), 1.0) if seconds else None
        options |= dict(seed=planned.seed, seconds=left, progress=False, on_epoch=on_epoch)
        return solver.fit(*arguments, folder=folder(planned, dry), **options)

    if planned.net == "fc6":
        parts = pooled(study, trunk(planned.start, planned.seed, path), planned.feature)
        training = few_labels(parts[0], planned.per_class, planned.seed) if planned.per_class else parts[0]
        net = nets.head(len(study.class_names), FEATURES[planned.feature], study.last_layer.batch_size)
        with _on_the_cpu():
            return fit(net, study.last_layer, training, parts[1], test=parts[2])
    parts = study.training, study.validation
    if planned.net == "branch":
        start, layers = trunk(planned.start, planned.seed, path), nets.CONVOLUTIONS
        if planned.head:
            head = train(everything()[planned.head], path, seconds, dry)
            if head.result["status"] not in records.DONE:
                raise OutOfTime(f"{planned.head} is not finished")
            start, layers = start | head.weights(), (*layers, "fc6")
        net = study.branch(planned.trains)
        return fit(net, study.fine_tune, *parts, test=study.test, initial=start, layers=layers)
    if planned.net == "alexnet":
        net = nets.alexnet(len(study.class_names), study.fine_tune.batch_size, recipes.IMAGE_SIZE, 2, "he")
        return fit(net, study.fine_tune, *parts, test=study.test)
    recipe = replace(recipes.ALEXNET_C100, max_epochs=1) if dry else recipes.ALEXNET_C100
    return fit(nets.alexnet_c100(len(study.class_names), recipe.batch_size), recipe, *parts, test=study.test)


@functools.lru_cache(maxsize=2)
def test_order(name):
    """evaluation.digest_order of a data set's test images: CIFAR-100's as released, 32x32, Fruits-360's at 64x64."""
    images = datasets.load_cifar100()[1].images if name == "cifar100" else _study(name, 64, "report").test.inputs
    return evaluation.digest_order(images)


def nearest(planned, dry=False):
    """{"validation": (distance, same class), "test": ...} of each image's nearest training image, by its pixels."""
    study, found = data(planned.data, recipes.IMAGE_SIZE, planned.scale, dry), {}
    for part in ("validation", "test"):
        queries = getattr(study, part)
        distance, index = evaluation.nearest(study.training.inputs, queries.inputs)
        found[part] = distance, study.training.labels[index] == queries.labels
    return found


def predictions(planned, run, path=None, dry=False):
    """(predicted, true, class names) of a Run's best epoch, the test images in the order of `test_order`."""
    study = data(planned.data, 32 if planned.net == "alexnet_c100" else recipes.IMAGE_SIZE, planned.scale, dry)
    test = study.test
    if planned.net == "fc6":
        test = pooled(study, trunk(planned.start, planned.seed, path), planned.feature)[2]
    device.use()
    net = caffe.Net(str(run.folder / "train.prototxt"), caffe.TEST)
    net.copy_from(str(run.best))
    order = np.arange(len(test)) if dry else test_order(planned.data)
    predicted = evaluation.probabilities(net, test).argmax(axis=1)
    return predicted[order], test.labels[order], study.class_names
