"""Which claims hold? The paper's, its future work's, and our own, each with its figure."""
