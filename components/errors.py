"""Errors that are the user's or the data's, told in one line without a traceback."""

import re
from typing import TYPE_CHECKING

from .text import printable


class ImbalanceError(Exception):
    """Base of the errors whose message is meant for the user as it stands.

    Each argument is one line of it, whatever line ends and controls a name or a path has brought.
    """

    exit_code = 1
    if not TYPE_CHECKING:
        # TensorFlow raises anew, by their type, only errors that are made as Exception is.
        __init__ = Exception.__init__

    def __str__(self) -> str:
        return "\n".join(printable(str(line)) for line in self.args)


class UserError(ImbalanceError, ValueError):
    """A mistake in config, path or form of the data: what, where, what is expected, what to do.

    A ValueError too, as scikit-learn's users expect of a wrong argument.
    """

    exit_code = 2


class DataCheckError(ImbalanceError):
    """The data was read but a configured check forbids training on it."""

    exit_code = 4


_WHILE = " [while running"  # Beam ends with it what a worker has raised
_TRACED = "in user code:"  # TensorFlow begins with it, raising anew from a traced function
_QUOTED = re.compile(r"\b(UserError|DataCheckError): (.+?)(?: \[while running|\\n|\n|$)")


def recognise(error: BaseException) -> ImbalanceError | None:
    """The user's or the data's mistake behind an exception, however a runner has wrapped it.

    Returns:
      Our error in its own words; None where the fault is ours.
    """
    text = str(error)
    if isinstance(error, ImbalanceError) and not text.startswith(_TRACED):
        lines = text.partition(_WHILE)[0].split("\n")
        return type(error)(*lines) if _WHILE in text else error
    if found := _QUOTED.findall(text):
        kind, words = found[-1]
        return {"UserError": UserError, "DataCheckError": DataCheckError}[kind](words)
    if "No space left on device" in text or "disk is full" in text:
        return UserError(
            "no space left on the disk of output.runs_dir or of the temporary folder; free some, "
            "or name another output.runs_dir"
        )
    return None
