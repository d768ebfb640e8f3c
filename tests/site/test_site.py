"""The site, in a browser: links lead somewhere, pages are light, nothing comes from elsewhere, nobody is shut out."""

import re
import shutil
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag, urljoin

import make_site
import nbformat
import pictures
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from chromium import CHROMIUM, launched
from conftest import ROOT
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from nbclient import NotebookClient
from servers import folder_server

from helpers import explorers, nets, plots

SHOTS = ROOT / "build" / "browser"
FIRST_LOAD = 1_500_000  # bytes, of everything that a page needs before it is scrolled


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A folder of notebooks of which one is executed: that which trains nothing."""
    executed = tmp_path_factory.mktemp("executed")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(path, executed)
    conclusions = executed / "08_conclusions.ipynb"
    notebook = nbformat.read(conclusions, 4)
    NotebookClient(notebook, resources={"metadata": {"path": ROOT / "notebooks"}}).execute()
    nbformat.write(notebook, conclusions)
    trained = executed / "03_last_layer.ipynb"  # as a training leaves it: a place for its curve amid the bar's states
    notebook = nbformat.read(trained, 4)
    cell = next(cell for cell in notebook.cells if cell.cell_type == "code" and "solver.fit(" in cell.source)
    states = [f"\repoch {epoch} of 3 |{'-' * epoch:3}| 00:0{epoch} gone" for epoch in range(4)]
    states = [nbformat.v4.new_output("stream", name="stdout", text=text) for text in (*states, "\n", "kept\n")]
    cell.outputs = [states[0], nbformat.v4.new_output("display_data", data={"text/plain": ""}), *states[1:]]
    nbformat.write(notebook, trained)
    return executed


@pytest.fixture(scope="module")
def site(executed, tmp_path_factory):
    """The site's folder, below another one."""
    out = tmp_path_factory.mktemp("web") / "below" / "course"
    out.parent.mkdir()
    make_site.main(executed, out)
    return out


class Page(HTMLParser):
    """What a page refers to, what can be referred to in it, and its figures [(picture, alt text, caption)]."""

    def __init__(self, path):
        super().__init__()
        self.links, self.ids, self.pictures, self.captions, self._caption = [], set(), [], [], False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]
        if tag == "img":
            self.pictures.append(attributes)
        if tag == "figcaption":
            self._caption = True
            self.captions.append("")

    def handle_data(self, data):
        if self._caption:
            self.captions[-1] += data

    def handle_endtag(self, tag):
        self._caption &= tag != "figcaption"


def file_at(address, root):
    """The file, below the site's folder, that an address below the site's root names."""
    return unquote(address.removeprefix(root).partition("?")[0])


def test_every_link_within_the_site_leads_to_a_page_and_an_anchor(site):
    pages = {path.name: Page(path) for path in site.glob("*.html")}
    assert {"index.html", "ledger.html", "results.html", "08_conclusions.html"} <= pages.keys() and len(pages) > 15
    followed = 0
    for name, page in pages.items():
        for link in page.links:
            address, anchor = urldefrag(urljoin(f"https://here/{name}", link))
            if not address.startswith("https://here/"):
                continue
            target = file_at(address, "https://here/")
            assert (site / target).exists(), f"{name} links to {link}"
            assert not anchor or target not in pages or unquote(anchor) in pages[target].ids, f"{name} links to {link}"
            followed += 1
    assert followed > 500
    assert "trunk.html" in pages["08_conclusions.html"].links  # by the full address in the notebook, for Colab


def test_figures_are_files_numbered_in_order_with_their_text_as_caption(site):
    page = Page(site / "08_conclusions.html")
    figures = [picture for picture in page.pictures if picture["src"].startswith("figures/")]
    assert len(figures) == len(page.captions) > 8
    for number, (picture, caption) in enumerate(zip(figures, page.captions), start=1):
        assert (site / picture["src"]).stat().st_size < 400_000
        assert re.match(rf"Figure 8\.{number}\. .{{15,}}", caption)
        assert picture["loading"] == "lazy" and int(picture["width"]) and int(picture["height"])
    assert "base64" not in (site / "08_conclusions.html").read_text(encoding="utf-8")


def test_tables_that_a_cell_makes_are_tables(executed, site):
    """A table of Markdown, which CommonMark would leave as pipes, and those of pandas."""
    notebook = nbformat.read(executed / "08_conclusions.ipynb", 4)
    outputs = [output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", [])]
    of_markdown = [data["text/markdown"] for data in outputs if "|---|" in data.get("text/markdown", "")]
    of_pandas = [data["text/html"] for data in outputs if "<table" in data.get("text/html", "")]
    assert len(of_markdown) == 1 and len(of_pandas) > 5
    page = BeautifulSoup((site / "08_conclusions.html").read_text(encoding="utf-8"), "html.parser")
    tables = page.select(".cell_output table")
    assert len(tables) == len(of_markdown) + len(of_pandas)
    rows = [table.find_all("tr") for table in tables]
    assert len(of_markdown[0].strip().splitlines()) - 1 in map(len, rows), "a row of the ledger is missing"
    (ledger,) = page.select(".cell_output table.cards")  # cards on a phone, whose labels come from the head
    labels = [cell.get_text() for cell in ledger.thead.find_all("th")]
    assert all([cell["data-label"] for cell in row.find_all("td")] == labels for row in ledger.tbody.find_all("tr"))
    for path in site.glob("*.html"):
        page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        assert not [text for text in page.find_all("p") if re.search(r"\|\s*:?-{3,}", text.get_text())], path.name


def test_of_a_progress_bar_the_last_state_is_shown(site):
    page = BeautifulSoup((site / "03_last_layer.html").read_text(encoding="utf-8"), "html.parser")
    (bar,) = [text for text in page.select(".cell_output pre") if "gone" in text.get_text()]
    assert bar.get_text().strip().splitlines() == ["epoch 3 of 3 |---| 00:03 gone", "kept"]


def test_an_unexecuted_folder_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="make course"):
        make_site.main(tmp_path, tmp_path / "site")


