"""Which model was pushed last."""

from typing import ClassVar

from ..report import Report


class ChampionInfo(Report):
    """Content of a Champion artifact."""

    schema_name: ClassVar[str] = "champion"

    version: str | None
    """Folder name in serving/; None on a cold start."""
    message: str
    """In words, such as 'no model was pushed yet' or 'serving/1764028800, pushed ...'."""
    model_fingerprint: str | None
    classes: list[str] | None
    comparable: bool
    """Whether the candidate can be compared with it: it exists and has the same classes."""
