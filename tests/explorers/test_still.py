"""Explorers on a page without a kernel: a few controls choose among pictures that travel with the page."""

import itertools
import json
import re

import explorers as benchmark
import nbformat
import pytest
from bs4 import BeautifulSoup
from chromium import CHROMIUM, launched
from conftest import ROOT

from helpers import explorers, nets, weights
from helpers.explorers import still

BUDGET = 400_000  # bytes of an explorer's HTML
MOVING = ["filters", "losses", "activations", "mistakes", "learning_rates", "puzzles"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{explorer: (itself, its HTML, where that lies as a page)}"""
    folder, made = tmp_path_factory.mktemp("still"), {}
    for name, make in benchmark.all_explorers().items():
        explorer = make()
        values = {control: widget.value for control, widget in explorer.controls.items()}
        text = explorer.still()
        assert values == {control: widget.value for control, widget in explorer.controls.items()}, "a control has moved"
        path = folder / f"{name}.html"
        path.write_text(f"<!doctype html><html lang=en><meta charset=utf-8>{text}", encoding="utf-8")
        made[name] = explorer, text, path
    return made


@pytest.mark.parametrize("name", [*MOVING, "contest"])
def test_an_explorer_is_light_and_its_pictures_have_their_text(name, pages):
    _, text, _ = pages[name]
    assert len(text) < BUDGET
    page = BeautifulSoup(text, "html.parser")
    assert all(len(image["alt"]) > 20 for image in page.find_all("img"))
    assert (still.SOME if name in MOVING else still.STILL) in page.get_text()


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium that starts; `apt-get install chromium` gives it")
@pytest.mark.parametrize("name", MOVING)
def test_every_control_that_travels_changes_its_picture_by_keyboard(name, pages):
    explorer, _, path = pages[name]
    with launched() as browser:
        page, errors = browser.new_page(), []
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(path.as_uri())

        def shown():
            return [place.inner_html() for place in page.locator("[data-panel]").all()]

        first = shown()
        labels = page.locator("form label").all()
        assert len(labels) == len(explorer.travels)
        for label, (control, values) in zip(labels, explorer.travels.items()):
            assert explorer.controls[control].description in label.inner_text()
            moved, before = label.locator("select, input"), shown()
            ranged = moved.get_attribute("type") == "range"
            start = int(moved.input_value()) if ranged else 0
            moved.focus()
            page.keyboard.press(("ArrowLeft" if start == len(values) - 1 else "ArrowRight") if ranged else "ArrowDown")
            assert shown() != before, f"{control} changes nothing"
            page.keyboard.press(("ArrowRight" if start == len(values) - 1 else "ArrowLeft") if ranged else "ArrowUp")
            assert shown() == before, f"{control} does not come back"
        assert shown() == first and not errors


def test_a_state_shows_what_the_living_explorer_shows(pages):
    explorer, text, _ = pages["losses"]
    data = BeautifulSoup(text, "html.parser").find("script", type="application/json").string
    kept = json.loads(data)
    patiences, logs = explorer.travels["patience"], explorer.travels["log"]
    for number, (patience, log) in enumerate(itertools.product(patiences, logs)):
        explorer.controls["patience"].value, explorer.controls["log"].value = patience, log
        words = kept["panels"][1][kept["states"][number][1]]
        assert words is None or words == explorer.views["words"].value
    assert [len(panel) for panel in kept["panels"]] == [len(patiences) * len(logs), len(patiences)]


@pytest.mark.parametrize("name", [*MOVING, "contest"])
def test_an_explorers_caption_says_what_it_shows(name, pages):
    explorer, text, _ = pages[name]
    carried = BeautifulSoup(text, "html.parser").div["data-caption"]
    assert carried == explorer.caption and carried.endswith(".") and len(carried.split()) > 8


def test_prose_beside_an_explorer_asks_for_what_travels_or_says_in_the_notebook(pages):
    """A control that a sentence names is on the site, or its paragraph says that it is in the notebook."""
    made = {name: explorer for name, (explorer, _, _) in pages.items()}
    made["filters without epochs"] = explorers.filters({"one": weights.of(nets.instantiate(nets.branch(10)))})
    seen = set()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, 4).cells
        for number, cell in enumerate(cells):
            shown = re.match(r"(?:.*\n)*explorers\.(\w+)\(", cell.source) if cell.cell_type == "code" else None
            if not shown or shown[1] not in made:
                continue
            name = shown[1] + " without epochs" * (shown[1] == "filters" and "epochs" not in cell.source)
            absent = made[name].controls.keys() - made[name].travels
            absent = {getattr(made[name].controls[one], "description", "") for one in absent}
            absent = {words.partition(" (")[0].lower() for words in absent if words}
            for near in (one for one in cells[number - 1 : number + 2] if one.cell_type == "markdown"):
                for block in near.source.split("\n\n"):
                    named = {words.lower() for words in re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", block)} & absent
                    assert not named or "in the notebook" in block.lower(), f"{path.name} asks for {named}: {block}"
                    seen |= named
    assert {"grey", "shift of colours", "pair by best match", "along"} <= seen
