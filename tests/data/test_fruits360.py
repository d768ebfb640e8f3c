"""Fruits-360: what the loader reads, refuses and says, and splits without near-duplicates."""

import hashlib
import io
import zipfile

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st
from PIL import Image

from helpers import recipes
from helpers.data import fruits360
from helpers.data.datasets import ImageSet


def jpeg(colour, side=100):
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "JPEG", quality=95)
    return file.getvalue()


FRAMES = [f"{i}_100.jpg" for i in range(10)] + [f"{i}_100.jpg" for i in range(10, 12)] + ["r_0_100.jpg"]


def make_fruits(folder, top="fruits360"):
    """Two classes of thirteen grey frames; a frame's level is 10 times its place in the documented order."""
    for split in ("Training", "Test"):
        for name in ("Lemon", "Apple Golden 1"):
            (folder / top / split / name).mkdir(parents=True)
            for place, frame in enumerate(FRAMES):
                (folder / top / split / name / frame).write_bytes(jpeg((10 * place,) * 3))
    return folder


def zipped(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("top", ["", "fruits360", "archive/fruits-360"])
def test_fruits360_reads_one_in_four_of_each_class_in_order(tmp_path, packed, top):
    folder = make_fruits(tmp_path / "fruits", top)
    train, test = fruits360.load(zipped(folder) if packed else folder)
    assert train.class_names == test.class_names == ("Apple Golden 1", "Lemon")
    for image_set in (train, test):
        assert image_set.images.shape == (8, 64, 64, 3) and image_set.labels.tolist() == [0] * 4 + [1] * 4
        levels = image_set.images.mean(axis=(1, 2, 3)).round(-1).tolist()
        assert levels == [0, 40, 80, 120] * 2, "frames 0, 4, 8 and r_0, not 0, 11, 3, 6 as their names sort"


def test_fruits360_behind_links(tmp_path):
    """Links to folders elsewhere count; those that lead back into the folder or above it are no second release."""
    shared, here = make_fruits(tmp_path / "shared", "") / "Training", tmp_path / "here" / "fruits360"
    here.mkdir(parents=True)
    (here / "Training").mkdir()
    for name in ("Lemon", "Apple Golden 1"):
        (here / "Training" / name).symlink_to(shared / name)
    (here / "Test").symlink_to(shared.parent / "Test")
    (here / "Training" / "Lemon" / "all").symlink_to(shared.parent)
    (here.parent / "latest").symlink_to(here)
    (here / "up").symlink_to(tmp_path)
    train, test = fruits360.load(here.parent)
    assert len(train) == len(test) == 8


@pytest.mark.parametrize("packed", [False, True])
def test_what_systems_leave_beside_fruits_is_none(tmp_path, packed):
    folder = make_fruits(tmp_path / "fruits")
    for name in (
        "__MACOSX/fruits360/Training/Lemon/._0_100.jpg",
        "fruits360/Training/Lemon/._0_100.jpg",
        "fruits360/Training/.ipynb_checkpoints/0_100.jpg",
        "fruits360/Test/Lemon/.DS_Store",
        "fruits360/Test/Lemon/Thumbs.db",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"no picture")
    train, test = fruits360.load(zipped(folder) if packed else folder, every=1)
    assert len(train) == len(test) == 26


def test_fruits360_reads_the_classes_asked_in_the_order_asked(tmp_path):
    folder = make_fruits(tmp_path)
    train, _ = fruits360.load(folder, every=1, size=20, classes=["Lemon"])
    assert train.class_names == ("Lemon",) and train.images.shape == (13, 20, 20, 3)
    train, _ = fruits360.load(folder, every=13, classes=["Lemon", "Apple Golden 1"])
    assert train.class_names == ("Lemon", "Apple Golden 1") and train.labels.tolist() == [0, 1]


@pytest.mark.parametrize("packed", [False, True])
def test_fruits360_names_what_is_wrong(tmp_path, packed):
    place = zipped if packed else (lambda folder: folder)
    folder = make_fruits(tmp_path / "fruits")
    with pytest.raises(ValueError, match="no images of Apple Golden; it has Apple Golden 1, Lemon"):
        fruits360.load(place(folder), classes=["Apple Golden", "Lemon"])
    with pytest.raises(ValueError, match="classes is empty"):
        fruits360.load(place(folder), classes=[])
    (folder / "fruits360" / "Training" / "Kiwi").mkdir()
    with pytest.raises(ValueError, match="Training has no images of Kiwi"):
        fruits360.load(place(folder))
    broken = folder / "fruits360" / "Training" / "Lemon" / "4_100.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    other = folder / "fruits360" / "Test" / "Lemon" / "0_100.jpg"
    other.write_bytes(b"no image")
    both = "2 not readable as images: .*Training/Lemon/4_100.jpg, .*Test/Lemon/0_100.jpg; download"
    with pytest.raises(ValueError, match=both):
        fruits360.load(place(folder), classes=["Lemon"])
    make_fruits(folder, "second")
    with pytest.raises(ValueError, match="more than one release: fruits360, second"):
        fruits360.load(place(folder))


def test_fruits360_wants_a_release_at_the_path(tmp_path):
    with pytest.raises(FileNotFoundError, match="download Fruits-360"):
        fruits360.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no Training"):
        fruits360.load(tmp_path)
    (tmp_path / "fruits.zip").write_bytes(b"<html>sign in</html>")
    with pytest.raises(ValueError, match="neither a folder nor a zip"):
        fruits360.load(tmp_path / "fruits.zip")
    with pytest.raises(ValueError, match="every is 0"):
        fruits360.load(tmp_path, every=0)


def test_the_class_list_is_the_131_of_the_release():
    assert len(fruits360.CLASSES) == len(set(fruits360.CLASSES)) == 131
    assert list(fruits360.CLASSES) == sorted(fruits360.CLASSES)


def test_the_lists_of_81_classes_are_those_that_their_rule_gives():
    lists = fruits360.lists()
    complete = lists["complete"]
    assert complete == sorted(set(complete)) and set(complete) < set(fruits360.CLASSES) and len(complete) == 113
    assert lists["first"] == complete[: recipes.FRUITS360_CLASSES_REPORTED]
    for seed in (1, 2, 3):
        digests = {hashlib.sha256(f"{seed} {name}".encode()).hexdigest(): name for name in complete}
        smallest = [digests[digest] for digest in sorted(digests)[: recipes.FRUITS360_CLASSES_REPORTED]]
        assert lists[f"draw{seed}"] == sorted(smallest)


def test_of_the_test_folders_as_many_are_read_as_is_said(tmp_path):
    train, test = fruits360.load(make_fruits(tmp_path), test_every=1)
    assert (len(train), len(test)) == (8, 26)
    with pytest.raises(ValueError, match="test_every is 0"):
        fruits360.load(tmp_path, test_every=0)


def test_many_missing_classes_are_not_all_named(tmp_path):
    classes = [*fruits360.CLASSES[:30], "Lemon"]
    with pytest.raises(ValueError, match="no images of Apple Braeburn, .* and 9 more; it has Apple Golden 1, Lemon"):
        fruits360.load(make_fruits(tmp_path), classes=classes)


def test_a_newer_release_or_stale_folders_are_named(tmp_path):
    folder = make_fruits(tmp_path, "fruits360")
    (folder / "fruits360" / "Training" / "Lemon").rename(folder / "fruits360" / "Training" / "Cucumber 3")
    with pytest.raises(ValueError, match="1 class folders that release 2020.05.18.0 .* does not have: Cucumber 3"):
        fruits360.load(folder)


def test_a_whole_release_with_images_missing_is_refused(tmp_path, monkeypatch):
    folder = make_fruits(tmp_path)
    monkeypatch.setattr(fruits360, "CLASSES", ("Apple Golden 1", "Lemon"))
    with pytest.raises(ValueError, match=r"26 \+ 26 images where release .* has 67692 \+ 22688: unpack it again"):
        fruits360.load(folder)
    monkeypatch.setattr(fruits360, "RELEASE", {"Training": 26, "Test": 26})
    assert len(fruits360.load(folder, every=1)[0]) == 26


def numbered(names, labels, files=None):
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    return ImageSet(images, np.array(labels, np.int64), tuple(names), None if files is None else np.array(files))


def test_numbered_varieties_merge():
    merged = fruits360.merge_varieties(numbered(["Apple Golden 1", "Apple Golden 2", "Kiwi"], [0, 1, 2, 1]))
    assert merged.class_names == ("Apple Golden", "Kiwi") and merged.labels.tolist() == [0, 0, 1, 0]
    everything = fruits360.merge_varieties(numbered(fruits360.CLASSES, range(131)))
    assert len(everything.class_names) == 113 and everything.class_names[everything.labels[-2]] == "Walnut"


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.integers(0, 30), st.floats(0.1, 0.4), st.floats(0.05, 0.4))
@example(0, 30, 0.4, 0.4)
def test_no_frame_has_a_neighbour_in_another_split(seed, gap, test, validation):
    """Every frame number of two turns of two fruits; distances are measured round the turn."""
    files = [f"x/{name}/{turn}{n}_100.jpg" for name in "ab" for turn in ("", "r_") for n in range(fruits360.TURN)]
    labels = [0] * (2 * fruits360.TURN) + [1] * (2 * fruits360.TURN)
    whole = numbered("ab", labels, files)
    splits = fruits360.split_by_angle(whole, test, validation, gap, seed)
    for one in range(3):
        for other in range(one):
            turn_a, frame_a = fruits360.turns(splits[one])
            turn_b, frame_b = fruits360.turns(splits[other])
            apart = np.abs(frame_a[:, None] - frame_b)
            apart = np.minimum(apart, fruits360.TURN - apart)
            assert apart[turn_a[:, None] == turn_b].min() > gap
    kept = [len(split) / len(whole) for split in splits]
    assert kept[2] == pytest.approx(test, abs=0.01)
    assert kept[1] == pytest.approx(validation * (1 - test), abs=0.01)
    assert sum(kept) == pytest.approx(1 - 3 * gap / fruits360.TURN, abs=0.001)


