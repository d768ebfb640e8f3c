"""Data parallelism: several processes compute what one does, and a lost one is an exception."""

import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT

from helpers import features, nets, recipes, solver, weights
from helpers.data.examples import Examples, part
from helpers.training import parallel

RECIPE = dataclasses.replace(recipes.CIFAR100_FINE_TUNE, name="test", max_epochs=2, batch_size=12, base_lr=0.001)
WIDTH = 1 / 16
NET = nets.branch(3, "all", RECIPE.batch_size, "he", WIDTH)


def images(count, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=count)
    return Examples((rng.standard_normal((count, 3, 64, 64)) + labels[:, None, None, None]).astype(np.float32), labels)


MPIEXEC = pathlib.Path(sys.executable).with_name("mpiexec")
TRAINING, VALIDATION, TEST = images(25, 1), images(14, 2), images(13, 3)  # batches of 12, 12 and 1


def fit(folder, processes, **kwargs):
    arguments = dict(net=NET, recipe=RECIPE, training=TRAINING, validation=VALIDATION) | kwargs
    return solver.fit(**arguments, folder=folder, progress=False, processes=processes)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return fit(tmp_path_factory.mktemp("alone") / "run", 1, test=TEST)


@pytest.mark.parametrize("processes", [2, 3])
def test_several_processes_train_what_one_trains(tmp_path, alone, processes):
    """To rounding; the last batch is smaller than the number of processes, which leaves some without an example."""
    together = fit(tmp_path / "run", processes, test=TEST)
    assert together.result["made"]["processes"] == processes
    for mine, theirs in zip(
        together.weights()["conv2_s1"] + together.weights()["fc6"],
        [*alone.weights()["conv2_s1"], *alone.weights()["fc6"]],
    ):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(together.iterations["loss"], alone.iterations["loss"], rtol=1e-4)
    for column in ("training_loss", "training_accuracy", "validation_loss", "validation_accuracy"):
        np.testing.assert_allclose(together.history[column], alone.history[column], rtol=1e-4)
    assert together.result["test_loss"] == pytest.approx(alone.result["test_loss"], rel=1e-4)


def test_the_same_number_of_processes_gives_the_same_bits(tmp_path):
    one, two = fit(tmp_path / "one", 2), fit(tmp_path / "two", 2)
    assert one.best.read_bytes() == two.best.read_bytes()


def test_processes_resume_exactly(tmp_path):
    """Two epochs at once, and one epoch followed by another call, give the same bits."""
    whole = fit(tmp_path / "whole", 2)
    assert fit(tmp_path / "halves", 2, seconds=1e-9).result["status"] == "paused"
    halves = fit(tmp_path / "halves", 2)
    assert len(halves.history) == 2
    assert halves.best.read_bytes() == whole.best.read_bytes()
    assert halves.iterations.equals(whole.iterations)


def test_features_are_the_same_from_several_processes(tmp_path):
    net = nets.instantiate(nets.branch(3, "fc6", 4, "he", WIDTH))
    one = features.extract(net, TRAINING, batch_size=4, processes=1)
    assert np.array_equal(features.extract(net, TRAINING, batch_size=4, processes=3), one)
    weights.transplant(weights.of(net), net)
    cached = features.cached(tmp_path, net, TRAINING, processes=2)
    np.testing.assert_allclose(cached.inputs, one, rtol=1e-4, atol=1e-5)


def test_every_example_of_a_batch_is_in_one_part():
    for length in range(1, 20):
        for ranks in range(1, 8):
            parts = [part(np.arange(length), rank, ranks) for rank in range(ranks)]
            assert sum(weight for _, weight in parts) == pytest.approx(1)
            assert all(len(share) for share, _ in parts)
            assert sorted(np.concatenate([share for share, weight in parts if weight])) == list(range(length))


def sums(team, arrays):
    team.sum(arrays, weight=team.rank + 1)
    return [float(array.ravel()[0]) for array in arrays], team.share("rank 0's" if team.rank == 0 else None)


def test_sum_and_share():
    arrays = [np.full((2, 3), 2, np.float32), np.float32([[5]]), np.array(1, np.float32)]
    assert parallel.run(3, sums, arrays, numbers=8) == ([12, 30, 6], "rank 0's")


def killed(team):
    if team.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    team.wait()


def failing(team):
    if team.rank == 1:
        raise KeyError("fc6")
    team.wait()


def lost_before_share(team):
    if team.rank == 1:
        os._exit(9)
    time.sleep(0.3)
    for _ in range(3):
        team.share("x" * 100_000)


def failed_before_share(team):
    if team.rank == 1:
        raise KeyError("fc6")
    time.sleep(0.3)
    for _ in range(3):
        team.share("x" * 100_000)


def interrupted(team, pids):
    pids[team.rank] = os.getpid()
    team.wait()
    if team.rank == 0:
        raise KeyboardInterrupt
    time.sleep(60)


