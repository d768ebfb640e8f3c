#!/usr/bin/env python3
"""The course as a web site, from executed notebooks: site/make_site.py EXECUTED OUT

EXECUTED: the folder that `make course` filled. OUT: the site; it works from a folder and under any path of a server.
A page shows its pictures from files, loaded when they come into sight, with a number and their text as caption.
"""

import ast
import base64
import hashlib
import html
import io
import pathlib
import re
import shutil
import subprocess
import sys

import nbformat
from nbconvert.preprocessors import CoalesceStreamsPreprocessor
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import badges  # noqa: E402
import make_play  # noqa: E402

from helpers import study  # noqa: E402

DATA = re.compile(r"data:image/(?:png|webp);base64,([A-Za-z0-9+/=]+)")
IMAGE = re.compile(
    rf'(<picture><source [^>]*>)?<img src="{DATA.pattern}" alt="([^"]*)" (width="\d+" height="\d+")[^>]*>(</picture>)?'
)
EXPLORER = re.compile(r'<div class="twin-\w+" data-caption="([^"]*)">')
LINK = re.compile(r"(?<!!)\[([^][]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")
BADGE = re.compile(r"\[!\[([^]]*)\]\([^)]*\)\]\(([^)]*)\)")
# Pages besides the notebooks: file in the repository, name on the site.
TEXTS = {
    "README.md": "index",
    "TEACHING.md": "teaching",
    "CONTRIBUTING.md": "contributing",
    "packaging/caffe/README.md": "caffe",
    "benchmarks/cpu.md": "cpu",
    "benchmarks/gpu.md": "gpu",
    "benchmarks/explorers.md": "explorers",
    "helpers/pretrained/cfn_jigsaw_trunk.md": "trunk",
    "helpers/pretrained/cfn_jigsaw_head.md": "head",
}
# In every page: what scrolls can be reached by keyboard, and headings have a level.
OPEN_TO_ALL = (
    ("<pre>", '<pre tabindex="0">'),
    ('role="heading">', 'role="heading" aria-level="2">'),
    ('<div class="output text_html">', '<div class="output text_html" tabindex="0">'),
    ('<div class="table-wrapper', '<div tabindex="0" class="table-wrapper'),
    ('<table class="docutils', '<table tabindex="0" class="docutils'),
)
# A table that a cell made of Markdown, as Sphinx writes it; a pandas table has no wrapper.
OF_MARKDOWN = re.compile(
    r'(?<=<div class="cell_output docutils container">\n)<div class="table-wrapper[^>]*>\n<table.*?</table>\n</div>',
    re.DOTALL,
)
EMPTY_HEADER = re.compile(r"<th\b[^>]*>\s*(?:<p>\s*</p>)?\s*</th>")  # a table's corner, which is no header
ADDRESS = badges.declared()
CONTENTS = {
    "The course": sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")),
    "Play": ["play"],
    "Results": ["results", "ledger", "trunk", "head"],
    "More": ["teaching", "contributing", "caffe", "cpu", "gpu", "explorers"],
}


def relinked(text, source, output=False):
    """Markdown of the file `source` (a path in the repository) with links into the site, or to the repository.

    output: it came out of a cell, where Sphinx looks nothing up: links are HTML then.
    """
    files = {name: f"{page}.md" for name, page in TEXTS.items() if (ROOT / name).exists()}
    files |= {f"notebooks/{page}.ipynb": f"{page}.ipynb" for page in CONTENTS["The course"]}

    def link(match):
        words, target, anchor = match.groups(default="")
        path = (ROOT / source).parent.joinpath(target).resolve().relative_to(ROOT).as_posix()
        if path not in files:
            return f"[{words}]({ADDRESS}/blob/main/{path}{anchor})"
        page = files[path]
        return (
            f'<a href="{page.partition(".")[0]}.html{anchor}">{words}</a>' if output else f"[{words}]({page}{anchor})"
        )

    here = text.replace(f"]({ADDRESS}/blob/main/", "](" + "../" * source.count("/"))  # a file's full address
    return LINK.sub(link, BADGE.sub(r"[\1](\2)", here))


