"""The set-up: Colab's packages stay as they are, apt is asked for what is missing only, what fails says what to do."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import zipfile

import badges
import colab
import pytest
from colab import copy_of_the_set_up, set_up
from notebook_errors import errors
from servers import cut_short, html, respond, serve

from helpers import course


def command(folder, name, text):
    """A shell script `name` in `folder`, to be found before or instead of the real command."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


# --- Colab ----------------------------------------------------------------------------------------


def freeze(environment):
    """{package: version} of everything installed there."""
    lines = subprocess.check_output([environment / "bin" / "python", "-m", "pip", "list", "--format=freeze"], text=True)
    return dict(line.split("==") for line in lines.split())


def test_on_colab_every_preinstalled_package_keeps_its_version(tmp_path):
    stand_in = colab.environment(tmp_path / "colab")
    repository = copy_of_the_set_up(tmp_path)
    before = freeze(stand_in)
    command(stand_in / "bin", "apt-get", 'echo "$@" >> apt.log')
    path = f"{stand_in / 'bin'}:{os.environ['PATH']}"

    first = set_up(repository, path, COLAB_RELEASE_TAG="release-colab_20260819")
    assert first.returncode == 0, first.stdout + first.stderr
    checks = [line for line in first.stdout.splitlines() if line.startswith("[")]
    assert len(checks) >= 5 and all(line.startswith("[OK]") for line in checks)
    assert str(stand_in) in first.stdout and checks[-3].endswith("Colab") and "drive.mount" in checks[-2]
    assert checks[-1].startswith("[OK]   Caffe runs on CPU: a forward pass gives the right numbers, with ")

    after = freeze(stand_in)
    assert {name: after.get(name) for name in before} == before
    assert "caffe-jigsaw" in after and "scikit-image" in after
    assert not {"jupyterlab", "nbconvert", "pytest", "torch", "caffe"} & (set(after) - set(before))  # not needed there
    assert not (repository / ".venv").exists()
    assert not (repository / "apt.log").exists()  # no system package is missing where the wheel has been built

    # Once more, knowing Colab by its module alone: all is there, so nothing is installed, and no network is needed.
    second = set_up(repository, path, PIP_NO_INDEX="1")
    assert second.returncode == 0 and "Installing" not in second.stdout
    assert freeze(stand_in) == after

    # A GPU is asked for, and its wheel (here the CPU's, which says that it is one) finds no card: back to the CPU's.
    a_card_and_nvcc(stand_in / "bin")
    cache = tmp_path / "cache"
    cpu = cached_wheel(stand_in / "bin" / "python", "CPU", course.cache_folder())
    here = cached_wheel(stand_in / "bin" / "python", "CPU", cache)
    here.mkdir(parents=True)
    shutil.copy(next(cpu.glob("*.whl")), here)
    pretended = cached_wheel(stand_in / "bin" / "python", "Device('', '12.8', ('75',))", cache)
    pretended.mkdir(parents=True)
    pretend_cuda(next(cpu.glob("*.whl")), pretended)
    third = set_up(repository, path, COLAB_RELEASE_TAG="release", JIGSAW_DEVICE="gpu", JIGSAW_CACHE=str(cache))
    assert third.returncode == 0, third.stdout + third.stderr
    assert "Caffe for the GPU: Tesla T4, nvcc 12.8; JIGSAW_DEVICE=cpu chooses the CPU" in third.stderr
    assert "shows no CUDA card" in third.stderr and "installing the CPU build instead" in third.stdout
    assert third.stdout.splitlines()[-1].startswith("[OK]   Caffe runs on CPU")

    # The next day, without Drive, compiler or apt's packages: a published wheel.
    (built,) = cpu.glob("*.whl")
    name = re.sub(r"-[\w.]+\.whl", "-manylinux_2_17_x86_64.whl", built.name)
    command(stand_in / "bin", "c++", "exit 1")
    subprocess.check_call([stand_in / "bin" / "python", "-m", "pip", "uninstall", "-qq", "-y", "caffe-jigsaw"])
    (stand_in / "share" / "jigsaw-course" / "setup").unlink()
    with serve(**{"SHA256SUMS": page(sums((name, built.read_bytes()))), name: page(built.read_bytes())}) as (
        address,
        _,
    ):
        settings = {"JIGSAW_CACHE": str(tmp_path / "none"), "JIGSAW_RELEASES": address, "JIGSAW_DEVICE": "cpu"}
        fourth = set_up(repository, path, COLAB_RELEASE_TAG="release", **settings)
    assert fourth.returncode == 0, fourth.stdout + fourth.stderr
    assert f"comes from {address}" in fourth.stderr and "Building the Caffe wheel" not in fourth.stderr
    assert fourth.stdout.splitlines()[-1].startswith("[OK]   Caffe runs on CPU")
    assert not (repository / "apt.log").exists()


