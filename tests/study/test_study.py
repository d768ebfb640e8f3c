"""The full-size study on tiny data: it runs, stops, goes on, and what it records can be trusted."""

import dataclasses
import json
import shutil

import caffe
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers import evaluation, recipes, solver, weights
from helpers.data import datasets, downloads, fruits360
from helpers.data.examples import Examples
from helpers.plots import style
from helpers.study import __main__ as command, plan, records, runner, trainings
from helpers.training import device

LAST, TUNED, FEW = (
    "cifar100_last_layer_jigsaw_s0",
    "cifar100_fine_tune_jigsaw_s0",
    "cifar100_last_layer_he_005_labels_s1",
)


@pytest.fixture(autouse=True)
def recorded(tmp_path, monkeypatch):
    """Every test has a recorded/ of its own."""
    monkeypatch.setenv("JIGSAW_RECORDED", str(tmp_path / "recorded"))
    return tmp_path / "recorded"


def no_network(*arguments):
    raise ConnectionError("no network in tests")


@pytest.fixture
def trunk(tmp_path, monkeypatch):
    """A trunk's path; CIFAR-100's place is taken by 32 + 16 dark and bright images, two epochs each."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 32), ("test", 16)):
        labels = np.arange(count) % 2
        images = labels[:, None, None, None] * 90 + rng.integers(0, 160, (count, 32, 32, 3))
        arrays[f"x_{split}"] = images.astype(np.uint8)
        arrays[f"y_{split}"] = labels
    np.savez(tmp_path / "cifar100.npz", **arrays)
    monkeypatch.setenv("JIGSAW_DATA", str(tmp_path))
    monkeypatch.setenv("JIGSAW_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets, "CIFAR100_CLASSES", ("dark", "bright"))
    monkeypatch.setattr(downloads, "fetch", no_network)
    for name in ("CIFAR100_LAST_LAYER", "CIFAR100_FINE_TUNE", "ALEXNET_C100"):
        monkeypatch.setattr(recipes, name, dataclasses.replace(getattr(recipes, name), max_epochs=2, batch_size=32))
    for cached in (trainings.data, trainings.start_weights, trainings.test_order):
        cached.cache_clear()
    path = tmp_path / "trunk.caffemodel"
    weights.write(path, trainings.start_weights("he", 99, None))
    yield str(path)
    for cached in (trainings.data, trainings.start_weights, trainings.test_order):
        cached.cache_clear()


def test_the_plan_is_in_an_order_that_can_be_run():
    planned = list(plan.everything().values())
    assert len(planned) == len(plan.cifar100()) + len(plan.fruits360()) + len(plan.fruits360_81())  # no name twice
    for number, one in enumerate(planned):
        earlier = [other.name for other in planned[:number]]
        assert all(name in earlier for name in (one.head, one.after) if name), one.name
        assert one.section in plan.SECTIONS


def test_only_one_thing_differs_between_jigsaw_and_its_control():
    names = plan.everything()
    ours, control = names["cifar100_last_layer_jigsaw_s1"], names["cifar100_last_layer_he_s1"]
    changed = {key for key, value in vars(ours).items() if vars(control)[key] != value}
    assert changed == {"name", "start", "after"}


@pytest.mark.parametrize(
    "name, changes",
    [
        ("batch_256", {"batch_size": 256}),
        ("batch_256_patience_11", {"batch_size": 256, "patience": 11}),
        ("weight_decay_5e-4", {"weight_decay": 0.0005}),
        ("fc6_gaussian", {}),
    ],
)
def test_nothing_else_of_the_recipe_is_changed(trunk, runs, name, changes):
    names = plan.everything()
    usual, changed = (trainings.resolve(names[f"cifar100_last_layer_he{one}_s1"]) for one in ("", f"_{name}"))
    assert dataclasses.asdict(changed.recipe) == dataclasses.asdict(usual.recipe) | changes
    nets_ = [one.net.__class__.FromString(one.net.SerializeToString()) for one in (usual, changed)]
    fillers = [net.layer[-3].inner_product_param.weight_filler.type for net in nets_]
    assert fillers == ["xavier", "xavier" if changes else "gaussian"]
    assert [net.layer[0].input_param.shape[0].dim[0] for net in nets_] == [32, changes.get("batch_size", 32)]
    for before, after in zip(usual.parts, changed.parts):  # from the features that the usual run computed
        np.testing.assert_array_equal(before.inputs, after.inputs)


def test_few_labels_fine_tune_what_their_fc6_has_learnt(trunk, runs):
    """The same three images of each class, each as often in an epoch; from scratch the same ones, and no fc6."""
    names = plan.everything()
    tuned, scratch = names["cifar100_fine_tune_jigsaw_025_labels_s2"], names["cifar100_scratch_025_labels_s2"]
    changed = {key for key, value in vars(tuned).items() if vars(scratch)[key] != value}
    assert changed == {"name", "start", "head", "after"}
    three = (dataclasses.replace(one, per_class=3) for one in (names[tuned.head], tuned, scratch))
    head, *whole = (trainings.resolve(one, trunk) for one in three)

    def drawn(examples, everything):
        return [number for number, one in enumerate(everything.inputs) if (examples.inputs == one).all((1, 2, 3)).any()]

    study = trainings.data("cifar100", 64, "report")
    pooled = trainings.activations(study, trainings.start_weights("jigsaw", 0, trunk), "pool5_s1")[0]
    images = drawn(head.parts[0], pooled)
    assert np.bincount(pooled.labels[images]).tolist() == [3, 3]
    for one in whole:
        assert drawn(one.parts[0], study.training) == images and len(one.parts[0]) == plan.PASSES * len(images)
        assert one.recipe.max_epochs == one.recipe.patience == plan.EPOCHS
    assert whole[0].layers[-1] == "fc6" and "fc6" not in whole[1].layers


def test_fc6_reads_the_same_feature_times_a_number(trunk, runs):
    names = plan.everything()
    scaled = names["cifar100_last_layer_jigsaw_times_030_percent_s0"]
    assert scaled.after == "cifar100_last_layer_jigsaw_s0"  # which computes the features
    plain, small = (trainings.resolve(names[name], trunk).parts for name in (LAST, scaled.name))
    for before, after in zip(plain, small):
        np.testing.assert_allclose(after.batch([0, 1])[0], 0.3 * before.batch([0, 1])[0], rtol=1e-6)
        assert before.fingerprint() != after.fingerprint() and (before.labels == after.labels).all()


def test_the_study_runs_records_and_agrees_with_itself(trunk, recorded, capsys):
    names = [LAST, TUNED, FEW, "cifar100_last_layer_jigsaw_conv3_s0", "cifar100_last_layer_labels_s0"]
    names.append("cifar100_alexnet_c100")
    command.main(["--trunk", trunk, "--only", ",".join(names)])
    assert records.names() == sorted(names)
    assert records.check(names)
    tuned = records.load(TUNED)
    assert tuned.result["status"] == "all epochs" and len(tuned.history) == 2
    assert sorted(tuned.filters()) == [0, 1, 2] and tuned.filters()[0].dtype == np.float16
    np.testing.assert_allclose(tuned.filters()[0], weights.read(trunk)["conv1_s1"][0], atol=1e-3)
    final = solver.load(trainings.folder(plan.everything()[TUNED]))
    np.testing.assert_allclose(tuned.filters()[tuned.result["best_epoch"]], final.weights()["conv1_s1"][0], atol=1e-3)
    assert records.label("cifar100_last_layer_labels_s0") == (
        "not run: no trunk_labels/trunk.caffemodel among the runs; CONTRIBUTING.md has the commands that train it"
    )
    assert records.label(TUNED).endswith(f"--only {TUNED} --trunk trunk.caffemodel` (CPU)")

    capsys.readouterr()
    command.main(["--trunk", trunk, "--only", f"{LAST},{TUNED},{FEW}"])  # all done: nothing is trained
    assert capsys.readouterr().out == ""
    other = trainings.start_weights("he", 5, None)
    weights.write(trunk + ".other", other)
    assert not runner.finished(plan.everything()[LAST], trunk + ".other")
    assert runner.finished(plan.everything()[FEW], trunk + ".other")  # starts from random weights


def test_test_images_are_told_apart_where_the_run_was_trained(trunk, monkeypatch):
    """A last layer is trained on the CPU beside a card, which rounds otherwise: its predictions are the CPU's, too."""
    planned = plan.everything()[LAST]
    resolved = trainings.resolve(planned, trunk)
    run = trainings.train(resolved)
    monkeypatch.setattr(device, "obstacle", lambda: None)
    monkeypatch.setenv("JIGSAW_DEVICE", "gpu")
    monkeypatch.setattr(caffe, "set_device", lambda number: pytest.fail("the card was asked"))
    predicted, true, _ = trainings.predictions(resolved, run)
    assert np.mean(predicted == true) == run.result["test_accuracy"]


