"""What is done to the files of a run before they are read, and how the command refuses them."""

import contextlib
import json

import jax
import pytest

from edl_jax import cli
from edl_jax.report import __main__ as report

HOSTILE = "</script><img src=https://example.org/x onerror=alert(1)>"
NAMES = ("first", "<b>second & last", "trained")


@contextlib.contextmanager
def quick_compilation():
    """Most of the time would go into optimising programs that run once."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()


def edit(path, old, new):
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))


def cut(path):
    path.write_bytes(path.read_bytes()[:-20])


def rewrite(**changes):
    def change(path):
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def refuse(args, capsys):
    """The one line with which the command stops, at status 2."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        cli.main(lambda: report.command(list(map(str, args))))
    output, error = capsys.readouterr()
    assert (stop.value.code, output) == (2, "")
    assert error.startswith("error: ") and error.count("\n") == 1
    return error
