"""What an accelerator makes of the search, of the losses and of training with them."""
