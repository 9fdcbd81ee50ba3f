"""Errors that are the user's or the data's, told in one line without a traceback."""

import re


class ImbalanceError(Exception):
    """Base of the errors whose message is meant for the user as it stands."""

    exit_code = 1


class UserError(ImbalanceError):
    """A mistake in config, path or form of the data: what, where, what is expected, what to do."""

    exit_code = 2


class DataCheckError(ImbalanceError):
    """The data was read but a configured check forbids training on it."""

    exit_code = 4


_RAISED = re.compile(
    rf"{re.escape(__name__)}\.({UserError.__name__}|{DataCheckError.__name__}): "
    r"(.*?)(?: \[while running [^\]]*\]| \[\"?'[^\]]*|\n|$)"
)


def find_in_text(text: str) -> ImbalanceError | None:
    """The last of our errors that is quoted in `text`, as Beam does with what a DoFn raised."""
    found = list(_RAISED.finditer(text))
    if not found:
        return _disk_full(text)
    kind, message = found[-1].groups()
    return {"UserError": UserError, "DataCheckError": DataCheckError}[kind](message)


def _disk_full(text: str) -> UserError | None:
    if "No space left on device" in text or "disk is full" in text:
        return UserError(
            "no space left on the disk of output.runs_dir or of the temporary folder; free some, "
            "or name another output.runs_dir"
        )
    return None