def test_shares_that_leave_nothing_to_train_on_are_refused():
    whole = numbered("a", [0], ["x/a/0_100.jpg"])
    with pytest.raises(ValueError, match="test 0.4, validation 0.4 and gap 40 leave no frame"):
        fruits360.split_by_angle(whole, test=0.4, validation=0.4, gap=40)


def test_the_control_has_the_sizes_and_shares_no_image():
    files = np.array([f"x/a/{n}_100.jpg" for n in range(50)])
    parts = fruits360.split_at_random(numbered("a", [0] * 50, files), (20, 10, 5))
    assert [len(part) for part in parts] == [20, 10, 5]
    assert len({name for part in parts for name in part.files}) == 35


def test_turns_want_frames():
    with pytest.raises(ValueError, match="no file names"):
        fruits360.turns(numbered("a", [0]))
    with pytest.raises(ValueError, match="x/a/cover.jpg is not named like a frame"):
        fruits360.turns(numbered("a", [0, 0], ["x/a/1_100.jpg", "x/a/cover.jpg"]))
    turn, frame = fruits360.turns(numbered("a", [0, 0, 0], ["a/1_100.jpg", "a/r_2_100.jpg", "a/r2_3_100.jpg"]))
    assert turn.tolist() == ["a/", "a/r_", "a/r2_"] and frame.tolist() == [1, 2, 3]


def test_the_real_fruits360(shared_data):
    train, test = fruits360.load(shared_data / "fruits360.zip")
    assert len(train.class_names) == 15
    assert train.class_names[:3] == ("Apple Golden 1", "Apple Golden 2", "Apple Golden 3")
    # 492 images give 123, 490 also 123 (0, 4, ... 488), 481 give 121, and so on.
    assert np.bincount(train.labels).tolist() == [123, 123, 121] + [123] * 6 + [117, 123, 120, 123, 123, 123]
    assert np.bincount(test.labels).tolist() == [41, 41, 41, 41, 41, 42, 41, 42, 42, 39, 41, 40, 41, 41, 41]
    assert train.images.shape[1:] == (64, 64, 3)
    assert train.images[:, 0, 0].mean() > 250, "the fruits lie on white"
    assert np.ptp(fruits360.turns(train)[1]) < fruits360.TURN
