"""Threads inside Caffe's layers: the same bits for any number of them, in a forked child, too; who sets how many."""

import dataclasses
import os
import re
import subprocess
import sys
import zlib

import caffe
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import assume, given, settings, strategies as st
from small_training import assert_same, fit, halted

from helpers import features, nets, recipes
from helpers.training import device, memory, schedule

NUMBERS = (1, 2, 3, 8)


def crc(arrays, crc=0):
    for array in arrays:
        crc = zlib.crc32(np.ascontiguousarray(array), crc)
    return crc


def stepped(folder, net, batch, threads, steps=2):
    """CRC-32 of all blobs, gradients and weights of a net after so many steps of Adam."""
    (folder / "net.prototxt").write_text(str(net))
    recipe = dataclasses.replace(recipes.CIFAR100_FINE_TUNE, batch_size=batch)
    parameter = schedule.solver_parameter(recipe, folder / "net.prototxt", 10, seed=1)
    (folder / "solver.prototxt").write_text(str(parameter))
    with device.working_threads(threads):
        solver = caffe.get_solver(str(folder / "solver.prototxt"))
        rng = np.random.default_rng(batch)
        data, label = solver.net.blobs["data"], solver.net.blobs["label"]
        data.reshape(batch, *data.shape[1:])
        label.reshape(batch)
        data.data[...] = rng.standard_normal(data.shape)
        label.data[...] = rng.integers(3, size=batch)
        solver.step(steps)
    blobs = [*solver.net.blobs.values(), *(blob for layer in solver.net.params.values() for blob in layer)]
    return crc(array for blob in blobs for array in (blob.data, blob.diff))


@pytest.mark.parametrize("batch", [128, 100, 37, 13, 1])
def test_the_branch_steps_to_the_same_bits(tmp_path, batch):
    net = nets.branch(10, width=0.25)
    assert len({stepped(tmp_path, net, batch, threads) for threads in NUMBERS}) == 1


@pytest.mark.parametrize(
    "name, net, batch",
    [
        ("the branch at full width", lambda: nets.branch(100), 20),
        ("AlexNetC100, with AVE pooling and LRN within channels", lambda: nets.alexnet_c100(100), 40),
        ("a CFN", lambda: nets.cfn(8, tile=40, fc6=64, fc7=128), 9),
        ("a CFN with BatchNorm", lambda: nets.stacked_cfn(8, tile=40, fc6=64, fc7=128, width=0.25, batch_norm=True), 9),
    ],
)
def test_the_course_s_nets_step_to_the_same_bits(tmp_path, name, net, batch):
    assert len({stepped(tmp_path, net(), batch, threads, steps=1) for threads in NUMBERS}) == 1


KINDS = st.sampled_from(
    ["conv3", "conv5", "stride", "max", "ave", "across", "within", "relu", "norm", "drop", "softmax", "wide"]
)


def random_net(kinds, channels, size):
    """A net of these layers, one behind the other, below a classifier of three classes."""
    L, spec = caffe.layers, caffe.NetSpec()
    top = spec.data = L.Input(shape={"dim": [1, channels, size, size]})
    spec.label = L.Input(shape={"dim": [1]})
    filler = {"weight_filler": {"type": "msra"}}
    make = {
        "conv3": lambda top: L.Convolution(top, num_output=12, kernel_size=3, pad=1, **filler),
        "conv5": lambda top: L.Convolution(top, num_output=24, kernel_size=5, pad=2, **filler),
        "stride": lambda top: L.Convolution(top, num_output=7, kernel_size=3, stride=2, pad=1, **filler),
        "wide": lambda top: L.Convolution(top, num_output=70, kernel_size=1, **filler),
        "max": lambda top: L.Pooling(top, kernel_size=3, stride=2),
        "ave": lambda top: L.Pooling(top, kernel_size=3, stride=2, pool=1, pad=1),
        "across": lambda top: L.LRN(top, local_size=5, alpha=1e-2),
        "within": lambda top: L.LRN(top, local_size=3, alpha=1e-2, norm_region=1),
        "relu": lambda top: L.ReLU(top, negative_slope=0.1),
        "norm": lambda top: L.Scale(L.BatchNorm(top), bias_term=True),
        "drop": lambda top: L.Dropout(top),
        "softmax": lambda top: L.Softmax(top),
    }
    for i, kind in enumerate(kinds):
        top = spec[f"layer{i}"] = make[kind](top)
    spec.fc = L.InnerProduct(top, num_output=3, **filler)
    spec.loss = L.SoftmaxWithLoss(spec.fc, spec.label)
    return spec.to_proto()


