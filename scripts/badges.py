#!/usr/bin/env python3
"""Copy the repository's address from pyproject.toml into every Colab badge and `git clone` of README and notebooks.

python scripts/badges.py            # rewrite (make badges)
python scripts/badges.py --check    # only name the files that are out of step
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOST = "https://github.com/"
BADGE = re.compile(r"(https://colab\.research\.google\.com/github/)[^/\s]+/[^/\s]+(/blob/main/)")
CLONE = re.compile(r"(git clone (?:-\S+ )*)https://[^\s\"'\\`]+")


def address(root=ROOT):
    """The repository's public address, as pyproject.toml's project.urls gives it; ValueError if not on GitHub."""
    # tomllib is not in Python 3.10.
    url = re.search(r'^Repository = "([^"]+?)/?"$', (root / "pyproject.toml").read_text(), re.MULTILINE)[1]
    if not re.fullmatch(re.escape(HOST) + r"[^/\s]+/[^/\s]+", url):
        raise ValueError(f"project.urls in pyproject.toml says {url!r}; Colab badges need {HOST}OWNER/NAME")
    return url


def rewritten(text, url):
    """`text` with every badge and clone command pointing at `url`."""
    text = BADGE.sub(lambda match: match[1] + url.removeprefix(HOST) + match[2], text)
    return CLONE.sub(lambda match: match[1] + url, text)


def out_of_step(root=ROOT):
    """{path: its text as it should be} for each file whose badge or clone command is not pyproject.toml's address."""
    url = address(root)
    files = [root / "README.md", *sorted((root / "notebooks").glob("*.ipynb"))]
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    return {path: rewritten(text, url) for path, text in texts.items() if rewritten(text, url) != text}


if __name__ == "__main__":
    stale = out_of_step()
    if "--check" in sys.argv[1:]:
        sys.exit("Run `make badges`; out of step: " + ", ".join(path.name for path in stale) if stale else 0)
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
        print(f"rewritten: {path.relative_to(ROOT)}")