@pytest.fixture(scope="module")
def served(site):
    """The address of the site below a path of a server."""

    with folder_server(site.parent.parent) as address:
        yield f"{address}/{site.relative_to(site.parent.parent)}"


@pytest.fixture(scope="module")
def browser():
    if not CHROMIUM:
        pytest.skip("no Chromium that starts; `apt-get install chromium` gives it")
    with launched() as started:
        yield started


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pages_are_light_whole_on_a_phone_and_open_to_everybody(site, served, browser, theme):
    for path in sorted(site.glob("*.html")):
        # A page of its own each: what the one before still loads for its narrow form is not this one's.
        page, answers = browser.new_page(viewport={"width": 1280, "height": 900}, color_scheme=theme), []
        page.on("response", lambda answer, answers=answers: answers.append(answer))
        page.goto(f"{served}/{path.name}", wait_until="networkidle")
        assert not [answer.url for answer in answers if not answer.url.startswith(served)], path.name
        assert all(answer.ok for answer in answers), [answer.url for answer in answers if not answer.ok]
        weight = sum((site / file_at(answer.url, f"{served}/")).stat().st_size for answer in answers)
        assert path.stat().st_size <= weight < FIRST_LOAD, (path.name, weight)
        found = Axe().run(page).response["violations"]
        found = [one for one in found if one["impact"] in ("serious", "critical") or one["id"] == "empty-table-header"]
        assert not found, (path.name, [(one["id"], [node["html"] for node in one["nodes"]][:3]) for one in found])
        page.set_viewport_size({"width": 420, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= 420, path.name
        if path.stem in ("index", "ledger", "08_conclusions"):
            SHOTS.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=SHOTS / f"site_{path.stem}_420_{theme}.png")
        page.close()


def test_the_site_works_from_a_folder_with_its_search(site, browser):
    page = browser.new_page()
    page.goto(f"{(site / 'search.html').as_uri()}?q=patience")
    page.wait_for_selector("#search-results li a")
    assert "03_last_layer" in page.inner_html("#search-results")
    page.goto((site / "03_last_layer.html").as_uri())
    page.get_by_role("link", name=re.compile("Next")).first.click()
    assert page.url.endswith("04_fine_tuning.html")
    page.close()


def test_the_readmes_pictures_can_be_drawn_again_and_are_light(tmp_path):
    pictures.main(tmp_path)
    drawn, kept = (
        {path.name: path.stat().st_size for path in folder.iterdir()} for folder in (tmp_path, pictures.FOLDER)
    )
    assert drawn.keys() == kept.keys() and sum(kept.values()) < 600_000
    shown = re.findall(r'(?:src|srcset)="site/images/([^"]+)"', (ROOT / "README.md").read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(kept), "the README shows what is there"


def test_an_explorer_is_one_figure_whose_pictures_are_files_and_whose_controls_move(tmp_path, browser):
    (tmp_path / "figures").mkdir()
    explorer = explorers.learning_rates({"CIFAR-100": 333, "Fruits-360": 70})
    page = make_site.pictures(explorer.still(), tmp_path / "figures", lambda: "3.1. ")
    assert "base64" not in page and page.count("<figcaption>") == 1
    assert f"<figcaption><b>Figure 3.1. </b>{explorer.caption}</figcaption>" in page and "An explorer." not in page
    assert len(list((tmp_path / "figures").iterdir())) == len(explorer.travels["gamma"])
    (tmp_path / "page.html").write_text(f"<meta charset=utf-8>{page}", encoding="utf-8")
    shown = browser.new_page()
    shown.goto((tmp_path / "page.html").as_uri())
    before = shown.get_attribute("[data-panel] img", "src")
    shown.focus("input")
    shown.keyboard.press("ArrowLeft")
    after = shown.get_attribute("[data-panel] img", "src")
    assert before != after and (tmp_path / after).exists()
    shown.close()


def test_a_narrow_window_shows_the_tall_diagram_from_its_own_file(tmp_path, browser):
    (tmp_path / "figures").mkdir()
    net = nets.branch(10, batch_size=1)
    wide, tall = (plots.architecture(net, nets.blob_shapes(net), columns=columns) for columns in (8, 3))
    InteractiveShell.instance()
    with capture_output() as captured:
        plots.show(wide, "the branch", narrow=tall)
    page = make_site.pictures(captured.outputs[0].data["text/html"], tmp_path / "figures", lambda: "1.1. ")
    assert "base64" not in page and len(list((tmp_path / "figures").iterdir())) == 2
    style = (ROOT / "site" / "static" / "course.css").read_text(encoding="utf-8")
    (tmp_path / "page.html").write_text(f"<meta charset=utf-8><style>{style}</style>{page}", encoding="utf-8")
    shown = browser.new_page()
    shapes = {}
    for width in (1280, 420):
        shown.set_viewport_size({"width": width, "height": 900})
        shown.goto((tmp_path / "page.html").as_uri())
        shapes[width] = shown.locator("figure img").bounding_box()
        SHOTS.mkdir(parents=True, exist_ok=True)
        shown.screenshot(path=SHOTS / f"diagram_{width}.png", full_page=True)
    shown.close()
    assert shapes[1280]["width"] > 900 and shapes[1280]["width"] > shapes[1280]["height"]
    assert 380 < shapes[420]["width"] <= 404 and shapes[420]["height"] > 1.5 * shapes[420]["width"]
