"""Where we are: variables, profile, folders, Colab or not, and a check of the environment (`python -m helpers.course`).

Standard library only: the set-up reads the variables here before anything is installed.
"""

import contextlib
import functools
import importlib.metadata
import importlib.util
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
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
CPUINFO, AVX2 = pathlib.Path("/proc/cpuinfo"), {"avx2", "fma"}  # what packaging/caffe/cpu_convolution_avx2.cpp needs
# Every environment variable that the course reads: what holds where it is not set (or empty), and what it is.
VARIABLES = {
    "JIGSAW_PROFILE": ("quick", "the size of the course: quick or full"),
    "JIGSAW_DEVICE": ("auto", "what Caffe runs on, and is built for: auto, cpu or gpu"),
    "JIGSAW_THREADS": ("auto", "how many threads share a layer's work: auto, one for each core, or a number"),
    "JIGSAW_DATA": ("", "folder with your copies of data sets: fruits360.zip, cifar100.npz"),
    "JIGSAW_RUNS": ("runs", "folder of the trainings"),
    "JIGSAW_CACHE": (
        "~/.cache/jigsaw-course",
        "folder of what can be made again: the Caffe wheel, downloads, features",
    ),
    "JIGSAW_BACKUP": (
        "",
        "folder that trainings and exercises are copied to and come back from; on Colab a mounted Drive by itself",
    ),
    "JIGSAW_DRIVE": ("/content/drive/MyDrive", "where Google Drive is mounted"),
    "JIGSAW_RECORDED": ("recorded", "folder of the full-size study's records"),
    "JIGSAW_COMMIT": ("", "what a record names as its commit outside of a git checkout"),
    "JIGSAW_CUDA_ARCHITECTURES": ("", "compute capabilities to build for where no card is here, e.g. 75 for a T4"),
    "JIGSAW_RELEASES": ("", "address of published Caffe wheels instead of this clone's own releases; none builds"),
    "JIGSAW_FUZZ": ("", "random examples per test of `make fuzz`"),
    "KERAS_HOME": ("~/.keras", "Keras' own folder; CIFAR-100 lies in its datasets/"),
    "KERAS_BACKEND": ("jax", "what Keras computes with; the course reads data with it, no more"),
}
CHOICES = {
    "JIGSAW_PROFILE": ("quick", "full"),
    "JIGSAW_DEVICE": ("auto", "cpu", "gpu"),
    "KERAS_BACKEND": ("jax", "tensorflow", "torch", "numpy", "openvino"),
}
RENAMED = {"JIGSAW_THREADS": "JIGSAW_PROCESSES"}  # older names, still understood where the new one is not set


def variable(name):
    """The text of one of VARIABLES, its default where it is not set or empty.

    Raises ValueError, naming the variable, for a value that is none of its CHOICES.
    """
    value = os.environ.get(name) or _by_older_name(name) or VARIABLES[name][0]
    if value not in CHOICES.get(name, (value,)):
        raise ValueError(f"{name} is {value!r}; set it to one of {', '.join(CHOICES[name])}")
    return value


@functools.cache
def _by_older_name(name):
    older = RENAMED.get(name)
    if value := older and os.environ.get(older):
        print(f"{older}={value} is understood as {name}={value}, its name today.")
    return value


def folder(name):
    """The absolute path that one of VARIABLES names, there or not; None where it names none. `~` is the home folder.

    A relative path begins at the course's own folder, as the defaults do, whatever notebook or command asks.
    """
    value = variable(name)
    return ROOT / pathlib.Path(value).expanduser() if value else None


def readable_folder(name):
    """As `folder`, for one that somebody else fills. Raises FileNotFoundError where the path named is no folder."""
    path = folder(name)
    if path and not path.is_dir():
        what = "is a file; name the folder that holds it" if path.exists() else "is not there; is it spelt right?"
        raise FileNotFoundError(f"{name} names {path}, which {what}")
    return path


def writable_folder(name, *parts):
    """The folder that one of VARIABLES names, or `parts` below it, made if it is not there.

    Raises OSError (PermissionError, FileExistsError, ...), naming the variable, where it cannot be made or written to.
    """
    path = folder(name).joinpath(*parts)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(13, "it may not be written to")
    except OSError as error:
        reason = "a file is in its place" if isinstance(error, FileExistsError | NotADirectoryError) else error.strerror
        raise type(error)(error.errno, f"{reason}; set {name} to a folder of yours", str(path)) from error
    return path


def profile():
    """The course's size: "quick" (embedded photographs, minutes on two cores) or "full" (the report's data).

    Read from the environment variable JIGSAW_PROFILE. Raises ValueError for any other name.
    """
    return variable("JIGSAW_PROFILE")


