"""The solver loop: what is trained, what is recorded, how it stops, resumes and refuses."""

import dataclasses
import json
import os
import pathlib
import signal
import subprocess

import caffe
import numpy as np
import pandas as pd
import pytest
from google.protobuf import text_format

from helpers import course, evaluation, features, nets, recipes, solver, weights
from helpers.data.examples import Examples, feed
from helpers.training import run_folder

CLASSES = 3
RECIPE = dataclasses.replace(recipes.CIFAR100_LAST_LAYER, name="test", max_epochs=3, batch_size=8, base_lr=0.002)
HEAD = nets.head(CLASSES, (4, 3, 3))


def blobs_examples(count, seed=0):
    """Three Gaussian classes of features (4, 3, 3), easy to tell apart."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(CLASSES, size=count)
    return Examples((rng.standard_normal((count, 4, 3, 3)) + labels[:, None, None, None]).astype(np.float32), labels)


TRAINING, VALIDATION, TEST = blobs_examples(21, 1), blobs_examples(9, 2), blobs_examples(10, 3)


def fit(folder, recipe=RECIPE, **kwargs):
    return solver.fit(HEAD, recipe, TRAINING, VALIDATION, folder, progress=False, **kwargs)


def test_an_empty_batch_is_refused_before_caffe_ends_the_process():
    with pytest.raises(ValueError, match="empty.*examples"):
        TRAINING.batch(np.arange(0))


def test_a_run_folder_holds_the_whole_training(tmp_path):
    run = fit(tmp_path / "run", test=TEST)
    assert list(run.history["epoch"]) == [1, 2, 3]
    assert list(run.iterations["iteration"]) == list(range(9))  # 21 examples in batches of 8: 8, 8, 5
    np.testing.assert_allclose(
        run.iterations["learning_rate"], RECIPE.base_lr * RECIPE.gamma ** np.arange(9), rtol=1e-12
    )
    for epoch, rows in run.iterations.groupby("epoch"):
        expected = np.average(rows["loss"], weights=[8, 8, 5])
        assert run.history["training_loss"][epoch - 1] == pytest.approx(expected)
    assert run.result["status"] == "all epochs"
    assert run.result["best_epoch"] == run.history["validation_loss"].idxmin() + 1

    net = nets.instantiate(HEAD)
    weights.transplant(run.weights(), net, ["fc6"])
    probabilities = evaluation.probabilities(net, TEST)
    assert evaluation.accuracy(probabilities, TEST.labels) == pytest.approx(run.result["test_accuracy"])
    assert -np.log(probabilities[np.arange(10), TEST.labels]).mean() == pytest.approx(run.result["test_loss"], rel=1e-5)
    assert sorted(path.name for path in run.folder.glob("[!.]*")) == [
        "best.caffemodel",
        "history.csv",
        "iterations.csv",
        "result.json",
        "settings.json",
        "snapshot_0002",
        "snapshot_0003",
        "solver.prototxt",
        "train.prototxt",
    ]


def test_the_last_smaller_batch_is_trained_on(tmp_path):
    """The loop by hand, in plain pycaffe, gives the same weights."""
    run = fit(tmp_path / "run", dataclasses.replace(RECIPE, max_epochs=1))
    by_hand = caffe.get_solver(str(run.folder / "solver.prototxt"))
    order = np.random.default_rng([0, 1]).permutation(21)
    correct = 0
    for start in (0, 8, 16):
        feed(by_hand.net, *TRAINING.batch(order[start : start + 8]))
        by_hand.step(1)
        correct += by_hand.net.blobs["accuracy"].data * len(order[start : start + 8])
    assert run.history["training_accuracy"][0] == pytest.approx(correct / 21)
    np.testing.assert_array_equal(run.weights()["fc6"][0], by_hand.net.params["fc6"][0].data)


@pytest.mark.parametrize("solver_type", ["Adam", "SGD"])
@pytest.mark.parametrize(
    "policy",
    [
        dict(lr_policy="exp", gamma=0.5),
        dict(lr_policy="step", gamma=0.2, stepsize_epochs=2),
        dict(lr_policy="step", gamma=0.2, stepsize=5),
        dict(lr_policy="poly", max_epochs=5),
        dict(lr_policy="poly", max_epochs=5, power=2.5),
    ],
)
def test_learning_rates_follow_caffe(policy, solver_type, tmp_path):
    """SGD's and Adam's first steps on a constant gradient of 1 move a weight by the learning rate: Caffe shows it."""
    policy = policy | dict(solver=solver_type)
    recipe = dataclasses.replace(RECIPE, weight_decay=0.0, base_lr=0.1, momentum=0.0, momentum2=1e-12, **policy)
    (tmp_path / "net.prototxt").write_text("""
        layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 1 } } }
        layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"
                inner_product_param { num_output: 1 bias_term: false } }
        layer { name: "loss" type: "Reduction" bottom: "fc" top: "loss" loss_weight: 1 }""")
    (tmp_path / "solver.prototxt").write_text(
        str(solver.solver_parameter(recipe, tmp_path / "net.prototxt", per_epoch=3))
    )
    steps = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    steps.net.blobs["data"].data[...] = 1
    moved = []
    for _ in range(14):
        before = float(steps.net.params["fc"][0].data[0, 0])
        steps.step(1)
        moved.append(before - float(steps.net.params["fc"][0].data[0, 0]))
    np.testing.assert_allclose(moved, solver.learning_rates(recipe, np.arange(14), 3), rtol=1e-3, atol=1e-6)


def test_reported_decay_per_epoch():
    """0.9995 per iteration is about 0.85 per CIFAR-100 epoch of 333 batches (42,500 / 128)."""
    rates = solver.learning_rates(recipes.CIFAR100_LAST_LAYER, np.array([0, 333]), 333)
    assert rates[1] / rates[0] == pytest.approx(0.85, abs=0.005)


def test_an_unknown_policy_is_named():
    with pytest.raises(ValueError, match="'sigmoid'.*'poly'"):
        solver.learning_rates(dataclasses.replace(RECIPE, lr_policy="sigmoid"), 0, 1)


def test_the_authors_solver_is_written_as_theirs(tmp_path):
    """train_val_cfn_jps's solver: SGD 0.01, momentum 0.9, step 0.1 every 100,000, 350,000 iterations, decay 5e-4."""
    written = solver.solver_parameter(recipes.CFN_AUTHORS, "net.prototxt", per_epoch=400)
    assert (written.type, written.lr_policy, written.stepsize, written.max_iter) == ("SGD", "step", 100_000, 350_000)
    assert [written.base_lr, written.gamma, written.momentum, written.weight_decay] == pytest.approx(
        [0.01, 0.1, 0.9, 0.0005]
    )


