"""Commands that pages, cards and records print: each is there, and knows the options it is given."""

import json
import re
import subprocess
import sys

import pytest
from conftest import ROOT

PATTERNS = (
    "*.md", "notebooks/*.ipynb", "packaging/caffe/*.md", "benchmarks/*.md", "helpers/*/*.md", "helpers/*/*.json",
    "recorded/*.json", "recorded/*/*.json", "recorded/*/*.md",
)  # fmt: skip
MODULE = re.compile(r"python3? -m ((?:helpers|scripts)[\w.]*\w)((?: +[^`\s\"]+)*)")
SCRIPT = re.compile(r"(?:python3?|bash) ((?:\w+/)*\w+\.(?:py|sh))\b")
TARGET = re.compile(r"(?:^ *|`|&& )make ([a-z][a-z-]*)")


def texts():
    """{path: its text}, of a notebook that of its cells."""
    paths = sorted({path for pattern in PATTERNS for path in ROOT.glob(pattern)})
    found = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    for name in (name for name in found if name.endswith(".ipynb")):
        found[name] = "\n".join("".join(cell["source"]) for cell in json.loads(found[name])["cells"])
    return found


def named():
    """{module: {option: a file that names it}}, "" for the module itself."""
    modules = {}
    for name, text in texts().items():
        for module, words in MODULE.findall(text):
            options = modules.setdefault(module, {})
            options.setdefault("", name)
            for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", words):
                options.setdefault(option, name)
    return modules


@pytest.mark.parametrize(("module", "options"), named().items(), ids=list(named()))
def test_a_command_that_is_printed_is_there_and_knows_its_options(module, options):
    done = subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, f"{options['']} names python -m {module}: {done.stderr[-300:]}"
    for option, name in options.items():
        assert option in done.stdout, f"{name} names python -m {module} {option}, which it does not know"


def test_the_commands_that_records_and_cards_name_are_found():
    assert {"helpers.study", "helpers.pretext", "helpers.pretext.cheating", "helpers.pretext.puzzle_head"} <= set(
        named()
    )


def test_scripts_and_targets_of_make_that_are_named_are_there():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    for name, text in texts().items():
        for script in SCRIPT.findall(text):
            assert (ROOT / script).is_file(), f"{name} names {script}"
        for target in TARGET.findall(text):
            assert target in targets, f"{name} names make {target}"