def test_a_killed_run_goes_on_and_ends_the_same(trunk, runs, monkeypatch):
    planned = plan.everything()[LAST]
    whole = trainings.train(trainings.resolve(planned, trunk))
    again = trainings.resolve(dataclasses.replace(planned, name="again"), trunk)

    def killed(row, active):
        raise SystemError("killed")

    with pytest.raises(SystemError):
        trainings.train(again, on_epoch=killed)
    resumed = trainings.train(again)
    losses = ["training_loss", "validation_loss"]
    assert resumed.history[losses].equals(whole.history[losses])
    assert resumed.result["test_loss"] == whole.result["test_loss"]


def test_no_time_left_is_recorded_as_unfinished_with_its_epoch(trunk, monkeypatch):
    planned = plan.everything()[LAST]
    train = trainings.train
    monkeypatch.setattr(trainings, "train", lambda resolved, _, *rest: train(resolved, 0, *rest))
    runner.run_one(planned, trunk, 30)
    assert records.load(LAST).result["status"] == "paused"
    assert "unfinished after 1 epochs" in records.label(LAST)
    assert records.problems(records.load(LAST)) == []
    assert not runner.finished(planned, trunk)
    runner.run_one(planned, trunk, 30)
    assert runner.finished(planned, trunk)


@pytest.fixture
def record(recorded):
    """A record made of numbers, five epochs, the best the third."""
    history = pd.DataFrame({"epoch": range(1, 6), "validation_loss": [3.0, 2.0, 1.5, 1.6, 1.7], "learning_rate": 1e-3})
    recipe = {"epsilon": 1e-4, "patience": 1, "max_epochs": 50}
    result = {
        "status": "stopped early",
        "epochs": 5,
        "best_epoch": 3,
        "best_validation_loss": 1.5,
        "test_accuracy": 0.75,
        "settings": {"recipe": recipe},
        "made": {"date": "2026-01-01", "device": "CPU"},
    }
    run = solver.Run(recorded, history, history, result)
    planned = plan.Planned("made_up", "last layer")
    records.write(
        run, planned, "a command", 7, {0: np.zeros((1, 3, 11, 11))}, ([0, 1, 2, 3], [0, 1, 2, 0], ("a", "b", "c", "d"))
    )
    return recorded / "made_up"


