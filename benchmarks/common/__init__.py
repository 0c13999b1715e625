"""What several benchmarks use: results files, pages, timing, processes, a small data set."""
