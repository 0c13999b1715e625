"""Hand-made losses with constants of one's own, by name."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from edl_jax.errors import EdlError
from edl_jax.losses.handmade import LOSSES
from edl_jax.losses.loading import resolve_loss
from tests.losses.examples import batch


@pytest.mark.parametrize(
    ("text", "equal"),
    [
        ("gce:q=0", "cross_entropy"),
        ("gce:q=1", "one_minus_p"),
        ("gce:q=0.7", "gce"),
        ("symmetric_ce:beta=0, alpha=1", "cross_entropy"),
        ("jal_ce:a=3e1,beta=1", "jal_ce"),
    ],
)
def test_the_constants_that_are_given_replace_the_published_ones(text, equal):
    logits, labels = batch(5)
    loss = resolve_loss(text)
    assert loss.name == text
    np.testing.assert_allclose(loss(logits, labels), LOSSES[equal](logits, labels), rtol=1e-5)


def test_a_variant_of_one_text_is_one_loss_and_of_another_is_another():
    """So that a jitted step with the loss as a static argument is compiled once."""
    loss, same, other = (resolve_loss(f"gce:q={q}") for q in (0.3, 0.3, 0.4))
    assert loss == same and hash(loss) == hash(same)
    assert loss != other and loss != LOSSES["gce"]
    assert resolve_loss("gce") is LOSSES["gce"]


def test_a_traced_function_may_ask_for_a_variant():
    logits, labels = batch(5)
    found = jax.jit(lambda z: resolve_loss("bi_tempered:t1=0.5")(z, labels))(logits)
    np.testing.assert_allclose(found, resolve_loss("bi_tempered:t1=0.5")(logits, labels), rtol=1e-5)


def test_a_hand_made_name_before_a_colon_is_not_shadowed_by_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gce:q=0.3").write_text("mine")
    assert resolve_loss("gce:q=0.3").name == "gce:q=0.3"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gce:", "expected gce:CONSTANT=VALUE[,CONSTANT=VALUE], a constant being one of q"),
        ("gce:0.3", "expected gce:CONSTANT=VALUE[,CONSTANT=VALUE], a constant being one of q"),
        ("gce:q=0.3,", "expected gce:CONSTANT=VALUE[,CONSTANT=VALUE], a constant being one of q"),
        ("gce:p=0.3", "gce has no constant p, expected one of q"),
        ("gce:log_p_y=1", "gce has no constant log_p_y, expected one of q"),
        (
            "nce_agce:alhpa=1",
            "nce_agce has no constant alhpa, expected one of alpha, beta, a, q; "
            "did you mean alpha?",
        ),
        ("cross_entropy:q=1", "cross_entropy has no constants"),
        ("gce:q=1,q=2", "expected q once"),
        ("gce:q=", "expected a finite number for q, not ''"),
        ("gce:q=half", "expected a finite number for q, not 'half'"),
        ("gce:q=nan", "expected a finite number for q, not 'nan'"),
        ("gce:q=-inf", "expected a finite number for q, not '-inf'"),
        ("bi_tempered:t1=2", "with these constants it has no finite value at p = 1/2"),
        ("nce_agce:q=0", "with these constants it has no finite value at p = 1/2"),
        ("nce_agce:a=-3,q=0.5", "with these constants it has no finite value at p = 1/2"),
        ("baikal:smallest_p=0", "with these constants it has no finite value at p = 1/2"),
    ],
)
def test_constants_that_cannot_be_are_refused_in_one_line(text, said):
    with pytest.raises(EdlError) as error:
        resolve_loss(text)
    assert str(error.value) == f"loss {text}: {said}"


def test_a_mistyped_loss_with_constants_is_refused_like_any_unknown_name():
    with pytest.raises(EdlError, match="loss gec:q=1: expected one of edl-base"):
        resolve_loss("gec:q=1")


def test_a_variant_keeps_to_the_dtype_of_the_logits():
    with jax.enable_x64(True):
        loss = resolve_loss("eps_softmax_mae:m=100")
        for dtype in (jnp.float32, jnp.float64):
            assert loss(jnp.zeros((2, 3), dtype), jnp.array([0, 1])).dtype == dtype
