"""Where we are: profile, folders, Colab or not, and a check of the environment (`python -m helpers.course`)."""

import importlib.metadata
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROFILES = ("quick", "full")
PACKAGES = (
    "caffe-jigsaw",
    "numpy",
    "protobuf",
    "pandas",
    "matplotlib",
    "ipywidgets",
    "keras",
    "scikit-image",
    "scikit-learn",
)


def profile():
    """The course's size: "quick" (embedded photographs, minutes on two cores) or "full" (the report's data).

    Read from the environment variable JIGSAW_PROFILE, "quick" where it is not set.
    Raises ValueError for any other name.
    """
    name = os.environ.get("JIGSAW_PROFILE", "quick")
    if name not in PROFILES:
        raise ValueError(f"JIGSAW_PROFILE is {name!r}; set it to one of {', '.join(PROFILES)}")
    return name


def on_colab():
    """True inside a Colab runtime."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def run_folder(name):
    """Path of runs/<name> (or $JIGSAW_RUNS/<name>), made if it is not there: one training, all its files."""
    folder = pathlib.Path(os.environ.get("JIGSAW_RUNS") or ROOT / "runs") / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cache_folder():
    """Path of what can be made again: downloads, features, the Caffe wheel ($JIGSAW_CACHE)."""
    folder = pathlib.Path(os.environ.get("JIGSAW_CACHE") or "~/.cache/jigsaw-course").expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_python():
    return f"Python {sys.version.split()[0]} ({sys.executable})"


def check_packages():
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)


def check_caffe():
    import caffe
    from caffe.proto import caffe_pb2

    return f"pycaffe {caffe.__version__}, {len(caffe.layer_type_list())} layer types, {caffe_pb2.__name__} imports"


def check_environment():
    """Print one [OK] or [FAIL] line per check, with the way out; return True when all are OK."""
    passed = True
    for check in (check_python, check_packages, check_caffe):
        try:
            print(f"[OK]   {check()}")
        except Exception as error:  # any failure is this line's finding
            passed = False
            print(
                f"[FAIL] {check.__name__.removeprefix('check_')}: {error!r}. Way out: run `bash colab_setup.sh` again."
            )
    print(f"[OK]   profile {profile()}, {'Colab' if on_colab() else 'local machine'}")
    return passed


if __name__ == "__main__":
    sys.exit(not check_environment())
