"""Does rehearsal predict? Students on synthetic tasks beside classifiers on real images."""
