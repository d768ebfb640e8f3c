"""The explorer of activations: images on their way through a branch, blob by blob."""

import numpy as np

from helpers import nets, plots, weights
from helpers.explorers import inspection
from helpers.explorers.controls import Explorer, choice, slider, tick, upload, uploaded
from helpers.plots.images import channel_detail, class_view, seen_by_unit
from helpers.plots.pages import PAGE, unit_in_grid

SCALINGS = [("each channel by itself", "channel"), ("one scale for all", "shared")]


def activations(layers, branch, examples, class_names, images=16):
    """Images on their way through a net: every blob, one unit and what it sees, the classes and what they depend on.

    layers: {layer: [weights, bias]} of the whole branch. branch: its prototxt message.
    examples: Examples whose first `images` can be chosen, besides the reader's own, which are cut square and resized.
    What each image does to the net is computed when this is made: about a second, several for the whole branch.
    """
    net = nets.instantiate(branch)
    weights.transplant(layers, net, (*nets.CONVOLUTIONS, "fc6"))
    names = [f"{i}: {class_names[label]}" for i, label in enumerate(examples.labels[:images])]
    looks = [inspection.look(net, image, examples.transform) for image in examples.inputs[:images]]
    fields = inspection.receptive_fields(branch)
    blobs = [(f"{name}: {' × '.join(map(str, blob.shape))}", name) for name, blob in looks[0].blobs.items()]
    controls = {
        "image": choice("image", list(zip(names, range(images)))),
        "upload": upload("your own image"),
        "blob": choice("blob", blobs),
        "scaling": choice("scale", SCALINGS),
        "channel": slider("channel", 0, 0, 0),
        "strongest": tick("its strongest unit", True),
        "row": slider("row", 0, 0, 0),
        "column": slider("column", 0, 0, 0),
    }

    def shown():
        return looks[controls["image"].value].blobs[controls["blob"].value]

    def adjust(name):
        if name == "upload" and controls["upload"].value:
            try:
                own = inspection.own_image(*uploaded(controls["upload"].value))
                looks.append(inspection.look(net, own, examples.transform))
            except ValueError as error:
                print(error)
                return
            names.append(f"{len(names)}: your own")
            controls["image"].options = list(zip(names, range(len(names))))
            controls["image"].value = len(names) - 1
        for control, size in zip(("channel", "row", "column"), shown().shape):
            controls[control].max = size - 1
        if name == "blob":  # another blob's channels are others: begin with the one that answers most
            controls["channel"].value = int(shown().max(axis=(1, 2)).argmax())
        if name in ("row", "column"):
            controls["strongest"].value = False
        if controls["strongest"].value:
            channel = shown()[controls["channel"].value]
            controls["row"].value, controls["column"].value = map(
                int, np.unravel_index(channel.argmax(), channel.shape)
            )

    def select(across, down):
        channel, row, column = unit_in_grid(across, down, shown().shape)
        controls["strongest"].value = False
        controls["channel"].value, controls["row"].value, controls["column"].value = channel, row, column

    def seen(image, blob, row, column):
        picture = looks[image].image
        top, left, bottom, right = fields[blob].box(row, column, len(picture))
        figure = seen_by_unit(picture, (top, left, bottom, right))
        part = f"rows {top} to {bottom - 1}, columns {left} to {right - 1}"
        return figure, f"The image; outlined {part}: what the unit sees."

    def channels(image, blob, channel, scaling):
        values = looks[image].blobs[blob]
        figure = plots.activations(values, None, scaling, f"{blob}: {len(values)} channels", channel, PAGE, scale=False)
        return figure, f"All {len(values)} channels of {blob} for this image; channel {channel} is outlined."

    def unit(image, blob, channel, row, column):
        figure = channel_detail(looks[image].blobs[blob][channel], (row, column), f"channel {channel} of {blob}")
        return figure, f"Channel {channel} of {blob}; the unit at row {row}, column {column} is outlined."

    def classes(image):
        look = looks[image]
        likeliest = class_names[look.probabilities.argmax()]
        figure = class_view(look.image, look.probabilities, class_names, look.occlusion)
        return figure, f"The five likeliest classes, first {likeliest}, and where hiding a square makes it less likely."

    def words(image, blob, channel, row, column):
        look, field = looks[image], fields[blob]
        value, likeliest = look.blobs[blob][channel, row, column], look.probabilities.argmax()
        return (
            f"The net says <b>{class_names[likeliest]}</b> ({look.probabilities[likeliest]:.0%}). The unit of "
            f"{blob} at channel {channel}, row {row}, column {column} answers <b>{value:.3g}</b>. Units of {blob} see "
            f"{field.size} × {field.size} pixels, each {field.stride} further than its neighbour."
        )

    adjust("blob")
    travels = {"blob": [name for name in looks[0].blobs if name.startswith(("conv", "pool5"))]}
    caption = (
        "An image on its way through the branch: what one unit sees of it, all channels of a blob, the strongest of "
        "them enlarged, and the likeliest classes with what they depend on."
    )
    panels = [seen, channels, unit, classes, words]
    return Explorer(controls, panels, caption, adjust, (channels, select), travels=travels)
