"""The explorer of filters: every convolution, two networks beside each other, one filter enlarged."""

from dataclasses import dataclass

import numpy as np

from helpers import nets, plots, weights
from helpers.explorers import filter_numbers as numbers, inspection
from helpers.explorers.controls import Explorer, choice, slider, stops, tick
from helpers.plots.filters import filter_detail, white_weight
from helpers.plots.images import image_grid
from helpers.plots.pages import PAGE, columns_for, unit_in_grid

CONV1 = nets.CONVOLUTIONS[0]
ALONE = "no other"
SCALINGS = [("each by itself", "each"), ("one scale for all", "shared")]
COLOURS = [("as colours", "rgb"), ("red", 0), ("green", 1), ("blue", 2)]
ORDERS = ["number", "norm", "colourfulness", "change"]
END = ("the end", "end")  # on the slider over recorded epochs: the weights that the network ended with


def filters(networks, branch=None, examples=None, before=None, epochs=None, network=None, scaling="each"):
    """The filters of every convolution, a second network beside the first, one filter enlarged and what it likes.

    networks: {label: {layer: [weights, bias]}}, all of the same shapes; shown are the convolutions that all have.
    branch, examples: their prototxt message, and Examples of images, of which the first 200 are searched for the
        patches that excite each filter most when this is made (seconds); without them no patches are shown.
    before: label of the network to which `change` refers; the first where None.
    epochs: {label: {epoch: conv1's weights}}, recorded during trainings: a slider runs over them.
    network, scaling: what it begins with: a label, the first where None; "each" filter by itself, or "shared", one
        scale for all.
    """
    panels = FilterPanels(
        networks,
        before or next(iter(networks)),
        epochs or {},
        examples.inputs if branch else None,
        {label: _favourites(own, branch, examples) for label, own in networks.items()} if branch else {},
        inspection.receptive_fields(branch) if branch else {},
    )
    first = networks[panels.before][CONV1][0]
    layers = [layer for layer in nets.CONVOLUTIONS if all(layer in own for own in networks.values())]
    controls = {
        "layer": choice("layer", layers),
        "network": choice("network", list(networks), network),
        "beside": choice("beside it", [ALONE, *networks]),
        "paired": tick("pair by best match"),
        "order": choice("order by", ORDERS),
        "scaling": choice("scale", SCALINGS, scaling),
        "channel": stops("input channel", COLOURS),
        "epoch": stops("after epoch", [END]),
        "place": slider("filter at place", 0, 0, len(first) - 1),
    }
    controls["epoch"].layout.display = "" if epochs else "none"

    def adjust(name):
        layer, network = controls["layer"].value, controls["network"].value
        if name == "layer":
            weight = networks[network][layer][0]
            colour = weight.shape[1] == 3
            controls["channel"].options = COLOURS if colour else list(range(weight.shape[1]))
            controls["order"].options = [key for key in ORDERS if colour or key != "colourfulness"]
            controls["place"].max = len(weight) - 1
        if name in ("layer", "network"):
            recorded = panels.epochs.get(network, {}) if layer == CONV1 else {}
            controls["epoch"].options = [*((str(epoch), epoch) for epoch in recorded), END]
            controls["epoch"].value = "end"

    def select(across, down):
        weight = networks[controls["network"].value][controls["layer"].value][0]
        controls["place"].value = unit_in_grid(across, down, (len(weight), *weight.shape[2:]))[0]

    adjust("layer")
    shown = [panels.grid, panels.second_grid, panels.detail, *([panels.patches] if branch else []), panels.words]
    recorded = [value for _, value in controls["epoch"].options]
    travels = (
        {"epoch": [*recorded[:-1][:9], "end"]} if len(recorded) > 1 else {"order": list(controls["order"].options)}
    )
    liked = ", and the patches that excite it most" if branch else ""
    caption = f"The filters of a convolution ({', '.join(networks)}), one of them enlarged with its spectrum{liked}."
    return Explorer(controls, shown, caption, adjust, (panels.grid, select), travels=travels)


