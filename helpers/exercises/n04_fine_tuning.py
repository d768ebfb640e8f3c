"""Notebook 04: weights are transplanted, a rate is chosen, and two networks are compared on the same images."""

import numpy as np

from helpers import nets
from helpers.exercises.engine import exercise


def transplant(layers, params, names):
    """Copy layers by name and shape into a net, in place.

    layers: {name: [arrays]}, the weights at hand. params: {name: [arrays]}, the net's own memory.
    names: the layers to copy. Raises KeyError where one is missing on either side, ValueError where
    shapes differ or an array is missing; then nothing has been copied. Returns nothing.
    """
    for name in names:
        if name not in layers or name not in params:
            raise KeyError(f"{name} is missing")
        shapes = [[array.shape for array in side[name]] for side in (layers, params)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{name}: {shapes[0]} does not fit {shapes[1]}")
    for name in names:
        for target, array in zip(params[name], layers[name]):
            target[...] = array


@exercise(
    "04.1",
    "Transplant by name and shape",
    transplant,
    "First look at everything, then copy: whoever finds the mistake half-way has spoilt the net already.",
    "target[...] = array writes into the net's memory; params[name] = arrays only changes your dictionary.",
    "target[...] = array also accepts what NumPy can stretch, and zip stops at the shorter list: compare the shapes.",
    returns=False,
)
def _transplant(attempt):
    rng = np.random.default_rng(1)
    net = nets.instantiate(nets.branch(5, batch_size=2, width=1 / 16))
    donor = nets.instantiate(nets.branch(5, batch_size=2, fillers="he", width=1 / 16))
    layers = {name: [blob.data.copy() for blob in blobs] for name, blobs in donor.params.items()}
    params = {name: [blob.data for blob in blobs] for name, blobs in net.params.items()}
    before = {name: [array.copy() for array in arrays] for name, arrays in params.items()}

    def unchanged(names):
        return all(np.array_equal(a, b) for name in names for a, b in zip(before[name], params[name]))

    wrong = {
        "a layer that the weights lack is refused": (layers, [*nets.CONVOLUTIONS, "fc7"]),
        "a layer that the net lacks is refused": (layers | {"fc8": layers["fc6"]}, ["conv1_s1", "fc8"]),
        "another shape is refused": (
            layers | {"conv3_s1": [layers["conv3_s1"][0][:1, :1, :1, :1] * 2] * 2},
            nets.CONVOLUTIONS,
        ),
        "another shape is refused, even one that NumPy would stretch": (
            layers | {"conv2_s1": [layers["conv2_s1"][0][:, :, :1, :1], layers["conv2_s1"][1]]},
            nets.CONVOLUTIONS,
        ),
        "weights without their biases are refused": (layers | {"conv5_s1": layers["conv5_s1"][:1]}, nets.CONVOLUTIONS),
    }
    for wanted, (given, names) in wrong.items():
        attempt.refuses(wanted, given, params, names)
        attempt.must(unchanged(params), "where something is refused, nothing has been copied")
    attempt(layers, params, nets.CONVOLUTIONS)
    copied = all(np.array_equal(a, b.data) for n in nets.CONVOLUTIONS for a, b in zip(layers[n], net.params[n]))
    attempt.must(copied, "the net itself holds the copied numbers, weights and biases")
    attempt.must(unchanged(["fc6"]), "layers that were not named stay as they were")
    attempt(layers, params, ["fc6"])
    images = rng.normal(size=(2, 3, 64, 64))
    for one in (net, donor):
        one.blobs["data"].data[...] = images
        one.forward()
    same = np.allclose(net.blobs["fc6"].data, donor.blobs["fc6"].data, atol=1e-6)
    attempt.must(same, "with all layers copied the net gives the donor's logits")


def choose_rate(rates, first_epoch, before):
    """The learning rate to fine-tune with, chosen on validation images.

    rates: a list of numbers. first_epoch(rate) trains for one epoch from the start, which takes
    long, and returns the validation loss after it, NaN where it broke down. before: the validation
    loss before any training, at epoch 0. Returns the rate whose epoch 1 has the lowest loss, of
    those not above `before`; None where there is none.
    """
    losses = {rate: first_epoch(rate) for rate in rates}
    fit = {rate: loss for rate, loss in losses.items() if loss <= before}
    return min(fit, key=fit.get) if fit else None


@exercise(
    "04.2",
    "Choose a rate on validation",
    choose_rate,
    "Train once with each rate and keep the losses in a dictionary.",
    "Of those whose loss is not above `before`, which has the lowest? min(losses, key=losses.get) names it.",
    "min is helpless where a NaN comes first: leave those out before, `loss <= before` is False for them.",
    returns=False,
)
def _choose_rate(attempt):
    rng = np.random.default_rng(2)
    for turn in range(60):
        rates = rng.permutation([0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005]).tolist()
        losses = dict(zip(rates, rng.integers(8, 40, len(rates)) / 8))
        if turn % 2:
            losses[rates[turn % 6]] = float("nan")
        before, asked = float(rng.integers(8, 40) / 8), []
        if turn % 10 == 4:
            before = 0.5
        if turn % 10 == 6:
            before = min(loss for loss in losses.values() if loss == loss)

        def first_epoch(rate, losses=losses, asked=asked):
            asked.append(rate)
            return losses[rate]

        answer = attempt(list(rates), first_epoch, before)
        told = {rate: loss for rate, loss in losses.items()}
        attempt.must(sorted(asked) == sorted(rates), "each rate is tried, and once: a training takes long", f"{asked}")
        fit = {rate: loss for rate, loss in losses.items() if loss <= before}
        words = f"{answer} for losses {told} and {before} before"
        if not fit:
            attempt.must(answer is None, "where every rate makes it worse than epoch 0, none is chosen", words)
            continue
        attempt.must(answer in losses, "one of the rates is chosen where one keeps epoch 1 from being worse", words)
        attempt.must(losses[answer] <= before, "epoch 1 is no worse than epoch 0", words)
        attempt.must(losses[answer] == min(fit.values()), "of those the lowest validation loss is chosen", words)


def paired_interval(right_a, right_b, block, rng):
    """A 95 % interval of the difference in accuracy, a minus b, by a paired block bootstrap.

    right_a, right_b: bool (N,), which images each network named correctly; the same images.
    block: (N,) integers; images of one block are alike (one photograph, one turn of a fruit).
    Draw whole blocks with replacement, as many as there are, a thousand times; take the mean
    difference over all images drawn. rng: a NumPy Generator. Returns low and high.
    """
    difference = right_a.astype(float) - right_b
    _, block = np.unique(block, return_inverse=True)
    sums, sizes = np.bincount(block, difference), np.bincount(block)
    drawn = rng.integers(0, len(sums), (1000, len(sums)))
    return tuple(np.percentile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [2.5, 97.5]))


