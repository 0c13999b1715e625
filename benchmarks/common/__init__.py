"""Tools of several benchmarks: results files, pages, timing, processes, a small data set."""
