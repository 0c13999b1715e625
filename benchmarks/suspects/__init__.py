"""Wrong training labels: how many are found, beside cleanlab."""
