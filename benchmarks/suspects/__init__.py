"""Which training labels look wrong: how many of the wrong ones are found, beside cleanlab."""