@settings(max_examples=25, deadline=None)
@given(st.lists(KINDS, min_size=1, max_size=5), st.integers(1, 20), st.integers(9, 17), st.integers(1, 40))
def test_random_nets_step_to_the_same_bits(tmp_path_factory, kinds, channels, size, batch):
    assume(kinds.count("max") < 3)  # a window larger than its map: Caffe's CHECK would end the process
    net, folder = random_net(kinds, channels, size), tmp_path_factory.mktemp("net")
    assert stepped(folder, net, batch, 1) == stepped(folder, net, batch, 3)


def test_a_training_is_the_same_to_the_bit_and_resumes_on_another_number_of_threads(tmp_path):
    whole = fit(tmp_path / "whole", threads=1)
    together = fit(tmp_path / "together", threads=3)
    assert_same(together, whole)
    assert (whole.result["made"]["threads"], together.result["made"]["threads"]) == (1, 3)
    assert_same(fit(halted(tmp_path / "halted", threads=2), threads=3), whole)


def test_features_are_the_same_to_the_bit():
    net = nets.instantiate(nets.branch(3, width=0.25))
    rng = np.random.default_rng(0)
    some = features.Examples(rng.standard_normal((50, 3, 64, 64), np.float32), np.zeros(50, int))
    one = features.extract(net, some, batch_size=20, threads=1)
    assert np.array_equal(features.extract(net, some, batch_size=20, threads=3), one)
    assert not np.array_equal(one[0], one[1])


FORK = """
import os, sys
sys.path[:] = {path}
import caffe, numpy as np
from helpers import nets
caffe.set_threads(2)
net = nets.instantiate(nets.branch(3, batch_size=32, width=0.25))
net.blobs["data"].data[...] = np.random.default_rng(0).standard_normal((32, 3, 64, 64))
ours = net.forward()["loss"].copy(), net.blobs["pool5_s1"].data.copy()
for child in range(20):
    if not (pid := os.fork()):
        net.forward()
        os._exit(0 if (net.blobs["pool5_s1"].data == ours[1]).all() else 1)
    assert os.waitpid(pid, 0)[1] == 0
net.forward()
print("done")
"""


def test_a_forked_child_runs_layers_after_its_parent_has_used_threads():
    """The parent's threads are not in it: with OpenMP it waits for them for ever."""
    code = FORK.format(path=sys.path)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=100)
    assert done.stdout == "done\n", done.stderr


def test_ctrl_c_meets_the_thread_that_has_python():
    """Threads of ours take no signal: it would be handled late, or not wake up who sleeps."""
    device_code = (
        "import caffe, numpy as np, re; from helpers import nets; caffe.set_threads(3)\n"
        "net = nets.instantiate(nets.branch(3, batch_size=32, width=0.25)); net.forward()\n"
        "import pathlib\n"
        "for task in pathlib.Path('/proc/self/task').iterdir():\n"
        "    print(task.name, re.search('SigBlk:\\t(.*)', (task / 'status').read_text())[1])"
    )
    done = subprocess.run([sys.executable, "-c", device_code], capture_output=True, text=True, cwd=ROOT)
    blocked = dict(line.split() for line in done.stdout.splitlines())
    sigint = 1 << 1
    ours = [task for task, mask in blocked.items() if int(mask, 16) & sigint]
    assert len(ours) == 2, done.stdout + done.stderr


