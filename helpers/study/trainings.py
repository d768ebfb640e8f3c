"""How a Planned training of the full-size study is carried out: its data, its initial weights, its net and its Run."""

import functools
import os
import pathlib
import time
from dataclasses import dataclass, replace
from unittest import mock

import caffe
import numpy as np
from caffe.proto import caffe_pb2

from helpers import course, evaluation, experiments, features, nets, recipes, solver, weights, zoo
from helpers.data import datasets, fruits360
from helpers.study import plan
from helpers.training import device, run_folder

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
    except (FileNotFoundError, ValueError) as error:
        raise NotAtHand(str(error)) from error


@functools.lru_cache(maxsize=2)
def data(name, size, scale, dry=False):
    """The DataStudy (see experiments) that a training is fed from. dry: its first images only, one epoch."""
    study = _study(name, size, scale)
    if not dry:
        return study
    parts = {part: getattr(study, part) for part in ("training", "validation", "test")}
    few = {part: replace(e, inputs=e.inputs[:DRY_IMAGES], labels=e.labels[:DRY_IMAGES]) for part, e in parts.items()}
    short = {stage: replace(getattr(study, stage), max_epochs=1) for stage in ("last_layer", "fine_tune")}
    return replace(study, name=f"dry_{study.name}", **few, **short)


@functools.lru_cache(maxsize=4)
def start_weights(start, seed=0, path=None):
    """{layer: arrays} of conv1_s1 to conv5_s1 for a Planned's start and seed.

    path: the caffemodel of the jigsaw trunk; None: the one that ships. Those of plan.EACH_TRUNK lie where the
    commands of their cards put them. Raises NotAtHand.
    """
    if start in FILLERS:
        return zoo.load("random", fillers=FILLERS[start], seed=seed)
    if start in plan.EACH_TRUNK:
        path = course.run_folder(f"trunk_{start}") / "trunk.caffemodel"
        if not path.is_file():
            raise NotAtHand(  # recorded: without this machine's path
                f"no trunk_{start}/trunk.caffemodel among the runs; CONTRIBUTING.md has the commands that train it"
            )
    return zoo.load("ours", path)


def few_labels(examples, per_class, seed, passes=None):
    """`per_class` Examples of each class, drawn at random and repeated: `passes` times, or to as many as `examples`.

    None, for fc6: an epoch is the same number of iterations whatever the number of labels. With epochs of one iteration
    the stopping rule would end the training inside the first jumps of Adam at the report's base_lr (measured: after
    seven iterations). A whole net learns 2,500 images by heart within the 17 passes that this gives it: its epochs are
    shorter, so that the validation images can choose one before that. A class that has fewer gives all it has.
    """
    rng = np.random.default_rng([seed, per_class])
    own = [np.flatnonzero(examples.labels == label) for label in np.unique(examples.labels)]
    drawn = np.sort(np.concatenate([rng.permutation(indices)[:per_class] for indices in own]))
    chosen = np.resize(drawn, passes * len(drawn) if passes else len(examples))
    return replace(examples, inputs=examples.inputs[chosen], labels=examples.labels[chosen])


def of_classes(examples, names, chosen):
    """The Examples whose class is in the list `chosen` of fruits360.lists, labelled in its order.

    names: of the classes as they are labelled.
    """
    wanted = fruits360.lists()[chosen]
    labels = np.array([wanted.index(name) if name in wanted else -1 for name in names])[examples.labels]
    return replace(examples, inputs=examples.inputs[labels >= 0], labels=labels[labels >= 0])


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


def folder(planned, dry=False):
    """The run folder of a Planned."""
    return course.run_folder(f"dry/{planned.name}" if dry else planned.name)


@dataclass(frozen=True, eq=False)
class Resolved:
    """A Planned resolved into what solver.fit takes.

    parts: Examples for training, validation and test: images, or activations where layers are frozen. device: what
    Caffe runs on, as in JIGSAW_DEVICE. classes: their names. data: the data set whose `test_order` holds
    and the list of its classes, None: as they are.
    """

    folder: pathlib.Path
    net: caffe_pb2.NetParameter
    recipe: recipes.Recipe
    parts: tuple
    initial: dict | None
    layers: tuple
    seed: int
    device: str
    classes: tuple
    data: tuple | None


