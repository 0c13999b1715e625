"""Does chaotic mutation beat Gaussian mutation?"""
