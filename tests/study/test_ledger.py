"""The ledger: no claim of the report is missing, each measured value is that of recorded/, each verdict follows."""

import json

import numpy as np
import pytest
from conftest import ROOT

from helpers.study import claims, ledger, measures, records

# The report's numbers, typed a second time: its table of four trainings, its counts, its references, its remarks.
REPORTED = [0.3766, 64, 0.527, 15, 0.91, 98, 0.9691, 15, 61e6, 27.5e6, 0.54, 0.85, 0.1504, 0.013, 16, 90e3, 81]
IN_WORDS = [1.0, 1.0, 1.0, 0.0, 333, 4]  # a peak, faster, filters' pattern and way, more batches than, parts
NO_NUMBER = 2  # a quarter does no harm, the hardware


@pytest.fixture(scope="module")
def table():
    return ledger.table()


def test_every_number_of_the_report_has_its_row(table):
    assert sorted(table["reported"].dropna()) == pytest.approx(sorted([*REPORTED, *IN_WORDS]))
    assert table["reported"].isna().sum() == NO_NUMBER
    assert set(table[table["reported"].isna()]["verdict"]) == {ledger.CANNOT}
    assert table["claim"].is_unique and set(table["verdict"]) <= set(ledger.VERDICTS)


def test_measured_values_are_those_of_recorded(table):
    measured = table.set_index("claim")["measured"]
    for claim in claims.claims():
        if claim.text.split(": ")[-1] not in ("test accuracy", "epochs until it stopped"):
            continue
        key = "test_accuracy" if claim.form.endswith("%") else "epochs"
        runs = claim.runs.replace("\\w+", "*")  # of Fruits-360's last layer, every draw of classes
        paths = [*(ROOT / "recorded").glob(f"{runs}/result.json"), *(ROOT / "recorded").glob(f"{runs}_s?/result.json")]
        own = [json.loads(path.read_text()) for path in paths]
        finished = [one for one in own if one["status"] in ("stopped early", "all epochs")]
        draws = {one["planned"].get("classes") for one in finished}
        means = [np.mean([one[key] for one in finished if one["planned"].get("classes") == draw]) for draw in draws]
        expected = np.mean(means) if means else np.nan
        assert measured[claim.text] == pytest.approx(expected, nan_ok=True), claim.text


def test_counts_are_those_of_the_prototxts(table):
    measured = table.set_index("claim")["measured"]
    assert measured["AlexNet: parameters"] == 60_965_224 and measured["CFN: parameters"] == 27_407_208
    assert measured["Fruits-360: classes that the release was reduced to"] == 113
    assert measured["Fruits-360: images"] == 90_380
    assert measured["Fruits-360: the stepsize was raised for more batches than CIFAR-100 has"] == 70


def test_decay_and_filters_are_measured_on_the_recorded_trainings(table):
    measured = table.set_index("claim")["measured"]
    decay = measured["CIFAR-100, last layer: learning rate after an epoch, as a share"]
    assert decay == pytest.approx(0.9995**333, abs=1e-5)
    jigsaw, random = (
        measures.kept(records.load(name)) for name in ("cifar100_fine_tune_jigsaw_s0", "cifar100_scratch_s0")
    )
    assert jigsaw > 0.9 and abs(jigsaw - random) < 0.05  # what the remark beside that claim says
    jigsaw, random = (
        measures.moved(records.load(name)) for name in ("cifar100_fine_tune_jigsaw_s0", "cifar100_scratch_s0")
    )
    assert (jigsaw[0], random[0]) == pytest.approx((1.35, 2.97), abs=0.01) and abs(jigsaw[1] - random[1]) < 0.05


def test_claims_that_the_first_ledger_lacked(table):
    verdicts = table.set_index("claim")["verdict"]
    assert verdicts["CIFAR-100, fine-tuning: test accuracy"] == "undecided"  # 48.1 ± 10.7 % contains 52.7 %
    peak = table.set_index("claim").loc["CIFAR-100, last layer: validation loss peaks at the start"]
    assert peak["verdict"] == "undecided" and "6.4, 10.6, 10.8, 6.6" in peak["why"]
    assert verdicts["Fruits-360: images"] == "reproduced"
    assert verdicts["Fruits-360: the stepsize was raised for more batches than CIFAR-100 has"] == "not reproduced"


FIGURE_7 = "conv1: parallel bands in the CFN and in AlexNet, circles in AlexNet only"
ACROSS, DOWN = np.indices((11, 11)) - 5


def conv1(bands, circles):
    """96 filters (96, 3, 11, 11): so many gratings, so many centres with a surround, and plain colours."""
    grating = np.cos(2 * np.pi * 3 / 11 * ACROSS)
    near, far = (np.exp(-(ACROSS**2 + DOWN**2) / 2 / width**2) / width**2 for width in (1.2, 2))
    kinds = [grating] * bands + [near - far] * circles + [np.ones((11, 11))] * (96 - bands - circles)
    return np.repeat(np.array(kinds)[:, None], 3, axis=1)


