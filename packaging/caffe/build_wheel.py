#!/usr/bin/env python3
"""Find the Caffe wheel for the running Python, or build it, and print its path.

    python packaging/caffe/build_wheel.py            # the wheel
    python packaging/caffe/build_wheel.py --find     # the same, but nothing is built: no line where there is none
    python packaging/caffe/build_wheel.py --source   # the verified source archive only
    python packaging/caffe/build_wheel.py --missing  # names of the apt packages the build still needs
    python packaging/caffe/build_wheel.py --nvidia   # names of NVIDIA's PyPI packages that a build for the GPU needs
    python packaging/caffe/build_wheel.py --device   # what it would build for, in one line

It builds for the GPU where there are one and nvcc, else for the CPU; JIGSAW_DEVICE=cpu or gpu decides otherwise, and
JIGSAW_CUDA_ARCHITECTURES=75 names the compute capability (here 7.5, Colab's T4) where no card can be asked.
The cache is $JIGSAW_CACHE (default ~/.cache/jigsaw-course); a mounted Google Drive is a second one, which outlives a
Colab session. What either holds is checked before it is used, and neither has to be writable. Then come the releases of
the repository on GitHub that this is a clone of (or $JIGSAW_RELEASES): one of them is named after the sources and build
files that are here, and has wheels and their checksums if somebody published them. Standard library only: this runs
first.
"""

import argparse
import dataclasses
import functools
import hashlib
import http.client
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import time
import urllib.request
import zipfile
import zlib

CAFFE = "brocolli-caffe-9.0.2"
PROTOBUF = "grpcio-tools-1.54.3"  # carries protobuf 3.21.12
# Source releases on the Python package index and their SHA-256.
SOURCES = {
    CAFFE: "c6410cc60bdd6db685d441b66be7df05410f8850ac88d6b75d48ef9b2315c08a",
    PROTOBUF: "baff375130c155b47d44b7dbe6dc5bd0e3334804669774869b1d0cf5ce14d297",
}
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = map(str, (HERE.parent.parent, HERE.parent.parent / "scripts"))

import badges  # noqa: E402

from helpers import course  # noqa: E402

BUILD_FILES = (
    "CMakeLists.txt",
    "as_bvlc.cmake",
    "bvlc_layers.cpp",
    "checks.hpp",
    "pyproject.toml",
    "_tool.py",
    "build_info.py.in",
    "pycaffe_more.cpp",
)
CUDA_FILES = ("cpu_layers.cpp", "cuda_device_prop.h", "cudnn.hpp", "cudnn_batch_norm.cpp", "cudnn_convolution.cpp")
CPU_FILES = tuple(path.name for path in sorted(HERE.glob("cpu_*.[ch]pp")) if path.name not in CUDA_FILES)
PATIENCE = 60  # seconds for what is published: building takes little longer
CACHE = course.folder("JIGSAW_CACHE")
DRIVE = course.folder("JIGSAW_DRIVE")  # where Colab mounts it
# Settings that clusters and containers have for everybody, and that are not meant for our steps: pip's of where to put
# what and of which versions to take (an index or a proxy stays), and another Python's or Caffe's modules.
PIP = {"PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_CONSTRAINT": os.devnull, "PIP_BUILD_CONSTRAINT": os.devnull}
NOT_OURS = (
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_NO_DEPS",
    "PIP_DRY_RUN",
    "PIP_REQUIRE_HASHES",
    "PIP_REQUIREMENT",
    "PIP_NO_BINARY",
    "PIP_ONLY_BINARY",
    "PIP_NO_BUILD_ISOLATION",
    "PIP_PYTHON",
    "PIP_PLATFORM",
    "PIP_PYTHON_VERSION",
    "PIP_IGNORE_INSTALLED",
    "PYTHONPATH",
    "PYTHONHOME",
    "DESTDIR",
    "CPATH",
    "CPLUS_INCLUDE_PATH",
)

# apt package -> a header that only it provides.
HEADERS = {
    "libgoogle-glog-dev": "glog/logging.h",
    "libgflags-dev": "gflags/gflags.h",
    "libhdf5-dev": "hdf5.h",
}


