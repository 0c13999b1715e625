"""The lines of errors: one each, and not a long one."""

import pytest

from edl_jax.errors import one_line


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            ValueError("RESOURCE_EXHAUSTED:\n  no   space left\n"),
            "RESOURCE_EXHAUSTED: no space left",
        ),
        (ValueError("x" * 300), "x" * 200),
        (AssertionError(), "AssertionError"),
        (KeyboardInterrupt(" \n"), "KeyboardInterrupt"),
    ],
    ids=["lines", "long", "silent", "blank"],
)
def test_whatever_an_error_says_fits_into_one_line(error, line):
    assert one_line(error) == line
