"""The picture of a net, drawn from its prototxt message: the layers stage by stage, and the blob that each stage makes.

Lengths are inches, so that text and boxes fit each other.
"""

import math

from matplotlib import colors
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch, Polygon

from helpers.phases import TEST, TRAIN, filter_net
from helpers.plots.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY_BLUE, VERMILLION, styled

# kind of layer: colour, layer types
KINDS = {
    "data": ("#6E6E6E", ("Input", "Data", "ImageData", "HDF5Data", "MemoryData", "DummyData", "Python")),
    "slice, concat, reshape": ("#6E6E6E", ("Slice", "Concat", "Reshape", "Flatten", "Split")),
    "convolution": (BLUE, ("Convolution",)),
    "ReLU": (ORANGE, ("ReLU",)),
    "pooling": (GREEN, ("Pooling",)),
    "normalisation": (SKY_BLUE, ("LRN", "BatchNorm", "Scale")),
    "inner product": (VERMILLION, ("InnerProduct",)),
    "dropout": (PURPLE, ("Dropout",)),
    "loss, accuracy": (BLACK, ("SoftmaxWithLoss", "Softmax", "Accuracy", "EuclideanLoss")),
}
FOLLOWERS = ("ReLU", "pooling", "normalisation", "dropout")  # kinds that stand under the layer they follow
COLUMNS = 8  # stages in a row
KEY = 2.1  # inches that an entry of the legend needs
WIDTH, BOX = 1.3, 1.23  # of a column, and of the boxes in it
LANE = 1.6  # height of the lane where the blobs are drawn
LINE, PADDING = 0.18, 0.09  # height of a line of text, and what a box has above and below its lines
MARGIN = 0.12
CARD = 0.045  # how far each of the siamese branches peeps out behind the one before it
SPREAD = 0.03  # between the lines in which the branches leave
INK = "#222222"
FROZEN = {"facecolor": "#F4F4F4", "edgecolor": "#CFCFCF", "hatch": "///"}
ROUND = "round,pad=0,rounding_size={}"
ARROW = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.2, "shrinkA": 0, "shrinkB": 0}


def siamese_branches(net):
    """Which branch each layer belongs to: {layer name: 0, 1, ...}, None for what is outside the branches.

    A layer whose `param` names were used by earlier layers belongs to a further branch; layers without such names
    inherit the branch of what they read; where branches meet, they end.
    """
    sharing = {}
    for layer in net.layer:
        sharing.setdefault(tuple(param.name for param in layer.param if param.name), []).append(layer.name)
    position = {name: i for names, group in sharing.items() if names and len(group) > 1 for i, name in enumerate(group)}
    branches, makers = {}, {}
    for layer in net.layer:
        read = {makers.get(blob) for blob in layer.bottom}
        branches[layer.name] = position.get(layer.name, read.pop() if len(read) == 1 else None)
        makers.update((blob, branches[layer.name]) for blob in layer.top)
    return branches


