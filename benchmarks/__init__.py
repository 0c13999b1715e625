"""Benchmarks: one script for each question, its committed results in ``benchmarks/results``."""
