"""Profile, folders and the environment check."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest
from caffe import build_info

from helpers import course
from helpers.data import datasets


def test_profile(monkeypatch):
    monkeypatch.delenv("JIGSAW_PROFILE", raising=False)
    assert course.profile() == "quick"
    monkeypatch.setenv("JIGSAW_PROFILE", "full")
    assert course.profile() == "full"
    monkeypatch.setenv("JIGSAW_PROFILE", "large")
    with pytest.raises(ValueError, match="'large'.*quick, full"):
        course.profile()


def test_run_folders_follow_the_environment(runs):
    assert course.run_folder("first") == runs / "first"
    assert (runs / "first").is_dir()


FOLDERS = (
    "JIGSAW_DATA",
    "JIGSAW_RUNS",
    "JIGSAW_CACHE",
    "JIGSAW_BACKUP",
    "JIGSAW_DRIVE",
    "JIGSAW_RECORDED",
    "KERAS_HOME",
)


@pytest.mark.parametrize("name", FOLDERS)
def test_every_folder_variable_knows_the_home_folder(name, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(name, "~/mine")
    assert course.folder(name) == tmp_path / "mine"
    monkeypatch.setenv(name, "mine")  # begins at the course, wherever a notebook or command has gone
    monkeypatch.chdir(tmp_path)
    assert course.folder(name) == course.ROOT / "mine"


def test_where_nothing_is_set_the_defaults_hold(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in course.VARIABLES:
        monkeypatch.setenv(name, "")  # as an empty field of a form or container leaves it
    assert course.folder("JIGSAW_DATA") is None and course.folder("JIGSAW_BACKUP") is None
    assert course.folder("JIGSAW_RUNS") == course.ROOT / "runs"
    assert course.folder("JIGSAW_CACHE") == tmp_path / ".cache" / "jigsaw-course"
    assert course.folder("KERAS_HOME") == tmp_path / ".keras"


def test_a_data_folder_that_is_none_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("JIGSAW_DATA", str(tmp_path / "dta"))
    with pytest.raises(FileNotFoundError, match=r"JIGSAW_DATA names .*/dta, which is not there"):
        course.readable_folder("JIGSAW_DATA")
    (tmp_path / "fruits360.zip").touch()
    monkeypatch.setenv("JIGSAW_DATA", str(tmp_path / "fruits360.zip"))
    with pytest.raises(FileNotFoundError, match=r"JIGSAW_DATA names .*/fruits360.zip, which is a file"):
        course.readable_folder("JIGSAW_DATA")


@pytest.mark.parametrize("name", ["JIGSAW_RUNS", "JIGSAW_CACHE", "KERAS_HOME"])
def test_a_folder_that_cannot_be_made_names_its_variable(name, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    for value in ("file", "file/below"):
        monkeypatch.setenv(name, str(tmp_path / value))
        with pytest.raises(OSError, match=f"a file is in its place; set {name} to a folder of yours"):
            course.writable_folder(name, "part")
    read_only = "/proc/nowhere"  # not even root may write there
    monkeypatch.setenv(name, read_only)
    with pytest.raises(OSError, match=f"set {name} to a folder of yours"):
        course.writable_folder(name)


def test_the_code_reads_the_table_and_the_readme_shows_it():
    """Every JIGSAW_ name in our files is one of VARIABLES, and no other line of helpers reads one by itself."""
    files = [course.ROOT / name for name in ("colab_setup.sh", "Makefile", "README.md")]
    files += [*course.ROOT.glob("helpers/**/*.py"), *course.ROOT.glob("packaging/caffe/*.py")]
    named = {name for file in files for name in re.findall(r"JIGSAW_[A-Z_]+[A-Z]", file.read_text())}
    assert named | {"KERAS_HOME", "KERAS_BACKEND", "JIGSAW_FUZZ"} == set(course.VARIABLES) | set(
        course.RENAMED.values()
    )
    readers = [file.name for file in files if re.search(r"environ(\.get\(|\[)\"JIGSAW_", file.read_text())]
    assert readers == []
    readme = (course.ROOT / "README.md").read_text()
    for name, (default, meaning) in course.VARIABLES.items():
        assert f"| `{name}` | {default and f'`{default}`'} | {meaning} |" in readme


@pytest.mark.parametrize(
    ("name", "value"), [("JIGSAW_PROFILE", "ful"), ("JIGSAW_DEVICE", "cuda"), ("JIGSAW_DATA", "/nowhere/data")]
)
def test_a_wrong_variable_is_a_failed_line_not_a_traceback(name, value):
    done = subprocess.run(
        [sys.executable, "-m", "helpers.course"],
        cwd=course.ROOT,
        capture_output=True,
        text=True,
        env=os.environ | {name: value},
    )
    assert done.returncode == 1 and not done.stderr
    (failed,) = [line for line in done.stdout.splitlines() if line.startswith("[FAIL]")]
    assert name in failed and value in failed


def test_another_caffe_on_the_path_is_left_aside(tmp_path):
    (tmp_path / "caffe").mkdir()
    (tmp_path / "caffe" / "__init__.py").write_text("raise ImportError('the older one')")
    (tmp_path / "beside.py").write_text("there = True")
    code = "import helpers, beside, caffe; print(caffe.__version__)"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=course.ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_another_caffe_among_the_libraries_is_left_aside(tmp_path):
    """As after `export LD_LIBRARY_PATH=~/caffe/build/lib`, with a BLAS of the name of the wheel's, too."""
    for name in ("libcaffe.so", "libcaffe.so.1.0.0", "libscipy_openblas.so"):
        (tmp_path / name).write_bytes(b"not a library of ours")
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", "import caffe"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_environment_check_passes_here():
    done = subprocess.run([sys.executable, "-m", "helpers.course"], cwd=course.ROOT, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout
    assert len(lines) == 5 and all(line.startswith("[OK]") for line in lines)


def test_a_failed_check_is_one_line_and_the_way_out(monkeypatch, capsys):
    def check_caffe():
        raise ImportError("libglog.so.1: cannot open shared object file")

    monkeypatch.setattr(course, "check_caffe", check_caffe)
    assert course.check_environment() is False
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[FAIL]")]
    assert len(failed) == 1
    assert "caffe" in failed[0] and "libglog" in failed[0] and "colab_setup.sh" in failed[0]


@pytest.mark.parametrize("flags, says", [("fma avx2 sse2", "with AVX2"), ("sse2 avx", "without AVX2")])
def test_a_processor_without_avx2_is_named(tmp_path, monkeypatch, flags, says):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(course, "CPUINFO", tmp_path / "cpuinfo")
    assert says in course.check_caffe() or build_info.CUDA


def test_log_level_and_backend_are_set_before_anything_imports_them():
    code = "import helpers, os; assert (os.environ['GLOG_minloglevel'], os.environ['KERAS_BACKEND']) == ('2', 'jax')"
    environment = {"PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code], cwd=course.ROOT, check=True, env=environment)


@pytest.mark.parametrize(
    "backend, words", [("tensorflow", "tensorflow is not installed"), ("theano", "set it to one of jax")]
)
def test_a_backend_of_keras_that_is_not_here_is_a_failed_line(backend, words, monkeypatch, capsys):
    """It is in many shells, and would fail at the data only."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else object())
    monkeypatch.setenv("KERAS_BACKEND", backend)
    assert not course.check_environment()
    said = capsys.readouterr().out
    assert f"[FAIL] variables: KERAS_BACKEND is '{backend}'" in said and words in said
    monkeypatch.delenv("JIGSAW_DATA", raising=False)
    with pytest.raises(ValueError, match="KERAS_BACKEND"):
        datasets.load_cifar100()


def test_an_empty_backend_is_jax():
    code = "import helpers, os; assert os.environ['KERAS_BACKEND'] == 'jax'"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"KERAS_BACKEND": ""}, cwd=course.ROOT, check=True)
