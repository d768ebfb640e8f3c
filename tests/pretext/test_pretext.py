"""The pretext command, end to end on a few tiny photographs: trunk, card, pause and resume."""

import dataclasses
import functools
import os
import re
import signal
import subprocess
import sys

import caffe
import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from photographs import archive, image_bytes

from helpers import jigsaw, nets, recipes, solver, weights
from helpers.data import photo_archive
from helpers.pretext import __main__ as pretext, card as cards, tasks, trunks
from helpers.study import records

PUZZLES = tasks.Puzzles(jigsaw.choose_permutations(4))
SMALL = dict(fc6=8, fc7=16, width=1 / 16)


@pytest.fixture(scope="module", autouse=True)
def small_net():
    """The CFN with a sixteenth of its filters, scored on 8 puzzles: the same command, seconds instead of hours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nets, "stacked_cfn", functools.partial(nets.stacked_cfn, **SMALL))
        patch.setattr(trunks, "SCORING_BATCH", 8)
        yield


def command(photos, folder, *more):
    words = f"--photos {photos} --folder {folder} --permutations 4 --epochs 3 --epoch-puzzles 20 --batch 8".split()
    pretext.main([*words, *more])
    return solver.load(folder)


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    return command(photos, tmp_path_factory.mktemp("run") / "cfn", "--workers", "0")


def test_the_command_leaves_a_trunk_a_card_and_permutations(photos, run, capsys):
    assert run.result["status"] == "all epochs" and len(run.history) == 3
    assert len(run.iterations) == 3 * 3  # 20 puzzles in batches of 8: 8, 8, 4
    np.testing.assert_array_equal(
        jigsaw.load_permutations(run.folder / "permutations_4.bin"), jigsaw.choose_permutations(4)
    )
    assert list(weights.read(run.folder / "trunk.caffemodel")) == list(nets.CONVOLUTIONS)


def test_the_card_says_what_the_run_measured(photos, run):
    card = (run.folder / "trunk.md").read_text()
    best = run.history.loc[run.history["validation_loss"].idxmin()]
    assert f"{best['validation_accuracy']:.1%} on 8 puzzles" in card
    assert "38 photographs of photos.zip for training, 3 held out" in card
    assert f"**Puzzles seen**: {best['epoch'] * 20:.0f}," in card
    assert "python -m helpers.pretext --photos" in card and run.result["made"]["commit"] in card
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in card.splitlines() if re.match(r"\| \d", line)]
    assert [row[0] for row in rows] == ["1", "2", "3"] and [row[1] for row in rows] == ["20", "40", "60"]
    assert [row[4] for row in rows] == [f"{loss:.3f}" for loss in run.history["validation_loss"]]


def test_the_card_of_a_long_training_keeps_first_and_last_epoch(photos, run):
    history = pd.concat([run.history] * 40, ignore_index=True).assign(epoch=range(1, 121))
    long = dataclasses.replace(run, history=history)
    card = cards.card(long, PUZZLES, "photos.zip", photo_archive.read(photos), "")
    rows = [int(line.split("|")[1]) for line in card.splitlines() if re.match(r"\| \d", line)]
    assert len(rows) == cards.CARD_ROWS and rows[0] == 1 and rows[-1] == 120


def test_the_plain_branch_with_the_trunk_computes_what_was_trained(run):
    """pool5 of nine tiles: BatchNorm with its running statistics, and the folded convolutions without it."""
    trained = caffe.Net(str(run.folder / "train.prototxt"), caffe.TEST, weights=str(run.best))
    branch = nets.instantiate(nets.branch(4, batch_size=9, width=SMALL["width"]))
    weights.transplant(weights.read(run.folder / "trunk.caffemodel"), branch)
    tiles = np.random.default_rng(0).standard_normal((9, 3, 64, 64)).astype(np.float32)
    trained.blobs["data"].reshape(1, 27, 64, 64)
    trained.blobs["data"].data[...] = tiles.reshape(1, 27, 64, 64)
    branch.blobs["data"].data[...] = tiles
    trained.forward(end="pool5_s1")
    branch.forward(end="pool5_s1")
    expected = trained.blobs["pool5_s1"].data
    assert expected.std() > 1e-3
    np.testing.assert_allclose(branch.blobs["pool5_s1"].data, expected, rtol=1e-3, atol=1e-4)


def test_paused_and_gone_on_with_other_workers_is_the_same_training(photos, run, tmp_path, capsys):
    capsys.readouterr()
    parts = [command(photos, tmp_path / "trunk_parts", "--seconds", "0.001", "--workers", n) for n in "201"]
    assert [part.result["status"] for part in parts] == ["paused", "paused", "all epochs"]
    assert len(re.findall(r"epoch \d: .* puzzles/s, waiting .*%, loss .*held out", capsys.readouterr().out)) == 3
    for name, (blob, *_) in weights.read(parts[-1].folder / "trunk.caffemodel").items():
        np.testing.assert_array_equal(blob, weights.read(run.folder / "trunk.caffemodel")[name][0])
    assert weights.fingerprint(parts[-1].weights()) == weights.fingerprint(run.weights())


def test_the_authors_recipe_trains_their_net(photos, tmp_path):
    run = command(photos, tmp_path / "cfn", "--recipe", "authors", "--workers", "0", "--epochs", "1")
    assert (run.folder / "solver.prototxt").read_text().count('type: "SGD"') == 1
    assert "BatchNorm" not in (run.folder / "train.prototxt").read_text()
    for name in nets.CONVOLUTIONS:
        np.testing.assert_array_equal(weights.read(run.folder / "trunk.caffemodel")[name][0], run.weights()[name][0])


def test_validation_puzzles_are_cut_from_held_out_photographs(photos, tmp_path, monkeypatch):
    dealt = {}

    def remember(net, recipe, training, validation, folder, **options):
        dealt.update(training=set(training.photos.names), validation=validation)
        raise KeyboardInterrupt

    monkeypatch.setattr(solver, "fit", remember)
    everything = photo_archive.read(photos)
    flat = photo_archive.Photos(
        everything.names, everything.checksums, tuple(np.full((60, 60, 3), i, np.uint8) for i in range(41))
    )
    with pytest.raises(KeyboardInterrupt):
        trunks.train(PUZZLES, flat, tmp_path / "cfn", recipes.CFN_QUICK_LEARNER, 20, workers=0)
    held_out = {everything.names[i] for i in (0, 20, 40)}
    assert dealt["training"] == set(everything.names) - held_out
    assert set(np.unique(dealt["validation"].inputs)) == {0, 20, 40}


def test_killed_in_the_middle_the_command_goes_on(photos, run, tmp_path):
    """SIGKILL after the first finished epoch, in a process of its own."""
    folder = tmp_path / "killed"
    code = (
        "from helpers import nets; from helpers.pretext import __main__ as pretext, trunks; import functools, sys\n"
        f"nets.stacked_cfn, trunks.SCORING_BATCH = functools.partial(nets.stacked_cfn, **{SMALL}), 8\n"
        "pretext.main(sys.argv[1:])"
    )
    words = f"--photos {photos} --folder {folder} --permutations 4 --epochs 3 --epoch-puzzles 20 --batch 8".split()
    process = subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    for line in process.stdout:
        if line.startswith("epoch 1"):
            os.kill(process.pid, signal.SIGKILL)
            break
    process.wait()
    process.stdout.close()
    resumed = command(photos, folder, "--workers", "0")
    assert resumed.result["status"] == "all epochs"
    assert weights.fingerprint(resumed.weights()) == weights.fingerprint(run.weights())


@pytest.mark.parametrize("task", ["rotations", "labels"])
def test_another_task_has_as_many_passes_and_goes_on_where_it_was_paused(task, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    files = {
        f"{'ab'[i % 2]}/{i}.png": image_bytes(rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)) for i in range(41)
    }
    photos = archive(tmp_path / "photos.zip", files | {"loose.png": next(iter(files.values()))})
    whole = command(photos, tmp_path / "whole", "--workers", "0", "--task", task)
    assert whole.result["settings"]["examples"] == [9 * 20, 9 * 8, 0]
    assert whole.result["settings"]["recipe"]["batch_size"] == 9 * 8 and len(whole.iterations) == 3 * 3
    parts = [
        command(photos, tmp_path / "trunk_parts", "--seconds", "0.001", "--workers", n, "--task", task) for n in "01"
    ]
    assert [part.result["status"] for part in parts] == ["paused", "paused"]
    monkeypatch.setenv("JIGSAW_RECORDED", str(tmp_path / "recorded"))
    resumed = command(photos, tmp_path / "trunk_parts", "--workers", "0", "--task", task, "--record")
    filters = weights.read(resumed.folder / "trunk.caffemodel")["conv1_s1"][0]
    np.testing.assert_allclose(records.trunk_filters("parts"), filters, atol=1e-3)
    assert (tmp_path / "recorded" / "trunks" / "parts.md").read_text() == (resumed.folder / "trunk.md").read_text()
    assert weights.fingerprint(resumed.weights()) == weights.fingerprint(whole.weights())
    assert list(weights.read(whole.folder / "trunk.caffemodel")) == list(nets.CONVOLUTIONS)
    card = (whole.folder / "trunk.md").read_text()
    best = whole.result["best_epoch"]
    chance, pictures, held_out = ("4 rotations (chance 25.0%)", 42, 3) if task == "rotations" else ("2 folders", 41, 3)
    assert f"{best * 180:,} passes of a tile" in card
    assert chance in card and f"--task {task}" in card and "% on 72 " in card
    assert f"{pictures - held_out} photographs of photos.zip for training" in card
    assert "no label of any photograph was used" in card or task == "labels"


def test_labels_without_folders_are_refused_with_the_way_out(photos, tmp_path):
    with pytest.raises(ValueError, match="put each class into a folder of its own"):
        command(photos, tmp_path / "cfn", "--workers", "0", "--task", "labels")
