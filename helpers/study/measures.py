"""What the claims measure: numbers of a Record, of conv1's filters, and counts of prototxts and data sets.

Each takes the Record of a finished run, or nothing where no run is asked; `claims` says which claim asks for which.
"""

import functools

import numpy as np
from scipy import stats

from helpers import nets, recipes, zoo
from helpers.data import fruits360
from helpers.data.datasets import ImageSet
from helpers.explorers import filter_numbers
from helpers.study import records, results


def accuracy(record):
    """Test accuracy, 0 to 1, of the best epoch."""
    return record.result["test_accuracy"]


def epochs(record):
    """How many epochs it was trained."""
    return int(record.history["epoch"].iloc[-1])


def decay(record):
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


def moved_in_words():
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


def figure_7():
    """What `bands_and_circles` says of the shipped trunk and the one from labels, or that none is recorded."""
    try:
        labels = records.trunk_filters("labels")
    except FileNotFoundError:
        return {"measure": lambda: np.nan, "cannot": "not measured: recorded/trunks/labels.npz is not there"}
    return bands_and_circles(zoo.load("ours")["conv1_s1"][0], labels)


def first_losses():
    """Validation losses of the last layer's first four epochs, seed 0, as text."""
    found = results.seeds("cifar100_last_layer_jigsaw_s0")
    losses = (found[0].history["validation_loss"] if found else [])[:4]
    return ", ".join(f"{loss:.1f}" for loss in losses)


def peak(record):
    """Highest validation loss of epochs 2 to 10 over that of the first."""
    losses = record.history["validation_loss"]
    return float(losses[1:10].max() / losses[0])


def mean(runs, key):
    """Mean of that number over the finished runs of a name; NaN where there are none."""
    done = [one.result[key] for one in results.seeds(runs) if one.result["status"] in records.DONE]
    return float(np.mean(done)) if done else np.nan


def gained(record):
    """Test accuracy above that of the last layer of the same seed."""
    before = record.folder.name.replace("fine_tune", "last_layer")
    return accuracy(record) - mean(before, "test_accuracy")


def fruit_batches():
    """Batches in an epoch of one image in four of as many average classes of the release as the report has."""
    share = (1 - recipes.VALIDATION_FRACTION) / recipes.FRUITS360_EVERY
    kept_classes = recipes.FRUITS360_CLASSES_REPORTED / len(fruits360.CLASSES)
    images = fruits360.RELEASE["Training"] * share * kept_classes
    return int(np.ceil(images / recipes.FRUITS360_FINE_TUNE.batch_size))


@functools.cache
def parameters(net, **options):
    """Learnable numbers of a net of `nets`: parameters(nets.branch, classes=100)."""
    return sum(nets.parameter_counts(net(**options)).values())


def classes():
    """Classes that are left of the release's when numbered varieties are one: one way to reduce them."""
    empty = ImageSet(np.zeros((0, 1, 1, 3), np.uint8), np.zeros(0, np.int64), fruits360.CLASSES)
    return len(fruits360.merge_varieties(empty).class_names)
