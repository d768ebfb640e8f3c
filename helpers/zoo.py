"""Weights to start from: ours, the CFN authors', BVLC's supervised nets, chance. One call gives the convolutions.

    weights.transplant(zoo.load("alexnet", statistics=statistics), net)

Whatever is wrong with a file is an exception before Caffe sees it.
"""

import pathlib
from dataclasses import dataclass

import caffe
import numpy as np
import pandas as pd

from helpers import course, nets, weights
from helpers.data import downloads

PRETRAINED = pathlib.Path(__file__).resolve().parent / "pretrained"
# B, G, R means over the mean image that BVLC's trainings subtract (BVLC/caffe, examples/00-classification.ipynb prints
# them); the recognition net of the CFN's authors subtracts 104, 117, 123 (train_val_cfn_rec.prototxt).
IMAGENET_MEAN = (104.0069879317889, 116.66876761696767, 122.6789143406786)


@dataclass(frozen=True)
class Model:
    """An entry of the zoo. What is unknown is None.

    file: its name, in helpers/pretrained or in the cache. urls: where it is fetched from, tried in order.
    digest: of that file, for downloads.verify. megabytes: 10**6 bytes. channels: the order it learned from.
    inputs: their scale. mean: what was subtracted from B, G and R; None for each tile's own.
    """

    what: str
    source: str
    licence: str
    channels: str
    inputs: str
    file: str | None = None
    urls: tuple[str, ...] = ()
    digest: str | None = None
    megabytes: float | None = None
    mean: tuple[float, ...] | None = None


MODELS = {
    "ours": Model(
        "the CFN's convolutions, trained on puzzles with this course's code",
        "in this repository: helpers/pretrained",
        "research and teaching, see cfn_jigsaw_trunk.md beside it",
        "RGB",
        "unit variance, each tile's own mean and deviation",
        file="cfn_jigsaw_trunk.caffemodel",
        digest="sha256:df77b6e442f66f4509ee82aeb0e7fb4f75bb77360998ba224ca74913b15ac4ac",
        megabytes=9.3,
    ),
    "authors": Model(
        "the CFN of Noroozi & Favaro, trained on ImageNet puzzles",
        "http://www.cvg.unibe.ch/media/project/noroozi/JigsawPuzzleSolver.html",
        "not stated",
        "BGR",
        "0-255 less each tile's own mean",
    ),
    "alexnet": Model(
        "BVLC AlexNet, trained on ImageNet's labels",
        "BVLC/caffe, models/bvlc_alexnet",
        "unrestricted use",
        "BGR",
        "0-255 less ImageNet's mean",
        file="bvlc_alexnet.caffemodel",
        urls=(
            "http://dl.caffe.berkeleyvision.org/bvlc_alexnet.caffemodel",
            # NVIDIA's copy, which jetson-inference downloads
            "https://nvidia.box.com/shared/static/5j264j7mky11q8emy4q14w3r8hl5v6zh.caffemodel",
        ),
        digest="sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377",
        megabytes=244,
        mean=IMAGENET_MEAN,
    ),
    "caffenet": Model(
        "BVLC CaffeNet (AlexNet with pooling before normalisation, as in the CFN), trained on ImageNet's labels",
        "BVLC/caffe, models/bvlc_reference_caffenet",
        "unrestricted use",
        "BGR",
        "0-255 less ImageNet's mean",
        file="bvlc_reference_caffenet.caffemodel",
        urls=("http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel",),
        digest="sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
        megabytes=244,
        mean=IMAGENET_MEAN,
    ),
    "random": Model("initial weights, trained on nothing: the control", "Caffe's fillers", "none needed", "any", "any"),
}


def table():
    """The zoo as a pandas DataFrame, a row each: what, source, licence, checksum, size (MB), channels, inputs."""
    columns = ["what", "source", "licence", "digest", "megabytes", "channels", "inputs"]
    table = pd.DataFrame(list(MODELS.values()), index=list(MODELS))[columns].fillna({"digest": "none"})
    return table.rename(columns={"digest": "checksum", "megabytes": "size (MB)"})