def test_waiting_for_batches_is_recorded(tmp_path, monkeypatch):
    """A clock that only the delivery of batches moves: all the time there is goes to waiting."""
    clock = [0.0]

    class Slow(Examples):
        def epoch(self, *arguments):
            for batch in super().epoch(*arguments):
                clock[0] += 2.0
                yield batch

    monkeypatch.setattr(solver.time, "perf_counter", lambda: clock[0])
    run = solver.fit(HEAD, RECIPE, Slow(TRAINING.inputs, TRAINING.labels), VALIDATION, tmp_path / "run", progress=False)
    assert run.history["waiting"].tolist() == run.history["seconds"].tolist() == [6.0, 6.0, 6.0]


RELU_NET = """
    layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 8 dim: 6 dim: 1 dim: 1 } } }
    layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 8 } } }
    layer { name: "fc1" type: "InnerProduct" bottom: "data" top: "fc1" inner_product_param { num_output: 50
            weight_filler { type: "gaussian" std: 1 } bias_filler { type: "constant" value: BIAS } } }
    layer { name: "relu1" type: "ReLU" bottom: "fc1" top: "fc1" }
    layer { name: "drop1" type: "Dropout" bottom: "fc1" top: "fc1" }
    layer { name: "fc2" type: "InnerProduct" bottom: "fc1" top: "fc2" inner_product_param { num_output: 3
            weight_filler { type: "gaussian" std: 0.1 } } }
    layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc2" bottom: "label" top: "loss" }
    layer { name: "accuracy" type: "Accuracy" bottom: "fc2" bottom: "label" top: "accuracy" }"""