def test_a_good_record_has_no_problem(record):
    assert records.check(["made_up"])
    assert records.load("made_up").result["start"] == 7


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("epochs", 6, "epochs is 6"),
        ("best_epoch", 2, "best_validation_loss is 1.5 in result.json, 2.0"),
        ("best_epoch", 9, "the best epoch is 9"),
        ("best_validation_loss", 1.49, "best_validation_loss is 1.49"),
        ("test_accuracy", 0.76, "test_accuracy is 0.76 in result.json, 0.75"),
        ("status", "all epochs", "epochs by the recipe is 5 in result.json, 50"),
    ],
)
def test_a_tampered_number_is_found(record, capsys, key, value, message):
    path = record / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    assert not records.check(["made_up"])
    assert message in capsys.readouterr().out


def test_a_tampered_history_is_found(record, capsys):
    path = record / "history.csv"
    path.write_text(path.read_text().replace("1.7", "1.2"))
    assert not records.check(["made_up"])
    assert "epoch 5 is better than the best epoch, 3" in capsys.readouterr().out


def test_predictions_are_kept_by_class_and_another_order_is_found(record, capsys):
    """Two runs are compared image by image, so all of them need one order."""
    predicted, true, classes = records.load("made_up").predictions()
    assert true.tolist() == [0, 0, 1, 2] and predicted.tolist() == [0, 3, 1, 2]
    order = [0, 2, 3, 1]
    np.savez(record / "predictions.npz", predicted=predicted[order], true=true[order], classes=classes)
    assert not records.check(["made_up"])
    assert "made_up: the predictions are not sorted by class" in capsys.readouterr().out


