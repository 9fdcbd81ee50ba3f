"""Writes a commented config after a look at the data."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from pydantic import ValidationError

from ..components.errors import UserError
from ..components.example_gen.files import newest_files
from ..components.example_gen.kinds import Kind
from ..components.example_gen.notes import Note
from ..components.example_gen.params import NULL_VALUES, IngestParams
from ..components.example_gen.preflight import (
    CellFormat,
    Column,
    DataInfo,
    guess_cells,
    guess_delimiter,
    is_csv,
    survey,
)
from ..components.example_gen.rows import check_columns
from ..components.example_gen.sources import column_names
from ..components.names import SPLITS
from .config import parse_config
from .paths import is_uri

_TEMPLATE = """\
# Written by `tfx-imbalance init` after a look at {{ rows }}.
# Every key: docs/configuration.md; each is checked before anything runs.
name: {{ name }}
seed: 0

data:
  path: {{ path }}
{%- if delimiter != "," %}
  delimiter: {{ delimiter }}
{%- endif %}
{%- if cells.decimal != "." %}
  decimal: ","
{%- endif %}
{%- if cells.thousands %}
  thousands: {{ thousands }}
{%- endif %}
{%- for line in formatted %}
  # {{ line }}
{%- endfor %}
{%- if null_values %}
  # Missing values, in columns of numbers, dates and truth values: {{ missing }}
  null_values: [{{ null_values | join(", ") }}]
{%- endif %}
{%- if in_text %}
  # If these texts mean a missing value, in columns of text, too:
  # column_null_values: { {{- in_text | join(", ") -}} }
{%- endif %}
  label: {{ label }}  # {{ counts }}
{%- for line in classes %}
  # {{ line }}
{%- endfor %}
{%- if classes %}
  # rare_classes: drop  # or {merge: other}
{%- endif %}
{%- if positive %}
  positive: {{ positive }}  # the class that probability and threshold are about
{%- endif %}
{%- if exclude %}
  # Identifiers and constants teach nothing. Look for leaks, too: what is known only once the
  # label is known does not belong here.
{%- for line in reasons %}
  # {{ line }}
{%- endfor %}
  exclude: [{{ exclude | join(", ") }}]
{%- else %}
  exclude: []  # look for leaks: what is known only once the label is known does not belong here
{%- endif %}
{%- if unlabelled %}
  unlabelled: drop  # {{ unlabelled }} rows have no label
{%- endif %}
{% for line in columns %}
# {{ line }}
{%- endfor %}
{%- for line in notes %}
# Note: {{ line }}
{%- endfor %}

split: {mode: exact, train: 0.7, val: 0.15, test: 0.15}

# Measure before you rebalance: where a threshold can be tuned, resampling and weights often gain
# nothing. What they do to the probabilities is undone by Calibrator.
rebalance: {method: none}  # under, over, downsample_upweight, smote_nc, ...; docs/rebalancing.md
class_weights: {scheme: none}  # balanced, inverse_sqrt, effective_number, explicit, ...

calibrate:
{%- if positive %}
  threshold: {objective: f_beta, beta: 1}  # or recall_at_precision, expected_cost, ...
{%- else %}
  threshold: {objective: f_beta, beta: 1}  # or balanced_accuracy, expected_cost
{%- endif %}

evaluate:
  slices: [{{ slices | join(", ") }}]

gates:
  absolute: []  # such as {metric: auc_pr, min: 0.4}
  champion:
    - {metric: auc_pr, max_loss: 0.005}
