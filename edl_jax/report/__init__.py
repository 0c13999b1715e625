"""Report: one page about finished runs that needs nothing but a browser.

``python -m edl_jax.report`` is its command line.
"""