def on_colab():
    """True inside a Colab runtime."""
    return "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ


def run_folder(name):
    """Path of runs/<name> (or $JIGSAW_RUNS/<name>), made if it is not there: one training, all its files.

    One that is there may be read-only, as a teacher's that a class shares: a finished training is loaded from it.
    """
    path = folder("JIGSAW_RUNS") / name
    return path if path.is_dir() else writable_folder("JIGSAW_RUNS", name)


def cache_folder():
    """Path of what can be made again: downloads, features, the Caffe wheel ($JIGSAW_CACHE), made if it is not there.

    One that is there may be read-only: what it holds is used, and nothing is added.
    """
    path = folder("JIGSAW_CACHE")
    return path if path.is_dir() else writable_folder("JIGSAW_CACHE")


def backup_folder():
    """Where trainings are copied to and come back from: $JIGSAW_BACKUP, else a Drive mounted on Colab, else None."""
    if chosen := folder("JIGSAW_BACKUP"):
        return chosen
    drive = folder("JIGSAW_DRIVE")
    return drive / "jigsaw-course" / "runs" if on_colab() and drive.is_dir() else None


def write_atomically(path, content):
    """Write a file under a temporary name first: a reader finds the old content or the new, never a part.

    content: text, bytes, or a function that writes the file whose path it is given. Raises OSError (PermissionError,
    ...) that names the file and says what to do; the old content is still there then.
    """
    path = pathlib.Path(path)
    part = path.with_name(f".{os.getpid()}.{path.name}")  # several trainings may write the same file
    try:
        if callable(content):
            content(part)
        else:
            part.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        raise OSError(
            error.errno,
            f"{error.strerror}; what was saved before is there. Make room or choose another folder, and run again",
            str(path),
        ) from error


def check_python():
    return f"Python {sys.version.split()[0]} ({sys.executable})"


def check_packages():
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)


def check_caffe():
    import caffe
    from caffe import build_info
    from caffe.proto import caffe_pb2

    wide = AVX2 <= set(CPUINFO.read_text().split())
    vectors = "with AVX2" if wide else "without AVX2, which this processor lacks: slower"
    runs = f"for CUDA {build_info.CUDA}" if build_info.CUDA else f"for the CPU, {vectors}"
    return (
        f"pycaffe {caffe.__version__} {runs}, {len(caffe.layer_type_list())} layer types, {caffe_pb2.__name__} imports"
    )


def check_variables():
    for name in VARIABLES:
        variable(name)
    readable_folder("JIGSAW_DATA")
    writable_folder("JIGSAW_CACHE")
    check_keras()
    return f"profile {profile()}, {'Colab' if on_colab() else 'local machine'}"


def check_keras():
    """Raise ValueError where Keras, which reads CIFAR-100, would not start: the backend that is set is not here."""
    backend = variable("KERAS_BACKEND")  # each is a package of that name
    if importlib.util.find_spec(backend) is None:
        raise ValueError(
            f"KERAS_BACKEND is {backend!r}, and {backend} is not installed: Keras could not read CIFAR-100. Take the "
            "variable out of your shell (unset KERAS_BACKEND), or set it to jax, which the course brings"
        )


def check_trainings():
    kept = folder("JIGSAW_RUNS")
    if shared_runs(kept):
        return (
            f"finished trainings are read from {kept}, which may not be written to; to train others, copy what you "
            "need to a folder of yours and set JIGSAW_RUNS to it"
        )
    kept = writable_folder("JIGSAW_RUNS")
    if backup := backup_folder():
        return f"trainings are kept in {kept}, copied to {backup} after each epoch, and come back from there"
    if on_colab():
        return (
            f"trainings are kept in {kept} for this session only. To keep them: in a new cell, `from google.colab "
            "import drive; drive.mount('/content/drive')`, before you train"
        )
    return f"trainings are kept in {kept}"


def shared_runs(path):
    """Whether `path` holds trainings that may be read and not written to, such as a teacher's."""
    return path.is_dir() and not os.access(path, os.W_OK | os.X_OK) and any(path.glob("*/result.json"))


def check_environment():
    """Print one [OK] or [FAIL] line per check, with the way out; return True when all are OK."""
    passed = True
    for check in (check_python, check_packages, check_caffe, check_variables, check_trainings):
        try:
            print(f"[OK]   {check()}")
        except Exception as error:  # any failure is this line's finding
            passed = False
            named = any(name in str(error) for name in VARIABLES)
            way_out = "" if named else ". Way out: run `bash colab_setup.sh` again"
            print(f"[FAIL] {check.__name__.removeprefix('check_')}: {error if named else repr(error)}{way_out}.")
    return passed


if __name__ == "__main__":
    sys.exit(not check_environment())
