"""The full-size study as a list of named trainings, the most telling first. `python -m helpers.study` runs them.

Each is a function of data, initial weights, recipe and seed. What is compared differs in one of these alone.
"""

from dataclasses import dataclass, replace

from helpers import recipes

SEEDS = (0, 1, 2)  # of fc6's initial weights, the batches' order, the random trunks, and those of EACH_TRUNK
PROBED = ("conv1", "conv2", "conv3", "conv4", "conv5")  # what fc6 reads instead of pool5, see trainings.PROBES
FACTORS = (0.1, 0.3, 3.0, 10.0)  # what pool5 is multiplied by; 1, as it is, is the last layer's own run
LABELS_PER_CLASS = (1, 5, 25, 100)  # 425, all of the training images, is the last layer's own run
DRAWS = ("first", "draw1", "draw2", "draw3")  # choices of 81 of Fruits-360's classes, see fruits360.lists
# iterations between two steps of CIFAR-100's learning rate; 42,500 images are what validation leaves of 50,000
CIFAR100_STEPSIZE = recipes.CIFAR100_FINE_TUNE.stepsize_epochs * -(-42_500 // recipes.CIFAR100_FINE_TUNE.batch_size)
EPOCHS = 8  # of every net in "frozen layers": as many as the report's stopping rule gave the whole one of seed 0
FEW, PASSES = 25, 4  # labels per class of "few labels", and how often one of its epochs goes over them, see few_labels
# trunks of our own with as many passes of a tile each, see trainings.start_weights: a task each on the photographs of
# Caltech-101, and the labels of Tiny ImageNet
TASKS = ("puzzles", "rotations", "labels")
TRUNKS = {task: task for task in TASKS} | {"tiny_imagenet": "labels of Tiny ImageNet"}  # name: what it learnt
# {start: what its weights were learnt from, if from anything}, in the words of plots.style.STARTS
LEARNT_FROM = {"jigsaw": "puzzles", "he": "random", "gaussian": "random", "tiny_imagenet": "labels"}
LEARNT_FROM |= {task: task for task in TASKS}
# {name: that of seed 0}: each again from other initial weights and with other examples, `--seed` of helpers.pretext
EACH_TRUNK = {f"{trunk}_seed{seed}" if seed else trunk: trunk for seed in SEEDS for trunk in TRUNKS}
CHANGES = {  # of the last layer's recipe, one at a time: what a run's name says of it, and what its Planned does
    "batch_256": {"recipe": {"batch_size": 256}},
    # post hoc, since the rule stopped it in the first epochs: as many iterations without improvement as with 128
    "batch_256_patience_11": {"recipe": {"batch_size": 256, "patience": 11}},
    "weight_decay_5e-4": {"recipe": {"weight_decay": 0.0005}},
    "fc6_gaussian": {"filler": "gaussian"},
}


@dataclass(frozen=True)
class Planned:
    """One training of the study.

    name: its folder in runs/ and recorded/. section: the question it answers, see SECTIONS.
    net: "fc6" (the last layer, on frozen features), "branch", "alexnet" (BVLC's on 64x64 images), "alexnet_c100", or
        "pixels": no net, the class of the training image whose pixels are nearest.
    start: the trunk's initial weights: "jigsaw" (the one that ships), one of EACH_TRUNK, "he" and "gaussian"
        (random), None for a net's own fillers.
    trains: as in nets.branch. head: name of the run whose fc6 a branch starts from; None: fc6's own filler.
    classes: name of the list in fruits360.lists() whose classes alone are trained and tested on; None: all there are.
    per_class: labels per class that are trained on; None: all. feature, scale: what fc6 reads and what the input is,
        as in trainings.resolve and preprocessing.to_caffe. times: the feature is multiplied by it; None: by 1.
    passes: how often an epoch goes over the `per_class` labels; None: until it is as long as one of all.
    recipe: {field: value} of the data's Recipe that is changed. filler: fc6's, see nets.head; None: the report's.
    epochs: train for so many, whatever the validation loss does; None: until the recipe's stopping rule ends it.
    after: name of the run to wait for when several run at a time.
    """

    name: str
    section: str
    net: str = "fc6"
    data: str = "cifar100"
    start: str | None = "jigsaw"
    seed: int = 0
    trains: str = "fc6"
    head: str | None = None
    classes: str | None = None
    per_class: int | None = None
    feature: str = "pool5"
    scale: str = "report"
    times: float | None = None
    passes: int | None = None
    recipe: dict | None = None
    filler: str | None = None
    epochs: int | None = None
    after: str | None = None


SECTIONS = {
    "last layer": "fc6 on frozen features: what the start is worth without training the trunk",
    "trunks": "the last layer on more trunks of each task: how much of it is the luck of the pretext training",
    "fine-tuning": "the whole branch by the report's recipe, against the same branch from random weights",
    "stopping rule": "a seed that the rule stopped before its rate fell, for as many epochs as the others had",
    "labels": "accuracy against labels per class",
    "few labels": f"the whole branch, {EPOCHS} epochs of {PASSES} passes over {FEW} labels per class",
    "frozen layers": "which layers to freeze",
    "feature": "from which layer fc6 should read",
    "feature scale": "what fc6 reads multiplied by a number: does the recipe suit one trunk better than another",
    "recipe": "the last layer with one thing changed: the batch size, the weight decay, or fc6's filler",
    "input scale": "RGB at unit variance against BGR 0-255 minus the mean",
    "AlexNet": "the references: AlexNetC100, and BVLC's AlexNet on 64x64 images",
    "Fruits-360": "the report's second data set, as released",
    "81 classes": "Fruits-360 with as many classes as the report had: four choices of them",
    "leak": "Fruits-360 shared out anew: at random, near-duplicates on both sides, or by angle",
}


def _last_layer(start, seed, section="last layer", suffix="", data="cifar100", **changes):
    """fc6 on a frozen trunk. The first on a trunk's features computes them; others on the same ones wait for it."""
    name, features = f"{data}_last_layer_{start}", suffix if {"feature", "scale"} & set(changes) else ""
    first = f"{name}{features}_s{seed if start in ('he', 'gaussian') else 0}"
    planned = Planned(f"{name}{suffix}_s{seed}", section, data=data, start=start, seed=seed, **changes)
    return replace(planned, after=first if planned.name != first else None)


def scaled(times):
    """What a run's name says of a feature that is multiplied by that number."""
    return "" if times == 1 else f"_times_{100 * times:03.0f}_percent"


def _branch(name, section, start, seed=0, trains="all", head=None, data="cifar100"):
    return Planned(name, section, "branch", data, start, seed, trains, head, after=head)


def _fine_tune(start, seed=0, section="fine-tuning", data="cifar100"):
    head = f"{data}_last_layer_{start}_s{seed}"
    return _branch(f"{data}_fine_tune_{start}_s{seed}", section, start, seed, head=head, data=data)


def _long(start, seed=0, section="fine-tuning"):
    tuned = _fine_tune(start, seed, section)
    return replace(tuned, name=f"cifar100_{EPOCHS}_epochs_{start}_s{seed}", epochs=EPOCHS)


def _scratch(seed=0, section="fine-tuning", data="cifar100"):
    return _branch(f"{data}_scratch_s{seed}", section, "he", seed, data=data)


def _few_labels(start, seed):
    """The whole branch on FEW labels per class: "he" from scratch, others from the fc6 that learnt the same ones."""
    images = f"{FEW:03d}_labels_s{seed}"
    kind, head = ("scratch", None) if start == "he" else (f"fine_tune_{start}", f"cifar100_last_layer_{start}_{images}")
    planned = _branch(f"cifar100_{kind}_{images}", "few labels", start, seed, head=head)
    return replace(planned, per_class=FEW, passes=PASSES, epochs=EPOCHS)


def _frozen(start, layer):
    head = f"cifar100_last_layer_{start}_s0"
    name = f"cifar100_from_{layer}_{start}"
    return replace(_branch(name, "frozen layers", start, trains=layer, head=head), epochs=EPOCHS)


def cifar100():
    """The trainings on CIFAR-100, a list of Planned."""
    return [
        *[_last_layer(start, seed) for start in ("jigsaw", "he") for seed in SEEDS],
        _fine_tune("jigsaw"),
        _scratch(),
        *[_last_layer(start, seed) for start in ("gaussian", *TRUNKS) for seed in SEEDS],
        *[_last_layer(start, 0, "trunks") for start in EACH_TRUNK if start not in TRUNKS],
        *[
            _last_layer(start, seed, "labels", f"_{count:03d}_labels", per_class=count)
            for start in ("jigsaw", "he", *TRUNKS)
            for count in LABELS_PER_CLASS
            for seed in SEEDS
        ],
        *[
            _last_layer(start, seed, "feature", f"_{feature}", feature=feature)
            for start in ("jigsaw", "he", *TRUNKS)
            for feature in PROBED
            for seed in SEEDS
        ],
        *[
            _last_layer(start, 0, "feature scale", scaled(times), times=times)
            for start in ("jigsaw", "he")
            for times in FACTORS
        ],
        *[_last_layer(start, seed, "input scale", "_bgr", scale="cfn") for start in ("jigsaw", "he") for seed in SEEDS],
        *[_frozen("jigsaw", layer) for layer in ("conv5", "conv4", "conv3", "conv2")],
        Planned("cifar100_alexnet_c100", "AlexNet", "alexnet_c100", start=None, trains="all", scale="cfn"),
        Planned("cifar100_alexnet", "AlexNet", "alexnet", start=None, trains="all"),
        *[_frozen("he", layer) for layer in ("conv5", "conv4", "conv3", "conv2")],
        # the end of that curve: unlike "scratch", it starts from the trained fc6, as jigsaw does
        replace(_fine_tune("he", section="frozen layers"), epochs=EPOCHS),
        *[_fine_tune("jigsaw", seed) for seed in SEEDS[1:]],
        _long("jigsaw", 2, "stopping rule"),
        *[_long(start) for start in EACH_TRUNK],
        *[_scratch(seed) for seed in SEEDS[1:]],
        *[_few_labels(start, seed) for seed in SEEDS for start in ("jigsaw", "he", "labels")],
        *[
            _last_layer(start, seed, "recipe", f"_{name}", **changed)
            for seed in SEEDS
            for name, changed in CHANGES.items()
            for start in ("jigsaw", "he")
        ],
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


def _on(draw, planned):
    """A run on all complete classes of Fruits-360 as one on a list of 81 of them. The features are computed once."""

    def named(name, draw=draw):
        return name and name.replace("complete", f"81_{draw}")

    name, first = named(planned.name), named(planned.after or planned.name, DRAWS[0])
    return replace(planned, name=name, classes=draw, head=named(planned.head), after=first if first != name else None)


def fruits360_81():
    """The trainings on 81 classes of Fruits-360, a list of Planned: each last layer on four lists, whole nets on one.

    The report raised the stepsize for Fruits-360. Counted in epochs, the recipe's is raised; counted in iterations, as
    Caffe does, CIFAR-100's own is already longer than that.
    """
    section, data = "81 classes", "fruits360_complete"
    pixels = Planned(f"{data}_pixels", section, "pixels", data, start=None, trains="nothing")
    layers = [_last_layer(start, seed, section, data=data) for start in ("jigsaw", "he") for seed in SEEDS]
    tuned, scratch = _fine_tune("jigsaw", 0, section, data), _scratch(0, section, data)
    epochs = recipes.FRUITS360_FINE_TUNE.reported_epochs
    fixed = [replace(one, name=f"{data}_{epochs}_epochs_{one.start}_s0", epochs=epochs) for one in (tuned, scratch)]
    in_iterations = {"stepsize": CIFAR100_STEPSIZE, "stepsize_epochs": None}
    raised = replace(fixed[0], name=f"{data}_{epochs}_epochs_stepsize_of_cifar100_s0", recipe=in_iterations)
    return [
        *[_on(draw, one) for draw in DRAWS for one in layers],
        *[_on(DRAWS[0], one) for one in (pixels, tuned, scratch, *fixed, raised)],
    ]


def everything():
    """{name: Planned} of the whole study, in order of importance."""
    return {planned.name: planned for planned in (*cifar100(), *fruits360(), *fruits360_81())}
