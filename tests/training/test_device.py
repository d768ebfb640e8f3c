"""CPU or GPU: a wish that cannot be granted is an exception with the way out; Caffe itself would end the process."""

import pytest
from caffe import build_info

from helpers.training import device

T4 = device.Card("Tesla T4", (7, 5))


@pytest.fixture
def built(monkeypatch):
    """A function that pretends a wheel and a card."""

    def pretend(cuda="", architectures=(), card=None, wish="auto"):
        monkeypatch.setattr(build_info, "CUDA", cuda)
        monkeypatch.setattr(build_info, "CUDNN", "9.2" if cuda else "")
        monkeypatch.setattr(build_info, "ARCHITECTURES", architectures)
        monkeypatch.setattr(device, "card", lambda: card)
        monkeypatch.setenv("JIGSAW_DEVICE", wish)

    return pretend


def test_the_cpu_wheel_runs_on_the_cpu_even_where_a_card_is(built):
    built(card=T4)
    assert (device.chosen(), device.describe()) == ("cpu", "CPU")


@pytest.mark.parametrize(
    ("pretended", "why"),
    [
        ({}, "built for the CPU.*colab_setup.sh"),
        ({"cuda": "12.8", "architectures": ("75",)}, "shows no CUDA card.*JIGSAW_DEVICE=cpu"),
        ({"cuda": "12.8", "architectures": ("80", "90"), "card": T4}, "8.0 or later, Tesla T4 has 7.5"),
    ],
)
def test_a_gpu_that_cannot_be_used(built, pretended, why):
    built(**pretended)
    assert device.chosen() == "cpu"
    built(**pretended, wish="gpu")
    with pytest.raises(RuntimeError, match=why):
        device.use()


def test_a_card_newer_than_the_wheel_is_used(built):
    built(cuda="12.8", architectures=("75",), card=device.Card("NVIDIA L4", (8, 9)))
    assert device.chosen() == "gpu"
    assert device.describe() == "NVIDIA L4 (CUDA 12.8, cuDNN 9.2)"
    built(cuda="12.8", architectures=("75",), card=T4, wish="cpu")
    assert device.chosen() == "cpu"


def test_another_name_is_refused(built):
    built(wish="tpu")
    with pytest.raises(ValueError, match="'tpu'.*auto, cpu, gpu"):
        device.chosen()


def test_check_runs_a_forward_pass(capsys, monkeypatch):
    monkeypatch.setenv("JIGSAW_DEVICE", "cpu")
    device.check()
    assert capsys.readouterr().out.startswith("[OK]   Caffe runs on CPU: a forward pass gives the right numbers")