def relu_fit(folder, bias=0.0, epochs=2, recipe=RECIPE, **options):
    rng = np.random.default_rng(0)
    examples = Examples(rng.standard_normal((20, 6, 1, 1)).astype(np.float32), np.arange(20) % 3)
    return solver.fit(
        text_format.Parse(RELU_NET.replace("BIAS", str(bias)), caffe.proto.caffe_pb2.NetParameter()),
        dataclasses.replace(recipe, max_epochs=epochs),
        examples,
        examples,
        folder,
        progress=False,
        **options,
    )


def test_the_share_of_active_units_is_recorded(tmp_path):
    run = relu_fit(tmp_path / "run", epochs=1)
    weight, bias = run.weights()["fc1"]  # of the only epoch, so the best one
    inputs = np.random.default_rng(0).standard_normal((20, 6)).astype(np.float32)
    table = pd.read_csv(run.folder / "activity.csv")
    assert table.to_dict("list") == {"epoch": [1], "relu1": [np.mean(inputs @ weight.T + bias > 0)]}
    assert run.result["warnings"] == []


def test_a_collapsed_layer_is_warned_of_once(tmp_path, capsys):
    run = relu_fit(tmp_path / "run", bias=-20.0, epochs=3)
    (warning,) = run.result["warnings"]
    assert "relu1 has collapsed: in epoch 1 only 0.0%" in warning and "lower base_lr" in warning
    assert capsys.readouterr().out.count(warning) == 1


def test_a_time_limit_pauses_after_each_epoch_and_the_end_is_the_same(tmp_path):
    """Four calls of one epoch each; dropout draws the same units as in one go, too."""
    whole = relu_fit(tmp_path / "whole", epochs=4)
    states = [relu_fit(tmp_path / "run", epochs=4, seconds=1e-9).result for _ in range(4)]
    assert [(state["status"], state["epochs"]) for state in states] == [
        ("paused", 1),
        ("paused", 2),
        ("paused", 3),
        ("all epochs", 4),
    ]
    parts = solver.load(tmp_path / "run")
    assert weights.fingerprint(parts.weights()) == weights.fingerprint(whole.weights())
    timeless = [column for column in solver.EPOCH_COLUMNS if column not in ("seconds", "waiting")]
    assert parts.history[timeless].equals(whole.history[timeless])
    assert parts.iterations.equals(whole.iterations)
    assert (tmp_path / "run/activity.csv").read_text() == (tmp_path / "whole/activity.csv").read_text()


def test_a_generous_time_limit_changes_nothing(tmp_path):
    assert relu_fit(tmp_path / "run", seconds=3600).result["status"] == "all epochs"


