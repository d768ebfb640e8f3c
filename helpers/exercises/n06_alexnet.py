"""Notebook 06: parameters are counted from a prototxt, and a control is built that differs in the trunk alone."""

import caffe
import numpy as np
from caffe import layers as L, params as P

from helpers import nets
from helpers.data import Examples
from helpers.exercises.engine import describe, exercise
from helpers.recipes import CIFAR100_FINE_TUNE
from helpers.training import run_folder


def count(net, shapes):
    """The learned numbers of a net of convolutions and inner products.

    net: a prototxt message. layer.type is "Convolution" or "InnerProduct"; layer.convolution_param
    has num_output, kernel_size[0], group and bias_term, layer.inner_product_param num_output and
    bias_term. layer.bottom[0] names the blob it reads, shapes[...] is that blob's (n, channels, ...).
    Layers that name the same parameter, layer.param[0].name, share their weights. Returns a number.
    """
    total, shared = 0, set()
    for layer in net.layer:
        if layer.type not in ("Convolution", "InnerProduct"):
            continue
        name = layer.param[0].name if layer.param else ""
        if name and name in shared:
            continue
        shared.add(name)
        _, *inputs = shapes[layer.bottom[0]]
        if layer.type == "Convolution":
            spec = layer.convolution_param
            weights = spec.num_output * (inputs[0] // spec.group) * spec.kernel_size[0] ** 2
        else:
            spec = layer.inner_product_param
            weights = spec.num_output * int(np.prod(inputs))
        total += weights + spec.num_output * spec.bias_term
    return total


def _net(rng, group=1, bias=True, inner=False, siamese=False, rates=False):
    """A random prototxt: convolutions, with a pooling between, an inner product behind them, or two that share."""
    spec, channels = caffe.NetSpec(), 2 * int(rng.integers(1, 4))
    spec.data = L.Input(shape=dict(dim=[2, channels, 16, 16]))

    def convolution(bottom, name="", groups=group):
        size = dict(num_output=4 * int(rng.integers(1, 4)), kernel_size=int(rng.choice([1, 3, 5])), pad=2)
        params = dict(param=[dict(name=f"{name}_w"), dict(name=f"{name}_b")]) if name else {}
        params |= dict(param=[dict(lr_mult=1), dict(lr_mult=2)]) if rates else {}
        return L.Convolution(bottom, group=groups, bias_term=bias, **size, **params)

    if siamese:
        state = rng.bit_generator.state
        for side in "ab":
            rng.bit_generator.state = state  # the same sizes on both sides
            spec[f"conv_{side}"] = convolution(spec.data, "shared")
            spec[f"deep_{side}"] = convolution(spec[f"conv_{side}"], "deeper")
        spec.both = L.Concat(spec.deep_a, spec.deep_b)
    else:
        spec.conv1 = convolution(spec.data)
        spec.pool1 = L.Pooling(spec.conv1, pool=P.Pooling.MAX, kernel_size=3, stride=2)
        spec.relu1 = L.ReLU(spec.pool1, in_place=True)
        spec.conv2 = convolution(spec.pool1)
    if inner:
        bottom = spec.both if siamese else spec.conv2
        spec.score = L.InnerProduct(bottom, num_output=int(rng.integers(2, 20)), bias_term=bias)
    return spec.to_proto()


def _in_words(net, shapes):
    """A line for each layer that has parameters."""
    lines = []
    for layer in net.layer:
        convolution = layer.type == "Convolution"
        spec = layer.convolution_param if convolution else layer.inner_product_param
        if convolution or layer.type == "InnerProduct":
            own = f" kernel_size {spec.kernel_size[0]}, group {spec.group}," if convolution else ""
            shared = f", param {layer.param[0].name}" if layer.param else ""
            reads = f"{layer.name} reads {shapes[layer.bottom[0]]}"
            lines.append(f"{reads}: num_output {spec.num_output},{own} bias_term {spec.bias_term}{shared}")
    return "\n".join(lines)


@exercise(
    "06.1",
    "Count parameters",
    count,
)
def _count(attempt):
    rng = np.random.default_rng(1)
    kinds = [
        (
            "a convolution has num_output filters of channels x k x k, and num_output biases",
            {},
            "One filter of a convolution has a weight for each channel that it sees and each pixel of its kernel,"
            " and one bias.",
        ),
        (
            "with groups a filter sees a part of the channels",
            dict(group=2),
            "With group g a filter sees 1/g of the channels that the layer reads; there are num_output filters as"
            " before.",
        ),
        (
            "without bias_term there is no bias",
            dict(bias=False),
            "bias_term is True or False, in both kinds of layers.",
        ),
        (
            "an inner product has a weight per output and per number that it reads",
            dict(inner=True),
            "All axes of the blob that it reads but the first, which is the batch, multiplied; and num_output biases.",
        ),
        (
            "weights that two layers share are counted once",
            dict(siamese=True, inner=True),
            "Remember the names of parameters that have been counted, and skip a layer whose name is among them.",
        ),
        (
            "a parameter without a name is shared by no other",
            dict(rates=True, inner=True),
            "layer.param may be there for a learning rate alone: its name is empty then, and empty names are not "
            "the same.",
        ),
    ]
    for wanted, kind, hint in kinds:
        for _ in range(3):
            net = _net(rng, **kind)
            shapes, right = nets.blob_shapes(net), sum(nets.parameter_counts(net).values())
            mine = attempt(net, shapes)
            attempt.must(mine == right, wanted, f"{mine} where Caffe has {right}, in\n{_in_words(net, shapes)}", hint)


def strict_control(puzzles, random_trunk, train_last_layer):
    """What solver.fit is given for the control of a fine-tuning: the trunk differs, and nothing else.

    puzzles: what the fine-tuning from puzzles was given, a dictionary with net, recipe, initial,
    layers and seed; initial is {layer: arrays}, the convolutions and an fc6 trained on top of them.
    random_trunk: {layer: arrays} of convolutions that were never trained. train_last_layer(trunk)
    trains an fc6 on a trunk, and returns {"fc6": arrays}. Returns a dictionary like `puzzles`.
    """
    return puzzles | {"initial": random_trunk | train_last_layer(random_trunk)}


@exercise(
    "06.2",
    "The strict control",
    strict_control,
)
def _strict_control(attempt):
    taken = (
        "Everything but `initial` is taken over as it is: puzzles | {...} makes a new dictionary with one entry "
        "changed."
    )
    own_head = (
        "The fc6 of puzzles was trained on the puzzles' trunk; the control's is trained on its own, the random one."
    )
    joined = (
        "`initial` has the form of the puzzles': {layer: arrays}, the random convolutions and what train_last_layer"
        " gives."
    )
    rng = np.random.default_rng(2)
    images = Examples(rng.integers(0, 9, (4, 2)).astype(np.uint8), np.arange(4))

    def layers(names):
        return {name: [rng.normal(size=(2, 3)).astype(np.float32), np.zeros(2, np.float32)] for name in names}

    def settings(given):
        words = dict(training=images, validation=images, test=images)
        return run_folder.settings(
            **words, **{name: given[name] for name in ("net", "recipe", "initial", "layers", "seed")}
        )

    for seed in range(5):
        trunk, trained_on = layers(nets.CONVOLUTIONS), []
        start = layers((*nets.CONVOLUTIONS, "fc6"))
        puzzles = dict(net="the branch", recipe=CIFAR100_FINE_TUNE, initial=start, seed=seed)
        puzzles["layers"] = (*nets.CONVOLUTIONS, "fc6")
        before = settings(puzzles)
        head = layers(["fc6"])

        def train_last_layer(given, trained_on=trained_on, head=head):
            trained_on.append({name: given[name] for name in nets.CONVOLUTIONS})
            return {"fc6": [array.copy() for array in head["fc6"]]}

        control = attempt(puzzles, trunk, train_last_layer)
        attempt.must(isinstance(control, dict), "it returns a dictionary of what solver.fit is given", hint=taken)
        lacks = sorted(set(puzzles) - set(control))
        attempt.must(
            not lacks,
            "the control is given all that the training from puzzles was",
            f"it lacks {', '.join(lacks)}",
            taken,
        )
        more = sorted(set(control) - set(puzzles))
        attempt.must(not more, "the control is given nothing that the training from puzzles was not", f"{more}", taken)
        attempt.must(
            control["layers"] == puzzles["layers"], "the same layers are copied in", f"{control['layers']}", taken
        )
        form = "`initial` is {layer: arrays}, as in puzzles"
        attempt.must(isinstance(control["initial"], dict), form, describe(control["initial"]), joined)
        own = {name: control["initial"].get(name) for name in puzzles["layers"]}
        moved = [name for name in nets.CONVOLUTIONS if not _same(own[name], trunk[name])]
        attempt.must(not moved, "the control's convolutions are the random trunk's", ", ".join(moved), joined)
        once = len(trained_on) == 1 and all(_same(trained_on[0][name], trunk[name]) for name in trunk)
        attempt.must(
            once, "a last layer is trained once, on the random trunk", f"{len(trained_on)} were trained", own_head
        )
        attempt.must(
            _same(own["fc6"], head["fc6"]), "the control's fc6 is the one trained on its own trunk", hint=own_head
        )
        other = [name for name, value in settings(control).items() if value != before[name]]
        words = f"{', '.join(other)} differ in settings.json"
        attempt.must(other == ["initial"], "nothing but the start differs in settings.json", words, taken)


def _same(one, other):
    return one is not None and len(one) == len(other) and all(map(np.array_equal, one, other))
