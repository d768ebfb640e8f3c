"""Examples: their identity, which nothing random decides, and transforms that augment."""

import dataclasses
import functools
import zlib

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from helpers import nets
from helpers.data import examples as module
from helpers.data.examples import Examples

INPUTS = np.random.default_rng(0).standard_normal((20, 4, 3, 3)).astype(np.float32)
LABELS = np.arange(20) % 3
strength = 1.0


def noisy(batch, rng):
    return batch + strength * rng.standard_normal(batch.shape)


def identity(transform, name=None):
    return Examples(INPUTS, LABELS, transform, name).fingerprint()


def made(text, **names):
    """The function `f` that a text defines, as a notebook's cell does."""
    space = {"np": np, "__name__": "__main__"} | names
    exec(text, space)
    return space["f"]


def test_what_a_random_transform_gives_does_not_count():
    anew = np.random.default_rng()
    assert identity(lambda batch: batch * anew.random()) == identity(lambda batch: batch * anew.random())
    others = np.random.default_rng(1)
    again = made("def f(batch): return batch * anew.random()", anew=anew)
    assert identity(again) == identity(made("def f(batch): return batch * anew.random()", anew=others))


@pytest.mark.parametrize(
    "first, second",
    [
        (dict(text="def f(batch): return batch"), dict(text="def f(batch): return 2 * batch")),
        (dict(text="def f(batch): return k * batch", k=1), dict(text="def f(batch): return k * batch", k=2)),
        (dict(text="def f(b): return b - m", m=np.zeros(3)), dict(text="def f(b): return b - m", m=np.ones(3))),
        (dict(text="def f(b, k=1): return b"), dict(text="def f(b, k=2): return b")),
        (
            dict(text="def g(b): return b\ndef f(b): return g(b)"),
            dict(text="def g(b): return -b\ndef f(b): return g(b)"),
        ),
        (dict(text="f = lambda b: [x + 1 for x in b]"), dict(text="f = lambda b: [x + 2 for x in b]")),
    ],
)
def test_other_code_or_values_are_another_transform(first, second):
    assert identity(made(**first)) == identity(made(**first)) != identity(made(**second))


def test_comments_and_layout_are_no_part_of_it():
    assert identity(made("def f(batch): return 2 * batch")) == identity(
        made("def f(batch):\n  # twice\n  return 2*batch")
    )


def test_values_of_partials_closures_and_objects_count():
    def scaled(factor):
        return lambda batch: batch * factor

    class Scale:
        def __call__(self, batch):
            return batch

    assert identity(scaled(2)) == identity(scaled(2)) != identity(scaled(3))
    assert identity(functools.partial(np.multiply, 2)) != identity(functools.partial(np.multiply, 3))
    assert identity(Scale()) == identity(Scale()) != identity(np.negative)
    assert identity(np.negative) != identity(np.positive) != identity(None)


def test_a_transform_that_counts_its_calls_stays_the_same():
    counted = made("calls = 0\ndef f(batch):\n  global calls\n  calls += 1\n  return batch")
    examples = Examples(INPUTS, LABELS, counted)
    before = examples.fingerprint()
    examples.batch(np.arange(3))
    assert examples.fingerprint() == before


def test_a_name_takes_the_place_of_the_code():
    assert identity(lambda batch: batch, "flips") == identity(lambda batch: -batch, "flips")
    assert identity(noisy, "flips") != identity(noisy, "flips, version 2") != identity(noisy)


def test_inputs_and_labels_count_and_trainings_of_old_keep_their_number():
    plain = Examples(INPUTS, LABELS)
    assert plain.fingerprint() == old_fingerprint(plain)
    assert Examples(INPUTS + 1, LABELS, noisy).fingerprint() != identity(noisy)
    assert Examples(INPUTS, LABELS[::-1], noisy).fingerprint() != identity(noisy)


def old_fingerprint(examples):
    """Examples.fingerprint as it was for those without a transform, when run folders of today were made."""
    crc = zlib.crc32(np.ascontiguousarray(examples.inputs))
    for array in (examples.labels.astype(np.int64), *examples.batch(np.arange(8))):
        crc = zlib.crc32(np.ascontiguousarray(array), crc)
    return crc


@settings(deadline=None)
@given(st.integers(0, 9), st.integers(1, 9), st.integers(1, 20))
def test_augmentation_is_decided_by_seed_epoch_and_batch(seed, epoch, size):
    batches, again = ([data for data, _ in Examples(INPUTS, LABELS, noisy).epoch(size, seed, epoch)] for _ in range(2))
    assert all(np.array_equal(*pair) for pair in zip(batches, again))
    other = next(Examples(INPUTS, LABELS, noisy).epoch(size, seed, epoch + 1))[0]
    assert not np.array_equal(batches[0], other)


def test_the_order_of_an_epoch_and_its_augmentation_are_drawn_apart():
    drawn = []
    one = Examples(INPUTS[:1], LABELS[:1], lambda batch, rng: drawn.append(rng.random()) or batch)
    next(one.epoch(1, 3, 2))
    assert drawn != [np.random.default_rng([3, 2]).random()]


def test_outside_of_an_epoch_a_batch_is_one_batch():
    examples = Examples(INPUTS, LABELS, noisy)
    first, second, other = (examples.batch(np.arange(start, start + 5))[0] for start in (0, 0, 5))
    assert np.array_equal(first, second) and not np.array_equal(first - INPUTS[:5], other - INPUTS[5:10])


def test_which_transforms_are_random():
    fresh = np.random.default_rng()
    assert Examples(INPUTS, LABELS, noisy).random()
    assert Examples(INPUTS, LABELS, lambda batch: batch + fresh.random()).random()
    for transform in (None, np.negative, lambda batch, out=None: batch, lambda *batches: batches[0]):
        assert not Examples(INPUTS, LABELS, transform).random()
    assert Examples(INPUTS, LABELS, lambda batch, rng=None: batch).random()


@pytest.mark.parametrize("transform", [lambda: 0, lambda batch, rng, more: batch])
def test_a_transform_of_other_arguments_is_refused(transform):
    with pytest.raises(ValueError, match=r"takes \(.*\); write it as transform\(batch\), or transform\(batch, rng\)"):
        Examples(INPUTS, LABELS, transform)


def test_a_transform_that_loses_examples_is_refused_before_caffe_sees_it():
    with pytest.raises(ValueError, match=r"makes \(3, 4, 3, 3\) of 4 inputs"):
        Examples(INPUTS, LABELS, lambda batch: batch[1:]).batch(np.arange(4))


def test_a_later_batch_of_another_shape_is_refused_before_caffe_sees_it():
    net = nets.instantiate(nets.head(3, (4, 3, 3), 2))
    with pytest.raises(ValueError, match=r"takes \(4, 3, 3\) per example, this batch has \(4, 3, 2\)"):
        module.feed(net, INPUTS[:2, :, :, :2], LABELS[:2])


def test_part_of_the_examples_keeps_their_transform_and_name():
    whole = Examples(INPUTS, LABELS, noisy, "noise")
    few = dataclasses.replace(whole, inputs=INPUTS[:3], labels=LABELS[:3])
    assert few.random() and few.fingerprint() == Examples(INPUTS[:3], LABELS[:3], np.negative, "noise").fingerprint()
