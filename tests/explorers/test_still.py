"""Explorers on a page without a kernel: a few controls choose among pictures that travel with the page."""

import json

import explorers as benchmark
import pytest
from bs4 import BeautifulSoup
from chromium import CHROMIUM, launched

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
    for number, patience in enumerate(explorer.travels["patience"]):
        explorer.controls["patience"].value = patience
        words = kept["panels"][1][kept["states"][number][1]]
        assert words is None or words == explorer.views["words"].value
    assert [len(panel) for panel in kept["panels"]] == [8, 8]
