"""Where long work says how far it is. The runner shows it; a library user may ignore it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .masking import mask
from .text import printable

_sink: Callable[[str], None] = logging.getLogger("tfx_imbalance").info


def say(text: str) -> None:
    """Shows one short line of progress, such as 'epoch 3/50  val AUC-PR 0.41'."""
    _sink(printable(mask(text)))


@contextmanager
def shown_by(sink: Callable[[str], None]) -> Iterator[None]:
    """Sends `say` to `sink` for the length of the block."""
    global _sink
    before, _sink = _sink, sink
    try:
        yield
    finally:
        _sink = before