def resolve(planned, path=None, dry=False, until=float("inf")):
    """The Resolved of a Planned; the run whose fc6 it starts from is trained first, where it is not finished.

    path: the jigsaw trunk's caffemodel. until: when to stop, by time.monotonic(). Raises NotAtHand, and OutOfTime
    where there is no time for that run.
    """
    size = datasets.CROP_SIZE if planned.net == "alexnet_c100" else recipes.IMAGE_SIZE
    study = data(planned.data, size, planned.scale, dry)
    parts = study.training, study.validation, study.test
    start = start_weights(planned.start, planned.seed, path) if planned.start else None
    if planned.trains != "all":
        blob = nets.READS[planned.trains] if planned.feature == "pool5" else f"{planned.feature}_probe"
        parts = activations(study, start, blob)
    if planned.classes and not dry:  # the first images alone need not have them all
        parts = [of_classes(part, study.class_names, planned.classes) for part in parts]
        study = replace(study, class_names=tuple(fruits360.lists()[planned.classes]))
    classes = len(study.class_names)
    if planned.times is not None:
        times = functools.partial(np.multiply, np.float32(planned.times))
        parts = [replace(part, transform=times) for part in parts]
    if planned.per_class:
        parts = [few_labels(parts[0], planned.per_class, planned.seed, planned.passes), *parts[1:]]

    recipe = study.last_layer if planned.net == "fc6" else study.fine_tune
    recipe = replace(recipe, **(planned.recipe or {}))
    initial, layers, seen = None, (), parts[0].inputs.shape[1:]
    if planned.net == "fc6":
        net = nets.head(classes, seen, recipe.batch_size, planned.filler or "xavier")
    elif planned.net == "branch":
        initial, layers = start, nets.CONVOLUTIONS[nets.TRAINS.index(planned.trains) :]
        if planned.head:
            head = train(resolve(plan.everything()[planned.head], path, dry, until), until)
            if head.result["status"] not in run_folder.FINISHED:
                raise OutOfTime(f"{planned.head} is not finished")
            initial, layers = start | head.weights(), (*layers, "fc6")
        whole = planned.trains == "all"
        net = study.branch() if whole else nets.upper_branch(classes, planned.trains, seen, recipe.batch_size)
        if planned.epochs and not dry:
            recipe = replace(recipe, max_epochs=planned.epochs, patience=planned.epochs)
    elif planned.net == "alexnet":
        net = nets.alexnet(classes, recipe.batch_size, recipes.IMAGE_SIZE, 2, "he")
    else:
        recipe = replace(recipes.ALEXNET_C100, max_epochs=1) if dry else recipes.ALEXNET_C100
        net = nets.alexnet_c100(classes, recipe.batch_size)
    # fc6 alone is 230,500 numbers: the card stays free for whole nets
    runs_on = "cpu" if planned.net == "fc6" else course.variable("JIGSAW_DEVICE")
    named = study.class_names, None if dry else (planned.data, planned.classes)
    return Resolved(folder(planned, dry), net, recipe, parts, initial, layers, planned.seed, runs_on, *named)


def train(resolved, until=float("inf"), on_epoch=None):
    """The solver.Run of a Resolved: trained, resumed, or loaded where it is finished. until, on_epoch: as above.

    It is paused where the time is too short, after one epoch at least, see solver.fit.
    """
    learnt, validation, test = resolved.parts
    with mock.patch.dict(os.environ, JIGSAW_DEVICE=resolved.device):
        return solver.fit(
            resolved.net,
            resolved.recipe,
            learnt,
            validation,
            resolved.folder,
            resolved.initial,
            resolved.layers,
            test,
            resolved.seed,
            seconds=max(until - time.monotonic(), 1e-9),
            progress=False,
            on_epoch=on_epoch,
        )


@functools.lru_cache(maxsize=2)
def test_order(name, classes=None):
    """evaluation.digest_order of a data set's test images: CIFAR-100's as released, 32x32, Fruits-360's at 64x64.

    classes: as a Planned's.
    """
    if name == "cifar100":
        return evaluation.digest_order(datasets.load_cifar100()[1].images)
    study = data(name, recipes.IMAGE_SIZE, "report")
    test = of_classes(study.test, study.class_names, classes) if classes else study.test
    return evaluation.digest_order(test.inputs)


def predictions(resolved, run):
    """(predicted, true, class names) of a Run's best epoch, the test images in the order of `test_order`."""
    test = resolved.parts[2]
    with mock.patch.dict(os.environ, JIGSAW_DEVICE=resolved.device):  # as trained, for a card rounds otherwise
        device.use()
        net = caffe.Net(str(run.folder / "train.prototxt"), caffe.TEST)
        net.copy_from(str(run.best))
        predicted = evaluation.predicted(evaluation.probabilities(net, test))
    order = test_order(*resolved.data) if resolved.data else np.arange(len(test))
    return predicted[order], test.labels[order], resolved.classes


def nearest(planned, dry=False):
    """{"validation": (distance, same class), "test": ...} of each image's nearest training image, by its pixels."""
    study, found = data(planned.data, recipes.IMAGE_SIZE, planned.scale, dry), {}
    parts = {name: getattr(study, name) for name in ("training", "validation", "test")}
    if planned.classes and not dry:
        parts = {name: of_classes(part, study.class_names, planned.classes) for name, part in parts.items()}
    training = parts.pop("training")
    for name, queries in parts.items():
        distance, index = evaluation.nearest(training.inputs, queries.inputs)
        found[name] = distance, training.labels[index] == queries.labels
    return found
