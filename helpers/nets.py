"""Every net of the course, generated with caffe.NetSpec and returned as a prototxt message (NetParameter).

`str(net)` is the prototxt. The CFN follows train_val_cfn_jps.prototxt of MehdiNoroozi/JigsawPuzzleSolver
(Noroozi & Favaro, ECCV 2016, arXiv 1603.09246), AlexNet follows BVLC/caffe models/bvlc_alexnet.
"""

import caffe
from caffe import layers as L, params as P

from helpers.phases import filter_net
from helpers.prototxts import blob_shapes, clear_fillers, instantiate, parameter_counts, read, up_to

__all__ = ["blob_shapes", "clear_fillers", "filter_net", "instantiate", "parameter_counts", "read", "up_to"]

TILES = 9
TRAINS = ("all", "conv2", "conv3", "conv4", "conv5", "fc6")  # the index is how many convolutions are frozen
# The blob that each of them reads: while all before it is frozen, so is that.
READS = {"conv2": "norm1_s1", "conv3": "norm2_s1", "conv4": "conv3_s1", "conv5": "conv4_s1", "fc6": "pool5_s1"}
CONVOLUTIONS = ("conv1_s1", "conv2_s1", "conv3_s1", "conv4_s1", "conv5_s1")

# num_output, kernel, stride, pad, group, initial bias: layer by layer as in the authors' prototxt
_TRUNK = {
    "conv1": (96, 11, 2, 0, 1, 0.0),
    "conv2": (256, 5, 1, 2, 2, 1.0),
    "conv3": (384, 3, 1, 1, 1, 0.0),
    "conv4": (384, 3, 1, 1, 2, 1.0),
    "conv5": (256, 3, 1, 1, 2, 1.0),
}


def _params(weight, frozen=False):
    """lr_mult 1/2 and decay_mult 1/0 for weights/bias as in both prototxts; 0 freezes. `weight` names shared blobs."""
    names = [f"{weight}_w", f"{weight}_b"] if weight else [None, None]
    multipliers = [(0, 0), (0, 0)] if frozen else [(1, 1), (2, 0)]
    return [
        dict(lr_mult=lr, decay_mult=decay, **({"name": name} if name else {}))
        for name, (lr, decay) in zip(names, multipliers)
    ]


def _filler(fillers, std, bias):
    """The authors' gaussian weights and constant biases, or He's (Caffe's msra) with biases 0."""
    if fillers == "authors":
        return dict(weight_filler=dict(type="gaussian", std=std), bias_filler=dict(type="constant", value=bias))
    if fillers == "he":
        return dict(weight_filler=dict(type="msra"), bias_filler=dict(type="constant", value=0.0))
    raise ValueError(f"fillers is {fillers!r}; choose 'authors' or 'he'")


def _convolutions(
    spec, bottom, suffix="_s1", fillers="authors", share=False, frozen=0, batch_norm=False, width=1.0, skip=0, bvlc=None
):
    """Add conv1-pool5 after `bottom` (N, 3, t, t); layer names end in `suffix`. Returns the top pool5.

    frozen: how many convolutions, from conv1 on, keep their weights. skip: how many are left out.
    width multiplies every layer's number of filters; 0.25 trains in a minute what 1.0 trains in ten.
    bvlc: conv1's stride makes it BVLC AlexNet's: biases of a tenth, normalisation before pooling.
    """
    for name, (outputs, kernel, stride, pad, group, bias) in list(_TRUNK.items())[skip:]:
        number = name[-1]
        # BatchNorm frees conv1 of its initial scale: from small weights its filters show what they learnt, not noise.
        own = "authors" if batch_norm and name == "conv1" else fillers
        top = spec[name + suffix] = L.Convolution(
            bottom,
            num_output=round(outputs * width),
            kernel_size=kernel,
            stride=bvlc if bvlc and number == "1" else stride,
            pad=pad,
            group=group,
            param=_params(name if share else None, int(number) <= frozen),
            **_filler(own, 0.01, bias / 10 if bvlc else bias),
        )
        if batch_norm:
            top = _batch_norm(spec, top, number + suffix)
        bottom = spec[f"relu{number}{suffix}"] = L.ReLU(top, in_place=True)
        for kind in ("norm", "pool") if bvlc else ("pool", "norm"):
            if kind == "pool" and number in "125":
                bottom = spec[f"pool{number}{suffix}"] = L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=3, stride=2)
            if kind == "norm" and number in "12":
                bottom = spec[f"norm{number}{suffix}"] = L.LRN(bottom, local_size=5, alpha=1e-4, beta=0.75)
    return bottom


