"""ImageSet, the embedded photographs and their crops, CIFAR-100 and Fruits-360."""

import io
import socket
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, strategies as st

from helpers.data import datasets, preprocessing
from helpers.data.datasets import ImageSet


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("this test must not touch the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def photos():
    return datasets.load_photos()


# ImageSet


def test_an_image_set_has_a_length_and_subsets_in_the_order_asked():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    image_set = ImageSet(images, np.array([0, 1, 0, 1, 1]), ("a", "b"))
    part = image_set.subset(np.array([4, 0]))
    assert len(image_set) == 5 and len(part) == 2
    assert part.images[:, 0, 0, 0].tolist() == [4, 0] and part.labels.tolist() == [1, 0]
    assert part.class_names == ("a", "b")
    assert image_set.subset(image_set.labels == 1).images[:, 0, 0, 0].tolist() == [1, 3, 4]


@pytest.mark.parametrize(
    "images, labels, names, message",
    [
        (np.zeros((2, 4, 4, 3), np.float32), np.array([0, 0]), ("a",), "float32"),
        (np.zeros((2, 3, 4, 4), np.uint8), np.array([0, 0]), ("a",), r"\(2, 3, 4, 4\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([[0], [0]]), ("a",), r"\(2, 1\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 0], np.uint8), ("a",), "labels are uint8"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 0, 0]), ("a",), "2 images"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1]), ("a",), "from 0 to 1"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([-1, 0]), ("a",), "from -1 to 0"),
        (np.zeros((2, 4, 4, 3), np.uint8), np.array([0, 1]), ("a", "a"), "repeat"),
    ],
)
def test_an_image_set_refuses_what_is_not_images_with_labels(images, labels, names, message):
    with pytest.raises(ValueError, match=message):
        ImageSet(images, labels, names)


# Photographs and their crops


def test_ten_colour_photographs_come_from_the_wheels_alone(no_network, photos):
    loaded = datasets.load_photos()
    assert len(loaded) == 10 and list(loaded) == sorted(loaded)
    assert loaded["chelsea"].shape == (300, 451, 3) and loaded["retina"].shape == (1411, 1411, 3)
    for name, photo in loaded.items():
        assert photo.dtype == np.uint8 and photo.shape[2] == 3, name
        assert np.ptp(photo.astype(int), axis=2).max() > 50, f"{name} is not in colour"


def test_the_photographs_are_those_that_scikit_image_and_scikit_learn_name(photos):
    import skimage.data
    import sklearn.datasets

    for name in ("astronaut", "chelsea", "coffee", "rocket"):
        assert np.array_equal(photos[name], getattr(skimage.data, name)()), name
    assert np.array_equal(photos["tissue"], skimage.data.immunohistochemistry())
    assert np.array_equal(photos["motorcycle"], skimage.data.stereo_motorcycle()[0])
    # Two JPEG decoders may round differently.
    assert np.abs(photos["china"].astype(int) - sklearn.datasets.load_sample_image("china.jpg")).max() <= 2


def test_a_missing_photograph_says_which_package_to_install_again(monkeypatch):
    monkeypatch.setitem(datasets.PHOTOS, "unicorn", ("skimage", "data/unicorn.png"))
    with pytest.raises(FileNotFoundError, match="unicorn.png.*scikit-image"):
        datasets.load_photos()


@given(st.integers(4, 300), st.integers(6, 300))
def test_regions_cover_every_pixel_of_a_photograph_once(height, width):
    tags = np.zeros((height, width), int)
    for region in datasets.photo_regions(height, width):
        tags[region.top : region.bottom, region.left : region.right] += 1
    assert (tags == 1).all()


def test_no_pixel_serves_two_splits(photos):
    windows = datasets.photo_windows(photos, per_class=(300, 300, 300))
    for label, (name, photo) in enumerate(photos.items()):
        tags = {split: np.zeros(photo.shape[:2], bool) for split in datasets.SPLITS}
        for window in windows:
            if window.label == label:
                assert window.y >= 0 and window.x >= 0
                assert window.y + window.size <= photo.shape[0] and window.x + window.size <= photo.shape[1]
                tags[window.split][window.y : window.y + window.size, window.x : window.x + window.size] = True
        used = sum(tag.astype(int) for tag in tags.values())
        assert used.max() == 1, name
        assert all(tag.any() for tag in tags.values()), name


def test_crops_are_real_windows_at_several_scales_and_none_is_flat_or_drawn_twice(photos):
    windows = datasets.photo_windows(photos)
    assert len(set(windows)) == len(windows) == 10 * (200 + 50 + 120)
    for label, (name, photo) in enumerate(photos.items()):
        own = [w for w in windows if w.label == label]
        assert len({w.size for w in own}) >= 3, name
        assert min(photo[w.y : w.y + w.size, w.x : w.x + w.size].mean(axis=2).std() for w in own) >= datasets.FLAT


