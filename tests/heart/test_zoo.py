"""The zoo: every entry gives a branch's convolutions, and every wrong file is an exception that says how to go on."""

import dataclasses
import hashlib

import numpy as np
import pytest
from servers import cut_short, good, html, redirect, serve

from helpers import nets, weights, zoo
from helpers.data import preprocessing

SHAPES = {
    "conv1": (96, 3, 11, 11),
    "conv2": (256, 48, 5, 5),
    "conv3": (384, 256, 3, 3),
    "conv4": (384, 192, 3, 3),
    "conv5": (256, 192, 3, 3),
}


@pytest.fixture(scope="module")
def trunk():
    """conv1 to conv5 as AlexNet calls them, random."""
    rng = np.random.default_rng(3)
    return {
        name: [rng.normal(0, 0.05, shape).astype(np.float32), rng.normal(0, 0.1, shape[0]).astype(np.float32)]
        for name, shape in SHAPES.items()
    }


@pytest.fixture(scope="module")
def content(trunk, tmp_path_factory):
    """A caffemodel with the trunk and a layer more, as bytes."""
    path = tmp_path_factory.mktemp("zoo") / "alexnet.caffemodel"
    weights.write(path, trunk | {"fc8": [np.ones((2, 3), np.float32)]})
    return path.read_bytes()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JIGSAW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def on_servers(monkeypatch, content):
    """A function that gives "alexnet" and "caffenet" other addresses, and the checksum of the small file."""

    def put(*urls):
        digest = f"sha1:{hashlib.sha1(content).hexdigest()}"
        for name in ("alexnet", "caffenet"):
            monkeypatch.setitem(
                zoo.MODELS, name, dataclasses.replace(zoo.MODELS[name], urls=urls, digest=digest, megabytes=10)
            )

    return put


def check(layers, trunk):
    assert list(layers) == list(nets.CONVOLUTIONS)
    for name, blobs in layers.items():
        for array, expected in zip(blobs, trunk[name.removesuffix("_s1")], strict=True):
            assert array.dtype == np.float32 and np.array_equal(array, expected)


@pytest.fixture(scope="module")
def branch():
    return nets.instantiate(nets.branch(3, batch_size=4))


def test_ours_ships_and_needs_no_network(tmp_path, monkeypatch, trunk, branch):
    monkeypatch.setattr(zoo, "PRETRAINED", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"cfn_jigsaw_trunk.caffemodel is missing.*zoo.load\('random'\)"):
        zoo.load()
    weights.write(tmp_path / "cfn_jigsaw_trunk.caffemodel", {f"{name}_s1": blobs for name, blobs in trunk.items()})
    monkeypatch.setitem(zoo.MODELS, "ours", dataclasses.replace(zoo.MODELS["ours"], digest=None))
    check(zoo.load(), trunk)
    check(zoo.load("ours", statistics=preprocessing.Statistics(np.ones(3), np.full(3, 2.0))), trunk)
    weights.transplant(zoo.load("ours"), branch)
    assert np.array_equal(branch.params["conv5_s1"][0].data, trunk["conv5"][0])


@pytest.mark.parametrize("name", ["alexnet", "caffenet"])
def test_bvlc_nets_are_fetched_verified_and_kept(name, on_servers, cache, content, trunk):
    with serve(model=good(content)) as (address, requests):
        on_servers(f"{address}/model")
        for _ in range(2):
            check(zoo.load(name), trunk)
    assert len(requests) == 1 and (cache / zoo.MODELS[name].file).read_bytes() == content