@styled
def architecture(net, shapes, parameters=None, columns=COLUMNS):
    """A net drawn from its own prototxt: layers stage by stage, and the blobs they make (Figures 1 and 3).

    Siamese branches are drawn once, as a stack of cards; frozen layers are hatched.
    net: a caffe NetParameter message. shapes: {blob: shape with batch axis}, as helpers.nets.blob_shapes gives. Of a
    net whose layers are not the same in TRAIN and TEST the phase is drawn that the shapes are of.
    parameters: {layer: count}, as helpers.nets.parameter_counts gives, to write them into the boxes.
    columns: stages in a row; 3 suit a phone.
    Raises ValueError where shapes lacks a blob.
    """
    phases = [filter_net(net, phase) for phase in (TEST, TRAIN)]
    missing = [[blob for layer in each.layer for blob in layer.top if blob not in shapes] for each in phases]
    if all(missing):
        words = f"shapes lacks the blob {missing[0][0]!r} of {net.name!r}; nets.blob_shapes(net) gives them all"
        raise ValueError(words)
    net = next(each for each, lacking in zip(phases, missing) if not lacking)
    if any(None in shape for shape in shapes.values()):
        raise ValueError(f"the shapes of {net.name!r} depend on data: give them, nets.blob_shapes(net, data=...)")
    branches = siamese_branches(net)
    count = 1 + max((branch for branch in branches.values() if branch is not None), default=0)
    layers = [layer for layer in net.layer if branches[layer.name] in (None, 0)]
    stages, handles = _stages(layers), _legend(layers)
    rows = [stages[start : start + columns] for start in range(0, len(stages), columns)]
    texts = {layer.name: _describe(layer, shapes, parameters or {}) for layer in layers}
    depths = [max(sum(_height(texts[layer.name]) for layer in column) for column in row) for row in rows]
    aside = len(rows) > 1 and WIDTH * (columns - len(rows[-1])) > 2 * KEY  # then the legend fits beside the last row
    peep = (count > 1) * CARD * count
    turn = (len(rows) > 1) * (0.15 + SPREAD * (count - 1))
    width = 2 * MARGIN + WIDTH * max(map(len, rows)) + peep + turn
    keys = 2 if aside else max(1, int(width / KEY))
    above, between = 0.4 + (count > 1) * 0.5 + peep, 0.35 + SPREAD * (count - 1)
    below = 0.1 if aside else 0.35 + 0.2 * math.ceil(len(handles) / keys)
    height = above + sum(depths) + len(rows) * LANE + (len(rows) - 1) * between + below
    figure = Figure(figsize=(width, height), layout="none")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    _write(axes, MARGIN, height - 0.12, net.name, ha="left", fontsize=13, fontweight="bold")
    if count > 1:
        names = [param.name for layer in layers for param in layer.param if param.name]
        words = f"{count} siamese branches, one set of weights"
        _write(axes, MARGIN, height - 0.42, words, ha="left", fontsize=10.5, fontweight="bold")
        names = names if len(names) < 4 else [*names[:2], f"… {names[-1]}"]
        words = f"shared by param name: {', '.join(names)}"
        _write(axes, MARGIN, height - 0.62, words, ha="left")

    side = max([shape[2] for shape in shapes.values() if len(shape) == 4], default=1)
    top, leaving = height - above, []
    for row, depth in zip(rows, depths):
        inside = [i for i, column in enumerate(row) if branches[column[0].name] == 0]
        if inside:
            _cards(axes, inside, count, top, top - LANE - depth - 0.08)
        blobs = []
        for i, column in enumerate(row):
            left, y = MARGIN + i * WIDTH, top - LANE
            for layer in column:
                _box(axes, left, y, layer, texts[layer.name])
                y -= _height(texts[layer.name])
            copies = count if column[0].type == "Slice" else 1
            blobs.append(_blob(axes, left + BOX / 2, top - LANE + 0.35, column, shapes, side, copies))
        for (_, right, y, _), (left, _, _, _) in zip(blobs, blobs[1:]):
            axes.annotate("", (left - 0.03, y), (right + 0.03, y), arrowprops=ARROW)
        if leaving:
            _turn(axes, leaving, blobs[0], width - MARGIN, top + 0.1)
        _, right, y, _ = blobs[-1]
        leaving = [(right + 0.03, y)]
        if branches[row[-1][0].name] == 0:  # each branch leaves from its own card
            edge = MARGIN + len(row) * WIDTH - WIDTH + BOX + 0.05
            axes.annotate("", (edge, y), leaving[0], arrowprops=ARROW)
            leaving = [(edge + i * CARD, y + i * CARD) for i in range(count)]
        top -= LANE + depth + between
    figure.legend(handles=handles, loc="lower right" if aside else "lower left", ncol=keys)
    return figure


def _write(axes, x, y, words, **look):
    axes.text(x, y, words, **{"fontsize": 10, "ha": "center", "va": "top", "color": INK} | look)


def _kind(layer):
    return next((kind for kind, (_, types) in KINDS.items() if layer.type in types), "slice, concat, reshape")


def _frozen(layer):  # BatchNorm's lr_mult is always 0: it keeps running statistics, and learns nothing
    return layer.type != "BatchNorm" and len(layer.param) > 0 and all(param.lr_mult == 0 for param in layer.param)


def _tint(colour, share):
    """A colour mixed with white; share 1 is the pure colour."""
    return tuple(1 - share * (1 - channel) for channel in colors.to_rgb(colour))


def _stages(layers):
    """Layers in columns: the followers stand under what they follow, as do a second input and a second output."""
    columns = []
    for layer in layers:
        kind = _kind(layer)
        if columns and (kind in FOLLOWERS or kind in ("data", "loss, accuracy") and _kind(columns[-1][0]) == kind):
            columns[-1].append(layer)
        else:
            columns.append([layer])
    return columns


def _dimensions(shape):
    """A blob's shape without its batch axis: "96×27×27"; "" for a label or a loss."""
    return "×".join(map(str, shape[1:]))


def _describe(layer, shapes, parameters):
    """The lines of a layer's box, its name first."""
    lines = [layer.name]
    if layer.type == "Convolution":
        param = layer.convolution_param
        kernel = param.kernel_size[0] if param.kernel_size else param.kernel_h
        stride, pad = (list(param.stride) or [1])[0], (list(param.pad) or [0])[0]
        steps = f", stride {stride}" * (stride > 1) + f", pad {pad}" * (pad > 0)
        lines += [f"{param.num_output} filters", f"{kernel}×{kernel}{steps}"]
        lines += [f"in {param.group} groups"] * (param.group > 1)
    if layer.type == "InnerProduct":
        lines += [f"{layer.inner_product_param.num_output:,} outputs"]
    if layer.type == "Pooling":
        param = layer.pooling_param
        how = ("max", "mean", "random")[param.pool]
        height, width = param.kernel_h or param.kernel_size, param.kernel_w or param.kernel_size
        window = f"{height}×{width}, str. {param.stride_h or param.stride}"
        lines += [f"{how} of the map" if param.global_pooling else f"{how} {window}"]
    if layer.type == "Dropout":
        lines[0] += f": {layer.dropout_param.dropout_ratio:g}"
    if layer.type in ("Convolution", "Pooling"):  # others' is written under the stage's blob
        lines += [f"→ {_dimensions(shapes[layer.top[0]])}"]
    if layer.name in parameters:
        lines += [f"{parameters[layer.name]:,}", "parameters"]
    return lines


