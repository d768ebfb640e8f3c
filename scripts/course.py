#!/usr/bin/env python3
"""Execute notebooks into a folder, make pages of them, a line for each: scripts/course.py build notebooks/*.ipynb

Exits with an error, naming it, where a cell or a widget fails; what was executed before is there.
"""

import pathlib
import re
import subprocess
import sys
import time

NOTEBOOK = re.compile(r'href="([\w-]+)\.ipynb"')  # a page links to the other pages, a notebook to the notebooks
NBCONVERT = [sys.executable, "-m", "nbconvert", "--log-level=ERROR"]


def main(folder, *notebooks):
    folder, began = pathlib.Path(folder), time.monotonic()
    for number, notebook in enumerate(map(pathlib.Path, notebooks), start=1):
        print(f"[{number}/{len(notebooks)}] {notebook.name} ... ", end="", flush=True)
        start, executed = time.monotonic(), folder / notebook.name
        for words in (
            # Encrypted between us and the kernel, which warns otherwise.
            ["--execute", "--to", "notebook", "--KernelManager.transport_encryption=auto", "--output-dir"]
            + [folder, notebook],
            ["--to", "html", "--CoalesceStreamsPreprocessor.enabled=True", "--output-dir", folder, executed],
        ):
            if subprocess.run(NBCONVERT + words).returncode:
                sys.exit(f"[FAIL] {notebook.name}: the lines above say why")
        page = executed.with_suffix(".html")
        page.write_text(NOTEBOOK.sub(r'href="\1.html"', page.read_text(encoding="utf-8")), encoding="utf-8")
        subprocess.run([sys.executable, pathlib.Path(__file__).with_name("notebook_errors.py"), executed], check=True)
        print(f"{time.monotonic() - start:.0f} s: {page}", flush=True)
    print(f"All {len(notebooks)} notebooks in {(time.monotonic() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    main(*sys.argv[1:])
