"""Rooms import from the rooms below them alone, as pyproject.toml's [tool.importlinter] says."""

import pathlib
import subprocess
import sys

from conftest import ROOT


def test_arrows_point_one_way():
    lint = pathlib.Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
