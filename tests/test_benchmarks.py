"""The benchmark's contenders compute the same: pool5 of the same images from the same weights."""

import os
import subprocess

import contender_memory
import cpu
import pytest

from helpers import features, recipes
from helpers.data import datasets


@pytest.fixture
def contenders():
    started = {name: cpu.Contender(name) for name in ("naive", "ours", "keras")}
    yield {name: contender.ready() for name, contender in started.items()}
    for contender in started.values():
        contender.close()


def test_contenders_compute_the_same_features(contenders):
    found = cpu.differences(contenders)
    assert set(found) == {"naive", "keras"} and max(found.values()) < 1e-5


def test_the_memory_benchmark_computes_no_features(monkeypatch):
    """Its stub is in the place of the function that is called; here the real one would fail."""
    monkeypatch.setattr(features, "forward", None)
    for module, name in ((datasets, "load_cifar100"), (features, "extract_several")):  # it replaces these
        monkeypatch.setattr(module, name, getattr(module, name))
    for name in ("JIGSAW_CACHE", "JIGSAW_RUNS"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(contender_memory, "TRAINING", 200)
    monkeypatch.setattr(contender_memory, "TEST", 20)
    assert list(contender_memory.stages()) == ["data", "last layer", "fine-tuning"]


def test_the_machine_s_limit_is_that_of_all_cores(monkeypatch):
    """The helpers ask for one BLAS thread; what is compared with the limit has them all."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    given = []

    def run(command, env, **options):
        given.append(env)
        return subprocess.CompletedProcess(command, 0, stdout="1 2")

    monkeypatch.setattr(subprocess, "run", run)
    assert cpu.gemm_peak(2) == 2 and "OPENBLAS_NUM_THREADS" not in given[0]


def test_what_a_process_holds_is_its_memory_and_its_files(tmp_path):
    held = contender_memory.memory_now(os.getpid())
    assert held["Pss"] == pytest.approx(held["Pss_Anon"] + held["Pss_File"] + held["Pss_Shmem"], abs=1 << 16)
    assert held["Pss_Anon"] > 1 << 24  # NumPy, Caffe and this test at least


def test_the_numbers_are_the_recipes():
    assert (cpu.TRAINING, cpu.VALIDATION, cpu.HEAD_EPOCHS, cpu.FINE_TUNE_EPOCHS) == (42_500, 7_500, 64, 15)
    assert cpu.HEAD_EPOCHS == recipes.CIFAR100_LAST_LAYER.reported_epochs