@pytest.mark.parametrize(
    "function, message",
    [
        (killed, "has died.*processes=1"),
        (failing, "KeyError: 'fc6'"),
        (lost_before_share, "has died.*processes=1"),
        (failed_before_share, "KeyError: 'fc6'"),
    ],
)
def test_a_lost_process_is_an_exception(function, message):
    with pytest.raises(RuntimeError, match=f"(?s){message}"):
        parallel.run(2, function)


def test_an_interrupt_ends_the_others():
    pids = parallel.shared_array(3)
    with pytest.raises(KeyboardInterrupt):
        parallel.run(3, interrupted, pids)
    for pid in pids[1:]:
        assert not pathlib.Path("/proc", str(int(pid))).exists()


def test_the_others_end_when_the_caller_is_killed(tmp_path):
    """No process is left behind by a killed kernel."""
    script = (
        "import os, sys, time\nfrom helpers.training import parallel\n"
        "def function(team):\n"
        "    if team.rank: print(os.getpid(), flush=True)\n"
        "    team.wait(); time.sleep(60 if team.rank == 0 else 0); team.wait()\n"
        "parallel.run(2, function)"
    )
    caller = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(caller.stdout.readline())
    caller.kill()
    caller.wait()
    for _ in range(100):
        if not pathlib.Path("/proc", str(pid)).exists():
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} is still there")


def test_the_number_picks_itself(monkeypatch):
    monkeypatch.setattr(parallel.os, "sched_getaffinity", lambda _: range(4))
    monkeypatch.delenv("JIGSAW_PROCESSES", raising=False)
    assert parallel.count(None, 128) == parallel.count("auto", 128) == 4
    assert parallel.count("auto", 16) == 2  # eight examples each
    assert parallel.count("auto", 4) == 1
    assert parallel.count("auto", 128, worth=False) == parallel.count("auto", 128, obstacle="it is a GPU") == 1
    assert parallel.count(3, 128, worth=False) == 3
    monkeypatch.setenv("JIGSAW_PROCESSES", "2")
    assert parallel.count(None, 128) == 2


@pytest.mark.parametrize("wanted", [0, -1, 13, "many", 1.5])
def test_impossible_numbers_are_refused(wanted):
    with pytest.raises(ValueError, match="choose 'auto' or a number from 1 to the batch size"):
        parallel.count(wanted or "0", 12)


def test_batch_norm_is_not_split(tmp_path):
    """Its statistics are of the whole batch: a number is refused, "auto" is one."""
    net = nets.stacked_cfn(3, 27, 12, fc6=8, fc7=8, fillers="he", batch_norm=True, dropout=False, width=WIDTH)
    with pytest.raises(ValueError, match="BatchNorm needs the statistics of the whole batch"):
        solver.fit(net, RECIPE, TRAINING, VALIDATION, tmp_path / "run", processes=2)


def test_the_same_call_under_mpiexec(tmp_path, alone):
    script = tmp_path / "script.py"
    script.write_text(
        f"import sys; sys.path[:] = {sys.path}\n"
        f"import test_parallel as t\n"
        f"import os, pathlib; said = pathlib.Path({str(tmp_path)!r}) / os.environ['PMI_RANK']\n"
        f"made = t.fit({str(tmp_path / 'run')!r}, None, test=t.TEST).result['made']\n"
        "said.write_text(str(made['processes']))"
    )
    done = subprocess.run([MPIEXEC, "-n", "2", sys.executable, script], capture_output=True, text=True, timeout=120)
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["2", "2"], done.stderr
    together = solver.load(tmp_path / "run")
    np.testing.assert_allclose(together.iterations["loss"], alone.iterations["loss"], rtol=1e-4)
    assert together.result["test_loss"] == pytest.approx(alone.result["test_loss"], rel=1e-4)


FAILURES = {
    "in what all compute": "parallel.run(2, lambda team: 1 / team.rank)",
    "in the other process": "parallel.run(2, lambda team: team.share() if not team.rank else [][0])",
    "in fit, of rank 0 alone": "t.fit('/proc/nowhere/run', None)",
    "before the first fit": "open('/nowhere') if rank == 0 else t.fit(folder, None)",
}
SAID = dict(zip(FAILURES, ("division by zero", "list index out of range", "/proc/nowhere", "'/nowhere'")))


@pytest.mark.parametrize("where", FAILURES)
def test_a_failure_in_one_process_under_mpiexec_ends_all_with_its_message(tmp_path, where):
    script = tmp_path / "script.py"
    script.write_text(
        f"import os, sys; sys.path[:] = {sys.path}\n"
        "import test_parallel as t\n"
        "from helpers.training import parallel\n"
        f"rank, folder = int(os.environ['PMI_RANK']), {str(tmp_path / 'run')!r}\n"
        f"{FAILURES[where]}\n"
        "parallel.world().share('waits for ever')"
    )
    done = subprocess.run([MPIEXEC, "-n", "2", sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert re.search(rf"Error: .*{SAID[where]}.*\nProcess [01] of 2 failed, so all end.", done.stderr), done.stderr
