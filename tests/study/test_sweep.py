"""Many runs at a time, with Dask: what waits for what, what fails, what is lost; two real worker processes."""

import functools
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time

from dask.distributed import Client, LocalCluster
from small_training import assert_same, fit

from helpers import limits, solver
from helpers.study import __main__ as command, plan
from helpers.study.sweep import NET, sweep

ROOT = pathlib.Path(__file__).resolve().parents[2]  # not conftest's, which sets JIGSAW_THREADS where it is imported
HEADS = [f"cifar100_last_layer_{start}_s0" for start in ("jigsaw", "he")]
NETS = ["cifar100_fine_tune_jigsaw_s0", "cifar100_scratch_s0"]


def planned(*names):
    return [plan.everything()[name] for name in names]


def seen(planned, folder, seconds=0.3):
    """A run that does nothing but note, in a file of its own, when it began and ended and in which process."""
    began = time.time()
    time.sleep(seconds)
    (folder / planned.name).write_text(f"{began} {time.time()} {os.getpid()}")
    return f"{planned.name}: seen"


def fails(planned, folder):
    with open(folder / planned.name, "a") as log:
        log.write("tried ")
    if planned.name == HEADS[1]:
        raise MemoryError("batch_size is 128")
    return f"{planned.name}: done"


def lost_once(planned, folder):
    """The first process that has this run is killed in the middle of it; the second finds what the first has left."""
    mark = folder / f"{planned.name}.begun"
    if planned.name == NETS[0] and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return f"{planned.name}: done"


def lost_always(planned):
    os.kill(os.getpid(), signal.SIGKILL)


def times(folder, name):
    began, ended, process = (folder / name).read_text().split()
    return float(began), float(ended), process


def test_runs_wait_for_what_they_need_and_whole_nets_for_each_other(tmp_path, capfd):
    assert sweep(planned(*HEADS, *NETS), functools.partial(seen, folder=tmp_path), jobs=2, nets=1) == {}
    assert plan.everything()[NETS[0]].after == HEADS[0]
    assert times(tmp_path, NETS[0])[0] > times(tmp_path, HEADS[0])[1]
    first, second = sorted(times(tmp_path, name)[:2] for name in NETS)
    assert second[0] > first[1]  # nets=1
    assert len({times(tmp_path, name)[2] for name in HEADS}) == 2  # two processes
    said, complained = capfd.readouterr()
    assert all(f"{name}: seen" in said for name in HEADS + NETS) and "dashboard: http" in said
    assert "INFO" not in complained  # of Dask's, which would hide what the trainings say


def test_a_run_that_fails_is_tried_once_more_and_reported_and_the_others_go_on(tmp_path, capsys):
    failed = sweep(planned(*HEADS, NETS[0]), functools.partial(fails, folder=tmp_path))
    assert failed == {HEADS[1]: "MemoryError: batch_size is 128"}
    assert (tmp_path / HEADS[1]).read_text() == "tried tried " and (tmp_path / NETS[0]).read_text() == "tried "
    assert f"{HEADS[1]}: failed twice, MemoryError: batch_size is 128" in capsys.readouterr().out


def test_a_run_whose_process_is_killed_is_tried_again_and_said_so(tmp_path, capsys):
    assert sweep(planned(HEADS[0], *NETS), functools.partial(lost_once, folder=tmp_path)) == {}
    said = capsys.readouterr().out
    assert f"{NETS[0]}: done" in said and f"{NETS[0]}: its process was lost; it was tried again" in said


def test_a_run_that_is_lost_twice_has_failed(capsys):
    failed = sweep(planned(NETS[1]), lost_always)
    assert "KilledWorker" in failed[NETS[1]]


def test_the_workers_of_a_running_scheduler_are_used(tmp_path):
    """As `dask worker ADDRESS --resources net=1` starts them on the machines of a cluster."""
    with LocalCluster(n_workers=1, threads_per_worker=1, resources=NET, dashboard_address=":0") as cluster:
        failed = sweep(
            planned(HEADS[0], NETS[1]), functools.partial(seen, folder=tmp_path), scheduler=cluster.scheduler_address
        )
        with Client(cluster) as client:
            (worker,) = client.run(os.getpid).values()
    assert failed == {} and {times(tmp_path, name)[2] for name in (HEADS[0], NETS[1])} == {str(worker)}


def trained(planned, folder):
    """The losses of a small training, by a run's name."""
    from small_training import fit

    run = fit(folder / planned.name)
    (folder / f"{planned.name}.txt").write_text(str(run.history.training_loss.tolist()))
    return planned.name


def test_workers_that_a_clusters_launcher_starts_train_each_by_itself(tmp_path):
    """`mpiexec -n 2 dask worker ...`: the launcher's variables do not make one training of two."""
    function = functools.partial(trained, folder=tmp_path / "cluster")
    (tmp_path / "cluster").mkdir()
    bin_ = pathlib.Path(sys.executable).parent
    options = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--resources", "net=1"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "study")))
    }
    with LocalCluster(n_workers=0, dashboard_address=":0") as cluster:
        workers = [bin_ / "mpiexec", "-n", "2", bin_ / "dask", "worker", cluster.scheduler_address, *options]
        with subprocess.Popen(workers, env=environment, stderr=subprocess.DEVNULL) as launcher:
            try:
                with Client(cluster) as client:
                    client.wait_for_workers(2, timeout=60)
                assert sweep(planned(*HEADS), function, scheduler=cluster.scheduler_address) == {}
            finally:
                launcher.terminate()
    alone = solver.load(tmp_path / "cluster" / HEADS[0])
    assert {(tmp_path / "cluster" / f"{name}.txt").read_text() for name in HEADS} == {
        str(alone.history.training_loss.tolist())
    }
    assert_same(fit(tmp_path / "alone"), alone)


def test_the_commands_exit_status_says_that_a_run_failed(monkeypatch, capsys):
    from helpers.study import sweep as module

    monkeypatch.setattr(module, "sweep", lambda waiting, *_: {waiting[0].name: "lost"})
    assert command.main(["--jobs", "2", "--again", "--only", HEADS[0]])
    assert capsys.readouterr().out.startswith(f"{HEADS[0]}: failed")
    monkeypatch.setattr(module, "sweep", lambda *_: {})
    assert not command.main(["--jobs", "2", "--again", "--only", HEADS[0]])


def test_each_training_has_its_share_of_the_cores(tmp_path, monkeypatch):
    """Two workers on this machine, and what the user says counts more."""
    monkeypatch.delenv("JIGSAW_THREADS")
    assert sweep(planned(*NETS[:2]), functools.partial(says_threads, folder=tmp_path)) == {}
    share = max(1, limits.cores() // 2)
    assert {path.read_text() for path in tmp_path.iterdir()} == {str(share)}
    monkeypatch.setenv("JIGSAW_THREADS", "7")
    assert sweep(planned(*NETS[:2]), functools.partial(says_threads, folder=tmp_path)) == {}
    assert {path.read_text() for path in tmp_path.iterdir()} == {"7"}


def says_threads(planned, folder):
    from helpers.training import device

    (folder / planned.name).write_text(str(device.threads()))
    return planned.name


def test_a_training_in_a_worker_may_start_processes_of_its_own(tmp_path):
    """A stream of puzzles does."""
    assert sweep(planned(NETS[1]), functools.partial(forks, folder=tmp_path)) == {}
    assert (tmp_path / "done").exists()


def forks(planned, folder):
    child = multiprocessing.get_context("fork").Process(target=(folder / "done").touch)
    child.start()
    child.join()
    return planned.name