def _batch_norm(spec, top, name):
    """Add BatchNorm (bn<name>) and Scale (scale<name>), its learnt factor and offset; returns the top."""
    top = spec[f"bn{name}"] = L.BatchNorm(
        top, in_place=True, moving_average_fraction=0.95, param=[dict(lr_mult=0, decay_mult=0)] * 3
    )
    spec[f"scale{name}"] = L.Scale(top, in_place=True, bias_term=True, param=[dict(lr_mult=1, decay_mult=0)] * 2)
    return spec[f"scale{name}"]


def _fully_connected(spec, name, bottom, outputs, filler, dropout=True, share=None, batch_norm=False):
    """Add an inner product with ReLU and dropout 0.5; returns its top. fc6_s1 gives relu6_s1 and drop6_s1."""
    top = spec[name] = L.InnerProduct(bottom, num_output=outputs, param=_params(share), **filler)
    if batch_norm:
        top = _batch_norm(spec, top, name.removeprefix("fc"))
    top = spec[name.replace("fc", "relu")] = L.ReLU(top, in_place=True)
    if dropout:
        top = spec[name.replace("fc", "drop")] = L.Dropout(top, in_place=True, dropout_ratio=0.5)
    return top


def _loss(spec, scores):
    spec.loss = L.SoftmaxWithLoss(scores, spec.label)
    spec.accuracy = L.Accuracy(scores, spec.label)


def _classifier(spec, bottom, classes, filler="xavier"):
    """The new layer: fc6 with `classes` outputs and biases 0.

    filler: of its weights; "xavier", averaged, is Glorot uniform, the report's; "gaussian" 0.01 is that of the authors'
    own last layer, fc8.
    """
    fillers = {
        "xavier": dict(type="xavier", variance_norm=P.Filler.AVERAGE),
        "gaussian": dict(type="gaussian", std=0.01),
    }
    if filler not in fillers:
        raise ValueError(f"filler is {filler!r}; choose one of {', '.join(fillers)}")
    bias = dict(type="constant", value=0.0)
    spec.fc6 = L.InnerProduct(
        bottom, num_output=classes, param=_params(None), weight_filler=fillers[filler], bias_filler=bias
    )
    _loss(spec, spec.fc6)


def _inputs(data, batch_size):
    """A NetSpec with the blobs data (batch_size, *data) and label (batch_size,)."""
    spec = caffe.NetSpec()
    spec.data = L.Input(shape=dict(dim=[batch_size, *data]))
    spec.label = L.Input(shape=dict(dim=[batch_size]))
    return spec


def _message(spec, name):
    net = spec.to_proto()
    net.name = name
    return net


def branch(classes, trains="all", batch_size=128, fillers="authors", width=1.0):
    """One branch of the CFN with a new `classes`-way fc6 (Figure 3 of the report).

    Blobs data (N, 3, 64, 64) and label (N,), both float32; N starts at `batch_size`.
    trains: "all", or the first layer that learns, "conv2" to "conv5" or "fc6"; those before it are frozen (lr_mult 0
        on weights and biases).
    fillers: the convolutions' initial weights, "authors" (gaussian 0.01) or "he" (msra, biases 0).
    width: share of each convolution's filters that is kept; a multiple of 1/16.
    """
    if trains not in TRAINS:
        raise ValueError(f"trains is {trains!r}; choose one of {', '.join(TRAINS)}")
    spec = _inputs((3, 64, 64), batch_size)
    pool5 = _convolutions(spec, spec.data, "_s1", fillers, frozen=TRAINS.index(trains), width=width)
    _classifier(spec, pool5, classes)
    return _message(spec, f"CFN branch, {classes} classes")


def trunk():
    """The convolutions of `branch` alone, data (N, 3, 64, 64) to pool5: what the shipped caffemodel holds."""
    net = up_to(branch(1, batch_size=1), "pool5_s1")
    net.name = "CFN, conv1 to pool5"
    return net