def test_what_is_missing_or_unplanned_is_named(record, capsys):
    assert not records.check(["made_up", "another"])
    assert "another: planned, but not recorded" in capsys.readouterr().out
    assert not records.check([])
    assert "made_up: recorded, but not in the plan" in capsys.readouterr().out
    records.write_not_run(plan.Planned("another", "labels", seed=np.int64(1), times=np.float32(0.5)), "no weights")
    assert records.check(["made_up", "another"])
    with pytest.raises(FileNotFoundError, match="--only third` runs and records it"):
        records.load("third")


def test_a_trunk_is_recorded_beside_the_trainings(record, recorded, monkeypatch, capsys):
    """Its conv1 can be read, its whole file told from another; it is no training, but its bytes count."""
    layers = trainings.start_weights("he", 99, None)
    with pytest.raises(FileNotFoundError, match="labels.npz is not recorded.*--folder runs/trunk_labels --record`"):
        records.trunk_filters("labels")
    records.write_trunk("labels", layers, "# A card\n")
    found = records.trunk_filters("labels")
    assert found.shape == (96, 3, 11, 11) and found.dtype == np.float16
    np.testing.assert_array_equal(found, layers["conv1_s1"][0].astype(np.float16))
    assert np.load(recorded / "trunks" / "labels.npz")["crc32"] == weights.fingerprint(layers)
    assert (recorded / "trunks" / "labels.md").read_text() == "# A card\n"
    assert {path.name for path in (recorded / "trunks").iterdir()} == {"labels.md", "labels.npz"}
    assert records.names() == ["made_up"] and records.check(["made_up"])
    monkeypatch.setattr(records, "MOST_BYTES", (recorded / "trunks" / "labels.npz").stat().st_size)
    assert not records.check(["made_up"]) and "recorded/ holds" in capsys.readouterr().out


def test_a_draw_of_classes_keeps_their_images_and_counts_its_own_labels(monkeypatch):
    monkeypatch.setattr(fruits360, "lists", lambda: {"first": ["Lemon", "Kiwi"]})
    examples = Examples(np.arange(6), np.array([2, 0, 1, 2, 0, 1]))
    drawn = trainings.of_classes(examples, ("Kiwi", "Fig", "Lemon"), "first")
    assert drawn.inputs.tolist() == [0, 1, 3, 4] and drawn.labels.tolist() == [0, 1, 0, 1]


def test_draws_of_fruits_share_what_the_frozen_trunk_computes(trunk, recorded, runs, tmp_path, monkeypatch):
    """Three classes of grey frames, two of them in each draw: other labels, the same features; nearest pixels, too."""
    classes = ("Apricot", "Kiwi", "Lemon")
    for split in ("Training", "Test"):
        for level, name in enumerate(classes):
            folder = tmp_path / "fruits360" / split / name
            folder.mkdir(parents=True)
            for frame in range(32):
                noise = np.random.default_rng(frame).integers(0, 60, (100, 100, 3)) + 90 * level
                Image.fromarray(noise.astype(np.uint8)).save(folder / f"{frame}_100.jpg")
    lists = {"complete": list(classes), "first": ["Apricot", "Kiwi"], "draw1": ["Kiwi", "Lemon"]}
    monkeypatch.setattr(fruits360, "lists", lambda: lists)
    short = dataclasses.replace(recipes.FRUITS360_LAST_LAYER, max_epochs=2, batch_size=8)
    monkeypatch.setattr(recipes, "FRUITS360_LAST_LAYER", short)
    names = [f"fruits360_81_{draw}_last_layer_jigsaw_s0" for draw in ("first", "draw1")]
    command.main(["--trunk", trunk, "--only", ",".join([*names, "fruits360_81_first_pixels"])])
    assert len(list((runs / "fruits360_complete_features").glob("*.npy"))) == 3  # training, validation, test: once
    for name, chosen in zip(names, ("first", "draw1")):
        predicted, true, told = records.load(name).predictions()
        assert told.tolist() == lists[chosen] and true.tolist() == 32 * [0] + 32 * [1], "all test images, by class"
        assert records.load(name).result["settings"]["examples"][0] < 16, "one in four, without validation"
        assert records.load(name).result["planned"]["classes"] == chosen
    assert records.load("fruits360_81_first_pixels").result["test_accuracy"] == 1
    assert records.check([*names, "fruits360_81_first_pixels"])


