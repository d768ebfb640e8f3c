"""The course's trainings: what goes into them. (That they run is shown by the notebooks' test.)"""

import dataclasses

import numpy as np
import pytest

from helpers import experiments, jigsaw, nets, recipes, solver, zoo
from helpers.data import datasets, preprocessing
from helpers.study import plan, trainings


@pytest.fixture(scope="module")
def study():
    return experiments.profile_study()


def test_the_quick_study_is_prepared_as_in_the_report(study):
    data, _ = study.training.batch(np.arange(len(study.training)))
    assert data.shape == (len(study.training), 3, 64, 64) and data.dtype == np.float32
    np.testing.assert_allclose(data.mean(axis=(0, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(data.std(axis=(0, 2, 3)), 1, atol=1e-4)
    test_data, _ = study.test.batch(np.arange(len(study.test)))
    assert np.abs(test_data.mean(axis=(0, 2, 3))).max() > 1e-4  # the training set's statistics, not its own
    restored = test_data.transpose(0, 2, 3, 1) * study.statistics.std + study.statistics.mean
    assert np.abs(restored - study.test.inputs).max() < 0.01


def test_branch_and_head_fit_together(study):
    branch, head = nets.blob_shapes(study.branch()), nets.blob_shapes(study.head())
    assert branch["pool5_s1"] == head["data"]
    assert branch["fc6"] == head["fc6"] == (128, len(study.class_names))


def test_held_out_puzzles_share_no_pixel_with_the_training_puzzles(monkeypatch):
    """Photographs whose pixels hold their column: what the puzzles are cut from stays left or right of the line."""
    width, height = 900, 450
    columns = np.broadcast_to((np.arange(width) * 255 // width).astype(np.uint8)[None, :, None], (height, width, 3))
    monkeypatch.setattr(experiments.datasets, "load_photos", lambda: {"columns": columns.copy()})
    monkeypatch.setattr(preprocessing, "resize_short_side", lambda photo, size: photo)
    known, unseen = experiments.puzzle_photos()
    assert len(known) == len(unseen) == len(experiments.PHOTO_SIZES)
    assert max(photo.max() for photo in known) <= min(photo.min() for photo in unseen)


def test_puzzles_have_the_small_cfn_s_shape():
    _, unseen = experiments.puzzle_photos()
    assert all(min(photo.shape[:2]) >= jigsaw.GRID * experiments.CELL for photo in unseen)
    data, labels = experiments.puzzle_examples(unseen, 5, seed=0).batch(np.arange(5))
    assert data.shape[1:] == nets.blob_shapes(experiments.pretext_net())["data"][1:]
    assert labels.max() < experiments.PERMUTATIONS


def test_the_full_profile_runs_from_last_layer_to_control(monkeypatch, runs):
    """The whole branch on a hundred classes, with a few random images in CIFAR-100's place and one epoch each."""
    rng = np.random.default_rng(0)

    def images(count):
        labels = np.arange(count, dtype=np.int64) % 100
        return datasets.ImageSet(
            rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), labels, datasets.CIFAR100_CLASSES
        )

    monkeypatch.setenv("JIGSAW_PROFILE", "full")
    monkeypatch.setenv("JIGSAW_CACHE", str(runs / "cache"))
    splits = images(200), images(100)
    monkeypatch.setattr(datasets, "load_cifar100", lambda: splits)
    monkeypatch.setattr(experiments, "PUZZLES", 32)
    for name in ("PHOTOS_PRETEXT", "CIFAR100_LAST_LAYER", "CIFAR100_FINE_TUNE"):
        monkeypatch.setattr(recipes, name, dataclasses.replace(getattr(recipes, name), max_epochs=1))

    study = experiments.profile_study()
    assert (len(study.training), len(study.validation)) == (170, 30)
    assert sorted(study.blocks) == list(range(100)), "an image of CIFAR-100 is a block of its own"
    trunk = zoo.load("ours")
    last_layer = experiments.last_layer(study, trunk, progress=False)
    tuned = experiments.fine_tune(study, trunk, last_layer, progress=False)
    scratch = experiments.scratch(study, progress=False)
    for run in (last_layer, tuned, scratch):
        assert run.result["epochs"] == 1 and 0 <= run.result["test_accuracy"] <= 1
    assert sorted(path.name for path in runs.iterdir()) == [
        "cache", "cifar100_features", "cifar100_fine_tune_jigsaw_s0", "cifar100_last_layer_jigsaw_s0",
        "cifar100_scratch_s0"
    ]  # fmt: skip

    monkeypatch.setattr(solver, "train", None)  # the full-size study finds these and trains none again
    trainings.data.cache_clear()
    for name, run in (("last_layer_jigsaw", last_layer), ("fine_tune_jigsaw", tuned), ("scratch", scratch)):
        planned = plan.everything()[f"cifar100_{name}_s0"]
        assert trainings.train(trainings.resolve(planned)).result == run.result
    trainings.data.cache_clear()