def upper_branch(classes, trains, features, batch_size=128):
    """The layers of `branch` from `trains` on, for cached activations of the blob READS[trains].

    Blobs data (N, *features) and label (N,); features: that blob's shape without N. It trains as
    branch(classes, trains) does, without computing in every epoch what does not change.
    """
    spec = _inputs(features, batch_size)
    _classifier(spec, _convolutions(spec, spec.data, "_s1", skip=TRAINS.index(trains)), classes)
    return _message(spec, f"CFN branch from {trains} on, {classes} classes")


def head(classes, features=(256, 3, 3), batch_size=128, filler="xavier"):
    """fc6 alone, on cached features: blobs data (N, *features) and label (N,).

    filler: fc6's initial weights, "xavier" (Glorot uniform) or "gaussian" (0.01). Raises ValueError for another.
    """
    spec = _inputs(features, batch_size)
    _classifier(spec, spec.data, classes, filler)
    return _message(spec, f"fc6 on cached features, {classes} classes")


def _puzzle_classifier(spec, concat, permutations, fc7, fillers="authors", dropout=True, batch_norm=False):
    """fc7 and fc8 on the nine tiles' fc6 activations, concatenated: which permutation was it?"""
    top = _fully_connected(spec, "fc7", concat, fc7, _filler(fillers, 0.005, 1.0), dropout, batch_norm=batch_norm)
    spec.fc8 = L.InnerProduct(top, num_output=permutations, param=_params(None), **_filler(fillers, 0.01, 0.0))
    _loss(spec, spec.fc8)


def _arranger(spec, pool5, permutations, fc6, fc7, fillers, dropout, batch_norm, tiles=TILES):
    """fc6 to fc8 where a puzzle's tiles lie one behind the other in the batch: (tiles N, ...) -> (N, tiles fc6)."""
    top = _fully_connected(spec, "fc6_s1", pool5, fc6, _filler(fillers, 0.005, 1.0), dropout, batch_norm=batch_norm)
    spec.concat = L.Reshape(top, shape=dict(dim=[-1, tiles * fc6]))
    _puzzle_classifier(spec, spec.concat, permutations, fc7, fillers, dropout, batch_norm)


def cfn(permutations, tile=64, batch_size=256, fc6=1024, fc7=4096):
    """The Context-Free Network: nine siamese branches that share their weights by `param` name (Figure 1).

    Blobs data (N, 27, tile, tile): nine RGB tiles on the channel axis, and label (N,): the permutation's index.
    Defaults are the authors' jigsaw prototxt; tile=75, fc6=512 is their recognition net.
    """
    spec = _inputs((3 * TILES, tile, tile), batch_size)
    tops = []
    for index, bottom in enumerate(L.Slice(spec.data, axis=1, ntop=TILES), start=1):
        spec[f"tile_s{index}"] = bottom
        pool5 = _convolutions(spec, bottom, f"_s{index}", share=True)
        tops.append(_fully_connected(spec, f"fc6_s{index}", pool5, fc6, _filler("authors", 0.005, 1.0), share="fc6s"))
    spec.concat = L.Concat(*tops, axis=1)
    _puzzle_classifier(spec, spec.concat, permutations, fc7)
    return _message(spec, f"CFN, {permutations} permutations")


def stacked_cfn(
    permutations,
    tile=64,
    batch_size=256,
    fc6=1024,
    fc7=4096,
    fillers="authors",
    batch_norm=False,
    dropout=True,
    width=1.0,
    batch_norm_fc=False,
    tiles=TILES,
):
    """The same function as `cfn` from one trunk: nine tiles stacked on the batch axis, (N, 27, t, t) -> (9N, 3, t, t).

    Layer names are those of `branch`, so its convolutions transplant by name.
    batch_norm puts BatchNorm and Scale after each convolution while training; weights.fold_batch_norm removes them.
    batch_norm_fc does so after fc6 and fc7, too: where these are large, Adam's first steps would push nearly all of
    their units below zero for good (of the whole net's fc6, 0.5 % were active after 20 iterations at 0.001).
    tiles: 1 makes the same layers for a task whose examples are single tiles (see tasks), `permutations` its answers.
    """
    spec = _inputs((3 * tiles, tile, tile), batch_size)
    spec.tiles = L.Reshape(spec.data, shape=dict(dim=[-1, 3, tile, tile]))
    pool5 = _convolutions(spec, spec.tiles, "_s1", fillers, batch_norm=batch_norm, width=width)
    _arranger(spec, pool5, permutations, fc6, fc7, fillers, dropout, batch_norm_fc, tiles)
    kind = f"stacked tiles, {permutations} permutations" if tiles == TILES else f"one tile, {permutations} answers"
    return _message(spec, f"CFN with {kind}")


