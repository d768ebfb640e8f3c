#!/usr/bin/env python3
"""Build the Caffe wheel for the running Python, or take it from the cache, and print its path.

    python packaging/caffe/build_wheel.py            # the wheel
    python packaging/caffe/build_wheel.py --source   # the verified source archive only
    python packaging/caffe/build_wheel.py --missing  # names of the apt packages the build still needs

The cache is $JIGSAW_CACHE (default ~/.cache/jigsaw-course). Standard library only: this runs first.
"""
import argparse
import hashlib
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time

RELEASE, VERSION = "brocolli-caffe", "9.0.2"
SHA256 = "c6410cc60bdd6db685d441b66be7df05410f8850ac88d6b75d48ef9b2315c08a"
HERE = pathlib.Path(__file__).resolve().parent
BUILD_FILES = ("CMakeLists.txt", "pyproject.toml", "_tool.py")
CACHE = pathlib.Path(os.environ.get("JIGSAW_CACHE") or "~/.cache/jigsaw-course").expanduser()

# apt package -> a header that only it provides (protobuf-compiler is found as a command instead).
HEADERS = {
    "libprotobuf-dev": "google/protobuf/message.h",
    "libgoogle-glog-dev": "glog/logging.h",
    "libgflags-dev": "gflags/gflags.h",
    "libopenblas-dev": "cblas.h",
    "libhdf5-dev": "hdf5.h",
}
COMMANDS = {"g++": "c++", "protobuf-compiler": "protoc"}


def missing_system_packages():
    """Names of the apt packages whose command or header is not found on this machine."""
    missing = [package for package, command in COMMANDS.items() if not shutil.which(command)]
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        missing.append(f"libpython{sysconfig.get_python_version()}-dev")
    if "g++" in missing:
        return missing + list(HEADERS)
    folders = ["/usr/include/hdf5/serial", os.path.join(os.environ.get("CONDA_PREFIX", "/usr"), "include")]
    for package, header in HEADERS.items():
        probe = subprocess.run(["c++", "-E", "-x", "c++", *(f"-I{folder}" for folder in folders), "-"],
                               input=f"#include <{header}>", text=True, capture_output=True)
        if probe.returncode:
            missing.append(package)
    return missing


def choose_device():
    """The device to build for, said in one line: the only place where it is chosen."""
    gpu = shutil.which("nvcc") and shutil.which("nvidia-smi")
    print(f"Device: CPU{' (a GPU is here; the CUDA build is not written yet)' if gpu else ''}", file=sys.stderr)
    return "cpu"


def fail(what, way_out, log=None):
    """End with one message: what went wrong, the lines of the log that say why, and what to do."""
    lines = log.read_text(errors="replace").splitlines() if log and log.exists() else []
    errors = [line for line in lines if "error" in line.lower()][:5] or lines[-5:]
    kept = []
    if lines:
        CACHE.mkdir(parents=True, exist_ok=True)
        kept = [f"The whole log: {shutil.copy(log, CACHE / log.name)}"]
    why = [f"    {line.strip()[:300]}" for line in errors]
    sys.exit("\n".join([f"[FAIL] {what}", *why, f"What to do: {way_out}", *kept]))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source_archive():
    """Path of the pinned source archive in the cache, downloaded by pip and verified by its sha256."""
    archive = CACHE / f"{RELEASE}-{VERSION}.tar.gz"
    if archive.exists() and sha256(archive) == SHA256:
        return archive
    print(f"Downloading {RELEASE} {VERSION} from the Python package index", file=sys.stderr)
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        folder = pathlib.Path(folder)
        (folder / "requirements.txt").write_text(f"{RELEASE}=={VERSION} --hash=sha256:{SHA256}\n")
        log = folder / "download.log"
        with log.open("w") as out:
            code = subprocess.run([sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", RELEASE,
                                   "--require-hashes", "-r", "requirements.txt"],
                                  cwd=folder, stdout=out, stderr=subprocess.STDOUT).returncode
        if code or not (folder / archive.name).exists():
            fail(f"The source release {RELEASE} {VERSION} could not be downloaded or did not match its sha256.",
                 "check the network connection and run the same command again.", log)
        os.replace(folder / archive.name, archive)
    return archive


def cache_key(device):
    """Everything the wheel depends on: source, build files, Python, device, and the system's libraries."""
    release = platform.freedesktop_os_release()
    parts = [SHA256, device, sysconfig.get_config_var("SOABI"), platform.machine(),
             release.get("ID", ""), release.get("VERSION_ID", ""), os.environ.get("CONDA_PREFIX", "")]
    parts += [(HERE / name).read_text() for name in BUILD_FILES]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def build(device):
    """Path of the wheel for the running Python and `device` ("cpu"), from the cache or built into it."""
    home = CACHE / "wheels" / cache_key(device)
    for wheel in home.glob("caffe_jigsaw-*.whl"):
        return wheel
    missing = missing_system_packages()
    if missing:
        fail(f"Building Caffe needs system packages that are not here: {' '.join(missing)}",
             f"sudo apt-get install -y --no-install-recommends {' '.join(missing)}    (colab_setup.sh does it, too)")
    archive = source_archive()
    print("Building the Caffe wheel (two to three minutes on two cores, once)", file=sys.stderr)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        log = folder / "build.log"
        with log.open("w") as out:
            code = subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", "-v", "-w", folder / "dist", HERE,
                                   f"--config-settings=cmake.define.CAFFE_SOURCE={folder / f'{RELEASE}-{VERSION}'}"],
                                  stdout=out, stderr=subprocess.STDOUT).returncode
        wheels = list((folder / "dist").glob("caffe_jigsaw-*.whl"))
        if code or not wheels:
            fail("The Caffe wheel could not be built.",
                 "read the lines above, check that there are a network connection and 2 GB of disk, run again.", log)
        home.mkdir(parents=True, exist_ok=True)
        part = home / "part"
        shutil.copy(wheels[0], part)
        os.replace(part, home / wheels[0].name)
    print(f"Built in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return home / wheels[0].name


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", action="store_true", help="print the path of the source archive instead")
    parser.add_argument("--missing", action="store_true", help="print the missing apt packages instead")
    arguments = parser.parse_args()
    if arguments.missing:
        print(*missing_system_packages())
    else:
        print(source_archive() if arguments.source else build(choose_device()))
