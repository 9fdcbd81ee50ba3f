"""Identities of train's rows, in the order in which `trainer.input.read_rows` gives the rows."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from .. import hashing
from ..errors import UserError
from ..examples_io import decoder, read_blocks
from ..names import GROUP_ID, ROW_COPY, ROW_ID
from ..trainer.input import Rows


def identities(
    files: Sequence[str],
    rows: Rows,
    label: str,
    classes: Sequence[str],
    has_row_id: bool,
    apart: bool = False,
) -> np.ndarray:
    """int64 [n], the identity of each row; hashed from its features where it carries none.

    Args:
      files: the rows' transformed examples.
      rows: as read_rows gave them, by identity, copy, then class.
      label: name of the label.
      classes: class names in index order.
      has_row_id: whether examples carry their identity.
      apart: copies of a row are told apart, as the split did: in a table of few distinct rows
        folds would be lumpy otherwise.
    """
    if not has_row_id:
        columns = {f"n{i}": pa.array(column) for i, column in enumerate(rows.numbers.T)}
        columns |= {f"c{i}": pa.array(column) for i, column in enumerate(rows.categories.T)}
        return hashing.row_ids(pa.Table.from_pydict(columns))
    decode = decoder({ROW_ID: "int", ROW_COPY: "int", label: "bytes"})
    code_of = {name.encode(): k for k, name in enumerate(classes)}
    ids, copies, labels = [], [], []
    for block in read_blocks(files):
        batch = decode.DecodeBatch(list(block))
        ids.append(_one_each(batch, ROW_ID))
        copies.append(_copies(batch, apart))
        names = batch.column(label).flatten().dictionary_encode()
        codes = np.array([code_of[name] for name in names.dictionary.to_pylist()], np.int64)
        labels.append(codes[np.asarray(names.indices)])
    found, copy, of_class = (np.concatenate(parts) for parts in (ids, copies, labels))
    order = np.lexsort((of_class, copy, found))
    if not np.array_equal(of_class[order], rows.labels):
        raise RuntimeError("identities and rows of train are not in one order")
    return hashing.copy_ids(found, copy)[order] if apart else found[order]


def groups(files: Sequence[str], apart: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Identity and group, int64 [m] each, of raw examples that StratifiedExampleGen wrote.

    With `apart` copies of a row are told apart.

    Raises:
      UserError: the examples do not carry them.
    """
    decode = decoder({ROW_ID: "int", ROW_COPY: "int", GROUP_ID: "int"})
    parts = []
    for block in read_blocks(files):
        batch = decode.DecodeBatch(list(block))
        ids, group = (_one_each(batch, name) for name in (ROW_ID, GROUP_ID))
        parts.append((hashing.copy_ids(ids, _copies(batch, apart)) if apart else ids, group))
    ids, group = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ids, group


def _copies(batch: pa.RecordBatch, needed: bool) -> np.ndarray:
    """Which copy each row is; 0 where it does not say and need not."""
    column = batch.column(ROW_COPY)
    if needed or not column.null_count:
        return _one_each(batch, ROW_COPY)
    return np.zeros(len(column), np.int64)


def _one_each(batch: pa.RecordBatch, name: str) -> np.ndarray:
    column = batch.column(name)
    flat = np.asarray(column.flatten())
    if column.null_count or len(flat) != len(column):
        raise UserError(
            f"Tuner: some rows of train have no {name!r}; it needs examples that "
            "StratifiedExampleGen wrote, with data.group_by if rows are grouped"
        )
    return flat


def content(*arrays: np.ndarray) -> str:
    """SHA-256 of what arrays hold."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
