#!/usr/bin/env python3
"""Compare the versions that Colab publishes with those of tests/requirements-colab.txt (make colab-versions).

One line per version that changed goes to standard output; the exit status is 1 then, and where the comparison could not
be made, with the reason on standard error and nothing on standard output. Standard library only: needs no set-up.
"""

import http.client
import pathlib
import re
import sys
import urllib.request

OURS = pathlib.Path(__file__).resolve().parent.parent / "tests" / "requirements-colab.txt"
PUBLISHED = "https://raw.githubusercontent.com/googlecolab/backend-info/main"
# {name: (file of googlecolab/backend-info, its line, our line)}
VERSIONS = {
    "Python": ("os-info.txt", r"^Python (3\.\d+)\.", r"^# Colab then:.* Python (3\.\d+)"),
    "Ubuntu": ("os-info.txt", r"^Ubuntu (\d+\.\d+)", r"^# Colab then:.* Ubuntu (\d+\.\d+)"),
    "CUDA": ("apt-list-gpu.txt", r"^cuda-toolkit-(\d+-\d+)-config-common/", r"^# Colab then:.* CUDA (\d+\.\d+)"),
    "ipywidgets": ("pip-freeze.txt", r"^ipywidgets==(\S+)", r"^ipywidgets==(\S+)"),
}


def found(pattern, text, place):
    """The one version that `pattern` finds in `text`; ValueError naming `place` if there is none or more than one."""
    versions = {version.replace("-", ".") for version in re.findall(pattern, text, re.MULTILINE)}
    if len(versions) != 1:
        raise ValueError(f"{place}: expected one line like {pattern}, found {sorted(versions) or 'none'}")
    return versions.pop()


def download(url):
    """The text at `url`; OSError naming it if it is not there, is not text or ends early."""
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            return answer.read().decode()
    except (OSError, http.client.HTTPException, UnicodeDecodeError) as error:
        raise OSError(f"{url} could not be read: {error}") from error


def changes(address=PUBLISHED):
    """One line per version that is another at `address`; OSError or ValueError if it does not publish them all."""
    texts = {name: download(f"{address}/{name}") for name in sorted({file for file, _, _ in VERSIONS.values()})}
    lines = []
    for name, (file, published, ours) in VERSIONS.items():
        new = found(published, texts[file], f"{address}/{file}")
        old = found(ours, OURS.read_text(encoding="utf-8"), OURS)
        if new != old:
            lines.append(f"- {name}: {old} in tests/{OURS.name}, {new} on Colab ({address}/{file})")
    return lines


def main(address=PUBLISHED):
    try:
        lines = changes(address)
    except (OSError, ValueError) as error:
        sys.exit(f"Colab's versions could not be compared: {error}")
    print("\n".join(lines), end="\n" if lines else "")
    sys.exit(1 if lines else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
