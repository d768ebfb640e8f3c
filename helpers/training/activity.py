"""The share of a net's units that are active: a layer whose units are nearly all silent has stopped learning."""

import dataclasses

import numpy as np

from helpers.training.forward import forward

ACTIVITY_EXAMPLES = 256  # validation examples on which the share of active units is counted
COLLAPSED = 0.05  # a ReLU layer with a smaller share of active units gets a warning


def shares(net, examples, batch_size=128):
    """{ReLU layer: share of its units, in [0, 1], that are not zero}, over the first ACTIVITY_EXAMPLES examples."""
    relus = {name: net.top_names[name][0] for name, layer in zip(net._layer_names, net.layers) if layer.type == "ReLU"}
    if not relus:
        return {}
    first = slice(ACTIVITY_EXAMPLES)
    few = dataclasses.replace(examples, inputs=examples.inputs[first], labels=examples.labels[first])
    active, units = dict.fromkeys(relus, 0), dict.fromkeys(relus, 0)
    for _ in forward(net, few, [], batch_size):
        for name, blob in relus.items():
            active[name] += np.count_nonzero(net.blobs[blob].data)
            units[name] += net.blobs[blob].count
    return {name: active[name] / units[name] for name in relus}


def collapses(rows, recipe):
    """A sentence per ReLU layer that fell under COLLAPSED in some epoch, and what to do.

    rows: of activity.csv, dicts of epoch and `shares`. recipe: what the training followed.
    """
    sentences = []
    for name in rows[0] if rows else ():
        fallen = [row for row in rows if name != "epoch" and row[name] < COLLAPSED]
        if fallen:
            sentences.append(
                f"{name} has collapsed: in epoch {fallen[0]['epoch']} only {fallen[0][name]:.1%} of its units were "
                f"active. Units that are never active learn nothing: lower base_lr ({recipe.base_lr}), start from "
                "He fillers, or put BatchNorm after the convolutions"
            )
    return sentences
