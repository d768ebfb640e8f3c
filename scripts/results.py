#!/usr/bin/env python3
"""Write the tables of results in README.md and in the trunks' cards from recorded/, between their two markers.

python scripts/results.py            # rewrite (make results)
python scripts/results.py --check    # only say whether they are out of step
"""

import functools
import re
import sys

from helpers import course, zoo
from helpers.study import plan, records, results

TABLES = {course.ROOT / "README.md": results.markdown, zoo.PRETRAINED / "cfn_jigsaw_trunk.md": results.transfer}
CARDS = {name: records.root() / "trunks" / f"{name}.md" for name in plan.EACH_TRUNK}
TABLES |= {path: functools.partial(results.transfer, name) for name, path in CARDS.items() if path.exists()}
MARKED = re.compile(r"(<!-- results: written by `make results` -->\n).*?(<!-- end of results -->)", re.DOTALL)


def rewritten(path):
    """The file's text with today's table; ValueError where the markers are missing."""
    text = path.read_text(encoding="utf-8")
    if not MARKED.search(text):
        raise ValueError(f"{path} lacks the lines that match {MARKED.pattern!r}")
    return MARKED.sub(lambda match: f"{match[1]}{TABLES[path]()}{match[2]}", text)


if __name__ == "__main__":
    stale = [path for path in TABLES if rewritten(path) != path.read_text(encoding="utf-8")]
    if "--check" in sys.argv[1:]:
        sys.exit(f"Run `make results`: out of step with recorded/: {', '.join(map(str, stale))}" if stale else 0)
    for path in stale:
        path.write_text(rewritten(path), encoding="utf-8")