def test_a_stepsize_counts_iterations(trunk):
    planned = dataclasses.replace(plan.everything()[TUNED], recipe={"stepsize": 7, "stepsize_epochs": None})
    recipe = trainings.resolve(planned, trunk).recipe
    rates = solver.learning_rates(recipe, np.array([0, 6, 7]), 1)
    assert rates[0] == rates[1] and rates[2] == pytest.approx(recipe.gamma * rates[0])


def test_fruits_without_all_their_classes_are_not_at_hand(trunk, tmp_path):
    (tmp_path / "fruits360" / "Training" / "Lemon").mkdir(parents=True)
    assert "not run, " in runner.run_one(plan.everything()["fruits360_81_first_pixels"], trunk, 30)


def test_few_labels_are_that_many_of_each_class_repeated_to_a_whole_epoch():
    labels = np.random.default_rng(0).integers(0, 5, 210)
    some = trainings.few_labels(Examples(np.arange(210), labels), 7, seed=1)
    assert len(some) == 210 and (labels[some.inputs] == some.labels).all()
    chosen, times = np.unique(some.inputs, return_counts=True)
    assert np.bincount(labels[chosen]).tolist() == [7] * 5 and set(times) == {6}
    assert len(set(trainings.few_labels(Examples(np.arange(210), labels), 1000, seed=1).inputs)) == 210
    thrice = trainings.few_labels(Examples(np.arange(210), labels), 7, seed=1, passes=3)
    assert sorted(thrice.inputs) == sorted(3 * chosen.tolist())


def test_random_trunks_are_seeded_and_scaled_as_he_says():
    trainings.start_weights.cache_clear()
    first, again, other = (
        trainings.start_weights("he", 1, None),
        trainings.start_weights.__wrapped__("he", 1, None),
        trainings.start_weights("he", 2, None),
    )
    assert weights.fingerprint(first) == weights.fingerprint(again) != weights.fingerprint(other)
    weight, bias = first["conv3_s1"]
    assert weight.std() == pytest.approx(np.sqrt(2 / (256 * 9)), rel=0.01) and not bias.any()
    assert trainings.start_weights("gaussian", 1)["conv3_s1"][0].std() == pytest.approx(0.01, rel=0.01)


def test_conv3_is_read_as_its_own_maximum_over_2x2(trunk):
    data = trainings.data("cifar100", 64, "report")
    layers = trainings.start_weights("jigsaw", 0, trunk)
    net = trainings.nets.instantiate(data.branch())
    weights.transplant(layers, net)
    conv3 = trainings.features.extract(net, data.test, "conv3_s1")
    expected = conv3.reshape(len(conv3), 384, 3, 2, 3, 2).max(axis=(3, 5))
    np.testing.assert_allclose(trainings.activations(data, layers, "conv3_probe")[2].inputs, expected, rtol=1e-5)


def test_probes_give_fc6_about_as_many_numbers_as_pool5(trunk):
    data = trainings.data("cifar100", 64, "report")
    layers = trainings.start_weights("jigsaw", 0, trunk)
    sizes = {blob: trainings.activations(data, layers, blob)[2].inputs[0].size for blob in trainings.PROBES}
    assert sizes == {f"conv{i}_probe": n for i, n in zip(range(1, 6), (2400, 2304, 3456, 3456, 2304))}