@dataclass(frozen=True, eq=False)
class FilterPanels:
    """The panels of `filters`. images: patches are cut from them. favourites: {label: {layer: (image, row, column)
    of each filter's strongest answers}}, as inspection.strongest gives. fields: {layer: its receptive field}.
    """

    networks: dict
    before: str
    epochs: dict
    images: np.ndarray
    favourites: dict
    fields: dict

    def weight(self, network, layer, epoch="end"):
        recorded = self.epochs.get(network, {}) if layer == CONV1 else {}
        return np.asarray(recorded.get(epoch, self.networks[network][layer][0]), np.float32)

    def arrangement(self, network, layer, epoch, order):
        """Which filter stands at each place of the picture, the largest of what they are ordered by first."""
        weight = self.weight(network, layer, epoch)
        keys = {
            "number": lambda: -np.arange(len(weight)),
            "norm": lambda: numbers.norms(weight),
            "colourfulness": lambda: numbers.colourfulness(weight),
            "change": lambda: numbers.change(self.weight(self.before, layer), weight),
        }
        return np.argsort(-keys[order](), kind="stable")

    def partners(self, network, layer, epoch, order, beside, paired):
        """Which filter of the second network stands at each place, and how far it correlates with the first's."""
        arrangement = self.arrangement(network, layer, epoch, order)
        if not paired:
            return arrangement, None
        matched, correlations = numbers.match(self.weight(network, layer, epoch), self.weight(beside, layer))
        return matched[arrangement], correlations[arrangement]

    def limit(self, network, layer, scaling):
        """One scale for all filters is that of the weights that the first network ended with."""
        return white_weight(self.weight(network, layer)) if scaling == "shared" else None

    def grid(self, network, layer, epoch, order, channel, scaling, place):
        weight = self.weight(network, layer, epoch)[self.arrangement(network, layer, epoch, order)]
        title = f"{network}: {len(weight)} filters of {layer}"
        figure = self._grid(_one_channel(weight, channel), title, self.limit(network, layer, scaling), place)
        words = f"The {len(weight)} filters of {layer} of {network}, in order of {order}; place {place} is outlined."
        return figure, words

    def second_grid(self, network, layer, epoch, order, channel, scaling, place, beside, paired):
        if beside == ALONE:
            return ""
        arrangement, correlations = self.partners(network, layer, epoch, order, beside, paired)
        words = f", best matches, mean correlation {correlations.mean():.2f}" if paired else ""
        weight = _one_channel(self.weight(beside, layer)[arrangement], channel)
        figure = self._grid(weight, f"{beside}{words}", self.limit(network, layer, scaling), place)
        return figure, f"The filters of {layer} of {beside}{words}; place {place} is outlined."

    def _grid(self, weight, title, limit, place):
        scaling = "shared" if limit else "filter"
        return plots.filters(weight, title, columns_for(len(weight)), scaling, "RGB", limit, place, PAGE)

    def detail(self, network, layer, epoch, order, channel, scaling, place):
        index = self.arrangement(network, layer, epoch, order)[place]
        weight = _one_channel(self.weight(network, layer, epoch)[[index]], channel)[0]
        limit = self.limit(network, layer, scaling)
        figure = filter_detail(weight, numbers.spectrum(weight), f"filter {index}", limit)
        return figure, f"Filter {index} of {layer} of {network} enlarged, and its spectrum."

    def patches(self, network, layer, epoch, order, place):
        index = self.arrangement(network, layer, epoch, order)[place]
        side, cut = self.images.shape[1], []
        for image, row, column in self.favourites[network][layer][index]:
            top, left, bottom, right = self.fields[layer].box(row, column, side)
            cut.append(self.images[image, top:bottom, left:right])
        figure = image_grid(cut, columns=6, title=f"what excites filter {index} most", width=PAGE)
        return figure, f"{len(cut)} patches, one of an image each, that excite filter {index} of {layer} most."

    def words(self, network, layer, epoch, order, place, beside, paired):
        weight, start = self.weight(network, layer, epoch), self.weight(self.before, layer)
        index = self.arrangement(network, layer, epoch, order)[place]
        told = [f"<b>Filter {index}</b> of {layer}, {network}: norm {numbers.norms(weight)[index]:.3f}"]
        if weight.shape[1] == 3:
            told.append(f"colourfulness {numbers.colourfulness(weight)[index]:.2f}")
        if network != self.before:
            told.append(f"changed by {numbers.change(start, weight)[index]:.1%} of its norm since {self.before}")
        if beside != ALONE and paired:
            matched, correlations = self.partners(network, layer, epoch, order, beside, paired)
            told.append(f"most like filter {matched[place]} of {beside}, correlation {correlations[place]:.2f}")
        return ", ".join(told) + "."


def _favourites(layers, branch, examples):
    net = nets.instantiate(branch)
    weights.transplant(layers, net)
    return inspection.strongest(net, examples, nets.CONVOLUTIONS)


def _one_channel(weight, channel):
    """One input channel as grey filters, or all three as colours."""
    return weight if channel == "rgb" else weight[:, channel : channel + 1]
