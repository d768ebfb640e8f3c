"""How a Planned training of the full-size study is carried out: its data, its initial weights, its net and its Run."""

import functools
import os
import time
from dataclasses import replace
from unittest import mock

import caffe
import numpy as np

from helpers import course, evaluation, experiments, features, nets, recipes, solver, weights, zoo
from helpers.data import datasets
from helpers.data.examples import Examples
from helpers.study import plan
from helpers.training import device, run_folder

SUPERVISED = ("bvlc_alexnet.caffemodel", "bvlc_reference_caffenet.caffemodel")  # either, from $JIGSAW_DATA
FILLERS = {"he": "he", "gaussian": "authors"}  # random starts, and nets.branch's name for them
DRY_IMAGES = 200
PROBES = {  # (convolution, kernel, stride) of a max pooling that leaves fc6 about as many numbers as pool5 has, 2304
    "conv1_probe": ("conv1_s1", 7, 5),  # 96 x 5 x 5
    "conv2_probe": ("conv2_s1", 5, 4),  # 256 x 3 x 3
    "conv3_probe": ("conv3_s1", 2, 2),  # 384 x 3 x 3
    "conv4_probe": ("conv4_s1", 2, 2),  # 384 x 3 x 3
    "conv5_probe": ("conv5_s1", 2, 2),  # 256 x 3 x 3
}


class NotAtHand(Exception):
    """Data or weights that a planned training needs are not on this machine."""


class OutOfTime(Exception):
    """The run that a planned training starts from could not be finished in the time given."""


def _study(name, size, scale):
    if name == "cifar100":
        return experiments.cifar100_study(size, scale)
    try:
        return experiments.fruits360_study(name.removeprefix("fruits360_"), scale)
    except FileNotFoundError as error:
        raise NotAtHand(str(error)) from error


@functools.lru_cache(maxsize=2)
def data(name, size, scale, dry=False):
    """The DataStudy (see experiments) that a training is fed from. dry: its first images only, one epoch."""
    study = _study(name, size, scale)
    if not dry:
        return study
    parts = {part: getattr(study, part) for part in ("training", "validation", "test")}
    few = {part: Examples(e.inputs[:DRY_IMAGES], e.labels[:DRY_IMAGES], e.transform) for part, e in parts.items()}
    short = {stage: replace(getattr(study, stage), max_epochs=1) for stage in ("last_layer", "fine_tune")}
    return replace(study, name=f"dry_{study.name}", **few, **short)


def data_of(planned, dry=False):
    """`data` of a Planned training."""
    size = datasets.CROP_SIZE if planned.net == "alexnet_c100" else recipes.IMAGE_SIZE
    return data(planned.data, size, planned.scale, dry)


@functools.lru_cache(maxsize=4)
def start_weights(start, seed=0, path=None, statistics=None):
    """{layer: arrays} of conv1_s1 to conv5_s1 for a Planned's start and seed.

    path: the caffemodel of the jigsaw trunk; None: the one that ships. statistics: of the images; supervised weights
    are converted exactly from BGR 0-255 to the study's own inputs. Raises NotAtHand.
    """
    if start in FILLERS:
        return zoo.load("random", fillers=FILLERS[start], seed=seed)
    try:
        if start == "jigsaw":
            return zoo.load("ours", path)
        local = datasets.local_file(*SUPERVISED)
        name = "caffenet" if local and local.name == SUPERVISED[1] else "alexnet"
        return zoo.load(name, local, statistics)
    except (FileNotFoundError, ConnectionError) as error:
        what = "trunk trained on puzzles" if start == "jigsaw" else " or ".join(SUPERVISED)
        raise NotAtHand(f"no {what} on this machine, and none could be fetched") from error


def few_labels(examples, per_class, seed):
    """`per_class` Examples of each class, drawn at random and repeated until they are as many as `examples`.

    So an epoch is the same number of iterations whatever the number of labels. With epochs of one iteration the
    stopping rule would end the training inside the first jumps of Adam at the report's base_lr (measured: after seven
    iterations). A class that has fewer gives all it has.
    """
    rng = np.random.default_rng([seed, per_class])
    own = [np.flatnonzero(examples.labels == label) for label in np.unique(examples.labels)]
    drawn = np.sort(np.concatenate([rng.permutation(indices)[:per_class] for indices in own]))
    chosen = np.resize(drawn, len(examples))
    return Examples(examples.inputs[chosen], examples.labels[chosen], examples.transform)


def activations(study, layers, blob):
    """Examples of the training, validation and test images' activations (N, channels, h, w) on the trunk `layers`.

    blob: one of study.branch(), or one of PROBES, a convolution's map max-pooled; these are computed in one pass.
    """
    device.use()
    prototxt = study.branch("fc6")
    wanted = PROBES if blob in PROBES else {}
    for probe, (layer, kernel, stride) in wanted.items():
        pool = prototxt.layer.add(name=probe, type="Pooling", bottom=[layer], top=[probe])
        pool.pooling_param.kernel_size, pool.pooling_param.stride = kernel, stride
    net = nets.instantiate(prototxt)
    weights.transplant(layers, net)
    cache = course.run_folder(f"{study.name}_features")
    parts = (study.training, study.validation, study.test)
    return [features.cached(cache, net, part, blob, beside=wanted) for part in parts]


