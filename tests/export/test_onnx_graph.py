"""The ONNX graph equals the JAX loss, where onnx and onnxruntime are installed."""

import pytest

from tests.export.examples import K, assert_close, examples, learned, value_in_jax


@pytest.mark.parametrize("name", ["edl-robust", "deepset", "concat", "taylor"])
@pytest.mark.parametrize("soft_labels", [False, True])
def test_the_onnx_graph_equals_jax(name, soft_labels):
    runtime = pytest.importorskip("onnxruntime")
    from edl_jax.export.onnx_graph import make_model

    loss = learned(name)
    model = make_model(loss, K if name == "concat" else None, soft_labels)
    session = runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for classes in (K,) if name == "concat" or soft_labels else (K, 3):
        logits, labels, soft = examples(classes)
        if not soft_labels:
            labels[:2] = -1, classes  # neither is a class: NaN, as in JAX
        given = soft if soft_labels else labels
        (losses,) = session.run(None, {"logits": logits, "labels": given})
        assert_close(losses, value_in_jax(loss, logits, given))
