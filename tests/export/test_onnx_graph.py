"""The ONNX graph equals the JAX loss, where onnx and onnxruntime are installed."""

import numpy as np
import pytest

from tests.export.examples import NETWORKS, K, assert_close, examples, learned, value_in_jax


@pytest.mark.parametrize("name", ["edl-robust", *NETWORKS[1:]])
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
            # No classes: NaN, as in JAX, but for the second row, which has none.
            labels[:3] = classes, -1, -1
        logits[20, 0] = np.inf
        given = soft if soft_labels else labels
        (losses,) = session.run(None, {"logits": logits, "labels": given})
        assert_close(losses, value_in_jax(loss, logits, given))
        expected = [20] if soft_labels else [0, 2, 20]
        assert np.flatnonzero(np.isnan(losses)).tolist() == expected