def missing_system_packages():
    """Names of the apt packages whose command or header is not found on this machine."""
    missing = [] if shutil.which("c++") else ["g++"]
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        missing.append(f"libpython{sysconfig.get_python_version()}-dev")
    if "g++" in missing:
        return missing + list(HEADERS)
    folders = ["/usr/include/hdf5/serial", os.path.join(os.environ.get("CONDA_PREFIX", "/usr"), "include")]
    for package, header in HEADERS.items():
        probe = subprocess.run(
            ["c++", "-E", "-x", "c++", *(f"-I{folder}" for folder in folders), "-"],
            input=f"#include <{header}>",
            text=True,
            capture_output=True,
        )
        if probe.returncode:
            missing.append(package)
    return missing


@dataclasses.dataclass(frozen=True)
class Device:
    """What a wheel is built for. cuda: nvcc's release, e.g. "12.8", or "" for the CPU; architectures: e.g. ("75",)."""

    why: str
    cuda: str = ""
    architectures: tuple = ()

    @property
    def key(self):
        return f"cuda{self.cuda}-{'-'.join(self.architectures)}" if self.cuda else "cpu"

    @property
    def tag(self):
        """The build tag of a published wheel, which has the same version and Python as that for the CPU: "" there."""
        return f"1{self.key.replace('-', '_')}" if self.cuda else ""


CPU = Device("it works everywhere")


def output(*command):
    """What a command prints, "" where it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""


def choose_device():
    """The Device to build for: the only place where it is chosen. Exits where a wish cannot be granted."""
    wish = course.variable("JIGSAW_DEVICE")
    if wish == "cpu":
        return Device("JIGSAW_DEVICE=cpu asks for it")
    nvcc = re.search(r"release (\d+\.\d+)", output("nvcc", "--version"))
    cards = re.findall(
        r"(.+), (\d+)\.(\d+)", output("nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader")
    )
    named = course.variable("JIGSAW_CUDA_ARCHITECTURES")
    architectures = tuple(sorted(set(named.replace(";", " ").split() or [major + minor for _, major, minor in cards])))
    cards = " and ".join(name for name, _, _ in cards)
    if nvcc and architectures and (cards or wish == "gpu"):
        return Device(
            f"{cards or 'JIGSAW_DEVICE=gpu'}, nvcc {nvcc[1]}; JIGSAW_DEVICE=cpu chooses the CPU", nvcc[1], architectures
        )
    if wish == "gpu" and not nvcc:
        fail("JIGSAW_DEVICE=gpu, but there is no nvcc.", "install NVIDIA's CUDA toolkit and put nvcc on the PATH.")
    if wish == "gpu":
        fail(
            "JIGSAW_DEVICE=gpu, but no NVIDIA card is here.",
            "name the compute capability to build for, e.g. JIGSAW_CUDA_ARCHITECTURES=75 for a T4.",
        )
    if not cards:
        return Device("no NVIDIA card is here; JIGSAW_DEVICE=gpu chooses the GPU")
    return Device(f"{cards} is here, but no nvcc to build for it; install NVIDIA's CUDA toolkit and run this again")


def nvidia_folder():
    """The folder of NVIDIA's PyPI packages in the running Python."""
    return pathlib.Path(sysconfig.get_path("purelib")) / "nvidia"


def nvidia_packages(device):
    """Requirements of the PyPI packages with what is neither in the CUDA toolkit nor in the running Python."""
    if not device.cuda:
        return []
    major = device.cuda.split(".")[0]
    toolkit = pathlib.Path(shutil.which("nvcc")).resolve().parent.parent
    folders = [
        toolkit / "include",
        *toolkit.glob("targets/*/include"),
        pathlib.Path("/usr/include"),
        pathlib.Path("/usr/include/x86_64-linux-gnu"),
        *nvidia_folder().glob("*/include"),
    ]
    packages = {
        "cublas_v2.h": ("cublas", f">={major},<{int(major) + 1}"),
        "curand.h": ("curand", ""),
        "cudnn.h": ("cudnn", ">=9,<10"),
    }
    return [
        f"nvidia-{name}-cu12{versions}"
        if major == "12"
        else f"nvidia-{name}{'-cu' + major if name == 'cudnn' else ''}{versions}"
        for header, (name, versions) in packages.items()
        if not any((folder / header).exists() for folder in folders)
    ]


@functools.cache
def workplace():
    """The cache where it can be written to, else a folder for this time, with a line that says so."""
    try:
        return course.writable_folder("JIGSAW_CACHE")
    except OSError as error:
        print(f"Nothing is kept for the next time: {error}", file=sys.stderr)
        return pathlib.Path(tempfile.mkdtemp(prefix="jigsaw-course-"))


