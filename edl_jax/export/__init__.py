"""Export: a loss for other programs, as StableHLO, as a PyTorch module, or as an ONNX graph.

``python -m edl_jax.export`` is its command line.
"""
