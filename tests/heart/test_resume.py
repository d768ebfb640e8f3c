"""A training that is killed at any moment and called again ends in the same weights and history, bit for bit."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
from conftest import ROOT
from small_training import assert_same, fit, halted, snapshots_of

from helpers import course, solver
from helpers.training import backup, snapshots

KILLS = 20


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("whole") / "run", threads=1)


CHILD = """
import os, signal, sys, time
sys.path[:] = {path}
from small_training import fit
print("ready", flush=True)
for line in sys.stdin:  # one process per kill: a fork of this one, which has imported everything
    epochs, share = line.split()
    began, (events, saved) = time.monotonic(), os.pipe()
    pid = os.fork()
    if not pid:
        fit({folder!r}, threads=1, on_epoch=lambda *_: os.write(saved, b"."))
        os._exit(0)
    os.close(saved)
    for _ in range(int(epochs)):
        os.read(events, 1)  # at once where the training is done
    if epochs != "0":
        span = time.monotonic() - began
    time.sleep(float(share) * span)
    os.kill(pid, signal.SIGKILL)
    os.close(events)
    print(os.waitpid(pid, 0)[1], flush=True)
"""


def test_killed_at_twenty_random_moments(tmp_path, whole):
    """kill -9, while it starts or a random while after the first or second epoch that is saved; then once to the end.

    The whiles are shares of the time from the start to that epoch, so that slow and fast machines are hit alike.
    """
    folder, draw = tmp_path / "run", random.Random(0)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD.format(path=sys.path, folder=str(folder))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=os.environ | {"JIGSAW_RUNS": str(tmp_path)},
    )
    assert child.stdout.readline() == "ready\n"
    hits, reached, went_on = 0, [], 0
    while hits < KILLS:
        epochs = draw.choice((0, 0, 1, 2)) if reached else 1
        child.stdin.write(f"{epochs} {draw.uniform(0, 0.2 if epochs else 1)}\n")
        child.stdin.flush()
        if int(child.stdout.readline()) == signal.SIGKILL:
            hits += 1
            reached.append(len(snapshots_of(folder)) and int(snapshots_of(folder)[-1].name[-4:]))
            went_on += len(reached) > 1 and reached[-1] > reached[-2] > 0
        else:  # it was done before the kill: begin again
            assert_same(solver.load(folder), whole)
            folder.rename(tmp_path / f"done_{hits}_{time.monotonic_ns()}")
    child.stdin.close()
    child.wait()
    assert went_on, f"no kill came between epochs that a later call went on from: {reached}"
    assert_same(fit(folder, threads=1), whole)


def shifted(batch, rng):
    """An augmentation whose every draw changes the weights."""
    return batch + rng.normal(size=(len(batch), 1, 1, 1))


@pytest.mark.parametrize("threads", [1, 2])
def test_a_training_with_augmentation_goes_on_to_the_bit(tmp_path, whole, threads):
    augmented = fit(tmp_path / "whole", shifted, threads=threads)
    assert augmented.best.read_bytes() != whole.best.read_bytes()
    for epochs in (1, 3):
        folder = halted(tmp_path / f"after {epochs}", epochs, transform=shifted, threads=threads)
        assert_same(fit(folder, shifted, threads=threads), augmented)


def test_a_finished_training_with_augmentation_is_loaded(tmp_path, capsys):
    epochs = []
    for _ in range(2):
        fit(tmp_path / "run", shifted, on_epoch=lambda row, _: epochs.append(row["epoch"]))
    assert epochs == sorted(set(epochs)) and "settings changed" not in capsys.readouterr().out


def test_another_transform_or_name_starts_a_new_training(tmp_path, capsys):
    first = fit(tmp_path / "run", shifted, "shifts").best.read_bytes()
    again = fit(tmp_path / "run", lambda batch, rng: shifted(batch, rng), "shifts")
    assert again.best.read_bytes() == first and not capsys.readouterr().out
    other = fit(tmp_path / "run", lambda batch, rng: 2 * shifted(batch, rng), "twice")
    assert other.best.read_bytes() != first
    assert "The settings changed: the earlier training is kept in run.1" in capsys.readouterr().out
    fit(tmp_path / "run", lambda batch: batch)
    fit(tmp_path / "run", lambda batch: 3 * batch)
    assert len(list(tmp_path.iterdir())) == 4


def test_randomness_that_nobody_can_repeat_is_said_and_loaded_all_the_same(tmp_path):
    random_ = np.random.default_rng()
    epochs = []
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit(tmp_path / "run", lambda b: b + random_.random(), on_epoch=lambda row, _: epochs.append(row["epoch"]))
    assert epochs.count(1) == 1
    with pytest.warns(UserWarning, match=r"gives other numbers each time .* transform\(batch, rng\)"):
        fit(tmp_path / "other", lambda b: b + random_.random())


def truncate(snapshot):
    path = snapshot / "last.solverstate"
    path.write_bytes(path.read_bytes()[:-100])


def flip_a_bit(snapshot):
    content = bytearray((snapshot / "last.caffemodel").read_bytes())
    content[len(content) // 2] ^= 1
    (snapshot / "last.caffemodel").write_bytes(content)


def lose_a_file(snapshot):
    (snapshot / "tables.json").unlink()


def lose_the_manifest(snapshot):
    (snapshot / "manifest.json").unlink()


def empty_manifest(snapshot):
    (snapshot / "manifest.json").write_text("")


def foreign(snapshot):
    manifest = json.loads((snapshot / "manifest.json").read_text())
    (snapshot / "manifest.json").write_text(json.dumps(manifest | {"settings": 1}))


@pytest.mark.parametrize(
    "damage, words",
    [
        (truncate, "last.solverstate has .* bytes"),
        (flip_a_bit, "last.caffemodel is not what was written"),
        (lose_a_file, "missing or unreadable"),
        (lose_the_manifest, "missing or unreadable"),
        (empty_manifest, "missing or unreadable"),
        (foreign, "other settings"),
    ],
)
def test_a_damaged_snapshot_is_named_and_the_one_before_it_used(tmp_path, whole, capsys, damage, words):
    folder = halted(tmp_path / "run")
    damage(snapshots_of(folder)[-1])
    assert_same(fit(folder), whole)
    said = capsys.readouterr().out
    assert "snapshot_0003 cannot be used" in said and re.search(words, said)
    assert (folder / "damaged_snapshot_0003").is_dir()  # nothing saved is thrown away


def test_two_damaged_snapshots_begin_anew(tmp_path, whole, capsys):
    folder = halted(tmp_path / "run")
    for snapshot in snapshots_of(folder):
        truncate(snapshot)
    assert_same(fit(folder), whole)
    assert capsys.readouterr().out.count("cannot be used") == 2


def test_best_weights_that_a_crash_left_behind_are_made_good(tmp_path, whole, monkeypatch):
    """A crash between the snapshot of the best epoch and its copy to best.caffemodel."""
    keep = snapshots.keep_best

    def crash(folder, snapshot):
        if snapshot.name == f"snapshot_{whole.result['best_epoch']:04d}":
            raise SystemError("crash")
        keep(folder, snapshot)

    monkeypatch.setattr(snapshots, "keep_best", crash)
    with pytest.raises(SystemError):
        fit(tmp_path / "run")
    monkeypatch.setattr(snapshots, "keep_best", keep)
    assert_same(fit(tmp_path / "run"), whole)


def test_the_two_newest_snapshots_are_kept(tmp_path):
    assert [path.name for path in snapshots_of(halted(tmp_path / "run"))] == ["snapshot_0002", "snapshot_0003"]


def test_a_lost_run_folder_comes_back_from_its_copy(tmp_path, whole, capsys):
    """What a Colab disconnect does: the machine is gone, the copy on Drive is there."""
    halted(tmp_path / "first" / "run", backup=tmp_path / "drive")
    run = fit(tmp_path / "second" / "run", backup=tmp_path / "drive")
    assert "goes on from its copy" in capsys.readouterr().out
    assert_same(run, whole)
    assert snapshots_of(run.folder)[0].name == "snapshot_0005"
    backup.bring_back(tmp_path / "third" / "run", tmp_path / "drive")  # the finished one
    assert_same(solver.load(tmp_path / "third" / "run"), whole)


def test_a_copy_that_cannot_be_made_or_read_is_a_warning(tmp_path, whole, capsys):
    (tmp_path / "drive").write_text("no folder")
    assert_same(fit(tmp_path / "run", backup=tmp_path / "drive"), whole)
    assert capsys.readouterr().out.count("Warning: no copy of run") == 7  # each epoch's, and the end's
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "again.tar").write_bytes(b"cut short")
    assert_same(fit(tmp_path / "again", backup=tmp_path / "other"), whole)
    assert "starts anew" in capsys.readouterr().out


def test_on_colab_a_lost_machine_comes_back_from_drive(tmp_path, monkeypatch, capsys):
    """Run, lose the machine, open the notebook again: nothing has to be set or called for it."""
    drive = tmp_path / "MyDrive"
    drive.mkdir()
    monkeypatch.setenv("JIGSAW_DRIVE", str(drive))
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    whole = fit(tmp_path / "whole")
    monkeypatch.setenv("JIGSAW_RUNS", str(tmp_path / "first"))
    halted(course.run_folder("training"))
    assert course.check_environment() and f"copied to {drive}" in capsys.readouterr().out
    monkeypatch.setenv("JIGSAW_RUNS", str(tmp_path / "second"))
    run = fit(course.run_folder("training"))
    assert "training goes on from its copy" in capsys.readouterr().out
    assert_same(run, whole)
    monkeypatch.setenv("JIGSAW_RUNS", str(tmp_path / "third"))
    assert_same(fit(course.run_folder("training")), whole)  # finished: loaded, nothing is trained again


def test_on_colab_without_drive_the_check_says_how_to_keep_trainings(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("JIGSAW_DRIVE", str(tmp_path / "not mounted"))
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab")
    course.check_environment()
    assert "drive.mount" in capsys.readouterr().out and course.backup_folder() is None


@pytest.mark.parametrize("content", [b"", b"<html>", b"\0" * 10240])
def test_a_damaged_copy_on_drive_costs_the_epochs_not_the_training(tmp_path, capsys, content):
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "run.tar").write_bytes(content)
    run = fit(tmp_path / "run", backup=tmp_path / "drive")
    assert len(run.history) and "the training starts anew" in capsys.readouterr().out
