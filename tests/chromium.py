"""The browser that tests drive: the system's own."""

import shutil
import subprocess


def starts(name):
    """Path of that browser where it is and starts; on Ubuntu the package is a stub that asks for snap."""
    path = shutil.which(name)
    return path if path and not subprocess.run([path, "--version"], capture_output=True).returncode else None


CHROMIUM = next(filter(None, map(starts, ("chromium", "chromium-browser", "google-chrome"))), None)
