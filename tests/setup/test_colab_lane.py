"""The notebooks with Colab's versions: the same cells, shrunk, in a kernel of the stand-in for a Colab runtime.

Each runs from top to bottom, then every control of its explorers is moved over its range.
"""

import json
import os
import re
import shutil

import colab
import nbformat
import pytest
import shrunk
from conftest import ROOT
from nbclient import NotebookClient
from notebook_errors import errors

STEMS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
PINNED = dict(re.findall(r"^([\w.-]+)==(\S+)$", colab.VERSIONS.read_text(), re.MULTILINE))
ASSERT_VERSIONS = f"""\
from importlib.metadata import version

assert {{name: version(name) for name in {list(PINNED)}}} == {PINNED}
"""
SWEEP = """\
import sys
from helpers.explorers.controls import Explorer

sys.path.append("benchmarks")
from explorers import sweep

explorers_shown = [shown for shown in Out.values() if isinstance(shown, Explorer)]
print(len(explorers_shown), "explorers,", sum(1 for shown in explorers_shown for _ in sweep(shown, most=5)), "moves")
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """The name of a Jupyter kernel whose Python has Colab's versions and what the set-up adds to them."""
    folder = tmp_path_factory.mktemp("colab")
    environment = colab.environment(folder / "environment")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLAB_RELEASE_TAG", "release-colab_20260819")
        done = colab.set_up(
            colab.copy_of_the_set_up(folder), f"{environment / 'bin'}:{os.environ['PATH']}", COLAB_RELEASE_TAG="release"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        specification = folder / "kernels" / "colab" / "kernel.json"
        specification.parent.mkdir(parents=True)
        command = [str(environment / "bin" / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        specification.write_text(json.dumps({"argv": command, "display_name": "Colab", "language": "python"}))
        patch.setenv("JUPYTER_PATH", str(folder))
        patch.setenv("JIGSAW_PROFILE", "quick")
        yield "colab"
    shutil.rmtree(environment)  # a gigabyte


@pytest.fixture(scope="module")
def shared_runs(tmp_path_factory):
    """One runs folder for all notebooks: each finds what the ones before it made."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize("stem", STEMS)
def test_a_notebook_and_its_explorers_run_with_colabs_versions(stem, kernel, shared_runs, monkeypatch):
    monkeypatch.setenv("JIGSAW_RUNS", str(shared_runs))
    notebook = shrunk.notebook(stem)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(ASSERT_VERSIONS))
    notebook.cells.append(nbformat.v4.new_code_cell(SWEEP))
    resources = {"metadata": {"path": ROOT / "notebooks"}}
    NotebookClient(notebook, timeout=900, kernel_name=kernel, resources=resources).execute()
    assert not errors(notebook)  # in cells, and in widgets, whose exceptions reach no cell
    models = [
        model["model_name"]
        for kind in notebook.metadata.get("widgets", {}).values()
        for model in kind["state"].values()
    ]
    assert models.count("AnyModel") <= 1  # one anywidget serves all explorers of a notebook

    explorers, moves = map(int, re.findall(r"\d+", notebook.cells[-1].outputs[0].text))
    sources = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    assert explorers == len(re.findall(r"^explorers\.", sources, re.MULTILINE)) and moves >= 10 * explorers