def test_sigterm_ends_a_training_like_the_stop_button(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    saved = []

    def terminate(row, active):
        saved.append((row["epoch"], set(active)))
        if row["epoch"] == 2:
            os.kill(os.getpid(), signal.SIGTERM)

    run = relu_fit(tmp_path / "run", epochs=5, on_epoch=terminate)
    assert run.result["status"] == "interrupted" and run.result["epochs"] == 2
    assert saved == [(1, {"epoch", "relu1"}), (2, {"epoch", "relu1"})]
    assert signal.getsignal(signal.SIGTERM) is before
    assert relu_fit(tmp_path / "run", epochs=5).result["status"] == "all epochs"


def test_the_batch_for_scoring_decides_memory_only(tmp_path):
    one, two = relu_fit(tmp_path / "one"), relu_fit(tmp_path / "two", scoring_batch=3)
    np.testing.assert_allclose(one.history["validation_loss"], two.history["validation_loss"], rtol=1e-6)


def test_the_solver_prototxt_names_the_device(tmp_path):
    for mode, number in (("cpu", 0), ("gpu", 1)):
        assert solver.solver_parameter(RECIPE, "net.prototxt", 1, mode=mode).solver_mode == number


def test_stops_early_and_keeps_the_best_epoch(tmp_path):
    """A learning rate that overshoots: the loss rises, patience runs out, the weights kept are the best epoch's."""
    recipe = dataclasses.replace(RECIPE, base_lr=3.0, gamma=1.0, patience=1, max_epochs=40)
    run = fit(tmp_path / "run", recipe)
    assert run.result["status"] == "stopped early"
    assert len(run.history) < 40
    best = run.history["validation_loss"].idxmin()
    net = nets.instantiate(HEAD)
    weights.transplant(run.weights(), net, ["fc6"])
    assert solver.score(net, VALIDATION)[0] == pytest.approx(run.history["validation_loss"][best], rel=1e-6)


def test_a_finished_run_is_loaded_not_repeated(tmp_path):
    first = fit(tmp_path / "run")
    made = (tmp_path / "run" / "result.json").stat().st_mtime_ns
    pd.testing.assert_frame_equal(fit(tmp_path / "run").history, first.history)
    assert (tmp_path / "run" / "result.json").stat().st_mtime_ns == made


@pytest.mark.parametrize("change", ["recipe", "seed", "data", "initial"])
def test_other_settings_move_the_run_aside(tmp_path, change, capsys):
    first = fit(tmp_path / "run")
    before = first.weights()["fc6"][0]
    arguments = {
        "recipe": dict(recipe=dataclasses.replace(RECIPE, base_lr=0.004)),
        "seed": dict(seed=1),
        "data": {},
        "initial": dict(initial=first.weights(), layers=["fc6"]),
    }[change]
    if change == "data":
        second = solver.fit(HEAD, RECIPE, blobs_examples(21, 7), VALIDATION, tmp_path / "run", progress=False)
    else:
        second = fit(tmp_path / "run", **arguments)
    assert not np.array_equal(second.weights()["fc6"][0], before)
    aside = solver.load(tmp_path / "run.1")
    assert np.array_equal(aside.weights()["fc6"][0], before)
    assert aside.history.equals(first.history)
    assert "run.1" in capsys.readouterr().out


def test_an_interrupt_leaves_the_finished_epochs_and_the_next_call_goes_on(tmp_path, monkeypatch, capsys):
    whole = fit(tmp_path / "whole")
    score = solver.score
    calls = []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 2:  # in the middle of the second epoch
            raise KeyboardInterrupt
        return score(*arguments)

    monkeypatch.setattr(solver, "score", interrupted)
    halted = fit(tmp_path / "run")
    assert halted.result["status"] == "interrupted"
    assert len(halted.history) == 1
    assert "Run this cell again" in capsys.readouterr().out
    monkeypatch.setattr(solver, "score", score)
    resumed = fit(tmp_path / "run")
    np.testing.assert_array_equal(resumed.weights()["fc6"][0], whole.weights()["fc6"][0])
    timeless = [column for column in solver.EPOCH_COLUMNS if column not in ("seconds", "waiting")]
    pd.testing.assert_frame_equal(resumed.history[timeless], whole.history[timeless])
    pd.testing.assert_frame_equal(resumed.iterations, whole.iterations)


@pytest.mark.parametrize(
    "examples, message",
    [
        (Examples(np.zeros((4, 4, 3, 2), np.float32), np.zeros(4, int)), "data blob takes"),
        (Examples(np.zeros((4, 4, 3, 3), np.float32), np.array([0, 1, 2, 3])), "labels run from 0 to 3"),
        (Examples(np.zeros((4, 4, 3, 3), np.float32), np.array([0, -1, 2, 1])), "labels run from -1"),
        (Examples(np.full((4, 4, 3, 3), np.nan, np.float32), np.zeros(4, int)), "NaN"),
    ],
)
def test_bad_examples_are_refused_before_caffe(tmp_path, examples, message):
    with pytest.raises(ValueError, match=message):
        solver.fit(HEAD, RECIPE, examples, VALIDATION, tmp_path / "run", progress=False)


def test_a_diverging_loss_is_named_and_the_saved_epochs_stay(tmp_path):
    recipe = dataclasses.replace(RECIPE, base_lr=1e37, gamma=1.0, weight_decay=1e3)
    with pytest.raises(FloatingPointError, match="lower base_lr"):
        fit(tmp_path / "run", recipe)


@pytest.mark.parametrize("spoilt", ["training", "validation"])
def test_nan_beyond_the_first_example_stops_with_an_exception(tmp_path, spoilt):
    """Unlike the first example, the others are not looked at before; the loss tells."""
    examples = {"training": blobs_examples(21), "validation": blobs_examples(9)}
    examples[spoilt].inputs[5] = np.nan
    with pytest.raises(FloatingPointError, match=f"{spoilt} loss is nan.*NaN"):
        solver.fit(HEAD, RECIPE, **examples, folder=tmp_path / "run", progress=False)


def test_cached_features_train_the_same_fc6_as_the_frozen_branch(tmp_path):
    """N iterations on the trunk's cached pool5 and N iterations of the frozen full net: the same fc6."""
    rng = np.random.default_rng(0)
    images = Examples(rng.standard_normal((20, 3, 64, 64)).astype(np.float32), rng.integers(CLASSES, size=20))
    caffe.set_random_seed(2)
    trunk = nets.instantiate(nets.branch(CLASSES, fillers="he", width=0.25))
    start = weights.of(trunk)
    pooled = features.cached(tmp_path, trunk, images)
    assert pooled.inputs.shape == (20, 64, 3, 3)
    assert features.cached(tmp_path, trunk, images).inputs.tobytes() == pooled.inputs.tobytes()

    recipe = dataclasses.replace(RECIPE, max_epochs=2)
    full = solver.fit(
        nets.branch(CLASSES, "fc6", width=0.25),
        recipe,
        images,
        images,
        tmp_path / "full",
        initial=start,
        layers=list(start),
        progress=False,
    )
    short = solver.fit(
        nets.head(CLASSES, (64, 3, 3)),
        recipe,
        pooled,
        pooled,
        tmp_path / "head",
        initial=start,
        layers=["fc6"],
        progress=False,
    )
    for mine, theirs in zip(short.weights()["fc6"], full.weights()["fc6"]):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)
    for name in nets.CONVOLUTIONS:  # frozen: not one bit moved
        np.testing.assert_array_equal(full.weights()[name][0], start[name][0])