def saved(content, folder):
    """The address of a picture's file in `folder`. content: of a PNG, which becomes a WebP, or of a WebP."""
    image = Image.open(io.BytesIO(content))
    if image.format == "PNG":
        buffer = io.BytesIO()
        image.save(buffer, "WEBP", lossless=True)
        if buffer.tell() > 100_000:  # a photograph
            buffer = io.BytesIO()
            image.convert("RGB").save(buffer, "WEBP", quality=88)
        content = buffer.getvalue()
    name = f"{hashlib.sha256(content).hexdigest()[:16]}.webp"
    (folder / name).write_bytes(content)
    return f"figures/{name}"


def pictures(text, folder, number):
    """HTML with its pictures in files of `folder`, each in a figure called number() with its alt text as caption.

    An explorer is one figure, whatever pictures go with it.
    """

    def filed(text):
        return DATA.sub(lambda match: saved(base64.b64decode(match[1]), folder), text)

    if explorer := EXPLORER.search(text):
        text = filed(text)
        text = text.replace('decoding="sync"', 'loading="lazy"')
        words = f"<figcaption><b>Figure {number()}</b>{explorer[1]}</figcaption>"
        return f'<figure class="course explorer">{text}{words}</figure>'

    def figure(match):
        narrow, content, alt, size, end = match.groups(default="")
        source = saved(base64.b64decode(content), folder)
        return (
            f'<figure class="course">{filed(narrow)}<img src="{source}" alt="" {size} loading="lazy">{end}'
            f"<figcaption><b>Figure {number()}</b>{alt}</figcaption></figure>"
        )

    return IMAGE.sub(figure, text)


def page(notebook, folder):
    """An executed notebook for the site: its set-up folded, without widgets' own output, which needs a kernel."""
    count, chapter = iter(range(1, 1000)), int(notebook.stem[:2])
    executed = nbformat.read(notebook, 4)
    executed.metadata.pop("widgets", None)
    executed.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    for cell in executed.cells:
        if cell.cell_type == "markdown":
            cell.source = relinked(cell.source, f"notebooks/{notebook.name}")
            continue
        if _is_setup(cell.source):
            cell.metadata["tags"] = ["hide-cell"]
        kept = []
        for output in cell.outputs:
            shown = output.get("data", {})
            if "application/vnd.jupyter.widget-view+json" in shown or shown == {"text/plain": ""}:
                continue  # the latter: the place of a curve while the net trained
            if "text/markdown" in shown:
                shown["text/markdown"] = relinked(shown["text/markdown"], f"notebooks/{notebook.name}", output=True)
            if "text/html" in shown:
                shown["text/html"] = pictures(shown["text/html"], folder, lambda: f"{chapter}.{next(count)}. ")
            kept.append(output)
        cell.outputs = kept
        CoalesceStreamsPreprocessor().preprocess_cell(cell, {}, 0)  # of a progress bar the last state
    return executed


def _is_setup(source):
    """Whether a cell only fetches, imports and checks."""
    if source.startswith("# Set-up"):
        return True
    try:
        return all(isinstance(line, (ast.Import, ast.ImportFrom)) for line in ast.parse(source).body)
    except SyntaxError:  # a line of the shell
        return False


def table(rows, labels):
    """Rows (dictionaries) as HTML that becomes cards on a narrow screen. labels: {key: heading}."""
    head = "".join(f"<th>{label}</th>" for label in labels.values())
    body = "".join(
        "<tr>" + "".join(f'<td data-label="{label}">{row[key]}</td>' for key, label in labels.items()) + "</tr>\n"
        for row in rows
    )
    return f'<table class="cards"><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>\n'


def cards(match):
    """A table of OF_MARKDOWN as `table` makes them."""
    head, *rows = re.findall(r"<tr\b.*?</tr>", match[0], re.DOTALL)
    labels = {str(number): label for number, label in enumerate(_cells(head))}
    return table([dict(zip(labels, _cells(row))) for row in rows], labels)


def _cells(row):
    """The contents of a row's cells, of which each is a paragraph."""
    cells = re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, re.DOTALL)
    return [cell.removeprefix("<p>").removesuffix("</p>") for cell in cells]