def test_a_misbehaving_server_is_named_and_the_next_one_helps(on_servers, cache, content, trunk):
    pages = {
        "page": (html(), "web page"),
        "gone": (html(404), "404 Not Found"),
        "loop": (redirect("/loop"), "redirected"),
        "other": (good(content[::-1]), "another file"),
        "short": (cut_short(content, 1000), "cut short"),
        "good": (good(content), ""),
    }
    with serve(**{name: page for name, (page, _) in pages.items()}) as (address, _):
        urls = {name: f"{address}/{name}" for name in pages}
        on_servers(*[url for name, url in urls.items() if name != "good"])
        with pytest.raises(ConnectionError, match="bvlc_alexnet.caffemodel could not be downloaded") as error:
            zoo.load("alexnet")
        lines = str(error.value).splitlines()
        for name, (_, reason) in pages.items():
            assert name == "good" or any(urls[name] in line and reason in line for line in lines), name
        assert str(cache / "bvlc_alexnet.caffemodel") in lines[-1]
        on_servers(*urls.values())
        check(zoo.load("alexnet"), trunk)


def test_a_file_of_ones_own_must_have_the_checksum(on_servers, tmp_path, content, trunk):
    on_servers()
    path = tmp_path / "mine.caffemodel"
    path.write_bytes(content)
    check(zoo.load("alexnet", path=path), trunk)
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match="mine.caffemodel is not the file it should be, sha1:"):
        zoo.load("alexnet", path=path)
    with pytest.raises(FileNotFoundError, match="nowhere.caffemodel"):
        zoo.load("alexnet", path=tmp_path / "nowhere.caffemodel")


def test_the_authors_weights_are_brought_by_the_user(tmp_path, content, trunk):
    with pytest.raises(FileNotFoundError, match=r"JigsawPuzzleSolver.html.*zoo.load\('authors', path"):
        zoo.load("authors")
    path = tmp_path / "cfn.caffemodel"
    for broken, message in [(b"<html>gone</html>", "web page"), (content[:-9], "truncated"), (b"", "no layer")]:
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=f"cfn.caffemodel.*{message}"):
            zoo.load("authors", path=path)
    path.write_bytes(content)
    check(zoo.load("authors", path=path), trunk)


def renamed(trunk, **names):
    return {names.get(name, name): blobs for name, blobs in trunk.items()}


def test_layers_of_unknown_names_are_found_by_shape(trunk):
    odd = renamed(trunk, conv1="Convolution1", conv2="b", conv3="c", conv4="d", conv5="e")
    odd["b"] = [odd["b"][0], odd["b"][1].reshape(1, 1, 1, -1)]  # as in files of 2014
    check(zoo.convolutions(odd | {"fc6": [np.zeros((5, 4))]}, "odd.caffemodel"), trunk)


def test_nine_equal_branches_are_one(trunk):
    siamese = {f"{name}_s{i}": blobs for i in range(9, 0, -1) for name, blobs in trunk.items()}
    check(zoo.convolutions(siamese, "cfn.caffemodel"), trunk)
    nine = {f"{name}_p{i}": blobs for i in range(9) for name, blobs in trunk.items()}
    check(zoo.convolutions(nine, "cfn.caffemodel"), trunk)
    nine["conv3_p4"] = [array + 1 for array in nine["conv3_p4"]]
    with pytest.raises(ValueError, match="cfn.caffemodel: conv3_p0, conv3_p1.*have the shape of conv3_s1.*Rename"):
        zoo.convolutions(nine, "cfn.caffemodel")


def test_a_name_decides_between_equal_shapes(trunk):
    other = {"decoy": [array + 1 for array in trunk["conv2"]]}
    check(zoo.convolutions(other | trunk, "x.caffemodel"), trunk)


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda layers: layers.pop("conv4"), r"x.caffemodel: no layer has the shapes of conv4_s1.*conv5 \[\(256, 192"),
        (
            lambda layers: layers.update(conv1=[np.zeros((64, 3, 11, 11), np.float32), np.zeros(64, np.float32)]),
            r"x.caffemodel: its conv1 has not the shapes of conv1_s1.*holds.*conv1 \[\(64, 3, 11, 11\), \(64,\)\]",
        ),
        (lambda layers: layers.update(conv5=layers["conv5"][:1]), r"its conv5 has not.*conv5 \[\(256, 192, 3, 3\)\]"),
        (
            lambda layers: layers.update(rest=layers.pop("conv1"), conv1=[np.zeros(3)]),
            r"its conv1 has not.*conv1 \[\(3,\)\]",
        ),
        (lambda layers: layers.clear(), "no layer has the shapes of conv1_s1"),
    ],
    ids=["missing", "other width", "no bias", "name and shape disagree", "empty"],
)
def test_what_does_not_fit_is_named(trunk, spoil, message):
    layers = dict(trunk)
    spoil(layers)
    with pytest.raises(ValueError, match=message):
        zoo.convolutions(layers, "x.caffemodel")


