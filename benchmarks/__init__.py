"""Benchmarks: a folder for each question, its committed results in ``benchmarks/results``."""
