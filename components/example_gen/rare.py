"""Classes of fewer rows than `data.min_class_rows`: left alone, dropped, or merged into one."""

import dataclasses
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ..errors import UserError
from .kinds import Kind, kind_of_label, label_values
from .notes import Note
from .params import IngestParams

if TYPE_CHECKING:
    from .plan import FileScan
    from .rows import Block

_SHOWN = 10


def becomes_of(counts: Mapping[str, int], params: IngestParams) -> dict[str, str | None]:
    """What becomes of the rare classes.

    Args:
      counts: class -> rows, over all rows.
      params: what the user said.

    Returns:
      Rare class -> the class that its rows get; None where they are dropped.

    Raises:
      UserError: the class that rare ones are merged into is still too small.
    """
    if params.rare_classes == "error":
        return {}
    rare = sorted(name for name, rows in counts.items() if rows < params.min_class_rows)
    if params.rare_classes == "drop":
        return dict.fromkeys(rare)
    other = _as_class(params.rare_classes.merge, counts.keys())
    becomes: dict[str, str | None] = {name: other for name in rare if name != other}
    rows = counts.get(other, 0) + sum(counts[name] for name in becomes)
    if rare and rows < params.min_class_rows:
        raise UserError(
            f"data.rare_classes: with {', '.join(map(repr, rare[:_SHOWN]))} merged, class "
            f"{other!r} has {rows:,} rows, fewer than data.min_class_rows "
            f"({params.min_class_rows:,}); name a larger class, or set data.rare_classes: drop"
        )
    return becomes


def _as_class(name: str, classes: Collection[str]) -> str:
    """The class that `name` is in a CSV beside the others: 1.0 is 1, TRUE is true."""
    kind = kind_of_label(pa.array([*classes, name], pa.string()))
    if name in classes or kind not in (Kind.INT, Kind.BOOL):
        return name
    return str(label_values(pa.array([name]), kind).cast(pa.string())[0])


def merged_counts(counts: Mapping[str, int], becomes: Mapping[str, str | None]) -> dict[str, int]:
    """Class -> rows after that, the most frequent first."""
    after: dict[str, int] = {}
    for name, rows in counts.items():
        if (now := becomes.get(name, name)) is not None:
            after[now] = after.get(now, 0) + rows
    return dict(sorted(after.items(), key=lambda item: -item[1]))


def scan_after(scan: "FileScan", becomes: Mapping[str, str | None]) -> "FileScan":
    """The scan as if the file's rows had those classes, or none where they are dropped."""
    now = [becomes.get(name, name) for name in scan.class_names]
    names = [name for name in dict.fromkeys(now) if name is not None]
    index = {name: i for i, name in enumerate(names)}
    code = np.array([-1 if name is None else index[name] for name in now], np.int32)
    parts, counts = scan.parts, scan.counts
    if "classes" in parts:
        classes = code[parts["classes"]]
        kept = classes >= 0
        parts = {name: values[kept] for name, values in parts.items()}
        parts["classes"] = classes[kept]
    if counts is not None:
        kept = code >= 0
        joined = np.zeros((len(names), counts.shape[1]), counts.dtype)
        np.add.at(joined, code[kept], counts[kept])
        counts = joined
    return dataclasses.replace(scan, class_names=names, parts=parts, counts=counts)


def block_after(block: "Block", becomes: Mapping[str, str | None], label: str) -> "Block":
    """The same of a block of rows."""
    encoded = block.classes.dictionary_encode()
    names = [becomes.get(name, name) for name in encoded.dictionary.to_pylist()]
    classes = pa.array(names, pa.large_string()).take(encoded.indices)
    at = block.columns.schema.get_field_index(label)
    columns = block.columns.columns
    columns[at] = classes.cast(pa.large_binary())
    written = pa.RecordBatch.from_arrays(columns, names=block.columns.schema.names)
    return dataclasses.replace(block, columns=written, classes=classes)


def note(
    counts: Mapping[str, int], becomes: Mapping[str, str | None], params: IngestParams
) -> Note:
    """What became of which classes and rows."""
    rows = sum(counts[name] for name in becomes)
    named = ", ".join(f"{name!r} ({counts[name]:,})" for name in list(becomes)[:_SHOWN])
    if len(becomes) > _SHOWN:
        named += f" and {len(becomes) - _SHOWN} more"
    merged = params.rare_classes not in ("error", "drop")
    what = f"were merged into class {next(iter(becomes.values()))!r}" if merged else "were dropped"
    return Note(
        name="rare_classes",
        column=params.label,
        message=f"{rows:,} rows of classes with fewer than {params.min_class_rows:,} rows {what}: "
        f"{named}",
    )
