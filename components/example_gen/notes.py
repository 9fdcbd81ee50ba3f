"""What the ingest tells people about data: from the files to console, ImbalanceReport and page."""

from collections.abc import Sequence

from pydantic import BaseModel, TypeAdapter

NOTES_PROPERTY = "notes"
"""Custom property of StratifiedExampleGen's Examples: its notes as JSON."""

IDENTITY_PROPERTY = "identity"
"""Custom property of the same: `Identity` as JSON."""


class Identity(BaseModel):
    """What `_row_id` is the identity of; only identities of one kind can be compared."""

    version: int
    """hashing.IDENTITY_VERSION."""
    key: tuple[str, ...] = ()
    """The columns of `split.key`; none where all features make the identity."""


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
