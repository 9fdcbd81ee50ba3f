"""What the ingest tells people about data: from the files to console, ImbalanceReport and page."""

from collections.abc import Sequence

from pydantic import BaseModel, TypeAdapter

NOTES_PROPERTY = "notes"
"""Custom property of StratifiedExampleGen's Examples: its notes as JSON."""


class Note(BaseModel):
    """One thing that a user should know of the data."""

    name: str
    """What kind of thing it is: the name of the check in the ImbalanceReport."""
    column: str | None = None
    """The column that it is about."""
    message: str
    """A sentence for people, without an end."""


_NOTES = TypeAdapter(list[Note])


def to_text(notes: Sequence[Note]) -> str:
    """Notes as JSON."""
    return _NOTES.dump_json(list(notes)).decode()


def from_text(text: str) -> list[Note]:
    """Reads `to_text` back; none of an empty text."""
    return _NOTES.validate_json(text) if text else []
