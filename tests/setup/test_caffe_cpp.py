"""Caffe as it is shipped, from C++: the release's own layer and solver tests with our layers in the places of the
release's, and random geometries of pooling and convolution against slow references.

What is compiled is kept in the cache folder. More geometries, and other ones each time: make fuzz."""

import concurrent.futures
import hashlib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tarfile

import caffe
import pytest
from test_caffe_wheel import built, cached
from test_neighbours import NETS

from helpers import course

CPP = pathlib.Path(__file__).with_name("cpp")
INSTALLED = pathlib.Path(caffe.__file__).with_name("lib")
DEVEL = built().with_name("devel")
PACKAGING = course.ROOT / "packaging" / "caffe"
FUZZ = int(os.environ.get("JIGSAW_FUZZ", 0))
OUR_LAYERS = {
    path.name: f'#include "{path}"\n' for path in PACKAGING.glob("cpu_*.cpp") if path.name != "cpu_layers.cpp"
}

pytestmark = [
    pytest.mark.skipif(
        not shutil.which("c++"), reason="the release's C++ tests need a compiler: sudo apt-get install g++"
    ),
    pytest.mark.skipif(
        not DEVEL.exists(),
        reason="the Caffe wheel here was not compiled here, which leaves what C++ tests are linked to; an empty "
        "JIGSAW_CACHE and JIGSAW_RELEASES=none compile it",
    ),
]

THREADS = '#include "threads.cpp"\n'

# Tests of the release that its own code does not pass, whoever compiles it, or that BVLC's Caffe 1.0 does not.
NOT_PASSED = (
    "MultiBoxLossLayerTest*",  # older than the layer's mining_type; ends the process
    "LayerFactoryTest*",  # ProposalLayer calls itself by another name than the registry does
    "HDF5OutputLayerTest*",  # reads into blobs of no shape, which BVLC's takes for another net's: test_as_bvlc.py
    "*GPU*",
)

# What loads a library with a main() into a process that has pycaffe, as the `caffe` command does.
RUN = """
import ctypes, sys
from caffe import _caffe
libraries = [ctypes.CDLL(path) for path in sys.argv[1].split(":")]
words = [word.encode() for word in sys.argv[1:]]
sys.exit(libraries[-1].main(ctypes.c_int(len(words)), (ctypes.c_char_p * (len(words) + 1))(*words, None)))
"""


def run(*libraries, arguments=(), **environment):
    command = [sys.executable, "-c", RUN, ":".join(str(path) for path in libraries), *map(str, arguments)]
    environment = os.environ | {"GLOG_minloglevel": "2"} | environment
    return subprocess.run(command, capture_output=True, text=True, cwd=source(), env=environment)


def source():
    """The unpacked release."""

    def make(folder):
        with tarfile.open(built("--source")) as archive:
            archive.extractall(folder)

    return next(path for path in cached("release", make).iterdir() if path.is_dir())


def boost():
    def make(folder):
        command = [sys.executable, "-m", "pip", "install", "-qq", "--target", folder, "cmeel-boost>=1.87,<2"]
        subprocess.check_call(command)

    return cached(f"boost-{sys.version_info[0]}{sys.version_info[1]}", make) / "cmeel.prefix" / "include"


