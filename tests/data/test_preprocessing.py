"""Resizing, channel statistics, Caffe's layout and the validation split."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import assume, given, strategies as st
from hypothesis.extra import numpy as hnp

from helpers.data import preprocessing
from helpers.data.datasets import ImageSet
from helpers.data.preprocessing import Statistics, channel_statistics, resize, split_validation, to_caffe

images_strategy = hnp.arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9), st.just(3)))


def statistics_of(images):
    """Of these images, or of all values where a channel is constant."""
    varied = all(np.ptp(images[..., channel]) for channel in range(3))
    return channel_statistics(images if varied else np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3))


# Resizing


def test_resizing_32_to_64_follows_the_bilinear_formula():
    row = np.array([0, 100, 40, 200], np.uint8)
    images = np.broadcast_to(row[None, None, :, None], (1, 4, 4, 3))
    # Pixel centres of the double image fall a quarter of a pixel beside the old ones: weights 3/4, 1/4; edges repeat.
    expected = [0, 25, 75, 85, 55, 80, 160, 200]
    assert resize(images, 8)[0, 3, :, 0].tolist() == expected


def test_shrinking_averages_instead_of_skipping():
    checkerboard = (np.indices((100, 100)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = resize(np.repeat(checkerboard[None, ..., None], 3, axis=3), 25)
    assert np.abs(small.astype(int) - 127.5).max() < 10


@given(images_strategy, st.integers(1, 20))
def test_resizing_keeps_type_and_range_and_the_same_size_is_the_same_image(images, size):
    resized = resize(images, size)
    assert resized.shape == (len(images), size, size, 3) and resized.dtype == np.uint8
    assert (resized.min(axis=(1, 2)) >= images.min(axis=(1, 2))).all()
    assert (resized.max(axis=(1, 2)) <= images.max(axis=(1, 2))).all()
    assert np.array_equal(resize(resized, size), resized)


# Channel statistics


@given(images_strategy)
def test_statistics_are_numpys_on_a_float_copy(images):
    assume(all(np.ptp(images[..., channel]) for channel in range(3)))
    statistics = channel_statistics(images)
    assert statistics.mean.dtype == statistics.std.dtype == np.float64
    np.testing.assert_allclose(statistics.mean, images.astype(np.float64).mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(statistics.std, images.astype(np.float64).std(axis=(0, 1, 2)), rtol=1e-12)


def test_statistics_of_several_chunks_and_of_a_view():
    images = np.random.default_rng(0).integers(0, 256, (1100, 3, 5, 4), np.uint8).transpose(0, 2, 3, 1)
    statistics = channel_statistics(images)
    np.testing.assert_allclose(statistics.mean, images.mean(axis=(0, 1, 2), dtype=np.float64))
    np.testing.assert_allclose(statistics.std, images.std(axis=(0, 1, 2), dtype=np.float64))


def test_statistics_need_less_memory_than_the_images_in_float32():
    images = np.random.default_rng(0).integers(0, 256, (8192, 32, 32, 3), np.uint8)
    tracemalloc.start()
    channel_statistics(images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes  # a float32 copy would be 4 times that


def test_a_constant_channel_is_named():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    images[..., 1] = 7
    with pytest.raises(ValueError, match="the same value in green;"):
        channel_statistics(images)
    with pytest.raises(ValueError, match="in red, blue;"):
        Statistics(np.zeros(3), np.array([0.0, 1.0, 0.0]))


# Caffe's layout


@given(images_strategy, st.sampled_from(preprocessing.SCALES))
def test_a_batch_gives_its_images_back(images, scale):
    statistics = statistics_of(images)
    batch = to_caffe(images, statistics, scale)
    assert batch.shape == (len(images), 3, *images.shape[1:3])
    assert batch.dtype == np.float32 and batch.flags.c_contiguous
    pixels = batch.transpose(0, 2, 3, 1).astype(np.float64)
    restored = pixels * statistics.std + statistics.mean if scale == "report" else pixels[..., ::-1] + statistics.mean
    assert np.array_equal(restored.round(), images)


def test_the_reports_scale_has_mean_zero_and_deviation_one_and_leaves_the_images_alone():
    images = np.random.default_rng(0).integers(0, 256, (50, 16, 16, 3), np.uint8)
    before = images.copy()
    batch = to_caffe(images, channel_statistics(images))
    np.testing.assert_allclose(batch.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(batch.std(axis=(0, 2, 3)), 1, atol=1e-5)
    assert np.array_equal(images, before)


def test_one_pixel_by_hand_on_both_scales():
    pixel = np.array([[[[110, 60, 200]]]], np.uint8)
    statistics = Statistics(np.array([100.0, 50.0, 250.0]), np.array([5.0, 10.0, 25.0]))
    assert to_caffe(pixel, statistics).ravel().tolist() == [2, 1, -2]
    assert to_caffe(pixel, statistics, "cfn").ravel().tolist() == [-50, 10, 10]


def test_the_test_set_is_scaled_with_the_training_sets_statistics():
    rng = np.random.default_rng(0)
    train, test = (rng.integers(low, low + 100, (20, 8, 8, 3), np.uint8) for low in (0, 150))
    statistics = channel_statistics(train)
    expected = (test.mean() - train.mean()) / train.std()
    assert to_caffe(test, statistics).mean() == pytest.approx(expected, rel=0.01) and expected > 4


def test_what_is_not_a_batch_of_images_is_refused():
    images, statistics = np.zeros((2, 4, 4, 3), np.uint8), Statistics(np.zeros(3), np.ones(3))
    for bad in (images.astype(np.float32), images.transpose(0, 3, 1, 2), images[0]):
        for call in (resize, channel_statistics, lambda x: to_caffe(x, statistics)):
            with pytest.raises(ValueError, match=r"uint8 \(N, H, W, 3\), RGB last"):
                call(bad)
    with pytest.raises(ValueError, match="choose one of report, cfn"):
        to_caffe(images, statistics, "bgr")
    with pytest.raises(ValueError, match="nothing to average"):
        channel_statistics(images[:0])


# Validation split


def numbered(labels, class_names):
    """An ImageSet whose image i is the number i, in its first two channels."""
    images = np.zeros((len(labels), 1, 1, 3), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = np.divmod(np.arange(len(labels)), 256)
    return ImageSet(images, np.asarray(labels, np.int64), class_names)


def numbers(image_set):
    return image_set.images[:, 0, 0, 0].astype(int) * 256 + image_set.images[:, 0, 0, 1]


@given(st.lists(st.integers(0, 4), min_size=2, max_size=400), st.integers(5, 45), st.integers(0, 10))
def test_the_split_is_a_partition_and_labels_stay_with_their_images(labels, percent, seed):
    image_set = numbered(labels, tuple("abcde"))
    count = -(-percent * len(labels) // 100)
    assume(count < len(labels))
    train, validation = split_validation(image_set, percent / 100, seed)
    assert len(validation) in (count, count + 1)  # percent / 100 may be a hair above the fraction meant
    assert sorted([*numbers(train), *numbers(validation)]) == list(range(len(labels)))
    for part in (train, validation):
        assert np.array_equal(part.labels, np.asarray(labels)[numbers(part)])
        assert part.class_names == image_set.class_names


def test_the_reports_split_of_cifar100_is_42500_and_7500():
    image_set = numbered(np.arange(50_000) % 100, tuple(map(str, range(100))))
    train, validation = split_validation(image_set)
    assert (len(train), len(validation)) == (42_500, 7_500)
    assert np.ptp(np.bincount(validation.labels)) > 10, "a plain random split is uneven"
    _, stratified = split_validation(image_set, stratified=True)
    assert np.bincount(stratified.labels).tolist() == [75] * 100


def test_a_seed_is_a_split_and_another_seed_another():
    image_set = numbered(np.arange(200) % 4, tuple("abcd"))
    first, again, other = (numbers(split_validation(image_set, seed=seed)[1]).tolist() for seed in (1, 1, 2))
    assert first == again != other


def test_a_split_that_leaves_nothing_is_refused():
    image_set = numbered([0, 0, 0, 1], ("apple", "kiwi"))
    for fraction in (0, 1, -0.5, 0.9):
        with pytest.raises(ValueError, match=f"fraction {fraction} of 4 images"):
            split_validation(image_set, fraction)
    with pytest.raises(ValueError, match="kiwi: one image"):
        split_validation(image_set, 0.5, stratified=True)


def test_resize_short_side_keeps_the_proportions():
    photo = np.random.default_rng(0).integers(0, 256, (300, 451, 3), dtype=np.uint8)
    assert preprocessing.resize_short_side(photo, 200).shape == (200, 301, 3)
    assert preprocessing.resize_short_side(photo.transpose(1, 0, 2), 200).shape == (301, 200, 3)
    np.testing.assert_array_equal(preprocessing.resize_short_side(photo, 300), photo)


def test_resized_images_are_kept_and_other_images_are_not_mistaken_for_them(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    first = preprocessing.cached_resize(tmp_path, images)
    np.testing.assert_array_equal(first, preprocessing.resize(images))
    with monkeypatch.context() as patched:
        patched.setattr(preprocessing, "resize", None)  # would fail if called
        np.testing.assert_array_equal(preprocessing.cached_resize(tmp_path, images), first)
    np.testing.assert_array_equal(preprocessing.cached_resize(tmp_path, images[::-1]), first[::-1])
    assert preprocessing.cached_resize(tmp_path, images, 16).shape == (5, 16, 16, 3)
    assert len(list(tmp_path.iterdir())) == 3
