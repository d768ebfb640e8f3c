"""Profile, folders and the environment check."""

import subprocess
import sys

import pytest

from helpers import course


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


def test_environment_check_passes_here():
    done = subprocess.run([sys.executable, "-m", "helpers.course"], cwd=course.ROOT, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout
    assert len(lines) == 4 and all(line.startswith("[OK]") for line in lines)


def test_a_failed_check_is_one_line_and_the_way_out(monkeypatch, capsys):
    def check_caffe():
        raise ImportError("libglog.so.1: cannot open shared object file")

    monkeypatch.setattr(course, "check_caffe", check_caffe)
    assert course.check_environment() is False
    failed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[FAIL]")]
    assert len(failed) == 1
    assert "caffe" in failed[0] and "libglog" in failed[0] and "colab_setup.sh" in failed[0]


def test_log_level_and_backend_are_set_before_anything_imports_them():
    code = "import helpers, os; assert (os.environ['GLOG_minloglevel'], os.environ['KERAS_BACKEND']) == ('2', 'jax')"
    environment = {"PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", code], cwd=course.ROOT, check=True, env=environment)
