"""The report's quantitative claims, each with the way to measure it here.

Reported values come from `recipes`; measured ones are computed from recorded/ or counted from prototxts, by `measures`.
`ledger` draws up the table and gives the verdicts.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from helpers import nets, recipes
from helpers.data import fruits360
from helpers.study import measures, results

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
        found.append(Claim(*told, *where, measures.accuracy, margin=LUCK, **common))
        told = f"{recipe.title}: epochs until it stopped", recipe.reported_epochs, ".0f"
        found.append(Claim(*told, *where, measures.epochs, margin=EPOCHS * recipe.reported_epochs, **common))
    return [
        *found,
        Claim(
            "AlexNet: parameters",
            recipes.ALEXNET_PARAMETERS_REPORTED,
            ",.0f",
            "06_alexnet",
            "1. Sixty-one million",
            lambda: measures.parameters(nets.alexnet),
            margin=ROUNDING * recipes.ALEXNET_PARAMETERS_REPORTED,
            remark="counted from BVLC's prototxt",
        ),
        Claim(
            "CFN: parameters",
            recipes.CFN_PARAMETERS_REPORTED,
            ",.0f",
            "06_alexnet",
            "2. Twenty-seven and a half million",
            lambda: measures.parameters(nets.cfn, permutations=1000, tile=75, fc6=512),
            margin=ROUNDING * recipes.CFN_PARAMETERS_REPORTED,
            remark="of the paper's recognition net; the jigsaw net has "
            f"{measures.parameters(nets.cfn, permutations=1000):,}, the branch that was trained "
            f"{measures.parameters(nets.branch, classes=100):,}",
        ),
        Claim(
            "AlexNetC100 on CIFAR-100: test accuracy",
            recipes.ALEXNET_C100_ACCURACY_REPORTED,
            ".2%",
            *_REFERENCE,
            measures.accuracy,
            runs="cifar100_alexnet_c100",
            margin=LUCK,
            remark=f"no AlexNet: three convolutions, {measures.parameters(nets.alexnet_c100):,} parameters; the "
            "report's source is its reference 13, Network of Experts (Ahmed et al. 2016); trained by their solver with "
            "the report's stopping rule",
        ),
        Claim(
            "CIFAR-100, last layer: learning rate after an epoch, as a share",
            recipes.DECAY_PER_EPOCH_REPORTED,
            ".3f",
            *_SOLVER,
            measures.decay,
            runs="cifar100_last_layer_jigsaw",
            margin=0.005,
        ),
        Claim(
            "CIFAR-100: points that fine-tuning adds to the last layer",
            recipes.CIFAR100_FINE_TUNE.reported_test_accuracy - recipes.CIFAR100_LAST_LAYER.reported_test_accuracy,
            ".1%",
            *_ALEXNET,
            measures.gained,
            runs="cifar100_fine_tune_jigsaw",
            margin=LUCK,
            remark=_ONE_TRUNK,
        ),
        Claim(
            "CIFAR-100: points by which fine-tuning stays behind AlexNetC100",
            recipes.ALEXNET_C100_ACCURACY_REPORTED - recipes.CIFAR100_FINE_TUNE.reported_test_accuracy,
            ".1%",
            *_REFERENCE,
            lambda record: measures.mean("cifar100_alexnet_c100", "test_accuracy") - measures.accuracy(record),
            runs="cifar100_fine_tune_jigsaw",
            margin=LUCK,
            remark="below zero: ours is ahead; one AlexNetC100",
        ),
        Claim(
            "CIFAR-100, fine-tuning: epochs in Figure 5",
            recipes.FINE_TUNE_EPOCHS_FIGURE_5,
            ".0f",
            *_ALEXNET,
            measures.epochs,
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
            measures.peak,
            runs="cifar100_last_layer_jigsaw",
            at_least=True,
            words="a peak",
            remark=f"highest of epochs 2 to 10 over the first; of seed 0: {measures.first_losses()}",
        ),
        Claim(
            "fewer parameters learn faster",
            1.0,
            ".1f",
            *_REFERENCE,
            lambda record: measures.mean("cifar100_alexnet", "best_epoch") - record.result["best_epoch"],
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
            measures.kept,
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
            lambda record: measures.moved(record)[1],
            runs="cifar100_fine_tune_jigsaw_s0",
            margin=UNCHANGED,
            words="to the eye",
            remark=measures.moved_in_words(),
        ),
        Claim(
            "conv1: parallel bands in the CFN and in AlexNet, circles in AlexNet only",
            4,
            ".0f",
            "05_filters",
            "3. The report's Figure 7: puzzles beside classes",
            words="all four, to the eye",
            **measures.figure_7(),
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
            measures.classes,
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
            measures.fruit_batches,
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