def puzzle_head(permutations, features=(256, 3, 3), batch_size=256, fc6=1024, fc7=4096, batch_norm=True):
    """fc6 to fc8 of `stacked_cfn` alone, on cached pool5 features: blobs data (N, 9, *features) and label (N,).

    batch_norm: as batch_norm_fc there.
    """
    spec = _inputs((TILES, *features), batch_size)
    spec.tiles = L.Reshape(spec.data, shape=dict(dim=[-1, *features]))
    _arranger(spec, spec.tiles, permutations, fc6, fc7, "he", dropout=False, batch_norm=batch_norm)
    return _message(spec, f"CFN from fc6 on, on cached features, {permutations} permutations")


def alexnet(classes=1000, batch_size=128, size=227, stride=4, fillers="authors"):
    """BVLC AlexNet (models/bvlc_alexnet/train_val.prototxt): blobs data (N, 3, size, size) and label (N,).

    size, stride: 227 and conv1's 4 are BVLC's. 64 and 2 give the same layers on this course's images, conv1 to pool5
    of the shapes of the branch; fc6 then has 2304 inputs per output instead of 9216.
    """
    spec = _inputs((3, size, size), batch_size)
    bottom = _convolutions(spec, spec.data, "", fillers, bvlc=stride)
    for name in ("fc6", "fc7"):
        bottom = _fully_connected(spec, name, bottom, 4096, _filler(fillers, 0.005, 0.1))
    spec.fc8 = L.InnerProduct(bottom, num_output=classes, param=_params(None), **_filler(fillers, 0.01, 0.0))
    _loss(spec, spec.fc8)
    return _message(spec, f"AlexNet, {classes} classes")


def alexnet_c100(classes=100, batch_size=100):
    """The reference that the report calls AlexNetC100: three convolutions on 32x32 images, 181,828 parameters.

    Layer by layer as in karim-ahmed/nofe-caffe, nofe_AlexNet-C100/generalist/generalist_train_val.prototxt, with one
    output per class; it is Caffe's own examples/cifar10 "full" net and no AlexNet. Made for 0-255 inputs minus their
    mean: conv1 starts from gaussian 0.0001. Blobs data (N, 3, 32, 32) and label (N,).
    """
    spec = _inputs((3, 32, 32), batch_size)
    bottom = spec.data
    for number, outputs, std in (("1", 32, 1e-4), ("2", 32, 0.01), ("3", 64, 0.01)):
        top = spec[f"conv{number}"] = L.Convolution(
            bottom,
            num_output=outputs,
            kernel_size=5,
            pad=2,
            param=[dict(lr_mult=1), dict(lr_mult=2 if number != "3" else 1)],
            **_filler("authors", std, 0.0),
        )
        pooling = dict(pool=P.Pooling.MAX if number == "1" else P.Pooling.AVE, kernel_size=3, stride=2)
        if number == "1":  # the only layer that pools first
            bottom = spec.pool1 = L.Pooling(top, **pooling)
            spec.relu1 = L.ReLU(bottom, in_place=True)
        else:
            spec[f"relu{number}"] = L.ReLU(top, in_place=True)
            bottom = spec[f"pool{number}"] = L.Pooling(top, **pooling)
        if number != "3":
            bottom = spec[f"norm{number}"] = L.LRN(
                bottom, local_size=3, alpha=5e-5, beta=0.75, norm_region=P.LRN.WITHIN_CHANNEL
            )
    spec.ip1 = L.InnerProduct(
        bottom,
        num_output=classes,
        param=[dict(lr_mult=1, decay_mult=250), dict(lr_mult=2, decay_mult=0)],
        **_filler("authors", 0.01, 0.0),
    )
    _loss(spec, spec.ip1)
    return _message(spec, f"AlexNetC100, {classes} classes")
