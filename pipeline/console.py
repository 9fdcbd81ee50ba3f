"""What a user sees while a pipeline runs: one line a node, a live line for the one at work.

Beam, TensorFlow and absl write to the process's file descriptors and loggers; unless the user
wants to see that (`--verbose`), it goes to the run's log file and the terminal is ours alone.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.status import Status
from rich.text import Text

from ..components import progress

QUIET_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GRPC_VERBOSITY": "NONE",
    "TFX_TELEMETRY": "0",
}


class Terminal:
    """The user's own view of standard output."""

    def __init__(self, console: Console, live: bool) -> None:
        self._console = console
        self._live = live and console.is_terminal
        self._status: Status | None = None

    def line(self, text: str, style: str = "") -> None:
        """Prints one line."""
        self._console.print(Text(text, style=style), soft_wrap=True)

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


@contextmanager
def terminal(log: Path, verbose: bool) -> Iterator[Terminal]:
    """Gives the user's terminal; everything that others print goes to `log`.

    With `verbose` nothing is redirected, and the log stays unwritten.
    """
    if verbose:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr)
        yield Terminal(Console(highlight=False), live=False)
        return
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with log.open("a", encoding="utf-8") as file, os.fdopen(os.dup(1), "w") as own:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
        handler = logging.StreamHandler(file)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
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