def test_result_records_where_it_was_made(tmp_path):
    run = fit(tmp_path / "run")
    assert {"commit", "date", "machine", "device", "caffe"} <= set(run.result["made"])
    assert json.loads((run.folder / "settings.json").read_text())["recipe"]["base_lr"] == RECIPE.base_lr


def test_the_commit_is_that_of_the_start_and_dirty_only_where_code_changed(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)

    (tmp_path / "recorded").mkdir()
    for name in ("solver.py", "recorded/result.json"):
        (tmp_path / name).write_text("as committed")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    monkeypatch.setattr(course, "ROOT", tmp_path)
    run_folder.commit.cache_clear()
    (tmp_path / "recorded" / "result.json").write_text("a study's own")
    first = run_folder.commit()
    assert len(first) == 7
    (tmp_path / "solver.py").write_text("changed")
    assert run_folder.commit() == first
    run_folder.commit.cache_clear()
    assert run_folder.commit() == first + "-dirty"
    monkeypatch.setattr(course, "ROOT", tmp_path.parent)
    monkeypatch.setenv("JIGSAW_COMMIT", "0123abc")
    run_folder.commit.cache_clear()
    assert run_folder.commit() == "0123abc"
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))  # no git
    run_folder.commit.cache_clear()
    assert run_folder.commit() == "0123abc"
    run_folder.commit.cache_clear()


def test_caffe_on_the_command_line_reads_the_run(tmp_path):
    """The prototxts and the caffemodel are Caffe's own formats: a plain Net loads them."""
    run = fit(tmp_path / "run")
    net = caffe.Net(str(run.folder / "train.prototxt"), caffe.TEST, weights=str(run.best))
    np.testing.assert_array_equal(net.params["fc6"][0].data, run.weights()["fc6"][0])


def test_load_says_what_to_do_where_there_is_no_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="run the notebook"):
        solver.load(tmp_path)


def test_numbers_of_numpy_make_the_same_run(tmp_path, capsys):
    """In seed and recipe; settings.json has Python's, so the second call finds the first one's run."""
    changed = dict(max_epochs=np.int64(1), batch_size=np.int32(RECIPE.batch_size), epsilon=np.float32(0.5))
    recipe = dataclasses.replace(RECIPE, **changed, base_lr=np.float64(RECIPE.base_lr))
    fit(tmp_path / "run", recipe, seed=np.int64(3))
    plain = {name: value.item() for name, value in changed.items()}
    fit(tmp_path / "run", dataclasses.replace(RECIPE, **plain), seed=3)
    assert list(tmp_path.iterdir()) == [tmp_path / "run"] and capsys.readouterr().out == ""


def test_settings_are_plain():
    given = {"a": np.float32(0.5), "b": np.bool_(True), "c": pathlib.Path("x"), "d": np.uint8(3), "e": np.arange(2)}
    assert run_folder.plain(given) == {"a": 0.5, "b": True, "c": "x", "d": 3, "e": [0, 1]}
