"""The set-up: Colab's packages stay as they are, apt is asked for what is missing only, what fails says what to do."""

import hashlib
import json
import os
import pathlib
import re
import runpy
import shutil
import subprocess
import sys

import pytest

from helpers import course

BADGES = runpy.run_path(str(course.ROOT / "scripts" / "badges.py"))
ERRORS = runpy.run_path(str(course.ROOT / "scripts" / "notebook_errors.py"))["errors"]
COLAB = course.ROOT / "tests" / "requirements-colab.txt"


def copy_of_the_set_up(folder):
    """What colab_setup.sh and the Makefile read, copied to `folder`, so that nothing here touches this checkout."""
    for name in ("colab_setup.sh", "pyproject.toml", "README.md", "Makefile"):
        shutil.copy(course.ROOT / name, folder)
    for name in ("helpers", "packaging"):
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


def command(folder, name, text):
    """A shell script `name` in `folder`, to be found before or instead of the real command."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


# --- Colab ----------------------------------------------------------------------------------------


def colab_python():
    """Colab's Python, 3.13, where this machine has one (on the path or from pyenv), else the running one."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    for candidate in ("python3.13", *sorted(pyenv.glob("versions/3.13.*/bin/python3.13"))):
        if (
            shutil.which(candidate)
            and not subprocess.run([candidate, "-c", "import venv, ensurepip"], capture_output=True).returncode
        ):
            return candidate
    return sys.executable


@pytest.fixture
def stand_in(tmp_path):
    """A folder with an environment as Colab has it: its Python, its packages' versions, a google.colab to import."""
    python = colab_python()
    version = subprocess.check_output([python, "-VV"])
    key = hashlib.sha256(version + COLAB.read_bytes()).hexdigest()[:16]
    pristine = course.cache_folder() / "venvs" / f"colab-{key}"
    if not (pristine / "complete").exists():
        shutil.rmtree(pristine, ignore_errors=True)
        subprocess.check_call([python, "-m", "venv", pristine])
        subprocess.check_call([pristine / "bin" / "python", "-m", "pip", "install", "-qq", "-r", COLAB])
        (pristine / "complete").touch()
    folder = tmp_path / "colab"
    shutil.copytree(pristine, folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "google" / "colab").mkdir(parents=True)
    (site / "google" / "colab" / "__init__.py").touch()
    return folder


def freeze(environment):
    """{package: version} of everything installed there."""
    lines = subprocess.check_output([environment / "bin" / "python", "-m", "pip", "list", "--format=freeze"], text=True)
    return dict(line.split("==") for line in lines.split())


def test_on_colab_every_preinstalled_package_keeps_its_version(stand_in, tmp_path):
    repository = copy_of_the_set_up(tmp_path)
    before = freeze(stand_in)
    command(stand_in / "bin", "apt-get", 'echo "$@" >> apt.log')
    path = f"{stand_in / 'bin'}:{os.environ['PATH']}"

    first = set_up(repository, path, COLAB_RELEASE_TAG="release-colab_20260819")
    assert first.returncode == 0, first.stdout + first.stderr
    checks = [line for line in first.stdout.splitlines() if line.startswith("[")]
    assert len(checks) >= 5 and all(line.startswith("[OK]") for line in checks)
    assert "forward pass" in first.stdout and str(stand_in) in first.stdout and checks[-1].endswith("Colab")

    after = freeze(stand_in)
    assert {name: after.get(name) for name in before} == before
    assert "caffe-jigsaw" in after and "scikit-image" in after
    assert not {"jupyterlab", "nbconvert", "pytest", "torch", "caffe"} & (set(after) - set(before))  # not needed there
    assert not (repository / ".venv").exists()
    assert not (repository / "apt.log").exists()  # no system package is missing where the wheel has been built

    # Once more, knowing Colab by its module alone: all is there, so nothing is installed, and no network is needed.
    second = set_up(repository, path, PIP_NO_INDEX="1")
    assert second.returncode == 0 and "Installing" not in second.stdout
    assert freeze(stand_in) == after


# --- System packages ------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path):
    """A repository and a PATH with only a few commands, on which HDF5's header is missing; its bin/ is the PATH."""
    repository = copy_of_the_set_up(tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "cat", "dirname", "env", "grep", "make", "mkdir", "mktemp", "rm", "sha256sum", "protoc"):
        (tools / name).symlink_to(shutil.which(name))
    command(tools, "python3", f'exec "{sys.executable}" "$@"')
    command(tools, "c++", "! grep -q hdf5.h")
    command(tools, "id", "echo 1000")
    return repository


def test_without_root_and_sudo_it_says_what_an_administrator_should_install(machine):
    command(machine / "bin", "apt-get", "exit 1")
    result = set_up(machine, str(machine / "bin"))
    assert result.returncode == 1
    assert "apt-get install -y --no-install-recommends libhdf5-dev'" in result.stderr
    assert "administrator" in result.stderr
    assert not (machine / ".venv").exists()


def test_with_sudo_only_the_missing_package_is_installed(machine):
    command(machine / "bin", "sudo", 'echo "sudo $@" >> sudo.log; exec "$@"')
    command(machine / "bin", "apt-get", '[ "$1" = update ]')
    result = set_up(machine, str(machine / "bin"))
    assert (machine / "sudo.log").read_text().splitlines() == [
        "sudo apt-get update -qq",
        "sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libhdf5-dev -qq",
    ]
    assert result.returncode == 1
    assert result.stderr.startswith("[FAIL] apt-get could not install: libhdf5-dev\nWhat to do: ")


