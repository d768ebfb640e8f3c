#!/usr/bin/env python3
"""Copy the repository's address into pyproject.toml and every badge, file link and `git clone` of README and notebooks.

The address is that of the clone's remote `origin` where it is on GitHub, else what pyproject.toml says already.

python scripts/badges.py            # rewrite (make badges)
python scripts/badges.py --check    # only name the files that are out of step
"""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOST = "https://github.com/"
BADGE = re.compile(r"(https://colab\.research\.google\.com/github/)[^/\s]+/[^/\s]+(/blob/main/)")
FILE = re.compile(r"(https://github\.com/)[^/\s]+/[^/\s]+(/blob/main/helpers/)")  # a file of this repository
CLONE = re.compile(r"(git clone (?:-\S+ (?:\d+ )?)*)https://[^\s\"'\\`]+")  # --depth 1, --depth=1
PAGES = re.compile(r"https://[\w.-]+\.github\.io/[\w.-]+/")  # where .github/workflows/pages.yml puts the site
DECLARED = re.compile(r'^(Repository = ")([^"]+?)/?"$', re.MULTILINE)
# https://, ssh:// (through port 443, too), git:// and git@github.com:, with or without a name, a token, .git
REMOTE = re.compile(
    r"(?:(?:https?|ssh|git)://(?:[^@/\s]+@)?(?:www\.|ssh\.)?github\.com(?::\d+)?/|(?:[^@/\s]+@)?github\.com:/?)"
    r"([\w.-]+/[\w.-]+?)(?:\.git)?/?",
    re.IGNORECASE,
)


def declared(root=ROOT):
    """The address that pyproject.toml's project.urls gives; ValueError if it is not on GitHub."""
    # tomllib is not in Python 3.10.
    url = DECLARED.search((root / "pyproject.toml").read_text(encoding="utf-8"))[2]
    if not re.fullmatch(re.escape(HOST) + r"[^/\s]+/[^/\s]+", url):
        raise ValueError(f"project.urls in pyproject.toml says {url!r}; Colab badges need {HOST}OWNER/NAME")
    return url


def address(root=ROOT):
    """The repository's public address: the remote `origin` of the clone `root` if it is on GitHub, else declared()."""
    # A folder without a .git of its own may lie in somebody else's clone.
    if (root / ".git").exists() and shutil.which("git"):
        command = ["git", "-C", root, "remote", "get-url", "origin"]
        remote = REMOTE.fullmatch(subprocess.run(command, text=True, capture_output=True).stdout.strip())
        if remote:
            return HOST + remote[1]
    return declared(root)


def rewritten(text, url):
    """`text` with every badge, file link, clone command, link to the site and project.urls pointing at `url`."""
    for link in (BADGE, FILE):
        text = link.sub(lambda match: match[1] + url.removeprefix(HOST) + match[2], text)
    text = CLONE.sub(lambda match: match[1] + url, text)
    owner, name = url.removeprefix(HOST).split("/")
    text = PAGES.sub(f"https://{owner}.github.io/{name}/", text)
    return DECLARED.sub(lambda match: f'{match[1]}{url}"', text)


def out_of_step(root, url):
    """{path: its text as it should be} for each file whose badge, clone command or project.urls is not `url`."""
    files = [root / "pyproject.toml", *root.glob("packaging/caffe/pyproject.toml"), root / "README.md"]
    files += sorted((root / "notebooks").glob("*.ipynb"))
    texts = {path: path.read_text(encoding="utf-8") for path in files}
    return {path: rewritten(text, url) for path, text in texts.items() if rewritten(text, url) != text}


if __name__ == "__main__":
    url = address()
    stale = out_of_step(ROOT, url)
    if "--check" in sys.argv[1:]:
        names = ", ".join(path.name for path in stale)
        sys.exit(f"This clone is of {url}. `make badges` writes that address into {names}" if stale else 0)
    for path, text in stale.items():
        path.write_text(text, encoding="utf-8")
        print(f"rewritten: {path.relative_to(ROOT)}")
