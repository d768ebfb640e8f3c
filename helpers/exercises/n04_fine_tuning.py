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
    returns=False,
    writes=("params",),
)
def _transplant(attempt):
    first = "First look at everything, then copy: whoever finds the mistake half-way has spoilt the net already."
    memory = "target[...] = array writes into the net's memory; params[name] = arrays only changes your dictionary."
    shapes = (
        "target[...] = array also accepts what NumPy can stretch, and zip stops at the shorter list: compare all "
        "shapes of both lists, and raise a ValueError."
    )
    keys = (
        "layers[name] and params[name] raise KeyError by themselves where a name is missing: look at both, before "
        "you copy."
    )
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
        "an array more than the net has is refused": (
            layers | {"conv5_s1": layers["conv5_s1"] + layers["conv5_s1"][1:]},
            nets.CONVOLUTIONS,
        ),
        "another shape is refused, even one of as many numbers": (
            layers | {"conv5_s1": [layers["conv5_s1"][0].swapaxes(0, 1).copy().reshape(-1), layers["conv5_s1"][1]]},
            nets.CONVOLUTIONS,
        ),
        "biases of another shape are refused": (
            layers | {"conv4_s1": [layers["conv4_s1"][0], layers["conv4_s1"][1][:1]]},
            nets.CONVOLUTIONS,
        ),
    }
    for wanted, (given, names) in wrong.items():
        lacks = "lack" in wanted
        attempt.refuses(
            *(KeyError, wanted, keys) if lacks else (ValueError, wanted, shapes), given, params, list(names)
        )
        attempt.must(unchanged(params), "where something is refused, nothing has been copied", hint=first)
    attempt(layers, params, list(nets.CONVOLUTIONS))
    copied = all(np.array_equal(a, b.data) for n in nets.CONVOLUTIONS for a, b in zip(layers[n], net.params[n]))
    attempt.must(copied, "the net itself holds the copied numbers, weights and biases", hint=memory)
    attempt.must(unchanged(["fc6"]), "layers that were not named stay as they were", hint="Go through `names` alone.")
    attempt(layers, params, ["fc6"])
    images = rng.normal(size=(2, 3, 64, 64))
    for one in (net, donor):
        one.blobs["data"].data[...] = images
        one.forward()
    same = np.allclose(net.blobs["fc6"].data, donor.blobs["fc6"].data, atol=1e-6)
    attempt.must(same, "with all layers copied the net gives the donor's logits", hint=memory)


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
    returns=False,
)
def _choose_rate(attempt):
    once = (
        "Train once with each rate, in a loop, and keep the losses: losses = {rate: first_epoch(rate) for rate in "
        "rates}."
    )
    least = "Of those whose loss is not above `before`, which has the lowest? min(fit, key=fit.get) names its rate."
    nans = (
        "min and argmin are helpless where there is a NaN: leave those out before, `loss <= before` is False for "
        "them. A loss of 0 is a number like any other; None is for where no rate is left."
    )
    rng = np.random.default_rng(2)
    for turn in range(60):
        rates = rng.permutation([0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005]).tolist()
        losses = dict(zip(rates, (rng.integers(8, 40, len(rates)) / 8).tolist()))
        if turn % 2:
            losses[rates[turn // 2 % 6]] = float("nan")
        if turn % 12 == 8:
            losses = dict.fromkeys(rates, float("nan"))
        if turn % 6 == 3:
            losses[rates[turn % 5]] = 0.0
        before, asked = float(rng.integers(8, 40) / 8), []
        if turn % 10 == 4:
            before = 0.5
        if turn % 10 == 6:
            before = min((loss for loss in losses.values() if loss == loss), default=1.0)

        def first_epoch(rate, losses=losses, asked=asked):
            asked.append(rate)
            return losses[rate]

        answer = attempt(list(rates), first_epoch, before)
        told = {rate: loss for rate, loss in losses.items()}
        attempt.must(
            sorted(asked) == sorted(rates), "each rate is tried, and once: a training takes long", f"{asked}", once
        )
        fit = {rate: loss for rate, loss in losses.items() if loss <= before}
        words = f"{answer} for losses {told} and {before} before"
        if not fit:
            attempt.must(answer is None, "where every rate makes it worse than epoch 0, none is chosen", words, nans)
            continue
        attempt.must(
            answer in losses, "one of the rates is chosen where one keeps epoch 1 from being worse", words, nans
        )
        attempt.must(losses[answer] <= before, "epoch 1 is no worse than epoch 0", words, nans)
        attempt.must(losses[answer] == min(fit.values()), "of those the lowest validation loss is chosen", words, least)


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
)
def _paired_interval(attempt):
    pairs = (
        "Work on the difference of the two, image by image, as floats: then what belongs together is not drawn apart."
    )
    whole = (
        "Ten images of one block are hardly more evidence than one. So the block is what is drawn, with all its "
        "images, as often as it comes: rng.integers(0, n, n) of n blocks. Blocks may have any numbers: "
        "np.unique(block)."
    )
    size = "np.bincount(block, difference) sums the differences of each block; its mean needs the block's size, too."
    ends = (
        "np.percentile(means, [2.5, 97.5]) of all thousand means: 95 in 100 lie between. A hundred draws are too "
        "few for the ends to stay where they are."
    )
    rng = np.random.default_rng(3)

    def tried(a, b, block, seed):
        answer = attempt(a, b, block, np.random.default_rng(seed))
        low, high = attempt.array(answer, (2,), "it returns low and high")
        attempt.must(low <= high, "low is not above high", hint=ends)
        return low, high

    def answers(blocks):
        """Two networks that agree mostly, each block as a whole easy or hard for either: (a, b, block)."""
        block = np.repeat(np.arange(blocks), rng.integers(8, 13, blocks))
        easy, better = rng.random(blocks) < 0.6, rng.random(blocks)
        a = easy & (better < 0.9) | (better < 0.25)
        b = easy & (better > 0.1)
        flip = rng.random((2, len(block))) < 0.03
        order = rng.permutation(len(block))
        names = rng.choice(1000, blocks, replace=False)
        return (a[block] ^ flip[0])[order], (b[block] ^ flip[1])[order], names[block][order]

    a, _, block = answers(24)
    same = tried(a, a, block, 0)
    itself = "a network compared with itself differs by 0, in every draw: pairs stay"
    attempt.must(np.allclose(same, 0, atol=1e-6), itself, f"{same}", pairs)
    sure = tried(block >= 0, block < 0, block, 0)
    ahead = "a network that is right everywhere is 1 ahead of one that never is: a minus b"
    attempt.must(np.allclose(sure, 1, atol=1e-6), ahead, f"{sure}", pairs)
    uneven = np.repeat([3, 12], [90, 10])
    low, high = tried(uneven == 3, uneven == 12, uneven, 1)
    words = f"blocks of 90 and 10 images gave {low:.2f} to {high:.2f}, not -1 to 1"
    attempt.must(np.allclose((low, high), (-1, 1), atol=1e-6), "the draw is of whole blocks", words, whole)
    big = np.repeat(np.arange(20), [181, *[1] * 19])
    low, high = tried(big == 0, big < 0, big, 2)
    attempt.must(
        high > 0.5, "each image counts alike, those of a large block too", f"the interval ends at {high:.2f}", size
    )
    off = []
    for seed in range(40):
        a, b, block = answers(24)
        means = _draws(a, b, block, rng, 4000)
        ends_here = np.percentile(means, [2.5, 97.5])
        off.append((np.array(tried(a, b, block, seed)) - ends_here) / means.std())
    below, above = np.mean(off, axis=0)
    words = f"in 40 comparisons low was {below:+.2f} and high {above:+.2f} standard deviations off, on average"
    attempt.must(max(abs(below), abs(above)) < 0.07, "95 % of the draws lie between low and high", words, ends)
    scatter = np.std([tried(a, b, block, seed) for seed in range(40)], axis=0).max() / means.std()
    words = f"with other draws they moved by {scatter:.2f} standard deviations, where a thousand draws give 0.08"
    attempt.must(scatter < 0.13, "a thousand draws settle where the ends are", words, ends)
    attempt.must(
        scatter > 0, "another rng gives other draws", words, "Draw from the rng given, not from one of your own."
    )
    attempt.repeats(a, b, block)


def _draws(right_a, right_b, block, rng, draws):
    """The means of so many draws of whole blocks."""
    _, block = np.unique(block, return_inverse=True)
    sums, sizes = np.bincount(block, right_a.astype(float) - right_b), np.bincount(block)
    times = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), draws)
    return (times @ sums) / (times @ sizes)