# --- CPU or GPU -----------------------------------------------------------------------------------

BUILD = course.ROOT / "packaging" / "caffe" / "build_wheel.py"


def a_card_and_nvcc(folder, card="Tesla T4, 7.5", nvcc="12.8"):
    """Commands nvidia-smi and nvcc that answer like a machine with this card and CUDA toolkit; "" leaves one out."""
    folder.mkdir(parents=True, exist_ok=True)
    if card:
        command(folder, "nvidia-smi", f"echo {card}")
    if nvcc:
        toolkit = folder.parent / "cuda"
        command(toolkit / "bin", "nvcc", f"echo Cuda compilation tools, release {nvcc}, V{nvcc}.93")
        (toolkit / "include").mkdir(exist_ok=True)
        for header in ("cublas_v2.h", "curand.h", "cudnn.h"):
            (toolkit / "include" / header).touch()
        (folder / "nvcc").unlink(missing_ok=True)
        (folder / "nvcc").symlink_to(toolkit / "bin" / "nvcc")


def cached_wheel(python, device, cache):
    """The folder in a cache where build_wheel.py looks for the wheel of a Device, for that Python."""
    code = f"from build_wheel import *; print(cache_key({device}))"
    key = subprocess.check_output([python, "-c", code], cwd=BUILD.parent, text=True).strip()
    return cache / "wheels" / key


def pretend_cuda(wheel, folder):
    """Copy a CPU wheel into `folder` with a build_info.py that says CUDA."""
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(folder / wheel.name, "w") as new:
        for item in old.infolist():
            content = old.read(item)
            if item.filename == "caffe/build_info.py":
                content = b'CUDA = "12.8"\nCUDNN = ""\nARCHITECTURES = ("75",)\n'
            if not item.filename.endswith("RECORD"):
                new.writestr(item, content)
            else:  # pip wants each file named there, not its hash
                new.writestr(item, b"\n".join(line.split(b",")[0] + b",," for line in content.splitlines()) + b"\n")


def build_wheel(folder, *words, **environment):
    """Run build_wheel.py with the commands of `folder` before the system's, and no other nvcc or nvidia-smi."""
    path = [part for part in os.environ["PATH"].split(":") if not (pathlib.Path(part) / "nvcc").exists()]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JIGSAW_")}
    return subprocess.run(
        [sys.executable, BUILD, *words],
        text=True,
        capture_output=True,
        env={**kept, "PATH": ":".join([str(folder), *path]), "JIGSAW_CACHE": str(course.cache_folder()), **environment},
    )


@pytest.mark.parametrize(
    ("card", "nvcc", "wish", "device"),
    [
        ("", "", {}, "cpu"),
        ("", "12.8", {}, "cpu"),
        ("Tesla T4, 7.5", "", {}, "cpu"),
        ("Tesla T4, 7.5", "12.8", {}, "cuda12.8-75"),
        ("NVIDIA H100 80GB HBM3, 9.0", "13.0", {}, "cuda13.0-90"),
        ("Tesla T4, 7.5", "12.8", {"JIGSAW_DEVICE": "cpu"}, "cpu"),
        ("", "12.8", {"JIGSAW_DEVICE": "gpu", "JIGSAW_CUDA_ARCHITECTURES": "75 80"}, "cuda12.8-75-80"),
    ],
)
def test_the_device_is_chosen(tmp_path, card, nvcc, wish, device):
    a_card_and_nvcc(tmp_path / "bin", card, nvcc)
    assert build_wheel(tmp_path / "bin", "--device", **wish).stdout.strip() == device


@pytest.mark.parametrize(
    ("card", "nvcc", "wish", "words"),
    [
        ("Tesla T4, 7.5", "", "gpu", "there is no nvcc.*CUDA toolkit"),
        ("", "12.8", "gpu", "no NVIDIA card is here.*JIGSAW_CUDA_ARCHITECTURES=75"),
        ("", "", "tpu", "JIGSAW_DEVICE is 'tpu'.*auto, cpu, gpu"),
    ],
)
def test_a_wish_that_cannot_be_granted_says_why(tmp_path, card, nvcc, wish, words):
    a_card_and_nvcc(tmp_path / "bin", card, nvcc)
    result = build_wheel(tmp_path / "bin", JIGSAW_DEVICE=wish)
    assert result.returncode == 1 and re.search(words, result.stderr, re.DOTALL)