def test_a_window_of_32_pixels_is_the_photographs_own_pixels_and_larger_ones_are_its_averages(photos):
    train, _, _ = datasets.load_photo_crops()
    windows = [w for w in datasets.photo_windows(photos) if w.split == "train"]
    arrays = list(photos.values())
    same = 0
    for crop, label, window in zip(train.images, train.labels, windows, strict=True):
        cut = arrays[window.label][window.y : window.y + window.size, window.x : window.x + window.size]
        assert label == window.label
        assert np.allclose(crop.mean(axis=(0, 1)), cut.mean(axis=(0, 1)), atol=4)
        if window.size == 32:
            assert np.array_equal(crop, cut)
            same += 1
    assert same > 100


def test_photo_crops_are_balanced_deterministic_and_need_no_network(no_network):
    splits = datasets.load_photo_crops()
    again = datasets.load_photo_crops()
    for split, repeated, count in zip(splits, again, (200, 50, 120)):
        assert split.images.shape == (10 * count, 32, 32, 3)
        assert np.array_equal(split.images, repeated.images) and np.array_equal(split.labels, repeated.labels)
        assert np.bincount(split.labels).tolist() == [count] * 10
        assert split.labels[:10].tolist() == list(range(10)), "the classes take turns"
        assert split.class_names == tuple(datasets.PHOTOS)


def test_a_crop_names_the_block_it_was_cut_from(photos):
    test = datasets.load_photo_crops()[2]
    windows = [window for window in datasets.photo_windows(photos) if window.split == "test"]
    named = {}
    for window, name in zip(windows, test.files, strict=True):
        named.setdefault(name, []).append(window)
    assert len(named) == 10 * 6, "six blocks of each photograph are for testing"
    for name, together in named.items():
        photo, block = name.split(", block ")
        region = datasets.photo_regions(*photos[photo].shape[:2])[int(block)]
        assert region.split == "test"
        for window in together:
            assert list(photos)[window.label] == photo
            assert region.top <= window.y and window.y + window.size <= region.bottom
            assert region.left <= window.x and window.x + window.size <= region.right


def test_superclasses_share_out_the_hundred_classes():
    assert len(datasets.CIFAR100_SUPERCLASSES) == 20
    assert {len(names) for names in datasets.CIFAR100_SUPERCLASSES.values()} == {5}
    assert len(set(datasets.CIFAR100_CLASSES)) == 100 and datasets.CIFAR100_CLASSES[18:20] == ("caterpillar", "cattle")


def test_fewer_crops_are_the_first_of_more(photos):
    few, many = (datasets.photo_windows(photos, (n, n, n)) for n in (5, 20))
    for split in datasets.SPLITS:
        first = [w for w in few if w.split == split]
        assert first == [w for w in many if w.split == split][: len(first)]


@pytest.mark.parametrize("per_class", [(0, 1, 1), (1, 1, 100_000)])
def test_impossible_numbers_of_crops_are_refused(per_class):
    with pytest.raises(ValueError, match="choose 1 to 1000"):
        datasets.load_photo_crops(per_class)


def test_a_photograph_too_small_for_a_crop_is_refused():
    with pytest.raises(ValueError, match="100x100 pixels; it needs at least 128x192"):
        datasets.photo_windows({"stamp": np.zeros((100, 100, 3), np.uint8)})


# CIFAR-100


@pytest.fixture(scope="module")
def cifar100_arrays(tmp_path_factory, request):
    """The real images and labels, as keras.datasets.cifar100.load_data() gives them."""
    script = request.config.rootpath.parent / "shared" / "data" / "cifar100_npz.py"
    if not script.is_file():
        pytest.skip("the real CIFAR-100 is not beside this checkout (../shared/data)")
    path = tmp_path_factory.mktemp("cifar100") / "cifar100.npz"
    subprocess.run([sys.executable, script, path], check=True)
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays}


def as_keras_gives_it(images, labels):
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return planes.transpose(0, 2, 3, 1), labels.reshape(-1, 1)


def test_cifar100_through_keras_has_the_published_classes_and_statistics(cifar100_arrays, monkeypatch):
    keras = pytest.importorskip("keras")
    given_splits = [as_keras_gives_it(cifar100_arrays[f"x_{s}"], cifar100_arrays[f"y_{s}"]) for s in ("train", "test")]
    assert not given_splits[0][0].flags.c_contiguous
    monkeypatch.setattr(keras.datasets.cifar100, "load_data", lambda: tuple(given_splits))
    monkeypatch.setattr(datasets.downloads, "fetch", lambda *args: None)  # tests/data/test_cifar100_download.py
    train, test = datasets.load_cifar100()
    assert (train.images.shape, test.images.shape) == ((50_000, 32, 32, 3), (10_000, 32, 32, 3))
    assert train.images.flags.c_contiguous and test.images.flags.c_contiguous
    assert np.bincount(train.labels).tolist() == [500] * 100 and np.bincount(test.labels).tolist() == [100] * 100
    assert list(train.class_names) == cifar100_arrays["class_names"].tolist() == sorted(train.class_names)
    statistics = preprocessing.channel_statistics(train.images)
    # As published everywhere, in units of 255; .4866 is .48655 to five digits.
    np.testing.assert_allclose(statistics.mean / 255, [0.5071, 0.4866, 0.4409], atol=6e-5)
    np.testing.assert_allclose(statistics.std / 255, [0.2673, 0.2564, 0.2762], atol=6e-5)


