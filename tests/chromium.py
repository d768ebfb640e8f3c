"""The browser that tests drive: the system's own."""

import contextlib
import shutil
import subprocess


def starts(name):
    """Path of that browser where it is and starts; on Ubuntu the package is a stub that asks for snap."""
    path = shutil.which(name)
    return path if path and not subprocess.run([path, "--version"], capture_output=True).returncode else None


CHROMIUM = next(filter(None, map(starts, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def launched():
    """The browser, driven by Playwright, which is imported where there is one to drive."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()