def pip(*words, environment=(), **options):
    """Run pip in an environment that is ours, with the variables of `environment` beside it."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    return subprocess.run([sys.executable, "-m", "pip", *words], env=kept | PIP | dict(environment), **options)


def fail(what, way_out, log=None):
    """End with one message: what went wrong, the lines of the log that say why, and what to do."""
    lines = log.read_text(errors="replace").splitlines() if log and log.exists() else []
    errors = [line for line in lines if "error" in line.lower()][:5] or lines[-5:]
    kept = [f"The whole log: {shutil.copy(log, workplace() / log.name)}"] if lines else []
    why = [f"    {line.strip()[:300]}" for line in errors]
    sys.exit("\n".join([f"[FAIL] {what}", *why, f"What to do: {way_out}", *kept]))


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source_archive(release):
    """Path of one of SOURCES in the cache, downloaded by pip and verified by its sha256."""
    (name, version), hashed = release.rsplit("-", 1), SOURCES[release]
    for archive in (CACHE / f"{release}.tar.gz", workplace() / f"{release}.tar.gz"):
        if os.access(archive, os.R_OK) and archive.is_file() and sha256(archive) == hashed:
            return archive
    print(f"Downloading {name} {version} from the Python package index", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=workplace()) as folder:
        folder = pathlib.Path(folder)
        (folder / "requirements.txt").write_text(f"{name}=={version} --hash=sha256:{hashed}\n")
        # pip asks a source release for its metadata, and that of 2023 imports what setuptools had until then.
        (folder / "constraints.txt").write_text("setuptools<81\n")
        words = ["download", "--no-deps", "--no-binary", name, "--require-hashes", "-r", "requirements.txt"]
        constraints = {f"PIP_{kind}CONSTRAINT": str(folder / "constraints.txt") for kind in ("", "BUILD_")}
        log = folder / "download.log"
        with log.open("w") as out:
            code = pip(*words, environment=constraints, cwd=folder, stdout=out, stderr=subprocess.STDOUT).returncode
        if code or not (folder / archive.name).exists():
            fail(
                f"The source release {name} {version} could not be downloaded or did not match its sha256.",
                "check the network connection and run the same command again.",
                log,
            )
        os.replace(folder / archive.name, archive)
    return archive


def digest(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def texts(names):
    """What files of ours say, but for the repository's address, which decides nothing."""
    return [badges.DECLARED.sub("", (HERE / name).read_text(encoding="utf-8")) for name in names]


def cache_key(device):
    """Everything the wheel depends on: source, build files, Python, device, and the system's libraries."""
    release = platform.freedesktop_os_release()
    return digest(
        *SOURCES.values(),
        device.key,
        sysconfig.get_config_var("SOABI"),
        platform.machine(),
        release.get("ID", ""),
        release.get("VERSION_ID", ""),
        os.environ.get("CONDA_PREFIX", ""),
        *texts(BUILD_FILES + (CUDA_FILES if device.cuda else CPU_FILES)),
    )


def release_name():
    """The tag of the release with the wheels of these very sources and build files, published or not."""
    return "caffe-" + digest(*SOURCES.values(), *texts(BUILD_FILES + CUDA_FILES + CPU_FILES))


def put(wheel, folder):
    """Copy a wheel into a cache folder under a temporary name, rename it, and return its path there."""
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"part-{os.getpid()}"
    try:
        shutil.copyfile(wheel, part)
        os.replace(part, folder / wheel.name)
    finally:
        part.unlink(missing_ok=True)
    return folder / wheel.name


def find(folder):
    """Path of the whole wheel for this Python in a cache folder, None where there is none or it cannot be read."""
    try:
        found = sorted(folder.glob(f"caffe_jigsaw-*-cp{sys.version_info[0]}{sys.version_info[1]}-*.whl"))
        return next((wheel for wheel in found if whole(wheel)), None)
    except OSError as error:
        print(f"{folder} cannot be read: {error}", file=sys.stderr)
        return None