def compiled(name, sources, *options):
    """The library made of `sources`, {name: text of a C++ file}, and of Caffe, whose symbols the wheel hides.

    It is the same objects: compiling the wheel leaves them in devel/, with every symbol to be seen.
    """
    flags = ["-std=c++17", "-O0", "-fPIC", "-w", "-include", "cfloat", "-DCPU_ONLY", "-DBOOST_BIND_GLOBAL_PLACEHOLDERS"]
    release, system = source(), pathlib.Path("/usr/include")
    folders = [CPP, PACKAGING, DEVEL / "include", DEVEL / "include" / "caffe" / "proto", release / "include"]
    folders += [release / "src", boost(), system / "hdf5" / "serial"]
    flags += [f"-I{folder}" for folder in folders] + list(options)
    version = subprocess.check_output(["c++", "--version"], text=True)
    texts = [path.read_text() for path in sorted([*CPP.iterdir(), *PACKAGING.glob("*.[ch]pp")])]
    key = hashlib.sha256(repr((version, flags, sources, texts)).encode()).hexdigest()[:16]

    def make(folder):
        folder.mkdir(parents=True)
        for file, text in sources.items():
            (folder / file).write_text(text)

        def compile(file):
            subprocess.check_call(["c++", *flags, "-c", folder / file, "-o", folder / f"{file}.o"])

        with concurrent.futures.ThreadPoolExecutor(2) as workers:
            list(workers.map(compile, sources))
        libraries = [
            "-Wl,--no-as-needed",
            DEVEL / "lib" / "libcaffe.so",
            f"-Wl,-rpath={DEVEL / 'lib'},-rpath-link={INSTALLED}",
        ]
        system = ["-lglog", "-lgflags", "-lpthread"]
        objects = [folder / f"{file}.o" for file in sources]
        subprocess.check_call(["c++", "-shared", "-o", folder / "lib.so", *options, *objects, *libraries, *system])
        for object_ in objects:
            object_.unlink()

    return cached(f"cpp-{name}-{key}", make) / "lib.so"


def included(path):
    """A line that includes a file of the release's tests; several of them have an `eps` of their own."""
    return f'#define eps eps_{path.stem}\n#include "{path}"\n#undef eps\n'


@pytest.fixture(scope="module")
def release_tests():
    """The release's tests of layers, nets and solvers, and its own Google Test; two files for two cores."""
    tests = source() / "src" / "caffe" / "test"
    files = {
        path for pattern in ("*layer*", "*solver*", "*pooling*", "net") for path in tests.glob(f"test_{pattern}.cpp")
    }
    files = [included(path) for path in sorted(files | {tests / "test_caffe_main.cpp"})]
    assert len(files) == 61
    head = '#include "registered_layers.hpp"\n'
    sources = {f"tests{i}.cpp": head + "".join(files[i::2]) for i in range(2)}
    return compiled("tests", sources | {"gtest.cpp": '#include "gtest/gtest-all.cpp"\n'})


def passed(result):
    """How many tests passed; fails, with what was printed about it, where one did not."""
    failed = [line for line in result.stdout.splitlines() if "FAILED" in line]
    assert result.returncode == 0, "\n".join(failed) + result.stdout[-1000:] + result.stderr[-3000:]
    return int(result.stdout.split("[  PASSED  ] ")[1].split()[0])


@pytest.mark.parametrize("threads", ["1", "3"])
def test_the_release_s_own_layer_and_solver_tests_pass(release_tests, threads):
    arguments = [f"--gtest_filter=-{':'.join(NOT_PASSED)}"]
    assert passed(run(release_tests, arguments=arguments, CAFFE_THREADS=threads)) == 980


def our_convolution(registers, *changes):
    """Our layers for one kind of registers, always in the release's places, and with other texts in those of ours."""
    text = (PACKAGING / "cpu_convolution.cpp").read_text()
    for ours, other in (("if (WIDTH != (avx512 ? 64 : avx2 ? 32 : 16)) return false;", ""), *changes):
        assert text.count(ours) == 1
        text = text.replace(ours, other)
    return {f"{registers}.cpp": f"#define CPU_{registers.upper()}\n{text}"}


def has(*units):
    """A mark that skips a test where the processor lacks one of these vector units."""
    words = pathlib.Path("/proc/cpuinfo").read_text().split()
    return pytest.mark.skipif(not set(units) <= set(words), reason=f"this processor lacks {' or '.join(units)}")


AVX2, AVX512 = has("avx2", "fma"), has("avx2", "fma", "avx512f", "avx512vl", "avx512dq", "avx512bw")


@pytest.mark.parametrize(
    "registers", ["baseline", pytest.param("avx2", marks=AVX2), pytest.param("avx512", marks=AVX512)]
)
def test_our_convolution_passes_the_release_s_tests(release_tests, registers):
    """Their batches and outputs are few, and ours leaves such layers to the release's: here it does all it can.

    TestNDAgainst2D compares bits with those of the release's layer for more axes, which adds in another order.
    """
    limits = ("kFewest = 8;", "kFewest = 1;"), ("kOutputs = 6;", "kOutputs = 1;"), ("= 256;", "= 1;")
    every_size = compiled(f"every_size_{registers}", our_convolution(registers, *limits), "-O2")
    arguments = ["--gtest_filter=ConvolutionLayerTest*-*TestNDAgainst2D"]
    assert passed(run(every_size, release_tests, arguments=arguments, CAFFE_THREADS="2")) == 28