def examples_of(planned, study, path=None):
    """Examples for training, validation and test of a Planned: images, or activations where layers are frozen."""
    if planned.trains == "all":
        return study.training, study.validation, study.test
    blob = nets.READS[planned.trains] if planned.feature == "pool5" else f"{planned.feature}_probe"
    parts = activations(study, start_weights(planned.start, planned.seed, path, study.statistics), blob)
    if planned.times is None:
        return parts
    return [replace(part, transform=functools.partial(np.multiply, np.float32(planned.times))) for part in parts]


def folder(planned, dry=False):
    """The run folder of a Planned."""
    return course.run_folder(f"dry/{planned.name}" if dry else planned.name)


def train(planned, path=None, seconds=None, dry=False, on_epoch=None):
    """The solver.Run of a Planned: trained, resumed, or loaded where it is finished.

    path: the jigsaw trunk's caffemodel. seconds: for this call; the run is paused where they are too few, see
    solver.fit. Raises NotAtHand, and OutOfTime where they are too few for the head it starts from.
    """
    deadline = time.monotonic() + (seconds or float("inf"))
    study = data_of(planned, dry)
    training, validation, test = examples_of(planned, study, path)

    def fit(net, recipe, **options):
        left = max(deadline - time.monotonic(), 1e-9) if seconds else None  # one epoch at least
        options |= dict(seed=planned.seed, seconds=left, progress=False, on_epoch=on_epoch)
        return solver.fit(net, recipe, training, validation, folder(planned, dry), test=test, **options)

    classes = len(study.class_names)
    if planned.net == "fc6":
        if planned.per_class:
            training = few_labels(training, planned.per_class, planned.seed)
        # fc6 alone is 230,500 numbers: the card stays free for whole nets
        with mock.patch.dict(os.environ, JIGSAW_DEVICE="cpu"):
            return fit(nets.head(classes, training.inputs.shape[1:], study.last_layer.batch_size), study.last_layer)
    if planned.net == "branch":
        start = start_weights(planned.start, planned.seed, path, study.statistics)
        layers = nets.CONVOLUTIONS[nets.TRAINS.index(planned.trains) :]
        if planned.head:
            head = train(plan.everything()[planned.head], path, seconds, dry)
            if head.result["status"] not in run_folder.FINISHED:
                raise OutOfTime(f"{planned.head} is not finished")
            start, layers = start | head.weights(), (*layers, "fc6")
        net = study.branch()
        if planned.trains != "all":
            net = nets.upper_branch(classes, planned.trains, training.inputs.shape[1:], study.fine_tune.batch_size)
        recipe = study.fine_tune
        if planned.epochs and not dry:
            recipe = replace(recipe, max_epochs=planned.epochs, patience=planned.epochs)
        return fit(net, recipe, initial=start, layers=layers)
    if planned.net == "alexnet":
        return fit(nets.alexnet(classes, study.fine_tune.batch_size, recipes.IMAGE_SIZE, 2, "he"), study.fine_tune)
    recipe = replace(recipes.ALEXNET_C100, max_epochs=1) if dry else recipes.ALEXNET_C100
    return fit(nets.alexnet_c100(classes, recipe.batch_size), recipe)


@functools.lru_cache(maxsize=2)
def test_order(name):
    """evaluation.digest_order of a data set's test images: CIFAR-100's as released, 32x32, Fruits-360's at 64x64."""
    images = datasets.load_cifar100()[1].images if name == "cifar100" else _study(name, 64, "report").test.inputs
    return evaluation.digest_order(images)


def predictions(planned, run, path=None, dry=False):
    """(predicted, true, class names) of a Run's best epoch, the test images in the order of `test_order`."""
    study = data_of(planned, dry)
    test = examples_of(planned, study, path)[2]
    device.use()
    net = caffe.Net(str(run.folder / "train.prototxt"), caffe.TEST)
    net.copy_from(str(run.best))
    order = np.arange(len(test)) if dry else test_order(planned.data)
    predicted = evaluation.predicted(evaluation.probabilities(net, test))
    return predicted[order], test.labels[order], study.class_names


def nearest(planned, dry=False):
    """{"validation": (distance, same class), "test": ...} of each image's nearest training image, by its pixels."""
    study, found = data_of(planned, dry), {}
    for part in ("validation", "test"):
        queries = getattr(study, part)
        distance, index = evaluation.nearest(study.training.inputs, queries.inputs)
        found[part] = distance, study.training.labels[index] == queries.labels
    return found