def test_the_choice_is_said_in_one_line_with_the_way_to_the_other(tmp_path):
    a_card_and_nvcc(tmp_path / "bin", nvcc="")
    result = build_wheel(tmp_path / "bin")
    assert result.returncode == 0 and result.stdout.strip().endswith(".whl")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Caffe for")]
    assert line == (
        "Caffe for the CPU: Tesla T4 is here, but no nvcc to build for it; install NVIDIA's CUDA toolkit and run "
        "this again"
    )


def test_what_the_toolkit_lacks_is_asked_of_pypi(tmp_path):
    a_card_and_nvcc(tmp_path / "bin")
    assert build_wheel(tmp_path / "bin", "--nvidia").stdout.split() == []
    for header in (tmp_path / "cuda" / "include").iterdir():
        header.unlink()
    wanted = build_wheel(tmp_path / "bin", "--nvidia").stdout.split()
    assert wanted == ["nvidia-cublas-cu12>=12,<13", "nvidia-curand-cu12", "nvidia-cudnn-cu12>=9,<10"]
    a_card_and_nvcc(tmp_path / "bin", nvcc="13.0")
    for header in (tmp_path / "cuda" / "include").iterdir():
        header.unlink()
    wanted = build_wheel(tmp_path / "bin", "--nvidia").stdout.split()
    assert wanted == ["nvidia-cublas>=13,<14", "nvidia-curand", "nvidia-cudnn-cu13>=9,<10"]


def test_a_build_for_the_gpu_that_fails_gives_the_cpu_wheel(tmp_path):
    a_card_and_nvcc(tmp_path / "bin")
    result = build_wheel(tmp_path / "bin", PIP_NO_INDEX="1", PIP_FIND_LINKS="", PIP_CONFIG_FILE=os.devnull)
    assert result.returncode == 0
    assert "[FAIL] The Caffe wheel could not be built." in result.stderr
    assert "Going on with the CPU build." in result.stderr
    assert result.stdout.strip().endswith(".whl")


def test_a_mounted_drive_keeps_the_wheel_for_the_next_session(tmp_path):
    a_card_and_nvcc(tmp_path / "bin", card="", nvcc="")
    drive, cache = tmp_path / "drive", tmp_path / "cache"
    drive.mkdir()
    first = build_wheel(tmp_path / "bin", JIGSAW_DRIVE=str(drive))
    assert "kept for the next session" in first.stderr
    next_day = build_wheel(tmp_path / "bin", JIGSAW_DRIVE=str(drive), JIGSAW_CACHE=str(cache), PIP_NO_INDEX="1")
    assert next_day.returncode == 0 and "comes from" in next_day.stderr
    wheel = pathlib.Path(next_day.stdout.strip())
    assert wheel.is_relative_to(cache)
    assert wheel.read_bytes() == pathlib.Path(first.stdout.strip()).read_bytes()


@pytest.mark.parametrize("content", [b"", b"<html>quota exceeded</html>", "cut short", "another Python's", "a byte"])
def test_a_damaged_wheel_is_not_handed_out(tmp_path, content):
    """From the cache nor from Drive: the other is used, and the damaged one replaced."""
    a_card_and_nvcc(tmp_path / "bin", card="", nvcc="")
    drive, cache = tmp_path / "drive", tmp_path / "cache"
    drive.mkdir()
    good = pathlib.Path(build_wheel(tmp_path / "bin", JIGSAW_DRIVE=str(drive)).stdout.strip())
    whole = good.read_bytes()
    (on_drive,) = drive.glob("jigsaw-course/wheels/*/*.whl")
    here = cache / on_drive.relative_to(drive / "jigsaw-course")
    here.parent.mkdir(parents=True)
    if content == "another Python's":
        shutil.copy(good, re.sub(r"-cp\d+-cp\d+-", "-cp39-cp39-", str(here)))
    else:
        middle = len(whole) // 2
        damaged = {"cut short": whole[:-1000], "a byte": whole[:middle] + b"damaged" + whole[middle + 7 :]}
        here.write_bytes(damaged.get(content, content))
    settings = {"JIGSAW_DRIVE": str(drive), "JIGSAW_CACHE": str(cache), "PIP_NO_INDEX": "1"}
    result = build_wheel(tmp_path / "bin", **settings)
    assert result.returncode == 0, result.stderr
    assert pathlib.Path(result.stdout.strip()).read_bytes() == whole
    assert "comes from" in result.stderr
    on_drive.write_bytes(b"damaged")
    assert build_wheel(tmp_path / "bin", **settings).returncode == 0
    assert on_drive.read_bytes() == whole


