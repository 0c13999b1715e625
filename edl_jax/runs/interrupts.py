"""Signals that ask a run to stop: noted, so that it ends where it can be resumed."""

import signal
from types import FrameType, TracebackType
from typing import NoReturn, Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(BaseException):
    """A signal ended the run; the message is one line that says how to resume it.

    Like KeyboardInterrupt it is nothing that a handler of errors should meet.
    """

    def __init__(self, number: int, line: str) -> None:
        self.signal = number
        super().__init__(f"stopped by {signal.Signals(number).name}; {line}")


class StopRequest:
    """Notes SIGTERM, SIGINT and SIGHUP while it is entered; a second one is not waited for.

    A signal that the process was started to ignore, as under ``nohup``, it goes on ignoring.

    Attributes:
      signal: number of the signal that came, or None.
    """

    def __init__(self) -> None:
        self.signal: int | None = None

    def __enter__(self) -> Self:
        heard = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
        self._before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise Stopped(number, "not at a checkpoint")
        self.signal = number

    def end(self, line: str) -> NoReturn:
        """Raise :class:`Stopped` for the signal that came."""
        assert self.signal is not None
        raise Stopped(self.signal, line)