@exercise(
    "04.3",
    "A paired block bootstrap",
    paired_interval,
    "Work on the difference of the two, image by image: then what belongs together cannot be drawn apart.",
    "Ten images of one block are hardly more evidence than one. So the block is what is drawn, not the image.",
    "np.bincount(block, difference) sums the differences of each block; its mean needs the block's size, too.",
)
def _paired_interval(attempt):
    rng = np.random.default_rng(3)

    def tried(a, b, block, seed):
        answer = attempt(a, b, block, np.random.default_rng(seed))
        low, high = attempt.array(answer, (2,), "it returns low and high")
        attempt.must(low <= high, "low is not above high")
        return low, high

    def answers(blocks):
        """Two networks that agree mostly, each block as a whole easy or hard for either: (a, b, block)."""
        block = np.repeat(np.arange(blocks), rng.integers(8, 13, blocks))
        easy, better = rng.random(blocks) < 0.6, rng.random(blocks)
        a = easy & (better < 0.9) | (better < 0.25)
        b = easy & (better > 0.1)
        flip = rng.random((2, len(block))) < 0.03
        order = rng.permutation(len(block))
        return (a[block] ^ flip[0])[order], (b[block] ^ flip[1])[order], block[order]

    a, _, block = answers(24)
    attempt.must(
        tried(a, a, block, 0) == (0, 0), "a network compared with itself differs by 0, in every draw: pairs stay"
    )
    sure = tried(block >= 0, block < 0, block, 0)
    attempt.must(
        sure == (1, 1), "a network that is right everywhere is 1 ahead of one that never is: a minus b", f"{sure}"
    )
    uneven = np.repeat([0, 1], [90, 10])
    low, high = tried(uneven == 0, uneven == 1, uneven, 1)
    words = f"blocks of 90 and 10 images gave {low:.2f} to {high:.2f}, not -1 to 1"
    attempt.must((low, high) == (-1, 1), "the draw is of whole blocks", words)
    big = np.repeat(np.arange(20), [181, *[1] * 19])
    low, high = tried(big == 0, big < 0, big, 2)
    attempt.must(high > 0.5, "each image counts alike, those of a large block too", f"the interval ends at {high:.2f}")
    expected = np.mean([np.subtract(*map(np.mean, answers(400)[:2])) for _ in range(40)])
    covered, widths, differences, runs = 0, [], [], 60
    for seed in range(runs):
        a, b, block = answers(24)
        low, high = tried(a, b, block, seed)
        covered += low <= expected <= high
        widths.append(high - low)
        differences.append(a.mean() - b.mean())
    words = f"it did in {covered} of {runs} simulated comparisons"
    attempt.must(covered >= 0.8 * runs, "a 95 % interval holds the true difference about 95 times in 100", words)
    ratio = np.mean(widths) / (2 * 1.96 * np.std(differences))
    words = f"yours are {ratio:.1f} times as wide as the differences scatter"
    attempt.must(ratio < 1.3, "the interval is no wider than it has to be", words)