def whole(wheel):
    """Whether every file of a wheel is as it was packed (CRC-32), Caffe's own among them; says so where not."""
    try:
        with zipfile.ZipFile(wheel) as content:
            damaged = content.testzip()
            if not damaged and any(re.fullmatch(r"caffe/_caffe\..*so", name) for name in content.namelist()):
                return True
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        damaged = error
    print(f"{wheel} is damaged ({damaged or 'no Caffe in it'}) and not used", file=sys.stderr)
    return False


def found(device):
    """Path of the wheel for the running Python and a Device in the cache, from Drive or published; else None.

    The copies are a convenience: one that cannot be made costs a line and time, never the wheel.
    """
    key = cache_key(device)
    home, wheel = workplace() / "wheels" / key, find(CACHE / "wheels" / key)
    drive = DRIVE / "jigsaw-course" / "wheels" / key
    if not wheel and os.access(DRIVE, os.R_OK) and (wheel := find(drive)):
        print(f"The Caffe wheel comes from {drive}", file=sys.stderr)
        wheel = keep(wheel, home)
    return wheel or published(device, home)


def build(device):
    """As found; what is not found is compiled. A mounted Drive gets a copy for the next session."""
    wheel = found(device) or compile_wheel(device, workplace() / "wheels" / cache_key(device))
    drive = DRIVE / "jigsaw-course" / "wheels" / cache_key(device)
    if os.access(DRIVE, os.R_OK) and not find(drive) and keep(wheel, drive) != wheel:
        print(f"The Caffe wheel is kept for the next session in {drive}", file=sys.stderr)
    return wheel


def releases():
    """Address of the folder with the published wheels of these sources; None where this clone has no address."""
    chosen, address = course.variable("JIGSAW_RELEASES"), badges.address()
    # OWNER is a placeholder, and might be somebody's name.
    if chosen == "none" or (not chosen and "/OWNER/" in address):
        return None
    return chosen or f"{address}/releases/download/{release_name()}"


def download(url, deadline):
    """What is at `url`; OSError or HTTPException where it is not there or not all here at `deadline`, monotonic()."""
    content = bytearray()
    with urllib.request.urlopen(url, timeout=10) as answer:
        while part := answer.read1(1 << 20):
            content += part
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(content)} bytes came in {PATIENCE} s")
    return bytes(content)


def fits(name, device):
    """Whether a file of that name is a wheel for the running Python, this machine's C library, and a Device."""
    python = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    wheel = re.fullmatch(rf"caffe_jigsaw-[\d.]+-(?:([^-]+)-)?{python}-{python}-([\w.]+)\.whl", name)
    if not wheel:
        return False
    cuda, *architectures = (wheel[1] or "").split("_")
    for_device = cuda == device.tag.split("_")[0] and set(device.architectures) <= set(architectures)
    here = tuple(map(int, re.findall(r"\d+", platform.libc_ver()[1])))
    glibc = re.findall(rf"manylinux_(\d+)_(\d+)_{platform.machine()}", wheel[2])
    return for_device and any((int(major), int(minor)) <= here for major, minor in glibc)


def published(device, home):
    """Path of a published wheel, put into the cache folder `home`; None, with a line that says why, where none is.

    Its release has a file SHA256SUMS with a line for each wheel, as sha256sum writes them.
    """
    address = releases()
    if not address:
        return None
    deadline = time.monotonic() + PATIENCE
    try:
        lines = download(f"{address}/SHA256SUMS", deadline).decode().splitlines()
        sums = {line[66:]: line[:64] for line in lines if re.fullmatch(r"[0-9a-f]{64}  \S+", line)}
        name = next((name for name in sums if fits(name, device)), None)
        if not name:
            raise ValueError(f"none of {len(sums)} published wheels is for this Python and the {device.key}")
        content = download(f"{address}/{name}", deadline)
        if hashlib.sha256(content).hexdigest() != sums[name]:
            raise ValueError(f"{name} is not what its checksum says")
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"No wheel comes from {address}: {error}", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as folder:
        wheel = pathlib.Path(folder) / name
        wheel.write_bytes(content)
        if not whole(wheel):
            return None
        print(f"The Caffe wheel comes from {address}", file=sys.stderr)
        return moved(wheel, home)


def moved(wheel, home):
    """Path of a wheel's copy in the cache folder `home`, else in a folder of its own: where it is, it will be gone."""
    kept = keep(wheel, home)
    return put(wheel, pathlib.Path(tempfile.mkdtemp(prefix="jigsaw-course-"))) if kept == wheel else kept


