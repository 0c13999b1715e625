"""Which loss trains better, each tuned alike, on clean and on noisy labels?"""
