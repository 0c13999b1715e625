"""The cost of a learned loss in PyTorch, beside ``torch.nn.CrossEntropyLoss``."""
