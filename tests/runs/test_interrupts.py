"""Signals: the first is noted, the second is not waited for, and afterwards all is as before."""

import os
import signal

import pytest

from edl_jax import cli
from edl_jax.runs.interrupts import Stopped, StopRequest

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@pytest.fixture(autouse=True)
def nothing_is_ignored():
    """The tests may have been started to ignore a signal."""
    before = [signal.signal(number, signal.SIG_DFL) for number in HEARD]
    yield
    for number, handler in zip(HEARD, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.parametrize("number", HEARD)
def test_a_signal_is_noted_and_a_second_one_ends_the_run(number):
    before = [signal.getsignal(n) for n in HEARD]
    with pytest.raises(Stopped, match=f"^stopped by {number.name}; "), StopRequest() as stop:
        assert stop.signal is None
        os.kill(os.getpid(), number)
        assert stop.signal == number
        os.kill(os.getpid(), number)
    assert [signal.getsignal(n) for n in HEARD] == before


@pytest.mark.parametrize("number", HEARD)
def test_a_signal_that_is_ignored_stays_ignored(number):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), number)
            assert stop.signal is None
        assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_the_exit_status_names_the_signal(capsys):
    def command():
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            stop.end("resume with: this")

    with pytest.raises(SystemExit) as caught:
        cli.main(command)
    assert caught.value.code == 128 + signal.SIGTERM
    assert capsys.readouterr() == ("", "stopped by SIGTERM; resume with: this\n")


@pytest.mark.parametrize(
    "error", [MemoryError("no"), RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating")]
)
def test_too_little_memory_is_one_line(capsys, error):
    def command():
        raise error

    with pytest.raises(SystemExit) as caught:
        cli.main(command)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: out of memory: expected a smaller")


def test_any_other_runtime_error_is_a_defect():
    def command():
        raise RuntimeError("INTERNAL")

    with pytest.raises(RuntimeError):
        cli.main(command)
