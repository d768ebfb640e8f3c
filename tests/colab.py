"""A stand-in for a Colab runtime: its Python where this machine has one, its packages' versions, a google.colab."""

import fcntl
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

from helpers import course

VERSIONS = course.ROOT / "tests" / "requirements-colab.txt"


def python():
    """Colab's Python, 3.13, where this machine has one (on the path or from pyenv), else the running one."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    for candidate in ("python3.13", *sorted(pyenv.glob("versions/3.13.*/bin/python3.13"))):
        if (
            shutil.which(candidate)
            and not subprocess.run([candidate, "-c", "import venv, ensurepip"], capture_output=True).returncode
        ):
            return candidate
    return sys.executable


def environment(folder):
    """Make `folder` an environment as Colab has it before the set-up; skips the test where PyPI cannot be reached."""
    version = subprocess.check_output([python(), "-VV"])
    key = hashlib.sha256(version + VERSIONS.read_bytes()).hexdigest()[:16]
    pristine = course.cache_folder() / "venvs" / f"colab-{key}"
    pristine.parent.mkdir(exist_ok=True)
    with open(pristine.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another test process may be making the same one
        if not (pristine / "complete").exists():
            shutil.rmtree(pristine, ignore_errors=True)
            subprocess.check_call([python(), "-m", "venv", pristine])
            pip = [pristine / "bin" / "python", "-m", "pip", "install", "-q", "-r", VERSIONS]
            installed = subprocess.run(pip, text=True, capture_output=True)
            if installed.returncode and "connection broken" in installed.stderr:
                pytest.skip("Colab's package versions are not installed yet, and the package index is out of reach")
            assert installed.returncode == 0, installed.stderr
            (pristine / "complete").touch()
    shutil.copytree(pristine, folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    return folder


def copy_of_the_set_up(folder):
    """What colab_setup.sh and the Makefile read, copied to `folder`, so that nothing here touches this checkout."""
    for name in ("colab_setup.sh", "pyproject.toml", "README.md", "Makefile"):
        shutil.copy(course.ROOT / name, folder)
    for name in ("helpers", "packaging", "scripts"):
        shutil.copytree(course.ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def set_up(folder, path, **environment):
    """Run colab_setup.sh of `folder` with PATH `path`, as a shell outside of any virtual environment would."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHON", "MAKEFLAGS", "COLAB_RELEASE_TAG")
    }
    return subprocess.run(
        ["bash", "colab_setup.sh"],
        cwd=folder,
        text=True,
        capture_output=True,
        env={**kept, "PATH": path, "JIGSAW_CACHE": str(course.cache_folder()), **environment},
    )