def ledger():
    """The ledger as a page."""
    rows = study.ledger.table().to_dict("records")
    for row in rows:
        row["where"] = f'<a href="{row["notebook"]}.html">{row["notebook"][:2]}</a>, {html.escape(row["section"])}'
        for key in ("claim", "reported_text", "measured_text", "why"):
            row[key] = html.escape(row[key])
    labels = {
        "claim": "claim",
        "reported_text": "reported",
        "measured_text": "measured",
        "verdict": "verdict",
        "why": "why",
        "where": "where",
    }
    return (
        "# The ledger\n\nEvery quantitative claim of the report beside what this course measured, computed from the "
        "recorded trainings; [notebook 08](08_conclusions.ipynb) explains how to read the verdicts.\n\n"
        + table(rows, labels)
    )


def results():
    """Every recorded training as a page, by the question that it answers."""
    rows, parts = (
        study.rows(),
        ["# The recorded trainings\n\nEach with its command: `python -m helpers.study --only NAME`.\n"],
    )
    for section, question in study.SECTIONS.items():
        found = rows[rows["section"] == section]
        if not len(found):
            continue
        shown = [
            {
                "name": name,
                "accuracy": f"{row.test_accuracy:.2%}" if row.status in study.DONE else row.status,
                "epochs": f"{row.epochs:.0f}" if row.status in study.DONE else "",
                "label": html.escape(study.label(name)),
            }
            for name, row in zip(found.index, found.itertuples())
        ]
        labels = {"name": "training", "accuracy": "test accuracy", "epochs": "epochs", "label": "where from"}
        parts.append(f"## {section}\n\n{question}\n\n{table(shown, labels)}")
    return "\n".join(parts)


def prepare(executed, source):
    """Sphinx's sources in the folder `source`, from the folder of executed notebooks."""
    figures = source / "figures"
    figures.mkdir(parents=True)
    for name in CONTENTS["The course"]:
        notebook = executed / f"{name}.ipynb"
        if not notebook.exists():
            raise FileNotFoundError(f"{notebook} is not there; `make course` executes the notebooks into build/")
        nbformat.write(page(notebook, figures), source / notebook.name)
    for file, name in TEXTS.items():
        if (ROOT / file).exists():
            text = relinked((ROOT / file).read_text(encoding="utf-8"), file).replace("site/images/", "images/")
            (source / f"{name}.md").write_text(text, "utf-8")
    if make_play.available():
        (source / "play.md").write_text(make_play.page(make_play.make(source / "play")), "utf-8")
    (source / "ledger.md").write_text(ledger(), "utf-8")
    (source / "results.md").write_text(results(), "utf-8")
    with (source / "index.md").open("a", encoding="utf-8") as index:
        for caption, pages in CONTENTS.items():
            there = "\n".join(name for name in pages if list(source.glob(f"{name}.*")))
            index.write(f"\n```{{toctree}}\n:caption: {caption}\n:hidden:\n\n{there}\n```\n")


def main(executed, out):
    executed, out = pathlib.Path(executed), pathlib.Path(out)
    source = out.with_name(f"{out.name}-source")
    for old in (out, source):
        shutil.rmtree(old, ignore_errors=True)
    prepare(executed, source)
    conf = pathlib.Path(__file__).parent
    sphinx = [sys.executable, "-m", "sphinx", "-b", "html", "-q", "-W", "--keep-going", "-c", conf, source, out]
    if subprocess.run(sphinx).returncode:
        sys.exit("[FAIL] Sphinx: the lines above say what")
    for folder in filter(pathlib.Path.is_dir, (source / "figures", source / "play")):
        shutil.copytree(folder, out / folder.name)
    shutil.copytree(conf / "images", out / "images")
    for path in out.glob("*.html"):
        text = path.read_text(encoding="utf-8")
        text = OF_MARKDOWN.sub(cards, text)
        for old, new in OPEN_TO_ALL:
            text = text.replace(old, new)
        path.write_text(EMPTY_HEADER.sub("<td></td>", text), encoding="utf-8")
    shutil.rmtree(source)
    print("| page | text, kB | pictures | pictures, kB |\n|---|---|---|---|")
    for name in sum(CONTENTS.values(), ["index"]):
        if (out / f"{name}.html").exists():
            text = (out / f"{name}.html").read_text(encoding="utf-8")
            files = [out / file for file in re.findall(r'src="(figures/[^"]+)"', text)]
            size = sum(file.stat().st_size for file in files)
            print(f"| {name} | {len(text.encode()) / 1000:.0f} | {len(files)} | {size / 1000:.0f} |")
    print(f"\n{out}/index.html")


if __name__ == "__main__":
    main(*sys.argv[1:])