def keep(wheel, folder):
    """Path of the wheel's copy in `folder`; where none can be made a line says why, and it is the wheel's own."""
    try:
        return put(wheel, folder)
    except OSError as error:
        print(f"The Caffe wheel is not kept in {folder}: {error.strerror}", file=sys.stderr)
        return wheel


def compile_wheel(device, home):
    """Compile the wheel into the cache folder `home` and return its path; exits with a message where it cannot."""
    missing = missing_system_packages()
    if missing:
        fail(
            f"Building Caffe needs system packages that are not here: {' '.join(missing)}",
            f"sudo apt-get install -y --no-install-recommends {' '.join(missing)}    (colab_setup.sh does it, too)",
        )
    missing = " ".join(f"'{package}'" for package in nvidia_packages(device))
    if missing:
        fail(
            f"The CUDA toolkit lacks what these packages hold: {missing}",
            f"{sys.executable} -m pip install {missing}    (colab_setup.sh does it, too)",
        )
    archives = [source_archive(release) for release in SOURCES]
    minutes = "four to six" if device.cuda else "two to three"
    print(f"Building the Caffe wheel ({minutes} minutes on two cores, once)", file=sys.stderr)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for archive in archives:
            with tarfile.open(archive) as tar:
                # Python before 3.10.12 and 3.11.4 has no filters; the archive's checksum was verified.
                tar.extraction_filter = getattr(tarfile, "data_filter", None)
                tar.extractall(folder)
        define = {"CAFFE_SOURCE": folder / CAFFE, "PROTOBUF_SOURCE": folder / PROTOBUF}
        if device.cuda:
            define |= {
                "CPU_ONLY": "OFF",
                "CMAKE_CUDA_ARCHITECTURES": ";".join(device.architectures),
                "CUDA_PACKAGES": nvidia_folder(),
            }
        settings = [f"--config-settings=cmake.define.{name}={value}" for name, value in define.items()]
        settings.append(f"--config-settings=build-dir={folder / 'build'}")
        log = folder / "build.log"
        with log.open("w") as out:
            code = pip(
                "wheel", "--no-deps", "-v", "-w", folder / "dist", HERE, *settings, stdout=out, stderr=subprocess.STDOUT
            ).returncode
        wheel = find(folder / "dist")
        if code or not wheel:
            fail(
                "The Caffe wheel could not be built.",
                "read the lines above, check that there are a network connection and 2 GB of disk, run again.",
                log,
            )
        wheel = moved(wheel, home)
        shutil.copytree(folder / "build" / "devel", wheel.parent / "devel", dirs_exist_ok=True)
    print(f"Built in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return wheel


def build_or_fall_back(device):
    """As build; where a wheel for the GPU cannot be built, the reason is printed and the CPU's is made instead."""
    try:
        return build(device)
    except SystemExit as failure:
        if not device.cuda:
            raise
        print(f"{failure}\nGoing on with the CPU build.", file=sys.stderr)
        return build(CPU)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", action="store_true", help="print the path of the source archive instead")
    parser.add_argument("--find", action="store_true", help="build nothing")
    parser.add_argument("--release", action="store_true", help="print the name of the release with published wheels")
    parser.add_argument("--missing", action="store_true", help="print the missing apt packages instead")
    parser.add_argument("--nvidia", action="store_true", help="print the missing packages of NVIDIA's instead")
    parser.add_argument("--device", action="store_true", help="print what it would build for instead")
    parser.add_argument("--shield", action="store_true", help="print shell commands that keep settings of pip away")
    arguments = parser.parse_args()
    if arguments.missing:
        print(*missing_system_packages())
    elif arguments.shield:
        print("unset", *NOT_OURS)
        print("export", *(f"{name}={value}" for name, value in PIP.items()))
    elif arguments.release:
        print(release_name())
    elif arguments.source:
        print(source_archive(CAFFE))
    else:
        try:
            device = choose_device()
        except ValueError as error:
            fail(str(error), "set it and run the same command again.")
        if arguments.nvidia:
            print(*nvidia_packages(device))
        elif arguments.device:
            print(device.key)
        elif arguments.find:
            print(found(device) or "")
        else:
            print(f"Caffe for the {'GPU' if device.cuda else 'CPU'}: {device.why}", file=sys.stderr)
            print(build_or_fall_back(device))