@pytest.mark.parametrize(
    ("puzzles", "labels", "verdict", "parts"),
    [  # (bands, circles); five are more than noise gives
        ((14, 0), (20, 12), "reproduced", 4),
        ((14, 4), (20, 5), "undecided", 4),  # a circle more: luck
        ((14, 5), (20, 4), "undecided", 2),
        ((14, 0), (20, 0), "not reproduced", 3),
        ((14, 9), (20, 30), "not reproduced", 3),  # in both
        ((14, 20), (20, 0), "not reproduced", 2),  # in the other
        ((4, 0), (20, 12), "not reproduced", 3),  # bands in one only
        ((4, 4), (4, 5), "not reproduced", 2),
    ],
)
def test_bands_and_circles_of_two_trunks_have_a_verdict(tmp_path, monkeypatch, puzzles, labels, verdict, parts):
    monkeypatch.setenv("JIGSAW_RECORDED", str(tmp_path))
    monkeypatch.setattr(measures.zoo, "load", lambda name: {"conv1_s1": [conv1(*puzzles)]})
    records.write_trunk("labels", {"conv1_s1": [conv1(*labels)]}, "a card")
    row = ledger.row(next(one for one in claims.claims() if one.text == FIGURE_7))
    assert (row["verdict"], row["measured_text"]) == (verdict, str(parts))
    assert f"puzzles {puzzles[0]} bands and {puzzles[1]} circles, labels {labels[0]} and {labels[1]};" in row["why"]


def test_without_a_trunk_from_labels_bands_and_circles_are_not_measured(recorded):
    row = ledger.row(next(one for one in claims.claims() if one.text == FIGURE_7))
    assert (row["verdict"], row["measured_text"]) == ("cannot be checked here", "–")
    assert "not measured: recorded/trunks/labels.npz is not there" in row["why"]


def test_every_claim_is_planned_and_names_a_heading():
    assert ledger.problems() == []


def claim(**changes):
    options = dict(runs="a", margin=0.01) | changes
    return claims.Claim("a claim", 0.5, ".1%", "06_alexnet", "", lambda one: one.result["test_accuracy"], **options)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A function that records runs called a_s0, a_s1... of a status and an accuracy each."""
    monkeypatch.setenv("JIGSAW_RECORDED", str(tmp_path))

    def record(*runs):
        for seed, (status, accuracy) in enumerate(runs):
            folder = tmp_path / f"a_s{seed}"
            folder.mkdir()
            result = {"status": status, "test_accuracy": accuracy, "epochs": 7, "reason": "no weights"}
            (folder / "result.json").write_text(json.dumps(result))

    return record


@pytest.mark.parametrize(
    ("runs", "options", "verdict", "measured", "why"),
    [
        ([("stopped early", 0.495), ("all epochs", 0.515)], {}, "reproduced", "50.5 % ± 12.7 % (2 seeds)", ""),
        ([("stopped early", 0.52)], {}, "not reproduced", "52.0 % (1 seed)", "2.0 points above"),
        ([("stopped early", 0.52), ("paused", 0.5)], {}, "not reproduced", "52.0 % (1 seed)", "2.0 points above"),
        ([("paused", 0.5)], {}, "cannot be checked here", "–", "unfinished, epoch 7, 50.0% so far"),
        ([("not run", 0.5)], {}, "cannot be checked here", "–", "not run"),
        ([], {}, "cannot be checked here", "–", "not run"),
        ([("all epochs", 0.5)], {"cannot": "other data"}, "cannot be checked here", "50.0 % (1 seed)", "other data"),
    ],
)
def test_a_verdict_follows_from_what_is_recorded(recorded, runs, options, verdict, measured, why):
    recorded(*runs)
    row = ledger.row(claim(**options))
    assert (row["verdict"], row["measured_text"]) == (verdict, measured) and why in row["why"]


def test_seeds_on_several_draws_of_classes_count_by_draw(recorded, tmp_path):
    recorded()
    for name, accuracy in {"b_first_s0": 0.4, "b_first_s1": 0.5, "b_draw1_s0": 0.55}.items():
        (tmp_path / name).mkdir()
        result = {"status": "stopped early", "test_accuracy": accuracy}
        (tmp_path / name / "result.json").write_text(json.dumps(result))
    row = ledger.row(claim(runs=r"b_\w+"))
    half = 12.706 * 0.05  # Student's t for two values, times half of what is between them
    assert row["measured"] == pytest.approx(0.5) and row["half_width"] == pytest.approx(half, rel=1e-3)
    assert row["measured_text"] == "50.0 % ± 63.5 % (2 draws)" and row["seeds"] == 2


def test_an_interval_that_contains_the_reported_value_decides_nothing(recorded):
    recorded(("all epochs", 0.3), ("all epochs", 0.6))
    row = ledger.row(claim())
    assert row["half_width"] > abs(row["measured"] - 0.5) and row["verdict"] == "undecided"
    assert "the interval contains the report's value" in row["why"]


@pytest.mark.parametrize(("accuracy", "verdict"), [(0.9, "reproduced"), (0.3, "not reproduced")])
def test_at_least_looks_one_way(recorded, accuracy, verdict):
    recorded(("all epochs", accuracy))
    assert ledger.row(claim(at_least=True))["verdict"] == verdict


def test_the_table_in_markdown_has_all_rows_and_columns(table):
    lines = ledger.markdown(table).splitlines()
    assert len(lines) == 2 + len(table) and {line.count("|") for line in lines} == {7}
    assert "| AlexNet: parameters | 61,000,000 | 60,965,224 | **reproduced** |" in ledger.markdown(table)
    assert "[06](06_alexnet.ipynb)" in ledger.markdown(table)