def test_random_is_seeded_and_has_the_branchs_fillers():
    first, again, other = (zoo.load("random", seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first[name][0], again[name][0]) for name in nets.CONVOLUTIONS)
    assert not np.array_equal(first["conv1_s1"][0], other["conv1_s1"][0])
    authors = zoo.load("random", fillers="authors", seed=1)
    for name, (weight, bias) in first.items():
        assert weight.shape == SHAPES[name.removesuffix("_s1")]
        fan_in = np.prod(weight.shape[1:])
        assert weight.std() == pytest.approx(np.sqrt(2 / fan_in), rel=0.03) and not bias.any()  # He et al. 2015
        assert authors[name][0].std() == pytest.approx(0.01, rel=0.03)
    assert (authors["conv2_s1"][1] == 1).all()


def test_random_weights_are_in_no_file(tmp_path):
    with pytest.raises(ValueError, match="random weights are drawn, not read: leave path out"):
        zoo.load("random", path=tmp_path / "mine.caffemodel")


def test_a_trunk_of_ones_own_takes_the_place_of_ours(tmp_path, content, trunk):
    (tmp_path / "mine.caffemodel").write_bytes(content)
    check(zoo.load("ours", tmp_path / "mine.caffemodel"), trunk)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="name is 'vgg'; choose one of ours, authors, alexnet"):
        zoo.load("vgg")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["alexnet", "authors"])
def test_converted_weights_see_in_our_inputs_what_they_saw_in_their_own(name, trunk, images, branch, tmp_path):
    """Same activations of every layer: BGR less a mean through the weights as they are, RGB at unit variance folded."""
    statistics = preprocessing.Statistics(np.array([120.0, 110.0, 90.0]), np.array([60.0, 55.0, 70.0]))
    if name == "alexnet":
        own = (images[..., ::-1] - np.array(zoo.IMAGENET_MEAN)).transpose(0, 3, 1, 2)
    else:
        own = preprocessing.to_caffe(images, statistics, "cfn")
    path = tmp_path / "model.caffemodel"
    weights.write(path, trunk)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(zoo.MODELS, name, dataclasses.replace(zoo.MODELS[name], digest=None))
        plain, folded = zoo.load(name, path), zoo.load(name, path, statistics)
    outputs = []
    for layers, inputs in ((plain, own), (folded, preprocessing.to_caffe(images, statistics))):
        weights.transplant(layers, branch)
        branch.blobs["data"].data[...] = inputs
        branch.forward()
        outputs.append({blob: branch.blobs[blob].data.copy() for blob in ("conv1_s1", "pool5_s1")})
    for blob, expected in outputs[0].items():
        assert expected.any()
        np.testing.assert_allclose(outputs[1][blob], expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_table_names_every_model():
    table = zoo.table()
    assert list(table.index) == list(zoo.MODELS)
    assert table.loc["alexnet", "checksum"] == "sha1:9116a64c0fbe4459d18f4bb6b56d647b63920377"
    assert table.loc["caffenet", "checksum"] == "sha1:4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46"
    assert table.loc["authors", "channels"] == "BGR" and table.loc["ours", "channels"] == "RGB"
    assert table.notna().drop(columns="size (MB)").all(axis=None)
