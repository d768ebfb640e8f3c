"""A folder of trainings that a class shares: who reads it may not write there."""

import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT
from small_training import fit, halted

# As root, to whom no file is read-only, that right is given up first.
STUDENT = ["setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner"] if os.getuid() == 0 else []
HERE = os.pathsep.join([str(ROOT), str(ROOT / "tests")])


def as_student(code, runs, **variables):
    environment = os.environ | {"JIGSAW_RUNS": str(runs), "PYTHONPATH": HERE, "JIGSAW_COMMIT": "x"} | variables
    return subprocess.run(
        [*STUDENT, sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT
    )


@pytest.fixture
def shared(tmp_path):
    """A function that makes a folder read-only for the rest of the test."""
    made = []

    def make(path):
        made.append(path)
        subprocess.run(["chmod", "-R", "a-w", path], check=True)
        return path

    yield make
    for path in made:
        subprocess.run(["chmod", "-R", "u+w", path], check=True)


FIT = """
from helpers import course
from small_training import fit
print(fit(course.run_folder("run")%s).result["status"])
"""


def test_a_finished_training_is_loaded(tmp_path, shared):
    whole = fit(tmp_path / "runs" / "run")
    before = sorted(path.name for path in whole.folder.iterdir())
    shared(tmp_path / "runs")
    done = as_student(FIT % "", tmp_path / "runs")
    assert done.stdout == whole.result["status"] + "\n", done.stderr
    assert sorted(path.name for path in whole.folder.iterdir()) == before


@pytest.mark.parametrize("arguments", ["", ", transform=lambda batch: -batch"])
def test_what_has_to_be_trained_says_what_to_do(tmp_path, shared, arguments):
    """Unfinished; and finished, but with other settings."""
    fit(tmp_path / "runs" / "run") if arguments else halted(tmp_path / "runs" / "run")
    shared(tmp_path / "runs")
    done = as_student(FIT % arguments, tmp_path / "runs")
    assert done.returncode and "PermissionError" in done.stderr
    last = done.stderr.splitlines()[-1]
    assert "the training there is not finished, or another one" in last and "set JIGSAW_RUNS to the folder" in last
    shutil.copytree(tmp_path / "runs", tmp_path / "own")
    subprocess.run(["chmod", "-R", "u+w", tmp_path / "own"], check=True)
    assert as_student(FIT % arguments, tmp_path / "own").returncode == 0


def test_a_training_that_is_not_there_names_the_variable(tmp_path, shared):
    (tmp_path / "runs").mkdir()
    shared(tmp_path / "runs")
    last = as_student(FIT % "", tmp_path / "runs").stderr.splitlines()[-1]
    assert last.startswith("PermissionError") and "set JIGSAW_RUNS to a folder of yours" in last


CHECK = "from helpers import course; print(course.check_environment())"


def test_the_check_of_the_environment_knows_shared_trainings(tmp_path, shared):
    fit(tmp_path / "runs" / "run")
    (tmp_path / "empty").mkdir()
    shared(tmp_path)
    said = as_student(CHECK, tmp_path / "runs", JIGSAW_CACHE="/tmp").stdout
    assert "[OK]   finished trainings are read from" in said and "set JIGSAW_RUNS" in said and "True" in said
    said = as_student(CHECK, tmp_path / "empty", JIGSAW_CACHE="/tmp").stdout
    assert "[FAIL] trainings" in said and "set JIGSAW_RUNS to a folder of yours" in said


FEATURES = """
import numpy as np
from helpers import course, features, nets
from small_training import examples, net
import caffe
caffe.set_random_seed(1)
given = examples(6, 1)
for blob in {blobs}:
    print(features.cached(course.cache_folder(), nets.instantiate(net()), given, blob).inputs.shape)
"""


def test_features_are_read_from_a_shared_cache_and_computed_beside_it(tmp_path, shared):
    (tmp_path / "cache").mkdir()
    first = as_student(FEATURES.format(blobs=["conv"]), tmp_path, JIGSAW_CACHE=str(tmp_path / "cache"))
    assert first.returncode == 0, first.stderr
    shared(tmp_path / "cache")
    again = as_student(FEATURES.format(blobs=["conv", "fc6"]), tmp_path, JIGSAW_CACHE=str(tmp_path / "cache"))
    assert again.returncode == 0, again.stderr
    assert again.stdout.count("could not be kept") == 1 and "fc6_" in again.stdout and "conv_" not in again.stdout


def test_a_download_into_a_shared_cache_names_the_variable(tmp_path, shared):
    (tmp_path / "cache").mkdir()
    shared(tmp_path / "cache")
    code = "from helpers import zoo; zoo.load('alexnet')"
    last = as_student(code, tmp_path, JIGSAW_CACHE=str(tmp_path / "cache")).stderr.splitlines()[-1]
    assert last.startswith("PermissionError") and "set JIGSAW_CACHE to a folder of yours" in last
