"""The cost of a learned loss in a training step, and whether the step is a fast one."""