def test_frozen_layers_computed_once_train_as_frozen_layers_do(trunk, runs):
    """conv5 and fc6 on kept conv4 activations against the whole branch with conv1 to conv4 frozen: the same losses."""
    kept = trainings.train(trainings.resolve(plan.everything()["cifar100_from_conv5_jigsaw"], trunk))
    data = trainings.data("cifar100", 64, "report")
    initial = trainings.start_weights("jigsaw", 0, trunk) | solver.load(runs / LAST).weights()
    frozen = solver.fit(
        data.branch("conv5"),
        dataclasses.replace(data.fine_tune, max_epochs=plan.EPOCHS, patience=plan.EPOCHS),
        data.training,
        data.validation,
        runs / "frozen",
        initial,
        layers=list(initial),
        progress=False,
    )
    assert kept.result["status"] == "all epochs" and len(kept.history) == plan.EPOCHS
    losses = ["training_loss", "validation_loss"]
    np.testing.assert_allclose(kept.history[losses], frozen.history[losses], rtol=1e-3)
    assert set(kept.weights()) == {"conv5_s1", "fc6"}
    assert (kept.weights()["conv5_s1"][0] != initial["conv5_s1"][0]).any()


def test_digest_order_does_not_depend_on_the_order_given():
    images = np.random.default_rng(0).integers(0, 256, (20, 4, 4, 3), dtype=np.uint8)
    shuffled = images[np.random.default_rng(1).permutation(20)]
    np.testing.assert_array_equal(images[evaluation.digest_order(images)], shuffled[evaluation.digest_order(shuffled)])


def test_a_run_whose_settings_changed_keeps_its_filters_aside(trunk, runs, monkeypatch):
    """One that keeps conv1 after each epoch: the older run, with its filters, is moved, and the new one has its own."""
    command.main(["--trunk", trunk, "--only", f"{LAST},{TUNED}"])
    changed = dataclasses.replace(recipes.CIFAR100_FINE_TUNE, weight_decay=0.1)
    monkeypatch.setattr(recipes, "CIFAR100_FINE_TUNE", changed)
    trainings.data.cache_clear()
    print(runner.run_one(plan.everything()[TUNED], trunk, 100))
    for folder in (runs / TUNED, runs / f"{TUNED}.1"):
        assert sorted(path.name for path in (folder / "conv1").iterdir()) == ["0000.npy", "0001.npy", "0002.npy"]
    assert sorted(records.load(TUNED).filters()) == [0, 1, 2]


def test_not_run_is_written_where_nothing_was(trunk, tmp_path, monkeypatch):
    """Not over a paused record; and into the folder that was asked for."""
    planned = plan.everything()[LAST]
    train = trainings.train
    monkeypatch.setattr(trainings, "train", lambda resolved, _, *rest: train(resolved, 0, *rest))
    runner.run_one(planned, trunk, 30)

    def not_at_hand(*_):
        raise trainings.NotAtHand("no data")

    monkeypatch.setattr(trainings, "train", not_at_hand)
    assert runner.run_one(planned, trunk, 30) == f"{LAST}: not run, no data"
    assert records.load(LAST).result["status"] == "paused"
    runner.run_one(planned, trunk, 30, into=tmp_path / "elsewhere")
    assert records.label(LAST, tmp_path / "elsewhere") == "not run: no data"
    runner.run_one(plan.everything()[FEW], trunk, 30, into=tmp_path / "elsewhere")
    assert records.names() == [LAST]


def test_a_name_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match="--only cifar10 matches no run"):
        command.chosen("cifar10")


def test_replay_shows_the_record_in_quick_and_trains_in_full(record, runs, monkeypatch):
    name = record.name
    shown, label = runner.at_full_size(name)
    assert shown.folder == record and label == records.label(name)

    def trained(planned, trunk, seconds, dry=False, into=None):
        shutil.copytree(record, into / planned.name)
        return f"{planned.name}: trained"

    monkeypatch.setenv("JIGSAW_PROFILE", "full")
    monkeypatch.setattr(plan, "everything", lambda: {name: plan.Planned(name, "last layer")})
    monkeypatch.setattr(runner, "run_one", trained)
    shown, label = runner.at_full_size(name)
    assert shown.folder == runs / "recorded" / name
    assert label.startswith("recorded on")


def test_every_start_of_the_study_has_a_colour():
    starts = {planned.start for planned in plan.everything().values()} - {None}
    assert {plan.EACH_TRUNK.get(start, start) for start in starts} == plan.LEARNT_FROM.keys()
    assert set(plan.LEARNT_FROM.values()) == style.STARTS.keys()
