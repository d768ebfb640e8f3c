"""The report's quantitative claims, each with the way to measure it here.

Reported values come from `recipes`; measured ones are computed from recorded/ or counted from prototxts. `ledger` draws
up the table and gives the verdicts.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from helpers import nets, recipes, zoo
from helpers.data import fruits360
from helpers.data.datasets import ImageSet
from helpers.explorers import filter_numbers
from helpers.study import records, results

LUCK = 0.01  # of the test images: half of a 95 % interval of an accuracy near 1/2 on 10,000 of them
ROUNDING = 0.01  # share by which a count may differ: the report gives two or three digits
EPOCHS = 0.1  # share by which a number of epochs may differ: the stopping rule waits for chance, too
UNCHANGED = 0.1  # "barely changed" read as a correlation of 0.9 with the filter before, or a tenth of conv1's norm


@dataclass(frozen=True)
class Claim:
    """One number of the report and how to measure it.

    text: the claim. reported: its value, NaN where it has none; words: how the report puts it where it gives no number.
    form: a format specification for both values. notebook, section: the heading under which a reader sees it measured.
    measure: of the Record of each of `runs` (a name without its seed: all seeds; or see results.seeds), or of nothing
        where runs is None.
    margin: how far our mean may be off and still count as reproduced, in the value's unit. The interval over seeds does
    not add to it: two seeds have so wide a one that they would reproduce anything. What it contains is undecided.
    at_least: whether any value above the reported one agrees with the claim as well.
    cannot: why no measurement here can decide; undecided: why the one that was made does not.
    remark: what a reader should know beside the verdict.
    """

    text: str
    reported: float
    form: str
    notebook: str
    section: str
    measure: Callable
    runs: str | None = None
    margin: float = 0.0
    at_least: bool = False
    words: str | None = None
    cannot: str | None = None
    undecided: str | None = None
    remark: str = ""


def _accuracy(record):
    return record.result["test_accuracy"]


def _epochs(record):
    return int(record.history["epoch"].iloc[-1])


def _decay(record):
    """Factor between the learning rates of two neighbouring epochs."""
    rates = record.history["learning_rate"].to_numpy()
    return float((rates[-1] / rates[0]) ** (1 / (len(rates) - 1)))


def kept(record):
    """Median correlation of conv1's filters before training with themselves at the best epoch."""
    filters = record.filters()
    pairs = zip(filters[0].astype(float), filters[record.result["best_epoch"]].astype(float))
    return float(np.median([np.corrcoef(before.ravel(), after.ravel())[0, 1] for before, after in pairs]))


def moved(record):
    """How far conv1 went from before training to the best epoch: (length of the way, the same over conv1's norm)."""
    filters = record.filters()
    before, after = (filters[epoch].astype(float) for epoch in (0, record.result["best_epoch"]))
    way = np.linalg.norm(after - before)
    return float(way), float(way / np.linalg.norm(before))


def _moved_in_words():
    """Both measures of `moved`, from puzzles and from random weights."""
    found = {"puzzles": "cifar100_fine_tune_jigsaw_s0", "random weights": "cifar100_scratch_s0"}
    ways = {start: moved(records.load(name)) for start, name in found.items() if name in records.names()}
    return "; ".join(
        f"from {start} conv1 moved {way:.2f}, {share:.0%} of its norm" for start, (way, share) in ways.items()
    )


