#!/usr/bin/env python3
"""Write the results table of README.md from recorded/, between its two markers.

    python scripts/results.py            # rewrite (make results)
    python scripts/results.py --check    # only say whether README.md is out of step
"""
import pathlib
import re
import sys

from helpers import results

README = pathlib.Path(__file__).resolve().parent.parent / "README.md"
MARKED = re.compile(r"(<!-- results: written by `make results` -->\n).*?(<!-- end of results -->)", re.DOTALL)


def rewritten(text):
    """README's text with today's table; ValueError where the markers are missing."""
    if not MARKED.search(text):
        raise ValueError(f"README.md lacks the lines that match {MARKED.pattern!r}")
    return MARKED.sub(lambda match: f"{match[1]}{results.markdown()}{match[2]}", text)


if __name__ == "__main__":
    text = README.read_text(encoding="utf-8")
    if "--check" in sys.argv[1:]:
        sys.exit("Run `make results`: README.md is out of step with recorded/" if rewritten(text) != text else 0)
    README.write_text(rewritten(text), encoding="utf-8")
