"""Cores and memory that containers, batch systems and shells allow: quotas of both versions of cgroups, nested ones."""

import os
import resource
import subprocess
import sys

import pytest
from conftest import ROOT
from hypothesis import given, strategies as st

from helpers import limits

GIB = 1 << 30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A function that lays the files of cgroups, on a machine of 64 cores and 100 GiB."""
    root = tmp_path / "cgroup"
    root.mkdir()
    monkeypatch.setattr(limits, "CGROUPS", root)
    monkeypatch.setattr(limits, "MOUNTS", tmp_path / "mountinfo")
    monkeypatch.setattr(limits, "OWN", tmp_path / "own")
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(limits, "_meminfo", lambda _: 100 * GIB)

    def lay(own="0::/", mounts="", **files):
        (tmp_path / "own").write_text(own + "\n")
        (tmp_path / "mountinfo").write_text(mounts.replace("ROOT", str(tmp_path)))
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{content}\n")

    def write(path, content):
        path = root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")

    lay.write = write
    return lay


def test_nothing_limits(system):
    system()
    assert (limits.cores(), limits.free_memory()) == (64, 100 * GIB)
    system.write("cpu.max", "max 100000")
    system.write("memory.max", "max")
    system.write("memory.current", 5 * GIB)
    assert (limits.cores(), limits.free_memory()) == (64, 100 * GIB)


@pytest.mark.parametrize("quota, cores", [("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1)])
def test_a_container_of_version_2(system, quota, cores):
    system()
    system.write("cpu.max", quota)
    assert limits.cores() == cores


def test_memory_of_version_2_counts_what_files_give_back(system):
    system()
    system.write("memory.max", 4 * GIB)
    system.write("memory.current", 3 * GIB)
    system.write("memory.stat", f"anon 7\ninactive_file {GIB}\nactive_file {GIB}")
    assert limits.free_memory() == 3 * GIB
    system.write("memory.high", 2 * GIB)
    assert limits.free_memory() == GIB


@pytest.mark.parametrize("folder", ["cpu,cpuacct", "cpu", "cpuacct,cpu"])
def test_a_container_of_version_1(system, folder):
    """Its own cgroup is mounted as the root, but /proc/self/cgroup says the host's path."""
    system("4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc")
    system.write(f"{folder}/cpu.cfs_period_us", 50000)
    system.write(f"{folder}/cpu.cfs_quota_us", -1)
    assert limits.cores() == 64
    system.write(f"{folder}/cpu.cfs_quota_us", 150000)
    system.write("memory/memory.limit_in_bytes", 2 * GIB)
    system.write("memory/memory.usage_in_bytes", GIB)
    system.write("memory/memory.stat", f"inactive_file 0\ntotal_inactive_file {GIB // 2}\ntotal_active_file 0")
    assert (limits.cores(), limits.free_memory()) == (3, 3 * GIB // 2)


def test_version_1_says_a_huge_number_where_there_is_no_limit(system):
    system("4:memory:/")
    system.write("memory/memory.limit_in_bytes", 9223372036854771712)
    system.write("memory/memory.usage_in_bytes", GIB)
    assert limits.free_memory() == 100 * GIB


def test_the_smallest_limit_of_all_levels_holds(system):
    """As a job's, a step's and a task's of SLURM, or a service's in a slice of systemd."""
    system("0::/system.slice/slurmstepd.scope/job_7/step_0")
    system.write("system.slice/slurmstepd.scope/job_7/cpu.max", "400000 100000")
    system.write("system.slice/slurmstepd.scope/job_7/step_0/cpu.max", "max 100000")
    system.write("system.slice/cpu.max", "1600000 100000")
    system.write("system.slice/other/cpu.max", "100000 100000")  # not above us
    system.write("system.slice/slurmstepd.scope/job_7/memory.max", 8 * GIB)
    system.write("system.slice/slurmstepd.scope/job_7/memory.current", GIB)
    assert (limits.cores(), limits.free_memory()) == (4, 7 * GIB)


def test_cgroups_mounted_elsewhere(system):
    mounts = "30 1 0:26 / ROOT/slurm rw,nosuid - cgroup cgroup rw,cpu\n31 1 0:27 / ROOT/else rw - ext4 /dev/sda rw"
    files = {"slurm__job__cpu.cfs_quota_us": 200000, "slurm__job__cpu.cfs_period_us": 100000, "else__cpu.max": "1 1"}
    system("5:cpu:/job", mounts, **files)
    assert limits.cores() == 2


def test_the_affinity_holds_where_it_is_smaller(system, monkeypatch):
    system()
    system.write("cpu.max", "800000 100000")
    monkeypatch.setattr(limits.os, "sched_getaffinity", lambda _: {1, 5, 9})
    assert limits.cores() == 3


@given(
    st.lists(st.sampled_from(["", "max", "-1", "x y", "0 0", "100000 0", "0 100000", "1 2 3"]), min_size=2, max_size=2)
)
def test_whatever_such_a_file_says_there_is_an_answer(words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "_words", lambda folder, name: words[name.startswith("memory")].split())
        assert 1 <= limits.cores() <= len(os.sched_getaffinity(0))
        assert limits.free_memory() >= 0


def test_a_limit_of_the_shell():
    """ulimit -v: more than that cannot be mapped, whatever is free."""
    code = "from helpers import limits; print(limits.free_memory())"
    most = 700 << 20
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
    )
    assert 0 < int(done.stdout) < most, done.stderr