@pytest.mark.parametrize("place", ["JIGSAW_DRIVE", "JIGSAW_CACHE"])
def test_a_folder_that_cannot_be_written_costs_a_line(tmp_path, place):
    """/proc may not be written to, not even by root: a Drive or a cache that is full, read-only or gone."""
    a_card_and_nvcc(tmp_path / "bin", card="", nvcc="")
    drive = tmp_path / "drive"
    drive.mkdir()
    build_wheel(tmp_path / "bin", JIGSAW_DRIVE=str(drive))
    result = build_wheel(tmp_path / "bin", **{"JIGSAW_DRIVE": str(drive), place: "/proc/self"})
    assert result.returncode == 0, result.stderr
    assert zipfile.is_zipfile(result.stdout.strip())
    assert re.search("(is not kept in|Nothing is kept).*/proc/self", result.stderr)


# --- Published wheels -----------------------------------------------------------------------------


@pytest.fixture
def wheel(tmp_path):
    """(name, content) of the wheel for this Python, named as one that was repaired for a C library of old."""
    a_card_and_nvcc(tmp_path / "bin", card="", nvcc="")
    built = pathlib.Path(build_wheel(tmp_path / "bin", JIGSAW_RELEASES="none").stdout.strip())
    return re.sub(r"-[\w.]+\.whl", "-manylinux_2_17_x86_64.whl", built.name), built.read_bytes()


def sums(*files):
    return "".join(f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files).encode()


def page(content):
    return lambda handler: respond(handler, content)


def look(tmp_path, address, *words, **settings):
    """build_wheel.py with an empty cache and published wheels at `address`; PIP_NO_INDEX: nothing can be compiled."""
    settings = {"JIGSAW_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1", "JIGSAW_RELEASES": address} | settings
    return build_wheel(tmp_path / "bin", *words, **settings)


def test_a_published_wheel_is_taken_and_kept(tmp_path, wheel):
    name, content = wheel
    others = [(name.replace("-cp3", "-1cuda12.8_75-cp3"), b""), ("caffe_jigsaw-1.0.0-cp39-cp39-linux_x86_64.whl", b"")]
    newer = (name.replace("2_17", "9_99"), b"for a C library to come")
    with serve(**{"SHA256SUMS": page(sums(*others, newer, wheel)), name: page(content)}) as (address, requests):
        first = look(tmp_path, address, "--find")
        assert pathlib.Path(first.stdout.strip()).name == name, first.stderr
        assert pathlib.Path(first.stdout.strip()).read_bytes() == content
        assert f"comes from {address}" in first.stderr
        assert [path for path, _ in requests] == ["SHA256SUMS", name]
        assert look(tmp_path, address).stdout == first.stdout  # from the cache
        assert len(requests) == 2


def test_a_wheel_for_the_card_is_taken(tmp_path, wheel):
    name, content = wheel
    name = name.replace("-cp3", "-1cuda12.8_75_80_89-cp3", 1)
    a_card_and_nvcc(tmp_path / "bin")
    with serve(**{"SHA256SUMS": page(sums((name, content))), name: page(content)}) as (address, _):
        assert look(tmp_path, address, "--find").stdout.strip().endswith(name)
        a_card_and_nvcc(tmp_path / "bin", card="NVIDIA H100, 9.0")
        assert "none of 1 published wheels is for this Python and the cuda12.8-90" in (
            look(tmp_path, address, "--find").stderr
        )