def test_cifar100_without_a_network_says_the_way_round(no_network, monkeypatch, tmp_path):
    pytest.importorskip("keras")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(
        ConnectionError, match="(?s)cifar-100-python.tar.gz.*save it as .*cifar-100-python-target_archive"
    ):
        datasets.load_cifar100()


def like_cifar100(**changed):
    """Arrays of a small cifar100.npz, two images of each class to train on; `changed` ones instead."""
    rng = np.random.default_rng(0)
    sizes = {"x_train": (200, 32, 32, 3), "x_test": (9, 32, 32, 3)}
    images = {name: rng.integers(0, 256, size, dtype=np.uint8) for name, size in sizes.items()}
    return images | {"y_train": np.arange(200)[:, None] % 100, "y_test": np.arange(9)} | changed


@pytest.fixture
def npz(tmp_path, monkeypatch):
    """A function that makes a cifar100.npz of arrays, or of bytes, and reads it."""
    monkeypatch.setenv("JIGSAW_DATA", str(tmp_path))

    def load(content):
        path = tmp_path / "cifar100.npz"
        path.write_bytes(content) if isinstance(content, bytes) else np.savez(path, **content)
        return datasets.load_cifar100()

    return load


def test_a_small_cifar100_of_ones_own_is_read_and_its_size_is_told(npz):
    with pytest.warns(UserWarning, match="cifar100.npz holds 200 and 9 images, CIFAR-100 50,000 and 10,000"):
        train, test = npz(like_cifar100())
    assert (len(train), len(test)) == (200, 9) and train.labels.dtype == np.int64


IMAGES, LABELS = like_cifar100()["x_train"], like_cifar100()["y_train"]


@pytest.mark.parametrize(
    "changed, finding",
    [
        ({"y_train": LABELS % 20}, "y_train has 20 different labels from 0 to 19, not 0 to 99"),
        ({"y_train": LABELS % 10}, "y_train has 10 different labels from 0 to 9, not 0 to 99"),
        ({"y_train": LABELS + 1}, "y_train has 100 different labels from 1 to 100, not 0 to 99"),
        ({"y_test": np.full(9, -1)}, "y_test has 1 different labels from -1 to -1"),
        ({"y_train": LABELS / 1.0}, r"y_train is float64 \(200, 1\), not a whole number for each image"),
        ({"y_train": LABELS[:199]}, r"y_train is int64 \(199, 1\)"),
        ({"y_train": np.eye(100, dtype=int)[LABELS[:, 0]]}, r"y_train is int64 \(200, 100\)"),
        ({"y_train": LABELS.astype(object)}, "Object arrays cannot be loaded"),
        ({"x_train": IMAGES / np.float32(255)}, r"x_train is float32 \(200, 32, 32, 3\), not uint8 \(N, 32, 32, 3\)"),
        ({"x_train": IMAGES.transpose(0, 3, 1, 2)}, r"x_train is uint8 \(200, 3, 32, 32\)"),
        ({"x_train": IMAGES.reshape(200, -1)}, r"x_train is uint8 \(200, 3072\)"),
        ({"x_test": IMAGES[:0], "y_test": LABELS[:0]}, r"x_test is uint8 \(0, 32, 32, 3\)"),
    ],
)
def test_what_is_no_cifar100_is_refused_by_what_it_is(npz, changed, finding):
    with pytest.raises(ValueError, match=f"cifar100.npz is not CIFAR-100: .*{finding}.*take the file away"):
        npz(like_cifar100(**changed))


def test_a_cifar100_file_that_is_no_archive_of_such_arrays(tmp_path, npz, monkeypatch):
    monkeypatch.setenv("JIGSAW_DATA", str(tmp_path / "{data}"))
    (tmp_path / "{data}").mkdir()
    with pytest.raises(ValueError, match="{data}.cifar100.npz is not CIFAR-100: it is no .npz"):
        (tmp_path / "{data}" / "cifar100.npz").write_bytes(b"")
        datasets.load_cifar100()
    monkeypatch.setenv("JIGSAW_DATA", str(tmp_path))
    arrays = like_cifar100()
    arrays["train_images"] = arrays.pop("x_train")
    with pytest.raises(ValueError, match="cifar100.npz is not CIFAR-100: x_train is not a file in the archive"):
        npz(arrays)
    file = io.BytesIO()
    np.savez(file, **like_cifar100())
    single = io.BytesIO()
    np.save(single, IMAGES)
    for content in (b"<html>quota exceeded</html>", file.getvalue()[:-100], single.getvalue()):
        with pytest.raises(ValueError, match="cifar100.npz is not CIFAR-100: it is no .npz, or one cut short"):
            npz(content)
