"""Protects streamed images: they train and measure as those in memory do, and need no more memory
than a few batches."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

import edl_jax
from edl_jax.errors import EdlError, OptionError
from edl_jax.training import evaluation, loop, pixels, streamed
from edl_jax.training.loop import train
from edl_jax.training.sources import load
from edl_jax.training.streamed import Streamed, require_memory
from edl_jax.training.subsets import for_seed
from tests.training.toy import MLP, cross_entropy, equal, leaves_equal, toy


def of_array(array: np.ndarray) -> Streamed:
    return Streamed(lambda rows: array[rows], len(array), array.shape[1:])


def streamed_toy(**sizes):
    dataset = toy(**sizes)
    images = {name: of_array(getattr(dataset, name)) for name in ("train_images", "test_images")}
    return replace(dataset, **images)


# --- images ------------------------------------------------------------------------------------


def test_parts_of_parts_are_those_of_an_array():
    array = np.arange(200, dtype=np.uint8).reshape(100, 1, 2, 1)
    images = of_array(array)
    rows = np.array([7, 3, 3, 99])
    for part, expected in (
        (images, array),
        (images[10:20], array[10:20]),
        (images[rows], array[rows]),
        (images[10:20][np.array([9, 0])], array[[19, 10]]),
        (images[:0], array[:0]),
    ):
        assert (part.shape, part.ndim, part.dtype) == (expected.shape, 4, np.uint8)
        assert len(part) == len(expected)
        np.testing.assert_array_equal(np.asarray(part), expected)
    assert np.asarray(images, np.float32).dtype == np.float32
    with pytest.raises(ValueError, match="copy"):
        np.asarray(images, copy=False)


def test_batches_come_in_their_order():
    images = of_array(np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1))[::-1]
    order = np.random.default_rng(0).permutation(100).reshape(20, 5)
    found = [batch.ravel().tolist() for batch in images.batches(order)]
    assert found == (99 - order).tolist()


def test_an_error_while_reading_arrives_as_it_was_raised():
    def read(rows):
        if 3 in rows:
            raise EdlError("3.png: damaged picture")
        return np.zeros((len(rows), 1, 1, 1), np.uint8)

    images = Streamed(read, 10, (1, 1, 1))
    with pytest.raises(EdlError, match="damaged picture") as error:
        list(images.batches(np.arange(10).reshape(5, 2)))
    assert "\n" not in str(error.value)


# --- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["mlp", "resnet8"])
@pytest.mark.parametrize("devices", [1, 2])
def test_training_is_to_the_bit_that_with_all_in_memory(model, devices, monkeypatch):
    monkeypatch.setattr(evaluation, "_BATCH", 10)  # of 33 test images
    config = replace(MLP, model=model, width=4, augment="crop-flip")
    shared = {"label_noise": 0.4, "noise_kind": "instance", "train_size": 100}
    own = [for_seed(of, 1, **shared) for of in (toy(), streamed_toy())]
    assert isinstance(own[1].train_images, Streamed) and equal(*own)
    some = jax.devices()[:devices]
    one, other = (train(dataset, cross_entropy, config, 1, devices=some) for dataset in own)
    assert leaves_equal(one.state.params, other.state.params)
    for field in ("test_accuracy", "nll", "ece"):
        assert getattr(one, field) == pytest.approx(getattr(other, field), rel=1e-5)
    assert np.array_equal(one.predict(own[0].test_images), other.predict(own[1].test_images))


def test_a_streamed_run_resumes_to_the_bit(monkeypatch):
    monkeypatch.setattr(loop, "steps_per_call", lambda *of: 3)
    dataset, places = streamed_toy(), []

    def keep(place):
        places.append(jax.tree.map(np.array, place._replace(state=replace(place.state, key=0))))

    whole = train(dataset, cross_entropy, MLP, 0, on_midway=keep)
    for place in places[::2]:

        def restore(start, place=place):
            return place._replace(state=replace(place.state, key=start.state.key))

        result = train(dataset, cross_entropy, MLP, 0, restore=restore)
        assert leaves_equal(result.state.params, whole.state.params)
        assert result.history == whole.history[-len(result.history) :]


def test_the_statistics_are_those_of_a_random_part(monkeypatch):
    whole, exact = pixels.input_statistics(streamed_toy()), pixels.input_statistics(toy())
    np.testing.assert_array_equal(whole, exact)
    monkeypatch.setattr(pixels, "_ENOUGH", 50)
    part = pixels.input_statistics(streamed_toy())
    assert not np.array_equal(part, exact)
    np.testing.assert_allclose(part, exact, rtol=0.05)


# --- memory ------------------------------------------------------------------------------------

IN_LITTLE_MEMORY = """
import resource, sys
import numpy as np
from edl_jax.losses import LOSSES
from edl_jax.training import TrainConfig, load, train

def run(folder, stream):
    dataset = load(f"folder:{folder}", stream=stream)
    config = TrainConfig(model="mlp", width=8, epochs=1, augment="none", learning_rate=0.01)
    return len(dataset.train_labels), train(dataset, LOSSES["cross_entropy"], config, 0)

small, large = sys.argv[1:]
run(small, True)  # imports, threads, and what is compiled
with open("/proc/self/statm") as file:
    used = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 200 * 2**20,) * 2)
try:
    run(large, False)
except MemoryError:
    number, result = run(large, True)
    print(number, result.test_accuracy)
"""


def test_a_set_larger_than_memory_is_streamed(tmp_path):
    """Of 300 MB of pixels, with 200 MB to spare; read at once, it does not fit."""
    for name, number in (("small", 256), ("large", 6200)):
        for part, share in (("train", number), ("test", 40)):
            for label, brightness in (("dark", 60), ("light", 190)):
                place = tmp_path / name / part / label
                place.mkdir(parents=True)
                noise = np.random.default_rng(0).integers(-50, 50, (128, 128, 3))
                first = place / "0.jpg"
                Image.fromarray((noise + brightness).astype(np.uint8)).save(first, quality=30)
                for i in range(1, share // 2):
                    os.link(first, place / f"{i}.jpg")
    result = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, tmp_path / "small", tmp_path / "large"],
        env=os.environ | {"PYTHONPATH": str(Path(edl_jax.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.split() == ["6200", "1.0"], result.stderr[-2000:]


def test_a_set_that_cannot_fit_says_how_it_can_be_used(monkeypatch, tmp_path, toy_data_dir):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{i}.png")
    folder = f"folder:{tmp_path}"
    monkeypatch.setattr(streamed, "memory", lambda: 1000)
    for name in (folder, "toy_colours"):
        with pytest.raises(EdlError, match="0 GiB of memory: expected --stream, which reads them"):
            load(name, toy_data_dir)
        assert len(load(name, toy_data_dir, stream=True).train_labels)
    monkeypatch.setattr(streamed, "memory", lambda: None)
    require_memory("any", (10**12,))


@pytest.mark.parametrize(
    ("name", "option", "line"),
    [
        ("synthetic", {"stream": True}, "stream True: expected folder:PATH or a set of"),
        ("mine.npz", {"stream": True}, "not arrays"),
        ("synthetic", {"labels": "worse"}, "labels worse: expected a set of TensorFlow Datasets"),
        ("folder:mine", {"labels": "worse"}, "labels worse"),
    ],
)
def test_an_option_that_a_set_has_not_is_refused(name, option, line):
    with pytest.raises(OptionError, match=line):
        load(name, **option)