"""
_FEW_VALUES = 12
_SHOWN = 5


def write_config(
    data: str,
    label: str,
    output: Path | None,
    *,
    force: bool,
    exclude: Sequence[str] = (),
    delimiter: str | None = None,
    decimal: str | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Path:
    """Looks at a data file and writes a config that runs on it.

    Args:
      data: path of the file, folder or pattern.
      label: the column to predict.
      output: the config's path; data's stem with .yaml in the working directory when None.
      force: overwrite an existing config.
      exclude: columns to leave out, beside those that teach nothing.
      delimiter: of a CSV; guessed when None.
      decimal: of a CSV's numbers; guessed when None.
      tell: is called with each thing that a user should know of the data: one printable line.

    Returns:
      The config's path.

    Raises:
      UserError: the data cannot be used, or the config exists already.
    """
    name = _slug(Path(data).name.split(".")[0])
    path = output or Path(f"{name}.yaml")
    if path.exists() and not force:
        raise UserError(f"{path}: exists already; name another with --output, or use --force")
    look = _look(data, label, exclude, delimiter, decimal)
    where = data if is_uri(data) else os.path.relpath(data, path.absolute().parent)
    text = _render(look, name, where)
    parse_config(yaml.safe_load(text), str(path))
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    for line in _remarks(look):
        tell(line)
    return path


@dataclass(frozen=True)
class _Look:
    """What a look at the data has told.

    Attributes:
      params: what was asked for, with what was guessed of the format.
      cells: how the cells are written.
      info: columns and classes.
      excluded: column that is left out -> why.
      small: classes with fewer rows than there are splits -> rows.
    """

    params: IngestParams
    cells: CellFormat
    info: DataInfo
    excluded: dict[str, str]
    small: dict[str, int]


def _look(
    data: str,
    label: str,
    exclude: Sequence[str],
    delimiter: str | None,
    decimal: str | None,
) -> _Look:
    asked: dict[str, Any] = {"label": label, "unlabelled": "drop", "exclude": tuple(exclude)}
    cells = CellFormat()
    excluded = dict.fromkeys(exclude, "as asked for")
    if is_csv(data):
        asked["delimiter"] = guess_delimiter(data) if delimiter is None else delimiter
        header = column_names(newest_files(data)[0], "csv", asked["delimiter"]) or []
        if "" in header:
            excluded[""] = "such as a data frame's index, or a comma at the header's end"
        asked["exclude"] = tuple(excluded)
        params = _ingest_params(asked | ({} if decimal is None else {"decimal": decimal}))
        check_columns(data, header, params)
        cells = guess_cells(data, params)
        asked |= {"decimal": cells.decimal, "thousands": cells.thousands}
        if cells.null_values:
            asked["null_values"] = (*NULL_VALUES, *sorted(cells.null_values))
    params = _ingest_params(asked)
    info = survey(data, params)
    for name, column in info.columns.items():
        if column.role == "feature" and (why := _why_useless(column)):
            excluded[name] = why
    if all(name in excluded for name, c in info.columns.items() if c.role == "feature"):
        # Better a column that seems to teach nothing than no feature at all.
        excluded = {n: w for n, w in excluded.items() if n in params.exclude}
    small = {c: n for c, n in info.class_counts.items() if n < len(SPLITS)}
    return _Look(params, cells, info, excluded, small)


def _ingest_params(options: dict[str, Any]) -> IngestParams:
    try:
        return IngestParams(**options)
    except ValidationError as error:
        what = error.errors()[0]
        raise UserError(f"--{what['loc'][0]}: {what['msg']}, found {what['input']!r}") from error


def _render(look: _Look, name: str, data: str) -> str:
    info, cells = look.info, look.cells
    features = {name: c for name, c in info.columns.items() if c.role == "feature"}
    counts = info.class_counts
    smallest = min(counts, key=lambda c: (counts[c], c)) if len(counts) == 2 else None
    slices = [
        name
        for name, column in features.items()
        if column.feature == "bytes" and 1 < column.distinct <= _FEW_VALUES
    ]
    slices = [name for name in slices if name not in look.excluded]
    return jinja2.Template(_TEMPLATE, keep_trailing_newline=True, autoescape=False).render(
        rows=f"{info.rows:,} rows",
        name=name,
        path=_quoted(data),
        delimiter=look.params.delimiter
        if look.params.delimiter == ","
        else _quoted(look.params.delimiter),
        cells=cells,
        thousands=_quoted(cells.thousands or ""),
        formatted=[printable(line) for line in _formatted(cells)],
        null_values=[_quoted(v) for v in look.params.null_values] if cells.null_values else [],
        missing=printable(_cells(cells.null_values)),
        in_text=[
            printable(f"{_quoted(name)}: [{', '.join(map(_quoted, texts))}]")
            for name, texts in cells.in_text.items()
            if name not in look.excluded
        ],
        label=_quoted(look.params.label),
        counts=printable(", ".join(f"{c}: {n:,}" for c, n in list(counts.items())[:8])),
        classes=[printable(line) for line in _small(look)],
        positive=smallest and _quoted(smallest),
        exclude=[_quoted(name) for name in look.excluded],
        reasons=[printable(f"{_named(name)}: {why}") for name, why in look.excluded.items()],
        unlabelled=info.unlabelled,
        columns=[printable(_line(name, column)) for name, column in features.items()],
        notes=[printable(note.message) for note in _notes(look)],
        slices=[_quoted(name) for name in slices[:2]],
    )


def _remarks(look: _Look) -> list[str]:
    """What a user should know, each a printable line."""
    lines = _formatted(look.cells)
    if look.cells.null_values:
        lines.append(f"missing values by data.null_values: {_cells(look.cells.null_values)}")
    asked = {name: why for name, why in look.excluded.items() if why != "as asked for"}
    lines += [f"excluded {_named(name)}: {why}" for name, why in asked.items()]
    lines += _small(look)
    lines += [note.message for note in _notes(look)]
    return [printable(line) for line in lines]


def _notes(look: _Look) -> list[Note]:
    return [note for note in look.info.notes if note.column not in look.excluded]


def _formatted(cells: CellFormat) -> list[str]:
    read = list(cells.formatted.items())
    if not read:
        return []
    shown = [f"column {name!r}, {r.text!r} is {r.number}" for name, r in read[:_SHOWN]]
    more = f"; {len(read) - _SHOWN} more" if len(read) > _SHOWN else ""
    lines = [f"numbers by their format: {'; '.join(shown)}{more}"]
    doubted = next(((name, r) for name, r in read if r.other is not None), None)
    if doubted is not None:
        name, reading = doubted
        other = "," if cells.decimal == "." else "."
        lines.append(
            f"data.decimal {other!r} fits all columns as well as {cells.decimal!r}, which was "
            f"chosen: by it {reading.text!r} in column {name!r} is {reading.other}; where that is "
            f"meant use --decimal {other!r}, or set data.decimal and data.thousands"
        )
    return lines


def _cells(markers: Mapping[str, int]) -> str:
    return ", ".join(f"{text!r} in {count:,} cells" for text, count in sorted(markers.items()))


def _small(look: _Look) -> list[str]:
    return [
        f"class {name!r} has {rows:,} row{'s' if rows > 1 else ''}, too few for three splits: add "
        "rows, or say by data.rare_classes what becomes of it"
        for name, rows in list(look.small.items())[:_SHOWN]
    ]


def _why_useless(column: Column) -> str | None:
    """Why a column teaches nothing; None where it may. By all rows of the data."""
    if not column.distinct:
        return "no values"
    if column.distinct == 1 and not column.missing:
        return "a constant"
    # A time of its own in each row is no identifier, nor is a fraction.
    is_name = column.kind in (Kind.TEXT, Kind.INT)
    if is_name and column.is_unique and not column.missing and column.distinct > _FEW_VALUES:
        if column.kind is Kind.INT:
            return "an identifier: each row has a value of its own"
        return (
            "an identifier or free text: each row has a text of its own; preprocessing.fn can make "
            "features of it"
        )
    return None


def _line(name: str, column: Column) -> str:
    missing = f", {column.missing:.1%} missing" if column.missing else ""
    values = ", ".join(column.values[:4])
    more = "" if column.is_exact else "more than "
    return f"  {name}: {column.feature}, {more}{column.distinct:,} values{missing}: {values}"


def _named(name: str) -> str:
    return repr(name) if name else "the column without a name"


def printable(text: str) -> str:
    """`text` in one line, with every character escaped that does not print: controls, line and
    paragraph separators, marks of writing direction, lone surrogates."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def _quoted(text: str) -> str:
    """One YAML scalar; JSON's quoting is YAML's too."""
    return yaml.safe_dump(text, default_style='"', width=float("inf")).strip()


def _slug(stem: str) -> str:
    return re.sub(r"[^a-z0-9_-]+", "-", stem.lower()).strip("-_") or "data"
