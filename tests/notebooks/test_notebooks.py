"""Every notebook runs with its exercises left empty, its anatomy is kept, its links lead somewhere."""

import ast
import re
import statistics
import subprocess
import sys

import badges
import course
import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient
from notebook_errors import errors

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
FIGURE = re.compile(r"<img [^>]*>")
REPR = re.compile(r"\bnp\.(?:float|int|bool)\w*\(|(?<![.\w])array\(|<[\w.]+ object at")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def read(path):
    return nbformat.read(path, as_version=4)


@pytest.fixture(scope="session")
def shared_runs(tmp_path_factory):
    """One runs folder for all notebooks, in their order: each finds what the ones before it made."""
    return tmp_path_factory.mktemp("runs")


def test_the_notebooks_are_numbered_without_a_gap():
    assert [path.name[:3] for path in PATHS] == [f"{number:02d}_" for number in range(1, len(PATHS) + 1)]


def test_a_notebook_alone_says_what_to_do(tmp_path):
    """Downloaded from its page, or opened in an editor that starts its kernel elsewhere."""
    first = next(cell.source for cell in read(PATHS[1]).cells if cell.cell_type == "code")
    script = "\n".join("    pass" if line.strip().startswith("!") else line for line in first.splitlines())
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("FileNotFoundError") and str(tmp_path) in last and "git clone" in last
    assert not subprocess.run([sys.executable, "-c", script], cwd=ROOT / "notebooks", capture_output=True).returncode


def test_a_line_per_notebook_and_nothing_else(tmp_path):
    """What `make course` prints: no warning of a kernel's, and an error's place in words."""
    cells = [nbformat.v4.new_code_cell("print('seen on the page only')")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "good.ipynb")
    words = [sys.executable, ROOT / "scripts" / "course.py", tmp_path / "build", tmp_path / "good.ipynb"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr
    assert re.fullmatch(r"\[1/1\] good.ipynb ... \d+ s: .*/good.html\nAll 1 notebooks in [\d.]+ minutes\n", done.stdout)
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")]), tmp_path / "bad.ipynb")
    done = subprocess.run([*words[:-1], tmp_path / "bad.ipynb"], capture_output=True, text=True)
    assert done.returncode == 1 and "ZeroDivisionError" in done.stderr and "[FAIL] bad.ipynb" in done.stderr


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path, shared_runs, monkeypatch):
    monkeypatch.setenv("JIGSAW_RUNS", str(shared_runs))
    monkeypatch.setenv("JIGSAW_PROFILE", "quick")
    notebook = read(path)
    client = NotebookClient(notebook, timeout=900, kernel_name="python3", resources={"metadata": {"path": path.parent}})
    exercises = 0
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)  # raises CellExecutionError with the traceback
            if "exercise" in cell.metadata.get("tags", []):
                assert "not written yet" in cell.outputs[0].text
                solve(client, index, re.search(r'check\("([\d.]+)"', cell.source)[1])
                exercises += 1
    assert exercises, "a notebook without an exercise"

    client.set_widgets_metadata()
    assert not errors(notebook)  # in cells, and in widgets, whose exceptions reach no cell
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = "".join(output["data"].get("text/html", "") for output in outputs if "data" in output)
    figures = FIGURE.findall(shown.replace(r"\"", '"'))  # those that travel with an explorer are in a JSON string
    assert figures and all(re.search(r'alt="[^"]{15,}"', figure) for figure in figures)
    assert not [output for output in outputs if "image/png" in output.get("data", {})], "a figure without alt text"
    said = "".join(output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in outputs)
    assert not REPR.findall(said), "an output is no text for a reader"
    assert "The settings changed" not in str(outputs), "two notebooks train the same experiment with different settings"


def solve(client, index, number):
    """Give the check behind the cell at `index` the course's own version: it passes, and the notebook goes on."""
    right = nbformat.v4.new_code_cell(f'exercises.check("{number}", exercises.use("{number}"))')
    client.execute_cell(right, index)
    assert f"✓ {number}" in right.outputs[0].text


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_reader_meets_twelve_names_of_the_helpers_at_most(path):
    lines = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code").splitlines()
    tree = ast.parse("\n".join(re.sub(r"^(\s*)[!%].*", r"\1pass", line) for line in lines))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in froms if node.module.split(".")[0] == "helpers" for alias in node.names}
    assert len(names) <= 12, sorted(names)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_anatomy(path):
    notebook = read(path)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    lengths = [len(source.splitlines()) for source in code]
    assert statistics.median(lengths) <= 8 and max(lengths) <= 30
    assert 40 <= len(notebook.cells) <= 80
    assert re.match(r"# \d\d · ", prose[0]) and f"notebooks/{path.name})" in prose[0] and "*Time:*" in prose[0]
    assert any(source.startswith("## What we learned") for source in prose)
    assert code[0] == [cell.source for cell in read(PATHS[0]).cells if cell.cell_type == "code"][0]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_links_work_in_jupyterlab_in_colab_and_on_a_page(path):
    """JupyterLab begins at notebooks/ and Colab knows notebooks alone: all else is linked by its full address."""
    links = [link for cell in read(path).cells if cell.cell_type == "markdown" for link in LINK.findall(cell.source)]
    near = [link for link in links if "://" not in link]
    assert near and not [link for link in near if path.with_name(link) not in PATHS]
    ours = [link.partition("/blob/main/")[2] for link in links if link.startswith(badges.declared())]
    assert not [name for name in ours if not (ROOT / name).is_file()]


BOX = re.compile(r"<details><summary><b>Concept: (.*?)</b></summary>\n\n(.*?)\n</details>", re.DOTALL)
CONCEPTS = {
    "Adam", "BatchNorm, and why it folds", "Glorot's and He's initial weights", "ReLU", "convolution and stride",
    "dropout", "early stopping", "fine-tuning", "learning-rate policies", "local response normalisation (LRN)",
    "pooling", "siamese branches and shared parameters", "softmax and cross-entropy", "weight decay and L2",
}  # fmt: skip


def test_each_concept_has_one_short_box_with_a_formula_and_a_source():
    boxes = [box for path in PATHS for cell in read(path).cells for box in BOX.findall(cell.source)]
    assert sorted(title for title, _ in boxes) == sorted(CONCEPTS)
    for title, text in boxes:
        assert len(text.split()) <= 110 and LINK.search(text) and re.search(r"\*[^*]*[=+←][^*]*\*", text), title


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_no_answer_stands_beneath_its_question(path):
    """After a question come a cell to run, a folded answer, a function to write, or the next section."""
    blocks = []
    for cell in read(path).cells:
        blocks += re.split(r"\n\n+", cell.source.strip()) if cell.cell_type == "markdown" else ["code"]
    asked = [number for number, block in enumerate(blocks) if re.search(r"\*\*(First a q|Q)uestions?", block)]
    assert asked
    for number in asked:
        assert blocks[number + 1].startswith(("code", "<details>", "**Write", "**Predict", "**Q", "## ")), blocks[
            number
        ]


def test_a_page_links_to_pages(tmp_path):
    cell = nbformat.v4.new_markdown_cell("[next](02_next.ipynb) and [far](https://example.org/far.ipynb)")
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), tmp_path / "01_first.ipynb")
    course.main(tmp_path / "build", tmp_path / "01_first.ipynb")
    page = (tmp_path / "build" / "01_first.html").read_text()
    assert 'href="02_next.html"' in page and 'href="https://example.org/far.ipynb"' in page


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_committed_without_outputs_or_widget_state(path):
    notebook = read(path)
    assert "widgets" not in notebook.metadata
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs and cell.execution_count is None