def bands_and_circles(puzzles, labels):
    """Whether there are bands in both of two conv1s, float (filters, 3, 11, 11), and circles only in that from labels.

    Returns {"measure": how many of the four parts hold, "undecided": why they decide nothing or None, "remark": the
    counts}. A kind is there where noise (filter_numbers.CHANCE) would give so many filters in less than one trunk in a
    hundred; circles on one side only that Fisher's exact test does not tell from luck, at 5 %, decide nothing.
    """
    kinds = [filter_numbers.kinds(weights).tolist() for weights in (puzzles, labels)]
    bands, circles = ([found.count(kind) for found in kinds] for kind in (filter_numbers.BANDS, filter_numbers.CIRCLES))
    most = stats.binom.ppf(0.99, len(puzzles), filter_numbers.CHANCE)
    parts = bands[0] > most, bands[1] > most, circles[0] <= most, circles[1] > most
    others = len(puzzles) - circles[0], len(labels) - circles[1]
    luck = parts[2] == parts[3] and stats.fisher_exact([circles, others]).pvalue >= 0.05
    return {
        "measure": lambda: sum(parts),
        "undecided": "circles on one side only, but luck makes such a difference, too"
        if luck and parts[0] and parts[1]
        else None,
        "remark": f"how many of four parts hold; of {len(puzzles)} filters, puzzles {bands[0]} bands and {circles[0]} "
        f"circles, labels {bands[1]} and {circles[1]}; in 99 trunks of 100 noise gives at most {most:.0f} of each; for "
        "AlexNet stands a trunk of its convolutions that learnt Caltech-101's labels, from far fewer tiles than ours",
    }


def _figure_7():
    """What `bands_and_circles` says of the shipped trunk and the one from labels, or that none is recorded."""
    try:
        labels = records.trunk_filters("labels")
    except FileNotFoundError:
        return {"measure": lambda: np.nan, "cannot": "not measured: recorded/trunks/labels.npz is not there"}
    return bands_and_circles(zoo.load("ours")["conv1_s1"][0], labels)


def _first_losses():
    """Validation losses of the last layer's first four epochs, seed 0, as text."""
    found = results.seeds("cifar100_last_layer_jigsaw_s0")
    losses = (found[0].history["validation_loss"] if found else [])[:4]
    return ", ".join(f"{loss:.1f}" for loss in losses)


def _peak(record):
    """Highest validation loss of epochs 2 to 10 over that of the first."""
    losses = record.history["validation_loss"]
    return float(losses[1:10].max() / losses[0])


def _mean(runs, key):
    """Mean of that number over the finished runs of a name; NaN where there are none."""
    done = [one.result[key] for one in results.seeds(runs) if one.result["status"] in records.DONE]
    return float(np.mean(done)) if done else np.nan


def _gained(record):
    """Test accuracy above that of the last layer of the same seed."""
    before = record.folder.name.replace("fine_tune", "last_layer")
    return _accuracy(record) - _mean(before, "test_accuracy")


def _fruit_batches():
    """Batches in an epoch of one image in four of as many average classes of the release as the report has."""
    share = (1 - recipes.VALIDATION_FRACTION) / recipes.FRUITS360_EVERY
    kept_classes = recipes.FRUITS360_CLASSES_REPORTED / len(fruits360.CLASSES)
    images = fruits360.RELEASE["Training"] * share * kept_classes
    return int(np.ceil(images / recipes.FRUITS360_FINE_TUNE.batch_size))


@functools.cache
def _parameters(net, **options):
    """Learnable numbers of a net of `nets`: _parameters(nets.branch, classes=100)."""
    return sum(nets.parameter_counts(net(**options)).values())


def _classes():
    """Classes that are left of the release's when numbered varieties are one: one way to reduce them."""
    empty = ImageSet(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64), fruits360.CLASSES)
    return len(fruits360.merge_varieties(empty).class_names)


_ALEXNET, _FRUITS, _SOLVER = (
    ("06_alexnet", "7. The same at full size"),
    ("07_fruits360", "4. Figures 10 and 11, at full size"),
    ("03_last_layer", "5. The solver"),
)
_FILTERS = "08_conclusions", "4. The filters"
_REFERENCE = "06_alexnet", '8. And "AlexNetC100, 54 %"?'
_REDUCED = "07_fruits360", "2. One image in four, 81 classes"
_ONE_TRUNK = "all seeds share one trunk, the interval is that of what was trained on it"
_CLASSES = f"which {recipes.FRUITS360_CLASSES_REPORTED} classes the report had is not said"
_TRAININGS = {  # recipe: runs, notebook and section, what to know of it
    recipes.CIFAR100_LAST_LAYER: (
        "cifar100_last_layer_jigsaw",
        ("08_conclusions", "2. What the puzzles added"),
        f"the puzzle weights are our own: the authors' could not be had; {_ONE_TRUNK}",
    ),
    recipes.CIFAR100_FINE_TUNE: (
        "cifar100_fine_tune_jigsaw",
        _ALEXNET,
        f"our own puzzle weights; the report gives no stepsize, ours is five epochs; {_ONE_TRUNK}",
    ),
    recipes.FRUITS360_LAST_LAYER: (
        results.ON_81.format(start="jigsaw"),
        _FRUITS,
        f"{_CLASSES}: ± is over draws of them, each the mean of its seeds, all from one trunk",
    ),
    recipes.FRUITS360_FINE_TUNE: (
        "fruits360_81_first_fine_tune_jigsaw",
        _FRUITS,
        f"{_CLASSES}: ours are the first by name, one draw",
    ),
}


