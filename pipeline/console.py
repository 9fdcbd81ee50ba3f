"""What a user sees while a pipeline runs: one line a node, a live line for the one at work.

Beam, TensorFlow and absl write to the process's file descriptors and loggers; unless the user
wants to see that (`--verbose`), it goes to the run's log file and the terminal is ours alone.
"""

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.status import Status
from rich.text import Text

from ..components import progress
from ..components.text import shown

QUIET_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GRPC_VERBOSITY": "NONE",
    "TFX_TELEMETRY": "0",
}


class Shown(io.TextIOBase):
    """A text stream of the terminal: what is written to it reaches the inner one by `shown`."""

    def __init__(self, inner: TextIO) -> None:
        self._inner = inner

    def write(self, text: str) -> int:
        """Writes, and returns the length of what was given."""
        self._inner.write(shown(text))
        return len(text)

    def flush(self) -> None:
        """Flushes the inner stream."""
        self._inner.flush()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The inner stream's encoding."""
        return self._inner.encoding

    def fileno(self) -> int:
        """The inner stream's descriptor."""
        return self._inner.fileno()

    def isatty(self) -> bool:
        """Whether the inner stream is a terminal."""
        return self._inner.isatty()


class ShownFormatter(logging.Formatter):
    """Log lines, tracebacks too, by `shown`."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        return shown(super().format(record))


class Terminal:
    """The user's own view of standard output."""

    def __init__(self, console: Console, live: bool) -> None:
        self._console = console
        self._live = live and console.is_terminal
        self._status: Status | None = None

    def line(self, text: str, style: str = "") -> None:
        r"""Prints one line, or several where `text` has `\n`."""
        say(self._console, text, style)

    @contextmanager
    def working(self, node: str) -> Iterator[None]:
        """Shows `node` as being at work, with what it says of its progress, for the block."""
        if not self._live:
            with progress.shown_by(logging.getLogger("tfx_imbalance").info):
                yield
            return
        with self._console.status(f"  {node}") as status:

            def show(text: str) -> None:
                logging.getLogger("tfx_imbalance").info(text)
                status.update(Text(f"  {node}  {text}"))

            with progress.shown_by(show):
                yield


def say(out: Console, text: str, style: str = "") -> None:
    """Prints text as it is: none of it is rich's markup, nothing of it steers the terminal."""
    out.print(Text(shown(text), style=style), soft_wrap=True)


@contextmanager
def terminal(log: Path, verbose: bool) -> Iterator[Terminal]:
    """Gives the user's terminal; everything that others print goes to `log`.

    With `verbose` nothing is redirected, and the log stays unwritten.
    """
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=Shown(sys.stderr))
        yield Terminal(Console(highlight=False), live=False)
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with log.open("a", encoding="utf-8") as file, _terminal_text() as own:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        handler = logging.StreamHandler(file)
        handler.setFormatter(ShownFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root = logging.getLogger()
        before = root.handlers[:], root.level
        root.handlers, root.level = [handler], logging.INFO
        try:
            yield Terminal(Console(file=own, highlight=False), live=True)
        finally:
            root.handlers, root.level = before
            sys.stdout.flush()
            sys.stderr.flush()
            for fd, saved in enumerate(kept, start=1):
                os.dup2(saved, fd)
                os.close(saved)


def _terminal_text() -> TextIO:
    """Standard output as text; a letter that its encoding lacks is escaped, never an error."""
    return os.fdopen(os.dup(1), "w", errors="backslashreplace")