def _height(lines):
    return len(lines) * LINE + PADDING + 0.05


def _box(axes, left, top, layer, lines):
    colour = KINDS[_kind(layer)][0]
    height = _height(lines) - 0.05
    filling = FROZEN if _frozen(layer) else {"facecolor": _tint(colour, 0.16)}
    for look in ({**filling, "linewidth": 0}, {"facecolor": "none", "edgecolor": colour, "linewidth": 1.2}):
        axes.add_patch(FancyBboxPatch((left, top - height), BOX, height, boxstyle=ROUND.format(0.05), **look))
    for i, line in enumerate(lines):
        weight = "normal" if i else "bold"
        _write(axes, left + BOX / 2, top - PADDING / 2 - (i + 0.5) * LINE, line, va="center", fontweight=weight)


def _blob(axes, centre, base, column, shapes, side, copies):
    """The blob a stage makes, as a block: height for its pixels, width for its channels.

    Returns the x of its left and right, the y at which arrows meet it, and the y of its top.
    """
    tops = [layer.top[0] for layer in column if layer.top]  # a loss need not name its own
    shape = shapes[tops[0 if _kind(column[0]) == "data" else -1]] if tops else ()
    colour = "#8A8A8A" if any(map(_frozen, column)) else KINDS[_kind(column[0])][0]
    middle = base + 0.26
    if len(shape) == 4:
        height, width = 0.1 + 0.65 * math.sqrt(shape[2] / side), 0.04 + 0.05 * math.log2(shape[1])
        slant = 0.4 * height
    elif len(shape) > 1:
        height, width, slant = 0.2 + 0.05 * math.log2(math.prod(shape[1:])), 0.2, 0
    else:
        height, width, slant, base = 0.14, 0.14, 0, middle - 0.07
    left = centre - (width + slant + (copies - 1) * 0.035) / 2
    for copy in reversed(range(copies)):
        x, y = left + copy * 0.035, base + copy * 0.025
        right, up, dx, dy = x + width, y + height, slant, slant * 0.6
        for points, share in (
            ([(x, y), (right, y), (right, up), (x, up)], 0.32),
            ([(x, up), (right, up), (right + dx, up + dy), (x + dx, up + dy)], 0.18),
            ([(right, y), (right + dx, y + dy), (right + dx, up + dy), (right, up)], 0.5),
        ):
            axes.add_patch(Polygon(points, facecolor=_tint(colour, share), edgecolor=INK, linewidth=0.7))
    words = _dimensions(shape).replace("×", " × ")
    _write(axes, centre, base - 0.08, f"{copies} of {words}" if copies > 1 else words)
    return left, left + width + slant + (copies - 1) * 0.035, middle, base + height


def _cards(axes, inside, count, top, bottom):
    """The siamese branches as a stack of cards, the first in front."""
    left, right = MARGIN + inside[0] * WIDTH - 0.04, MARGIN + inside[-1] * WIDTH + BOX + 0.05
    for i in reversed(range(count)):
        corner, look = (left + i * CARD, bottom + i * CARD), {"facecolor": "#FBFBFB", "edgecolor": "#8A8A8A"}
        size, style = (right - left, top + 0.05 - bottom), ROUND.format(0.08)
        axes.add_patch(FancyBboxPatch(corner, *size, linewidth=0.8, boxstyle=style, **look))


def _turn(axes, starts, blob, far, lane):
    """From the end of a row down to the first blob of the next: one line for each branch that comes along."""
    left, right, _, top = blob
    for i, (x, y) in enumerate(starts):
        inner = (len(starts) - 1 - i) * SPREAD  # the upper lines turn further out, so that none cross
        stop = (left + right) / 2 + (i - (len(starts) - 1) / 2) * 0.02
        across, down = [x, far - inner, far - inner, stop, stop], [y, y, lane + inner, lane + inner, top]
        axes.plot(across, down, color=INK, linewidth=0.9)
    if len(starts) == 1:
        axes.annotate("", (stop, top), (stop, lane), arrowprops=ARROW)


def _legend(layers):
    """An entry for each colour among the layers, and one for frozen ones."""
    words = {}
    for kind, (colour, _) in KINDS.items():
        if any(_kind(layer) == kind for layer in layers):
            words.setdefault(colour, []).append(kind)
    looks = {colour: {"facecolor": _tint(colour, 0.16), "edgecolor": colour} for colour in words}
    handles = [Patch(**looks[colour], label=", ".join(kinds)) for colour, kinds in words.items()]
    if any(map(_frozen, layers)):
        handles.append(Patch(**FROZEN, label="frozen (lr_mult 0)"))
    return handles