def claims():
    """The report's quantitative claims, a list of Claim."""
    found = []
    for recipe, (runs, where, remark) in _TRAININGS.items():
        common = dict(runs=runs, remark=remark)
        told = f"{recipe.title}: test accuracy", recipe.reported_test_accuracy, ".2%"
        found.append(Claim(*told, *where, _accuracy, margin=LUCK, **common))
        told = f"{recipe.title}: epochs until it stopped", recipe.reported_epochs, ".0f"
        found.append(Claim(*told, *where, _epochs, margin=EPOCHS * recipe.reported_epochs, **common))
    return [
        *found,
        Claim(
            "AlexNet: parameters",
            recipes.ALEXNET_PARAMETERS_REPORTED,
            ",.0f",
            "06_alexnet",
            "1. Sixty-one million",
            lambda: _parameters(nets.alexnet),
            margin=ROUNDING * recipes.ALEXNET_PARAMETERS_REPORTED,
            remark="counted from BVLC's prototxt",
        ),
        Claim(
            "CFN: parameters",
            recipes.CFN_PARAMETERS_REPORTED,
            ",.0f",
            "06_alexnet",
            "2. Twenty-seven and a half million",
            lambda: _parameters(nets.cfn, permutations=1000, tile=75, fc6=512),
            margin=ROUNDING * recipes.CFN_PARAMETERS_REPORTED,
            remark=f"of the paper's recognition net; the jigsaw net has {_parameters(nets.cfn, permutations=1000):,}, "
            f"the branch that was trained {_parameters(nets.branch, classes=100):,}",
        ),
        Claim(
            "AlexNetC100 on CIFAR-100: test accuracy",
            recipes.ALEXNET_C100_ACCURACY_REPORTED,
            ".2%",
            *_REFERENCE,
            _accuracy,
            runs="cifar100_alexnet_c100",
            margin=LUCK,
            remark=f"no AlexNet: three convolutions, {_parameters(nets.alexnet_c100):,} parameters; the report's "
            "source is its reference 13, Network of Experts (Ahmed et al. 2016); trained by their solver with the "
            "report's stopping rule",
        ),
        Claim(
            "CIFAR-100, last layer: learning rate after an epoch, as a share",
            recipes.DECAY_PER_EPOCH_REPORTED,
            ".3f",
            *_SOLVER,
            _decay,
            runs="cifar100_last_layer_jigsaw",
            margin=0.005,
        ),
        Claim(
            "CIFAR-100: points that fine-tuning adds to the last layer",
            recipes.CIFAR100_FINE_TUNE.reported_test_accuracy - recipes.CIFAR100_LAST_LAYER.reported_test_accuracy,
            ".1%",
            *_ALEXNET,
            _gained,
            runs="cifar100_fine_tune_jigsaw",
            margin=LUCK,
            remark=_ONE_TRUNK,
        ),
        Claim(
            "CIFAR-100: points by which fine-tuning stays behind AlexNetC100",
            recipes.ALEXNET_C100_ACCURACY_REPORTED - recipes.CIFAR100_FINE_TUNE.reported_test_accuracy,
            ".1%",
            *_REFERENCE,
            lambda record: _mean("cifar100_alexnet_c100", "test_accuracy") - _accuracy(record),
            runs="cifar100_fine_tune_jigsaw",
            margin=LUCK,
            remark="below zero: ours is ahead",
        ),
        Claim(
            "CIFAR-100, fine-tuning: epochs in Figure 5",
            recipes.FINE_TUNE_EPOCHS_FIGURE_5,
            ".0f",
            *_ALEXNET,
            _epochs,
            runs="cifar100_fine_tune_jigsaw",
            margin=EPOCHS * recipes.FINE_TUNE_EPOCHS_FIGURE_5,
            remark=f"the report's text has {recipes.CIFAR100_FINE_TUNE.reported_epochs}",
        ),
        Claim(
            "CIFAR-100, last layer: validation loss peaks at the start",
            1.0,
            ".2f",
            "03_last_layer",
            "11. The report's experiment, at full size",
            _peak,
            runs="cifar100_last_layer_jigsaw",
            at_least=True,
            words="a peak",
            remark=f"highest of epochs 2 to 10 over the first; of seed 0: {_first_losses()}",
        ),
        Claim(
            "fewer parameters learn faster",
            1.0,
            ".1f",
            *_REFERENCE,
            lambda record: _mean("cifar100_alexnet", "best_epoch") - record.result["best_epoch"],
            runs="cifar100_scratch",
            at_least=True,
            words="faster",
            remark="epochs by which AlexNet on 64x64 pixels, from random weights, has its best epoch after the branch; "
            "one AlexNet",
        ),
        Claim(
            "conv1's filters barely change in fine-tuning: their pattern",
            1.0,
            ".3f",
            *_FILTERS,
            kept,
            runs="cifar100_fine_tune_jigsaw_s0",  # of other seeds the filters are not kept
            margin=UNCHANGED,
            words="to the eye",
            remark="median correlation of a filter with itself; random filters keep as much, so it is no sign of "
            "pretraining",
        ),
        Claim(
            "conv1's filters barely change in fine-tuning: how far they move",
            0.0,
            ".1%",
            *_FILTERS,
            lambda record: moved(record)[1],
            runs="cifar100_fine_tune_jigsaw_s0",
            margin=UNCHANGED,
            words="to the eye",
            remark=_moved_in_words(),
        ),
        Claim(
            "conv1: parallel bands in the CFN and in AlexNet, circles in AlexNet only",
            4,
            ".0f",
            "05_filters",
            "3. The report's Figure 7: puzzles beside classes",
            words="all four, to the eye",
            **_figure_7(),
        ),
        Claim(
            "Fruits-360: images",
            recipes.FRUITS360_IMAGES_REPORTED,
            ",.0f",
            *_REDUCED,
            lambda: sum(fruits360.RELEASE[part] for part in ("Training", "Test")),
            at_least=True,
            words=f"more than {recipes.FRUITS360_IMAGES_REPORTED:,}",
            remark="training and test images of release 2020.05.18",
        ),
        Claim(
            "Fruits-360: classes that the release was reduced to",
            recipes.FRUITS360_CLASSES_REPORTED,
            ".0f",
            *_REDUCED,
            _classes,
            remark=f"ours: numbered varieties as one; how the {len(fruits360.CLASSES)} were reduced is not said",
        ),
        Claim(
            "Fruits-360: one image in four does no harm",
            np.nan,
            "",
            *_REDUCED,
            lambda: np.nan,
            words="no harm",
            cannot="not measured here: every training reads one in four, none reads all",
        ),
        Claim(
            "Fruits-360: the stepsize was raised for more batches than CIFAR-100 has",
            -(-42_500 // recipes.CIFAR100_FINE_TUNE.batch_size),
            ".0f",
            "07_fruits360",
            "3. A learning rate that hardly decays",
            _fruit_batches,
            at_least=True,
            words="more batches",
            remark=f"batches per epoch of {recipes.FRUITS360_CLASSES_REPORTED} average classes, one image in four",
        ),
        Claim(
            "the authors' hardware (Figure 2)",
            np.nan,
            "",
            *_FRUITS,
            lambda: np.nan,
            words="a table",
            cannot="nothing to measure; ours stands under `made` in every result.json of recorded/",
        ),
    ]