@pytest.mark.parametrize("number", [0, 65, -1, "2.5", "two", 1.5, True])
def test_an_argument_that_is_no_number_of_threads_is_refused(tmp_path, number):
    with pytest.raises(ValueError, match=re.escape(f"threads is {number!r}")):
        fit(tmp_path / "run", threads=number)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number", [0, -1, 65])
def test_caffe_refuses_it_in_words_too(number):
    before = caffe.get_threads()
    with pytest.raises(ValueError, match=f"from 1 to 64, not {number}"):
        caffe.set_threads(number)
    assert caffe.get_threads() == before


def test_the_variable_decides_where_no_argument_does(monkeypatch, capsys):
    monkeypatch.setenv("JIGSAW_THREADS", "3")
    assert (device.threads(), device.threads(2), device.threads("auto")) == (3, 2, device.limits.cores())
    monkeypatch.setenv("JIGSAW_THREADS", "auto")
    assert device.threads() == device.limits.cores()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("value", ["0", "many", "1000", "-2", "1.5"])
def test_a_variable_that_says_nothing_of_use_falls_back_with_a_line(monkeypatch, capsys, value):
    """It is set for the whole course: no notebook ends because of it."""
    monkeypatch.setenv("JIGSAW_THREADS", value)
    assert device.threads() == device.limits.cores()
    assert f"JIGSAW_THREADS is {value!r}" in capsys.readouterr().out


@pytest.fixture
def older_variable(monkeypatch):
    monkeypatch.delenv("JIGSAW_THREADS")
    monkeypatch.setenv("JIGSAW_PROCESSES", "2")
    device.course._by_older_name.cache_clear()
    yield
    device.course._by_older_name.cache_clear()


def test_the_older_variable_is_understood_and_said_so_once(older_variable, monkeypatch, capsys):
    assert device.threads() == device.threads() == 2
    assert capsys.readouterr().out == "JIGSAW_PROCESSES=2 is understood as JIGSAW_THREADS=2, its name today.\n"
    monkeypatch.setenv("JIGSAW_THREADS", "1")
    assert device.threads() == 1


def test_the_older_variable_trains_nets_with_batch_norm(older_variable, tmp_path):
    """Notebook 01's: several processes could not, and raised."""
    assert stepped(
        tmp_path, nets.stacked_cfn(8, tile=40, fc6=64, fc7=128, width=0.25, batch_norm=True), 8, None, steps=1
    )


def test_the_number_of_threads_ends_with_the_training(tmp_path):
    before = caffe.get_threads()
    seen = []
    fit(tmp_path / "run", threads=before + 2, on_epoch=lambda *_: seen.append(caffe.get_threads()))
    assert set(seen) == {before + 2} and caffe.get_threads() == before


def test_each_thread_s_own_memory_is_counted(monkeypatch):
    net, recipe = nets.branch(10), recipes.CIFAR100_FINE_TUNE
    asked = []
    for threads in (1, 2, 16):
        monkeypatch.setattr(memory, "free", lambda: 1)
        with pytest.raises(MemoryError, match="batch_size") as found:
            memory.check(net, recipe, threads)
        asked.append(int(re.search(r"and ([\d,]+) MiB beside", str(found.value))[1].replace(",", "")))
    assert 8 < asked[1] - asked[0] < 30 and abs(asked[2] - asked[0] - 15 * (asked[1] - asked[0])) <= 15


def test_caffe_s_own_variable(tmp_path):
    """For the caffe command, and for who imports caffe without the course."""
    for value, number, said in (("3", 3, ""), ("", 1, ""), ("none", 1, "CAFFE_THREADS is 'none'"), ("65", 1, "to 64")):
        done = subprocess.run(
            [sys.executable, "-c", "import caffe; print(caffe.get_threads())"],
            capture_output=True,
            text=True,
            env=os.environ | {"CAFFE_THREADS": value, "GLOG_minloglevel": "0"},
        )
        assert done.stdout == f"{number}\n" and said in done.stderr, done.stderr
