"""A loss as StableHLO equals the JAX one in value and gradient, and needs JAX alone."""

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import edl_jax
from edl_jax.errors import EdlError
from edl_jax.export import to_stablehlo
from edl_jax.export.stablehlo import PLATFORMS
from edl_jax.losses.base import as_pytree
from tests.export.examples import K, assert_close, examples, in_jax, learned, run, without


@pytest.mark.parametrize(
    ("name", "soft_labels"),
    [
        ("edl-base", False),
        ("concat", True),
        ("gce", False),
        ("monotone", False),
        ("monotone", True),
    ],
)
def test_stablehlo_has_value_and_gradient_for_any_batch(name, soft_labels):
    loss = edl_jax.LOSSES[name] if name in edl_jax.LOSSES else learned(name)
    num_classes = K if name == "concat" else None
    content = to_stablehlo(loss, num_classes, soft_labels)
    exported = jax.export.deserialize(bytearray(content))

    assert exported.platforms == PLATFORMS
    assert str(exported.in_avals[0].shape[0]) == "batch"
    for classes in (K,) if name == "concat" else (K, 3):
        logits, *labels = examples(classes)
        labels[0][:3] = classes, -1, -1  # no classes: NaN, but in the second row, which has none
        given = jnp.asarray(labels[soft_labels], None if soft_labels else jnp.int32)
        expected = in_jax(as_pytree(loss), logits, given)
        value, gradient = in_jax(as_pytree(exported.call), logits, given)
        assert_close(value, expected[0])
        assert_close(gradient, expected[1])
        if not soft_labels:
            assert np.flatnonzero(np.isnan(value)).tolist() == [0, 2]
            assert np.all(gradient[:3] == 0)


def test_a_concat_loss_is_bound_to_its_classes():
    with pytest.raises(EdlError, match="evolved for 10 classes"):
        to_stablehlo(learned("concat"), K + 1)


def test_exported_stablehlo_needs_jax_alone(tmp_path):
    content = to_stablehlo(learned("edl-base"))
    (tmp_path / "loss.stablehlo").write_bytes(content)
    logits, labels, _ = examples()
    np.savez(tmp_path / "examples.npz", logits=logits, labels=labels.astype(np.int32))
    code = """
import jax, jax.export, numpy as np
given = np.load("examples.npz")
exported = jax.export.deserialize(bytearray(open("loss.stablehlo", "rb").read()))
objective = lambda logits: exported.call(logits, given["labels"]).mean()
value, gradient = jax.jit(jax.value_and_grad(objective))(given["logits"])
np.savez("result.npz", value=value, gradient=gradient)
"""
    run(without("edl_jax", "flax", "optax") + code, tmp_path)

    result = np.load(tmp_path / "result.npz")
    value, gradient = in_jax(learned("edl-base"), logits, labels)
    assert_close(result["value"], value.mean())
    assert_close(result["gradient"], gradient / len(labels))