def test_fuzz_our_convolution_without_avx2():
    """What it does on other processors, with registers of 16 bytes: the same numbers, with threads, too."""
    sources = {"fuzz.cpp": '#include "fuzz_layers.cpp"\n', **our_convolution("baseline")}
    fuzz(compiled("fuzz_baseline", sources, "-O2"), 1000, CAFFE_THREADS="2")


def fuzz(library, count, **environment):
    seed = random.randrange(2**31) if FUZZ else 1
    result = run(library, arguments=[FUZZ or count, seed], **environment)
    assert result.returncode == 0, f"seed {seed}: {result.stdout[-1000:]}{result.stderr[-3000:]}"
    pools, convolutions = [int(word) for word in result.stdout.split() if word.isdigit()]
    assert min(pools, convolutions) > (FUZZ or count) / 2


def test_fuzz_every_geometry_reads_and_writes_its_own_blobs_and_gives_the_right_numbers():
    fuzz(compiled("fuzz", {"fuzz.cpp": '#include "fuzz_layers.cpp"\n'}), 3000)


def test_fuzz_our_layers_under_the_address_sanitizer():
    """Their own intermediate memory, too; compiled with the sanitizers, they take the places of those in the wheel."""
    asan = subprocess.check_output(["c++", "-print-file-name=libasan.so"], text=True).strip()
    ubsan = subprocess.check_output(["c++", "-print-file-name=libubsan.so"], text=True).strip()
    sanitizers = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize=vptr", "-fno-sanitize-recover=all"]
    library = compiled("sanitized", {"fuzz.cpp": '#include "fuzz_layers.cpp"\n', **OUR_LAYERS}, *sanitizers)
    settings = {"ASAN_OPTIONS": "detect_leaks=0", "PYTHONMALLOC": "malloc", "CAFFE_THREADS": "3"}
    fuzz(library, 1000, LD_PRELOAD=f"{asan} {ubsan}", **settings)


def test_our_threads_under_the_thread_sanitizer():
    """Two threads that touch the same number without waiting for each other end the process."""
    tsan = subprocess.check_output(["c++", "-print-file-name=libtsan.so"], text=True).strip()
    library = compiled("threads_sanitized", {"promises.cpp": THREADS, **OUR_LAYERS}, "-O1", "-g", "-fsanitize=thread")
    result = run(library, LD_PRELOAD=tsan, TSAN_OPTIONS="exitcode=66")
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-5000:]


@AVX512
def test_avx512_and_avx2_give_the_same_bits():
    said = []
    for registers in ("avx2", "avx512"):
        sources = {"promises.cpp": THREADS, **our_convolution(registers)}
        result = run(compiled(f"threads_{registers}", sources, "-O2"))
        assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-3000:]
        said.append(result.stdout)
    assert said[0] == said[1]


def test_what_threads_promise():
    """Each unit once, nobody's memory shared, what is thrown arrives, several callers, the same bits."""
    result = run(compiled("threads", {"promises.cpp": THREADS}, "-O1"))
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-3000:]


def test_another_protobuf_takes_no_symbol_s_place(tmp_path):
    """Every symbol of protobuf's that our objects define, in a library that is loaded for all and ends the process."""
    symbols = subprocess.check_output(["nm", "-D", "--defined-only", DEVEL / "lib" / "libcaffe.so"], text=True)
    names = {line.split()[2] for line in symbols.splitlines() if "6google8protobuf" in line.split()[2]}
    assert len(names) > 1000
    (tmp_path / "other.s").write_text("".join(f".globl {name}\n{name}: ud2\n" for name in sorted(names)))
    subprocess.check_call(["c++", "-shared", "-o", tmp_path / "other.so", tmp_path / "other.s"])
    loads = f"import ctypes; ctypes.CDLL({str(tmp_path / 'other.so')!r}, ctypes.RTLD_GLOBAL)"
    words = [sys.executable, "-c", f"{loads}\n{NETS}", tmp_path]
    result = subprocess.run(words, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