def dripping(handler):
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        handler.wfile.write(b"0")
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("no server", "refused"),
        ("no release", "404"),
        ("a page for the sums", "none of 0 published"),
        ("a page for the wheel", "is not what its checksum says"),
        ("another file", "is not what its checksum says"),
        ("cut short", "is not what its checksum says"),
        ("slow", "bytes came in"),
        ("not text", "decode"),
        ("damaged when it was published", "is damaged"),
    ],
)
def test_what_cannot_be_had_costs_a_line_and_the_wheel_is_built(tmp_path, wheel, what, says):
    """And nothing damaged is handed out or kept."""
    name, content = wheel
    damaged = content[:-1000]
    pages = {"SHA256SUMS": page(sums(wheel)), name: page(content)} | {
        "no release": {"SHA256SUMS": html(404)},
        "a page for the sums": {"SHA256SUMS": html()},
        "a page for the wheel": {name: html()},
        "another file": {name: page(content + b"more")},
        "cut short": {name: cut_short(content, len(content) // 2)},
        "slow": {name: dripping},
        "not text": {"SHA256SUMS": page(b"\xff\xfe")},
        "damaged when it was published": {"SHA256SUMS": page(sums((name, damaged))), name: page(damaged)},
    }.get(what, {})
    with serve(**pages) as (address, _):
        if what == "no server":
            address = "http://127.0.0.1:1"
        compiles = "b.compile_wheel = lambda *_: 'compiled'"
        code = f"import build_wheel as b; b.PATIENCE = 2; {compiles}; print(b.build(b.CPU))"
        settings = {"JIGSAW_CACHE": str(tmp_path / "cache"), "JIGSAW_RELEASES": address, "JIGSAW_DEVICE": "cpu"}
        words = [sys.executable, "-c", code]
        result = subprocess.run(words, cwd=BUILD.parent, text=True, capture_output=True, env=os.environ | settings)
    assert result.stdout.strip() == "compiled", result.stderr
    assert says in result.stderr and "Traceback" not in result.stderr
    assert not list(tmp_path.glob("cache/wheels/**/*.whl"))


def test_the_releases_are_those_of_the_clone_s_remote_and_the_placeholder_is_nobody(tmp_path):
    clone = a_clone(copy_of_the_set_up(tmp_path), "git@github.com:some-body/course.git")
    asks = [sys.executable, "-c", "import build_wheel; print(build_wheel.releases())"]
    own = {name: value for name, value in os.environ.items() if name not in ("JIGSAW_RELEASES", "PYTHONPATH")}

    def says():
        return subprocess.check_output(asks, cwd=clone / "packaging" / "caffe", env=own, text=True).strip()

    before = says()
    assert re.fullmatch(r"https://github\.com/some-body/course/releases/download/caffe-[0-9a-f]{16}", before)
    subprocess.check_call([sys.executable, "scripts/badges.py"], cwd=clone, stdout=subprocess.DEVNULL)
    assert says() == before  # the address is no part of what was built
    (clone / "packaging" / "caffe" / "CMakeLists.txt").write_text("# another build\n")
    assert says() != before
    subprocess.check_call(["git", "-C", clone, "checkout", "-q", "."])
    subprocess.check_call(["git", "-C", clone, "remote", "remove", "origin"])
    assert says() == "None"


# --- Settings that others made --------------------------------------------------------------------

INHERITED = {
    "PIP_USER": "1",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_NO_DEPS": "1",
    "PIP_TARGET": "/nowhere",
    "PIP_PREFIX": "/nowhere",
    "PYTHONPATH": "/nowhere",
}


def test_settings_of_pip_stay_out_of_the_build(tmp_path):
    """PIP_CONSTRAINT as NVIDIA's images set it, here with what no build can meet: pip, asked by us, does not see it."""
    (tmp_path / "constraints.txt").write_text("scikit-build-core==0.0.1\ncmake==0.0.1\n")
    code = (
        "import build_wheel, sys; sys.exit(build_wheel.pip('config', 'debug', capture_output=True).returncode or "
        "print(build_wheel.pip('list', '--format=freeze', capture_output=True, text=True).stdout))"
    )
    environment = os.environ | INHERITED | {"PIP_CONSTRAINT": str(tmp_path / "constraints.txt")}
    listed = subprocess.check_output([sys.executable, "-c", code], cwd=BUILD.parent, env=environment, text=True)
    assert "caffe-jigsaw==" in listed  # with PIP_USER or PIP_TARGET it would list another folder
    words = [sys.executable, BUILD, "--shield"]
    shield = subprocess.check_output(words, env=environment, text=True)
    left = subprocess.check_output(["bash", "-c", f"{shield}\nenv"], env=environment, text=True).splitlines()
    assert not [
        line for line in left if line.split("=")[0] in ("PIP_NO_DEPS", "PIP_TARGET", "PIP_PREFIX", "PYTHONPATH")
    ]
    assert {"PIP_USER=0", "PIP_REQUIRE_VIRTUALENV=0", "PIP_CONSTRAINT=/dev/null"} <= set(left)


def test_with_debians_own_python_and_a_clusters_settings_the_set_up_and_the_archives_work(tmp_path):
    """Debian 12 has Python 3.11.2, whose tarfile knows no filters. Only where /usr/bin/python3 is one that we name."""
    python = "/usr/bin/python3"
    asks = "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))"
    if subprocess.run([python, "-c", asks], capture_output=True).returncode:
        pytest.skip("there is no /usr/bin/python3 from 3.10 to 3.14 on this machine")
    repository = copy_of_the_set_up(tmp_path)
    shutil.copytree(course.ROOT / "tests", repository / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "constraints.txt").write_text("numpy==1.26.0\n")
    settings = INHERITED | {"PIP_CONSTRAINT": str(tmp_path / "constraints.txt"), "PYTHON": python}
    result = set_up(repository, os.environ["PATH"], **settings)
    assert result.returncode == 0, result.stdout + result.stderr
    version = subprocess.check_output([python, "-c", "import platform; print(platform.python_version())"], text=True)
    assert f"[OK]   Python {version.strip()} ({repository}/.venv/bin/python)" in result.stdout
    modules = [repository / "tests" / name for name in ("data/test_archives.py", "heart/test_course.py")]
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    words = [repository / ".venv" / "bin" / "python", "-m", "pytest", "-q", "-n", "0", *modules]
    tests = subprocess.run(words, cwd=repository, env=own, text=True, capture_output=True)
    assert tests.returncode == 0 and " passed" in tests.stdout, tests.stdout + tests.stderr


# --- System packages ------------------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path):
    """A repository and a PATH with only a few commands, on which HDF5's header is missing; its bin/ is the PATH."""
    repository = copy_of_the_set_up(tmp_path)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "cat", "dirname", "env", "grep", "make", "mkdir", "mktemp", "rm", "sha256sum"):
        (tools / name).symlink_to(shutil.which(name))
    command(tools, "python3", f'exec "{sys.executable}" "$@"')
    command(tools, "c++", "! grep -q hdf5.h")
    command(tools, "id", "echo 1000")
    return repository


def test_without_root_and_sudo_it_says_what_an_administrator_should_install(machine):
    command(machine / "bin", "apt-get", "exit 1")
    result = set_up(machine, str(machine / "bin"))
    assert result.returncode == 1
    assert "apt-get install -y --no-install-recommends libhdf5-dev'" in result.stderr
    assert "administrator" in result.stderr
    assert not (machine / ".venv").exists()


def test_with_sudo_only_the_missing_package_is_installed(machine):
    command(machine / "bin", "sudo", 'echo "sudo $@" >> sudo.log; exec "$@"')
    command(machine / "bin", "apt-get", '[ "$1" = update ]')
    result = set_up(machine, str(machine / "bin"))
    assert (machine / "sudo.log").read_text().splitlines() == [
        "sudo apt-get update -qq",
        "sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends libhdf5-dev -qq",
    ]
    assert result.returncode == 1
    assert result.stderr.startswith("[FAIL] apt-get could not install: libhdf5-dev\nWhat to do: ")


def test_as_root_it_goes_on_after_apt_and_says_so_when_the_network_is_gone(machine):
    command(machine / "bin", "id", "echo 0")
    command(machine / "bin", "apt-get", '[ "$1" = update ] || printf "#!/bin/sh\\n" > bin/c++')
    result = set_up(machine, str(machine / "bin"), PIP_NO_INDEX="1", PIP_FIND_LINKS="", PIP_CONFIG_FILE=os.devnull)
    assert "Installing system packages: libhdf5-dev" in result.stdout and "Making .venv" in result.stdout
    assert result.returncode == 1
    assert result.stderr.splitlines()[-2].startswith("[FAIL] The Python packages could not be installed.")
    assert "network" in result.stderr.splitlines()[-1]
    assert not list(machine.glob(".venv/share/jigsaw-course/*"))


def test_an_unsuitable_python_is_named(machine):
    command(machine / "bin", "python3.9", "exit 1")
    result = set_up(machine, str(machine / "bin"), PYTHON="python3.9")
    assert result.returncode == 1
    assert result.stderr.startswith("[FAIL] python3.9 is not a Python from 3.10 to 3.14.\nWhat to do: ")


def test_make_sets_up_once_and_again_when_its_inputs_change(tmp_path):
    repository = copy_of_the_set_up(tmp_path)

    def sets_up():
        commands = subprocess.check_output(["make", "-n", "test"], cwd=repository, text=True)
        return "bash colab_setup.sh" in commands

    assert sets_up()
    stamp = repository / ".venv" / "share" / "jigsaw-course" / "setup"
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    assert not sets_up()
    for name in ("pyproject.toml", "colab_setup.sh", "packaging/caffe/CMakeLists.txt"):
        later = stamp.stat().st_mtime + 10
        os.utime(repository / name, (later, later))
        assert sets_up(), name
        os.utime(stamp, (later, later))


# --- What stands in two places stays in step -------------------------------------------------------


def test_every_badge_and_clone_command_has_the_address_of_pyproject():
    assert not badges.out_of_step(course.ROOT, badges.declared()), "run `make badges`"
    assert f"git clone {badges.declared()}" in (course.ROOT / "README.md").read_text()


def test_every_notebook_has_a_badge_that_opens_it():
    owner = badges.declared().removeprefix("https://github.com/")
    for notebook in sorted((course.ROOT / "notebooks").glob("*.ipynb")):
        badge = f"https://colab.research.google.com/github/{owner}/blob/main/notebooks/{notebook.name}"
        assert badge in notebook.read_text(encoding="utf-8"), notebook.name


def test_badges_are_rewritten_to_a_new_address(tmp_path):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/new/home"\n')
    (tmp_path / "README.md").write_text(
        "git clone https://github.com/old/place course && cd course, or https://old.github.io/place/\n"
    )
    badge = (
        "[![Open](https://colab.research.google.com/assets/colab-badge.svg)]"
        "(https://colab.research.google.com/github/{}/blob/main/notebooks/01.ipynb)"
    )
    cells = [
        {
            "source": [
                badge.format("old/place"),
                "!git clone -q --depth=1 https://github.com/old/place\n",
                "see https://github.com/BVLC/caffe/blob/master/include/caffe/filler.hpp",
                "[card](https://github.com/old/place/blob/main/helpers/pretrained/card.md)",
            ]
        }
    ]
    notebook = tmp_path / "notebooks" / "01.ipynb"
    notebook.write_text(json.dumps({"cells": cells}))
    changed = badges.out_of_step(tmp_path, badges.address(tmp_path))
    assert changed[tmp_path / "README.md"] == (
        "git clone https://github.com/new/home course && cd course, or https://new.github.io/home/\n"
    )
    assert json.loads(changed[notebook])["cells"][0]["source"] == [
        badge.format("new/home"),
        "!git clone -q --depth=1 https://github.com/new/home\n",
        "see https://github.com/BVLC/caffe/blob/master/include/caffe/filler.hpp",
        "[card](https://github.com/new/home/blob/main/helpers/pretrained/card.md)",
    ]


def a_clone(folder, remote):
    """A git repository with the files that hold the course's address, all committed, and this remote `origin`."""
    for name in ("pyproject.toml", "README.md", "scripts/badges.py", "notebooks/01_pretext.ipynb"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy(course.ROOT / name, folder / name)
    name = ["-c", "user.name=A", "-c", "user.email=a@b.c"]
    for words in (["init", "-q"], ["add", "."], [*name, "commit", "-qm", "a"], ["remote", "add", "origin", remote]):
        subprocess.check_call(["git", "-C", folder, *words])
    return folder


@pytest.mark.parametrize(
    "remote",
    [
        "https://github.com/some-body/a.course",
        "https://github.com/some-body/a.course.git",
        "https://name:token@github.com/some-body/a.course.git/",
        "git@github.com:some-body/a.course.git",
        "ssh://git@github.com/some-body/a.course.git",
        "ssh://git@ssh.github.com:443/some-body/a.course.git",
    ],
)
def test_the_address_is_that_of_the_clones_remote(tmp_path, remote):
    assert badges.address(a_clone(tmp_path, remote)) == "https://github.com/some-body/a.course"


@pytest.mark.parametrize(
    "remote", ["/srv/git/course.git", "https://gitlab.com/some/body", "https://github.com.example.org/some/body"]
)
def test_a_remote_elsewhere_leaves_the_address_of_pyproject(tmp_path, remote):
    assert badges.address(a_clone(tmp_path, remote)) == badges.declared()


def test_a_folder_inside_of_another_clone_does_not_take_its_address(tmp_path):
    a_clone(tmp_path, "https://github.com/some/dotfiles")
    (tmp_path / "course").mkdir()
    shutil.copy(course.ROOT / "pyproject.toml", tmp_path / "course")
    assert badges.address(tmp_path / "course") == badges.declared()


def test_make_badges_fills_the_address_in_and_the_set_up_only_says_so(tmp_path):
    clone = a_clone(tmp_path, "git@github.com:some-body/course.git")
    dirty = ["git", "-C", clone, "status", "--porcelain"]
    # The line with which the set-up asks.
    (asks,) = re.findall(r"^.*scripts/badges\.py.*$", (course.ROOT / "colab_setup.sh").read_text(), re.MULTILINE)
    script = f"set -euo pipefail; on_colab() {{ false; }}; python={sys.executable}; {asks}"
    said = subprocess.run(["bash", "-c", script], cwd=clone, text=True, capture_output=True)
    assert said.returncode == 0 and not subprocess.check_output(dirty)
    assert said.stderr == (
        "This clone is of https://github.com/some-body/course. `make badges` writes that address into pyproject.toml, "
        "README.md, 01_pretext.ipynb\n"
    )
    subprocess.check_call([sys.executable, "scripts/badges.py"], cwd=clone)
    assert len(subprocess.check_output(dirty).splitlines()) == 3
    assert badges.declared(clone) == "https://github.com/some-body/course"
    for name in ("README.md", "notebooks/01_pretext.ipynb"):
        text = (clone / name).read_text(encoding="utf-8")
        assert "OWNER" not in text and "https://github.com/some-body/course " in text
    assert not subprocess.run(["bash", "-c", script], cwd=clone, text=True, capture_output=True).stderr


def test_conda_and_pip_ask_for_the_same_ranges_and_say_why():
    """Every dependency line has its reason as a comment; a package in both files has one range."""
    line = re.compile(r'^\s+(?:- |")(?!pip:|-e )([\w.-]+?)(?:-base)? ?([<>=][^"#]*?)?"?,? *(#.*)?$', re.MULTILINE)
    pyproject = re.search(r"^dependencies = \[\n(.*?)^\]", (course.ROOT / "pyproject.toml").read_text(), re.M | re.S)[1]
    conda = (course.ROOT / "environment.yml").read_text().split("dependencies:\n")[1]
    reasons = {name: (wanted, why) for name, wanted, why in line.findall(pyproject)}
    assert len(reasons) >= 10 and all(why for _, why in reasons.values())
    in_conda = {name: wanted for name, wanted, _ in line.findall(conda)}
    assert {name: in_conda[name] for name in reasons if name in in_conda} == {
        name: wanted for name, (wanted, _) in reasons.items() if name in in_conda
    }
    assert set(reasons) - set(in_conda) == {
        "keras",
        "jax",
        "backports.tarfile",
    }  # the pip line of environment.yml brings these


# --- Errors that executed notebooks hide ------------------------------------------------------------


def widget(output):
    return {
        "application/vnd.jupyter.widget-state+json": {
            "state": {
                "ab12": {"model_name": "OutputModel", "state": {"outputs": [output]}},
                "cd34": {"model_name": "IntSliderModel", "state": {"value": 3}},
            }
        }
    }


@pytest.mark.parametrize(
    "output, error",
    [
        ({"output_type": "error", "ename": "KeyError", "evalue": "'conv9'", "traceback": []}, "KeyError: 'conv9'"),
        (
            {
                "output_type": "stream",
                "name": "stderr",
                "text": "Traceback (most recent call last):\n  ...\nValueError: no",
            },
            "ValueError: no",
        ),
        ({"output_type": "stream", "name": "stdout", "text": "all is well"}, None),
    ],
)
def test_an_error_is_found_in_cells_and_in_widget_state(output, error):
    in_cell = {"cells": [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": [output]}], "metadata": {}}
    in_widget = {"cells": [], "metadata": {"widgets": widget(output)}}
    assert errors(in_cell) == ([f"cell 2: {error}"] if error else [])
    assert errors(in_widget) == ([f"widget ab12: {error}"] if error else [])


def test_widget_metadata_without_state_is_an_error():
    """GitHub calls such a notebook invalid (googlecolab/colabtools issue 5288)."""
    (error,) = errors({"cells": [], "metadata": {"widgets": {"application/vnd.jupyter.widget-state+json": {}}}})
    assert "state" in error and "GitHub" in error
