"""Tables of recorded runs: means, intervals, what was not run; README's is the one that recorded/ gives."""

import numpy as np
import pandas as pd
import pytest
from results import TABLES, rewritten  # of scripts/
from scipy import stats

from helpers import solver
from helpers.study import plan, records, results


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.name)
def test_the_table_in_a_file_is_that_of_recorded(path):
    """If this fails: `make results`."""
    assert rewritten(path) == path.read_text()


def test_what_is_recorded_is_of_the_plan_and_agrees_with_its_histories():
    """`make check-recorded`: nothing was typed."""
    if records.names():
        assert records.check(list(plan.everything()))


def test_every_depth_trains_as_long_as_the_reports_rule_let_the_whole_network():
    """Which layers to freeze: where patience decides, trainings of different depths end before the rate falls."""
    assert records.load("cifar100_fine_tune_jigsaw_s0").result["epochs"] == plan.EPOCHS
    depths = [one for one in plan.everything().values() if one.section == "frozen layers"]
    assert {one.epochs for one in depths} == {plan.EPOCHS}


def test_on_81_classes_a_stepsize_of_cifar100_never_lets_the_rate_fall():
    """What notebook 07 says of it: in iterations it is longer than the report's fifteen epochs."""
    fixed = plan.everything()["fruits360_81_first_15_epochs_stepsize_of_cifar100_s0"]
    settings = records.load("fruits360_81_first_fine_tune_jigsaw_s0").result["settings"]
    assert fixed.epochs * -(-settings["examples"][0] // settings["recipe"]["batch_size"]) < fixed.recipe["stepsize"]


def record(folder, name, status, test, validation=0.3, date="2026-01-01", epochs=7):
    """Record a training of the plan whose first epoch is the best."""
    columns = {"validation_loss": 2.0, "validation_accuracy": validation, "learning_rate": 1e-3}
    history = pd.DataFrame({"epoch": range(1, epochs + 1)} | columns)
    result = {
        "status": status,
        "epochs": epochs,
        "best_epoch": 1,
        "best_validation_loss": 2.0,
        "test_accuracy": test,
        "settings": {"recipe": {"epsilon": 1e-4, "patience": 5, "max_epochs": 200}},
        "made": {"date": date, "device": "CPU"},
    }
    records.write(solver.Run(folder, history, history, result), plan.everything()[name], "a command", 0)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Three seeds of our last layer, one of them unfinished, and a run from labels that was not made."""
    monkeypatch.setenv("JIGSAW_RECORDED", str(tmp_path))
    for seed, (status, accuracy) in enumerate([("stopped early", 0.34), ("stopped early", 0.36), ("paused", 0.2)]):
        name = f"cifar100_last_layer_jigsaw_s{seed}"
        record(tmp_path, name, status, accuracy, date=f"2026-01-0{seed + 1}")
    records.write_not_run(plan.everything()["cifar100_last_layer_labels_s0"], "no weights")
    return tmp_path


def test_an_interval_is_scipys():
    values = [0.31, 0.33, 0.338]
    mean, half = results.interval(values)
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=stats.sem(values))
    assert (mean - half, mean + half) == pytest.approx((low, high))
    assert np.isnan(results.interval([0.3])[1])


def test_unfinished_runs_are_left_out_of_means(recorded):
    table = results.over_seeds(results.rows(), "start")
    assert table.loc["jigsaw", "accuracy"] == pytest.approx(0.35) and table.loc["jigsaw", "seeds"] == 2
    assert list(table.index) == ["jigsaw"]


def test_each_cell_says_what_there_is(recorded):
    assert results.measured("cifar100_last_layer_jigsaw") == "35.0% ± 12.7%"  # 12.706 is t of one degree of freedom
    assert results.measured("cifar100_last_layer_labels") == results.measured("cifar100_scratch") == "not run"
    (recorded / "cifar100_last_layer_jigsaw_s0").rename(recorded / "gone.0")
    assert results.measured("cifar100_last_layer_jigsaw") == "36.0%"
    (recorded / "cifar100_last_layer_jigsaw_s1").rename(recorded / "gone.1")
    assert results.measured("cifar100_last_layer_jigsaw") == "20.0%, unfinished after 7 epochs"


def test_draws_of_classes_count_by_the_mean_of_their_seeds(recorded):
    for draw, accuracies in {"first": (0.90, 0.92), "draw1": (0.95,), "draw2": (0.94,)}.items():
        for seed, accuracy in enumerate(accuracies):
            record(recorded, f"fruits360_81_{draw}_last_layer_jigsaw_s{seed}", "stopped early", accuracy)
    low, high = stats.t.interval(0.95, 2, loc=np.mean([0.91, 0.95, 0.94]), scale=stats.sem([0.91, 0.95, 0.94]))
    mean, half = (low + high) / 2, (high - low) / 2
    line = f"| Fruits-360, last layer | 91.00% | {mean:.1%} ± {half:.1%} | not run |  |"
    assert line in results.markdown()
    assert "| Fruits-360, fine-tuning | 96.91% | not run | not run |  |" in results.markdown()


def test_the_table_has_the_reports_numbers_beside_ours(recorded):
    text = results.markdown()
    assert "| CIFAR-100, last layer | 37.66% | 35.0% ± 12.7% | not run | not run |" in text
    assert "on 2026-01-01 to 2026-01-03 (CPU)" in text


def test_the_card_says_what_puzzles_add_and_what_was_not_run(recorded):
    text = results.transfer()
    assert "| frozen, conv1 | not run | 0 | not run | 0 |  |" in text
    assert "| frozen, pool5 | 35.0% ± 12.7% | 2 | not run | 0 |  |" in text
    text = results.transfer("labels")
    assert (
        "| from labels |" in text and "| frozen, pool5 | not run | 0 | not run | 0 |  |" in text and "scale" not in text
    )


def test_validation_images_choose_the_scale_of_the_features(recorded):
    assert results.at_best_scale("jigsaw") == "cifar100_last_layer_jigsaw"
    assert results.at_best_scale("he") == "cifar100_last_layer_he"  # nothing is recorded of it
    for percent, test, validation in (("030", 0.39, 0.29), ("300", 0.37, 0.31)):
        record(recorded, f"cifar100_last_layer_jigsaw_times_{percent}_percent_s0", "stopped early", test, validation)
    record(recorded, "cifar100_last_layer_jigsaw_times_010_percent_s0", "paused", 0.5, 0.5)
    scales = results.over_scales("jigsaw")
    assert scales.index.tolist() == [0.3, 1, 3] and scales["seeds"].tolist() == [1, 2, 1]
    assert results.at_best_scale("jigsaw") == "cifar100_last_layer_jigsaw_times_300_percent"
    assert "| frozen, pool5, each at its best scale | 37.0% | 1 | not run | 0 |" in results.transfer()


def test_a_changed_recipe_stands_beside_the_same_seed(recorded):
    record(recorded, "cifar100_last_layer_jigsaw_batch_256_s1", "stopped early", 0.39)
    record(recorded, "cifar100_last_layer_jigsaw_fc6_gaussian_s0", "paused", 0.1)
    found = results.over_recipes("jigsaw")
    assert found.columns.tolist() == ["the report's recipe", *plan.CHANGES] and found.index.tolist() == list(plan.SEEDS)
    np.testing.assert_array_equal(found["the report's recipe"], [0.34, 0.36, np.nan])
    np.testing.assert_array_equal(found["batch_256"], [np.nan, 0.39, np.nan])
    assert found["fc6_gaussian"].isna().all() and results.over_recipes("he").isna().all(axis=None)


def test_trunks_of_a_task_stand_side_by_side_and_are_what_an_interval_is_over(recorded):
    for trunk, accuracy in {
        "puzzles": 0.33,
        "puzzles_seed1": 0.34,
        "puzzles_seed2": 0.32,
        "labels_seed2": 0.45,
    }.items():
        record(recorded, f"cifar100_last_layer_{trunk}_s0", "stopped early", accuracy)
    record(recorded, "cifar100_last_layer_puzzles_s1", "stopped early", 0.5)  # another fc6 on the first trunk
    found = results.over_trunks()
    assert found.index.tolist() == list(plan.TRUNKS) and found.columns.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(found.loc["puzzles"], [0.33, 0.34, 0.32])
    np.testing.assert_array_equal(found.loc["labels"], [np.nan, np.nan, 0.45])
    half = stats.t.ppf(0.975, 2) / 3**0.5  # of values one point apart
    line = f"| the same, one seed on each of three trunks |  |  |  | 33.0% ± {half:.1f}% | not run |"
    assert line in results.markdown()
    text = results.transfer("labels_seed2")
    assert "| frozen, pool5 | 45.0% | 1 | not run | 0 |  |" in text and "conv1" not in text


def test_a_seed_that_the_rule_stopped_early_counts_by_the_run_that_went_on(tmp_path, monkeypatch):
    monkeypatch.setenv("JIGSAW_RECORDED", str(tmp_path))
    for seed, epochs in enumerate((8, 9, 5)):
        record(tmp_path, f"cifar100_fine_tune_jigsaw_s{seed}", "stopped early", 0.5, epochs=epochs)
    record(tmp_path, "cifar100_scratch_s0", "stopped early", 0.4, epochs=8)
    record(tmp_path, "cifar100_scratch_s1", "paused", 0.1, epochs=8)
    records.write_not_run(plan.everything()["cifar100_8_epochs_labels_s0"], "no weights")
    assert sorted(results.long_enough()["seed"]) == [0, 0, 1]
    record(tmp_path, "cifar100_8_epochs_jigsaw_s2", "all epochs", 0.53, epochs=8)
    found = results.over_seeds(results.long_enough(), "start")
    assert found["seeds"].to_dict() == {"jigsaw": 3, "he": 1} and found["accuracy"]["jigsaw"] == pytest.approx(0.51)
    line = "| fine-tuned, each seed for 8 epochs or more | 51.0% ± 4.3% | 3 | 40.0% | 1 | +11.0 points |"
    assert line in results.transfer()
