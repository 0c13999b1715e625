"""Protects that the networks are the published ones, and how training differs from evaluation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from edl_jax.errors import OptionError
from edl_jax.training.config import MODELS as NAMES
from edl_jax.training.models import MODELS, make_model
from edl_jax.training.patches import Patches
from edl_jax.training.resnets import ConvNorm, PaddedShortcut

# Weights for 32x32 colour images and 10 classes. ResNet-20 to 56 as in table 6 of He et al.
# (0.27, 0.46 and 0.85 million); ResNet-18 and 50 with the stem for small images, as in the widely
# used PyTorch versions; WRN as in table 4 of Zagoruyko and Komodakis (36.5 million for 28-10);
# MLP: 3072 * 512 + 512 + 512 * 512 + 512 + 512 * 10 + 10.
NUM_PARAMS = {
    "mlp": 1_841_162,
    "resnet8": 75_290,
    "resnet20": 269_722,
    "resnet32": 464_154,
    "resnet56": 853_018,
    "resnet18": 11_173_962,
    "resnet50": 23_520_842,
    "wrn-16-4": 2_748_890,
    "wrn-28-10": 36_479_194,
    "vit-tiny": 5_362_762,
    "mixer-small": 17_110_026,
}
# The same networks as published for 224x224 colour images, patches of 16 and 1,000 classes: those
# of DeiT and of Mixer in timm; and other sizes of the same families.
PUBLISHED = {
    ("vit-tiny", 192): 5_717_416,
    ("vit-tiny", 384): 22_050_664,
    ("mixer-small", 512): 18_528_264,
}


def abstract(name: str, input_shape=(32, 32, 3), num_classes=10, width=None) -> nnx.Module:
    """The model with shapes in place of arrays, which costs no time."""
    return nnx.eval_shape(
        lambda: make_model(
            name, input_shape=input_shape, num_classes=num_classes, width=width, rngs=nnx.Rngs(0)
        )
    )


def small(name: str, seed: int = 0) -> nnx.Module:
    return make_model(name, input_shape=(8, 8, 3), num_classes=4, width=4, rngs=nnx.Rngs(seed))


def test_the_command_line_offers_every_model():
    assert set(NAMES) == set(MODELS) == set(NUM_PARAMS)


@pytest.mark.parametrize("name", MODELS)
def test_parameter_counts_are_the_published_ones(name):
    params = jax.tree.leaves(nnx.state(abstract(name), nnx.Param))
    assert sum(leaf.size for leaf in params) == NUM_PARAMS[name]
    assert {leaf.dtype for leaf in params} == {jnp.dtype("float32")}


@pytest.mark.parametrize(("name", "width"), PUBLISHED)
def test_networks_of_patches_are_the_published_ones_at_the_published_size(name, width):
    params = jax.tree.leaves(
        nnx.state(abstract(name, (224, 224, 3), num_classes=1000, width=width), nnx.Param)
    )
    assert sum(leaf.size for leaf in params) == PUBLISHED[name, width]


def test_a_wide_network_goes_by_its_width():
    def size(width: int) -> int:
        module = abstract("wrn-16-4", width=width)
        return sum(x.size for x in jax.tree.leaves(nnx.state(module, nnx.Param)))

    assert size(128) == 10_961_370  # WRN-16-8, 11.0 million in table 4
    assert size(16) == 175_066


def test_patches_are_the_squares_of_an_image():
    """Each in one row, whatever lies beside it; what an edge lacks is zero."""
    patches = Patches((6, 9, 2), 4 * 4 * 2, rngs=nnx.Rngs(0))
    patches.embed.kernel[...] = jnp.eye(32)
    images = jnp.arange(6 * 9 * 2, dtype=jnp.float32).reshape(1, 6, 9, 2) + 1
    found = patches(images).reshape(1, 2, 3, 4, 4, 2)
    assert patches.number == 6
    for row in range(2):
        for column in range(3):
            square = images[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            filled = jnp.zeros((4, 4, 2)).at[: square.shape[0], : square.shape[1]].set(square)
            assert jnp.array_equal(found[0, row, column], filled)


def test_a_transformer_minds_where_a_patch_lies_and_a_mixer_too():
    """Shifted by a patch, an image is another one; attention alone would not tell."""
    for name in ("vit-tiny", "mixer-small"):
        model = make_model(name, input_shape=(8, 8, 3), num_classes=4, width=16, rngs=nnx.Rngs(0))
        assert not model(jnp.ones((2, 8, 8, 3))).any()  # the head starts at zero
        model.head.kernel[...] = jax.random.normal(jax.random.key(1), model.head.kernel.shape)
        images = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
        same, moved = model(images), model(jnp.roll(images, 4, axis=1))
        assert not np.allclose(same, moved, atol=1e-3)
        np.testing.assert_allclose(same[:1], model(images[:1]), atol=1e-5)  # each by itself


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("input_shape", "num_classes"), [((28, 28, 1), 10), ((33, 21, 3), 100)])
def test_logits_for_any_input_shape(name, input_shape, num_classes):
    graphdef, state = nnx.split(abstract(name, input_shape, num_classes, width=8))
    images = jax.ShapeDtypeStruct((5, *input_shape), jnp.float32)
    logits = jax.eval_shape(lambda s, x: nnx.merge(graphdef, s)(x), state, images)
    assert (logits.shape, logits.dtype) == ((5, num_classes), jnp.float32)


@pytest.mark.parametrize("name", ["resnet8", "resnet18", "mlp"])
def test_width_scales_the_network(name):
    def size(width: int) -> int:
        return sum(
            x.size for x in jax.tree.leaves(nnx.state(abstract(name, width=width), nnx.Param))
        )

    assert 1.5 * size(16) < size(32) < 4 * size(16)


def running(module: nnx.Module) -> list[jax.Array]:
    return [jnp.copy(leaf) for leaf in jax.tree.leaves(nnx.state(module, nnx.BatchStat))]


def test_training_uses_the_batch_and_evaluation_the_running_statistics():
    module = ConvNorm(3, 4, 3, rngs=nnx.Rngs(0))
    images = jax.random.normal(jax.random.key(0), (16, 8, 8, 3)) + 3
    before = running(module)

    evaluated = module(images, train=False)
    assert all(map(jnp.array_equal, before, running(module)))
    np.testing.assert_allclose(evaluated[:3], module(images[:3], train=False), rtol=1e-5)

    trained = module(images, train=True)
    assert not any(map(jnp.array_equal, before, running(module)))
    np.testing.assert_allclose(trained.mean(axis=(0, 1, 2)), 0, atol=1e-4)
    assert not np.allclose(trained[:3], module(images[:3], train=True), atol=1e-2)

    for _ in range(100):
        module(images, train=True)
    np.testing.assert_allclose(module(images, train=False), trained, rtol=1e-2, atol=1e-2)


def test_every_normalisation_of_a_network_is_told_whether_it_trains():
    graphdef, params, batch_stats = nnx.split(abstract("resnet18", width=4), nnx.Param, ...)

    def apply(params, batch_stats, images, train):
        model = nnx.merge(graphdef, params, batch_stats)
        logits = model(images, train=train)
        return logits, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))

    params, batch_stats = (
        jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.1), nnx.to_pure_dict(state))
        for state in (params, batch_stats)
    )
    images = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))
    for train in (False, True):
        jaxpr = jax.make_jaxpr(partial(apply, train=train))(params, batch_stats, images)
        inputs = set(jaxpr.jaxpr.invars)
        passed_on = [v in inputs for v in jaxpr.jaxpr.outvars[1:]]
        assert all(passed_on) if not train else not any(passed_on)


def test_the_padded_shortcut_has_no_weights_and_halves_the_image():
    x = jax.random.normal(jax.random.key(0), (2, 6, 6, 3))
    shortcut = PaddedShortcut(stride=2, extra=3)
    assert not jax.tree.leaves(nnx.state(shortcut))
    y = shortcut(x, train=False)
    assert jnp.array_equal(y[..., :3], x[:, ::2, ::2]) and not y[..., 3:].any()


def test_weights_start_as_he_et_al_say():
    model = make_model("mlp", input_shape=(8, 8, 3), num_classes=10, rngs=nnx.Rngs(0))
    assert np.std(model.second.kernel[...]) == pytest.approx(np.sqrt(2 / 512), rel=0.02)
    layer = ConvNorm(64, 32, 3, rngs=nnx.Rngs(0))
    assert np.std(layer.conv.kernel[...]) == pytest.approx(np.sqrt(2 / (9 * 32)), rel=0.02)


def test_weights_depend_on_the_seed_alone():
    one, again, other = (nnx.state(small("mlp", seed), nnx.Param) for seed in (0, 0, 1))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, one, again))
    assert not jax.tree.all(jax.tree.map(jnp.array_equal, one, other))


@pytest.mark.parametrize(("name", "width"), [("resnet9", None), ("resnet8", 0)])
def test_a_network_that_is_not_is_refused(name, width):
    with pytest.raises(OptionError):
        make_model(name, input_shape=(8, 8, 3), num_classes=4, width=width, rngs=nnx.Rngs(0))