def load(name="ours", path=None, statistics=None, fillers="he", seed=0):
    """Weights for the branch: {"conv1_s1": [weights, biases], ... "conv5_s1": ...}, float32, in the branch's shapes.

    name: a key of MODELS. path: a caffemodel of yours to read instead of the shipped or downloaded one.
    statistics: the training images' (preprocessing.channel_statistics), where the net will see RGB at unit variance.
    Weights that learned from BGR are then converted exactly (weights.fold_input), the others left as they are.
    fillers, seed: for "random" only, as in nets.branch; the seed becomes Caffe's.

    Raises ValueError for a file that is no caffemodel, has another checksum or lacks a layer of the branch's shape,
    FileNotFoundError where there is no file, and as downloads.fetch does. Each says how to go on.
    """
    if name not in MODELS:
        raise ValueError(f"name is {name!r}; choose one of {', '.join(MODELS)}")
    if name == "random":
        if path is not None:
            raise ValueError("random weights are drawn, not read: leave path out, or name the file's model")
        caffe.set_random_seed(int(seed))
        random = weights.of(nets.instantiate(nets.branch(1, batch_size=1, fillers=fillers)))
        return {layer: random[layer] for layer in nets.CONVOLUTIONS}
    model = MODELS[name]
    if path is None:
        path = _file(name, model)
    elif name != "ours":  # such a trunk may be one's own
        downloads.verify(path, model.digest)
    layers = convolutions(weights.read(path), path)
    if statistics is not None and model.channels == "BGR":
        return weights.fold_input(layers, statistics, model.mean)
    return layers


def _file(name, model):
    """Path of a model's own file, downloaded if need be."""
    if model.urls:
        return downloads.fetch(course.cache_folder() / model.file, model.urls, model.digest)
    if model.file is None:
        raise FileNotFoundError(
            f"no direct address of these weights is known. Look for a .caffemodel at {model.source}, save it, and give "
            f"it: zoo.load({name!r}, path=...). zoo.load('ours') needs no download."
        )
    path = PRETRAINED / model.file
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is missing. It belongs to this repository: get it again (git checkout -- helpers/pretrained), or "
            "start from zoo.load('random')."
        )
    downloads.verify(path, model.digest)
    return path


def convolutions(layers, source):
    """The five convolutions of the branch, found among a caffemodel's `layers` by shape, and by name where that leaves
    a choice: their shapes all differ. Returns {"conv1_s1": [weights, biases], ...} in the branch's shapes.

    A layer called conv1_s1 or conv1 must have conv1_s1's shape. Where several layers under other names have it, they
    must be equal, as the nine branches of a CFN are. source: the file, for the ValueError that says what is missing.
    """
    net = nets.instantiate(nets.branch(1, batch_size=1))
    found = {}
    for name in nets.CONVOLUTIONS:
        wanted = [blob.data for blob in net.params[name]]
        shapes = [blob.shape for blob in wanted]
        fitting = {key: blobs for key, blobs in layers.items() if weights.squeezed(blobs) == weights.squeezed(wanted)}
        named = next((key for key in (name, name.removesuffix("_s1")) if key in layers), None)
        if not fitting or (named and named not in fitting):
            raise ValueError(
                f"{source}: {f'its {named} has not' if named else 'no layer has'} the shapes of {name}, {shapes}. "
                f"It holds {', '.join(f'{key} {[a.shape for a in blobs]}' for key, blobs in layers.items())}. "
                "Give the weights of an AlexNet or a CFN at full width."
            )
        blobs = fitting[named] if named else _only(fitting, name, source)
        found[name] = [array.reshape(shape) for array, shape in zip(blobs, shapes)]
    return found


def _only(fitting, name, source):
    """The blobs that all layers in `fitting` share."""
    first, *others = fitting.values()
    if not all(np.array_equal(a, b) for other in others for a, b in zip(first, other)):
        raise ValueError(
            f"{source}: {', '.join(fitting)} have the shape of {name}, with different weights. Rename the right one to "
            f"{name}: layers = weights.read(...); layers[{name!r}] = layers.pop(...); weights.write(..., layers)."
        )
    return first
