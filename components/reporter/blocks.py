"""What a section of the page is made of, and how figures are written in it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from .figures import Picture

MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
      text: what it says.
      number: whether it is aligned as a number.
      note: smaller text beside it.
      below: smaller text under it.
      shade: how dark its ground is, 0 to 1.
      tone: '', 'pass', 'warn', 'fail' or 'skipped'; colours a verdict, which the text says too.
    """

    text: str
    number: bool = False
    note: str = ""
    below: str = ""
    shade: float | None = None
    tone: str = ""


@dataclass(frozen=True)
class Row:
    """One row: its first cell is its header, `note` stands below it over the whole width."""

    cells: Sequence[Cell]
    tone: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table with a caption above it."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Row]
    kind: Literal["table"] = "table"


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str
    kind: Literal["text"] = "text"


@dataclass(frozen=True)
class Points:
    """A list of sentences, each with a tone."""

    points: Sequence[Cell]
    kind: Literal["points"] = "points"


@dataclass(frozen=True)
class Beside:
    """Groups of blocks side by side, where there is room."""

    groups: Sequence[Sequence["Block"]]
    kind: Literal["beside"] = "beside"


@dataclass(frozen=True)
class Source:
    """A text as it was written."""

    text: str
    kind: Literal["source"] = "source"


@dataclass(frozen=True)
class Folded:
    """Blocks that the reader may open."""

    title: str
    blocks: Sequence["Block"]
    kind: Literal["folded"] = "folded"


Block = Table | Text | Points | Picture | Beside | Source | Folded


@dataclass(frozen=True)
class Section:
    """A part of the page with a heading."""

    id: str
    title: str
    blocks: Sequence[Block] = field(default_factory=list)


def number(value: float | None, digits: int = 3) -> Cell:
    """A figure with so many digits after the point; a dash where it is undefined."""
    if value is None or not math.isfinite(value):
        return Cell(MISSING, number=True)
    if value and abs(value) < 0.5 * 10**-digits:
        return Cell(f"{value:.1g}", number=True)
    return Cell(f"{value:.{digits}f}", number=True)


def count(value: float | None) -> Cell:
    """A number of rows, or a sum of weights."""
    if value is None or not math.isfinite(value):
        return Cell(MISSING, number=True)
    return Cell(f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}", number=True)


def share(value: float | None, digits: int = 1) -> str:
    """A share in percent; never rounded to 0 % or 100 % where it is neither."""
    if value is None or not math.isfinite(value):
        return MISSING
    rounded, least = round(100 * value, digits), 10**-digits
    if rounded == 100 and value < 1:
        return f"> {100 - least:.{digits}f} %"
    if value and rounded < least:
        return f"{100 * value:.2g} %"
    return f"{rounded:.{digits}f} %"