def test_as_root_it_goes_on_after_apt_and_says_so_when_the_network_is_gone(machine):
    command(machine / "bin", "id", "echo 0")
    command(machine / "bin", "apt-get", '[ "$1" = update ] || printf "#!/bin/sh\\n" > bin/c++')
    result = set_up(machine, str(machine / "bin"), PIP_NO_INDEX="1", PIP_FIND_LINKS="", PIP_CONFIG_FILE=os.devnull)
    assert "Installing system packages: libhdf5-dev" in result.stdout and "Making .venv" in result.stdout
    assert result.returncode == 1
    assert result.stderr.splitlines()[-2].startswith("[FAIL] The Python packages could not be installed.")
    assert "network" in result.stderr.splitlines()[-1]
    assert not list(machine.glob(".venv/share/jigsaw-course/*"))


def test_an_unsuitable_python_is_named(machine):
    command(machine / "bin", "python3.9", "exit 1")
    result = set_up(machine, str(machine / "bin"), PYTHON="python3.9")
    assert result.returncode == 1
    assert result.stderr.startswith("[FAIL] python3.9 is not a Python from 3.10 to 3.14.\nWhat to do: ")


def test_make_sets_up_once_and_again_when_its_inputs_change(tmp_path):
    repository = copy_of_the_set_up(tmp_path)

    def sets_up():
        commands = subprocess.check_output(["make", "-n", "test"], cwd=repository, text=True)
        return "bash colab_setup.sh" in commands

    assert sets_up()
    stamp = repository / ".venv" / "share" / "jigsaw-course" / "setup"
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    assert not sets_up()
    for name in ("pyproject.toml", "colab_setup.sh", "packaging/caffe/CMakeLists.txt"):
        later = stamp.stat().st_mtime + 10
        os.utime(repository / name, (later, later))
        assert sets_up(), name
        os.utime(stamp, (later, later))


# --- What stands in two places stays in step -------------------------------------------------------


def test_every_badge_and_clone_command_has_the_address_of_pyproject():
    assert not BADGES["out_of_step"](), "run `make badges`"
    assert f"git clone {BADGES['address']()}" in (course.ROOT / "README.md").read_text()


def test_every_notebook_has_a_badge_that_opens_it():
    owner = BADGES["address"]().removeprefix("https://github.com/")
    for notebook in sorted((course.ROOT / "notebooks").glob("*.ipynb")):
        badge = f"https://colab.research.google.com/github/{owner}/blob/main/notebooks/{notebook.name}"
        assert badge in notebook.read_text(encoding="utf-8"), notebook.name


def test_badges_are_rewritten_to_a_new_address(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/new/home"\n')
    (tmp_path / "README.md").write_text("git clone https://github.com/old/place course && cd course\n")
    badge = (
        "[![Open](https://colab.research.google.com/assets/colab-badge.svg)]"
        "(https://colab.research.google.com/github/{}/blob/main/notebooks/01.ipynb)"
    )
    cells = [
        {
            "source": [
                badge.format("old/place"),
                "!git clone -q --depth=1 https://github.com/old/place\n",
                "see https://github.com/BVLC/caffe",
            ]
        }
    ]
    notebook = tmp_path / "notebooks" / "01.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    changed = BADGES["out_of_step"](tmp_path)
    assert changed[tmp_path / "README.md"] == "git clone https://github.com/new/home course && cd course\n"
    assert json.loads(changed[notebook])["cells"][0]["source"] == [
        badge.format("new/home"),
        "!git clone -q --depth=1 https://github.com/new/home\n",
        "see https://github.com/BVLC/caffe",
    ]


def test_conda_and_pip_ask_for_the_same_ranges_and_say_why():
    """Every dependency line has its reason as a comment; a package in both files has one range."""
    line = re.compile(r'^\s+(?:- |")(?!pip:|-e )([\w.-]+?)(?:-base)? ?([<>=][^"#]*?)?"?,? *(#.*)?$', re.MULTILINE)
    pyproject = re.search(r"^dependencies = \[\n(.*?)^\]", (course.ROOT / "pyproject.toml").read_text(), re.M | re.S)[1]
    conda = (course.ROOT / "environment.yml").read_text().split("dependencies:\n")[1]
    reasons = {name: (wanted, why) for name, wanted, why in line.findall(pyproject)}
    assert len(reasons) >= 10 and all(why for _, why in reasons.values())
    in_conda = {name: wanted for name, wanted, _ in line.findall(conda)}
    assert {name: in_conda[name] for name in reasons if name in in_conda} == {
        name: wanted for name, (wanted, _) in reasons.items() if name in in_conda
    }
    assert set(reasons) - set(in_conda) == {"keras", "jax"}  # the pip line of environment.yml brings these


# --- Errors that executed notebooks hide ------------------------------------------------------------


def widget(output):
    return {
        "application/vnd.jupyter.widget-state+json": {
            "state": {
                "ab12": {"model_name": "OutputModel", "state": {"outputs": [output]}},
                "cd34": {"model_name": "IntSliderModel", "state": {"value": 3}},
            }
        }
    }


@pytest.mark.parametrize(
    "output, error",
    [
        ({"output_type": "error", "ename": "KeyError", "evalue": "'conv9'", "traceback": []}, "KeyError: 'conv9'"),
        (
            {
                "output_type": "stream",
                "name": "stderr",
                "text": "Traceback (most recent call last):\n  ...\nValueError: no",
            },
            "ValueError: no",
        ),
        ({"output_type": "stream", "name": "stdout", "text": "all is well"}, None),
    ],
)
def test_an_error_is_found_in_cells_and_in_widget_state(output, error):
    in_cell = {"cells": [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": [output]}], "metadata": {}}
    in_widget = {"cells": [], "metadata": {"widgets": widget(output)}}
    assert ERRORS(in_cell) == ([f"cell 2: {error}"] if error else [])
    assert ERRORS(in_widget) == ([f"widget ab12: {error}"] if error else [])
