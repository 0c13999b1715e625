"""The speed of an accelerator in the search, of the losses and of training with them."""
