"""A CSV file cut into blocks of whole rows, which Arrow then parses.

Where a row ends is decided as Arrow's parser and pandas' do: a quote opens only at a field's start,
two within quotes are one, and line ends within quotes are text. Arrow's own reader of streams
cannot tell a row that is longer than its block from one that never ends.
"""

import csv
import io
import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import UserError
from .files import open_binary

_FIRST_READ = 1 << 16  # bytes: a header seldom needs more
_QUOTE = ord('"')
_MARK = b"\xef\xbb\xbf"  # a byte order mark
_EXCEL = re.compile(rb'"?sep=(.?)"?\s*$', re.IGNORECASE)
_NO_CSV = {
    rb"PK\x03\x04": "a zip archive or a workbook (.xlsx): unpack it, or save the sheet as CSV",
    rb"\xd0\xcf\x11\xe0": "an Excel workbook (.xls): save the sheet as CSV",
    rb"BZh[1-9]1AY&SY": "packed by bzip2: run bunzip2 on it",
    rb"\xfd7zXZ": "packed by xz: run unxz on it",
    rb"\x28\xb5\x2f\xfd": "packed by zstd: run unzstd on it",
    rb"7z\xbc\xaf": "a 7z archive: unpack it",
    rb"PAR1[\x00-\x08\x0e-\x1f]": "a Parquet file: name it .parquet or set data.format",
}
"""Pattern of a file's first bytes -> what it is."""
_NOWHERE = np.zeros(0, np.int64)


def blocks(
    path: str, delimiter: str, max_line_bytes: int, block_bytes: int = _FIRST_READ
) -> Iterator[tuple[int, bytes]]:
    """Whole rows, about `block_bytes` at a time: (bytes before them in the file, their bytes).

    The header is among them, a byte order mark and blocks of blanks are not. Memory is some times
    the larger of `block_bytes` and `max_line_bytes`.

    Raises:
      UserError: the gzipped data are corrupt, the bytes are no UTF-8 text, a quote is never closed,
        or a row is longer than `max_line_bytes`.
    """
    pending, before, size = b"", 0, block_bytes
    with open_binary(path, unpack=True) as file:
        while data := file.read(size):
            _check_text(path, before + len(pending), data)
            if before + len(pending) == 0 and data.startswith(_MARK):
                data, before = data[len(_MARK) :], len(_MARK)
            pending += data
            quoted = _quoted(pending, delimiter)
            end = _last_row_end(pending, *quoted)
            if len(pending) > max_line_bytes:
                _check_lengths(path, before, pending, end, quoted, max_line_bytes)
            if not end:
                size = max(size, len(pending))
                continue
            rows, pending, size = pending[:end], pending[end:], block_bytes
            if not rows.isspace():
                yield before, rows
            before += end
    if pending and not pending.isspace():
        opens, closes = _quoted(pending, delimiter)
        if len(opens) > len(closes):
            raise UserError(
                f"{path}, line {_line(path, before)}: bad quoting (a quote in this row is never "
                "closed); close each quote and double a quote inside a quoted field"
            )
        yield before, pending


def header(path: str, delimiter: str, max_line_bytes: int) -> tuple[list[str], int] | None:
    """Names in the first row that is not blank, and where in the file it ends, in bytes; None for
    a file without a row.

    Raises:
      UserError: as `blocks`.
    """
    for before, block in blocks(path, delimiter, max_line_bytes):
        start = len(block) - len(block.lstrip())
        start = max(block.rfind(b"\n", 0, start), block.rfind(b"\r", 0, start)) + 1
        end = _first_row_end(block, start, *_quoted(block, delimiter))
        if found := _EXCEL.match(block[start:end]):
            raise UserError(
                f"{path}: its first line is Excel's {block[start:end].decode().strip()!r}, not the "
                f"header; delete the line, data.delimiter: {found[1].decode()!r} says the same"
            )
        try:
            names = next(_parsed(block[start:end].decode(), delimiter, max_line_bytes))
        except UnicodeDecodeError as error:
            raise _not_utf8(path, before, block) from error
        except csv.Error as error:
            raise UserError(f"{path}: the header cannot be read as CSV ({error})") from error
        return names, before + end
    return None


def row_widths(path: str, delimiter: str, max_line_bytes: int, rows: int) -> list[int]:
    """Numbers of fields of the first rows; [0] where they cannot be read with the delimiter."""
    try:
        for _, block in blocks(path, delimiter, max_line_bytes):
            text = block.decode("utf-8-sig")
            lines = filter(None, _parsed(text, delimiter, max_line_bytes))
            return [len(line) for line in itertools.islice(lines, rows)] or [0]
    except (csv.Error, UserError):
        return [0]
    return [0]


def check_rows(path: str, delimiter: str, max_line_bytes: int, fields: int) -> None:
    """Looks for the first bad row, slowly: for a message only.

    Raises:
      UserError: it is not UTF-8, or has not as many fields as the header.
    """
    good = 0
    for before, block in blocks(path, delimiter, max_line_bytes):
        try:
            text = block.decode()
        except UnicodeDecodeError as error:
            raise _not_utf8(path, before, block) from error
        rows = _parsed(text, delimiter, max_line_bytes)
        lines = 0
        for row in rows:
            if len(row) not in (0, fields) and any(field.strip() for field in row):
                advice = f"quote fields that contain {delimiter!r} or set data.delimiter"
                if good == 1:  # the header alone
                    advice = _one_more([row, *filter(None, rows)], fields) or advice
                raise UserError(
                    f"{path}, line {_line(path, before) + lines}: {len(row):,} fields, but the "
                    f"header has {fields:,}; {advice}"
                )
            good += bool(row)
            lines = rows.line_num


def _one_more(rows: list[list[str]], fields: int) -> str | None:
    """What to do where each row has one field more than the header; None where it is not so."""
    if any(len(row) != fields + 1 for row in rows):
        return None
    if not any(row[-1] for row in rows):
        return "so has each row near it, the last one empty: delete the delimiter at the rows' ends"
    return (
        "so has each row near it: give the first field a name in the header (R's write.table "
        "leaves that of the row names out; row.names = FALSE leaves them out too)"
    )


def _parsed(text: str, delimiter: str, max_line_bytes: int) -> Any:
    """Rows of text as Python's csv reads them, which is slow."""
    # The limit is of the whole process: to set it back could spoil what another thread reads.
    csv.field_size_limit(max(csv.field_size_limit(), max_line_bytes))
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _line(path: str, before: int) -> int:
    """Number of the line, from 1, that begins behind so many bytes of the unpacked file."""
    line = 1
    with open_binary(path, unpack=True) as file:
        while before and (data := file.read(min(before, _FIRST_READ))):
            line += data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")
            before -= len(data)
            if data.endswith(b"\r") and file.peek(1)[:1] == b"\n":
                line -= 1  # counted with what follows
    return line


def _not_utf8(path: str, before: int, block: bytes) -> UserError:
    at, guess = 0, ""
    for line in block.splitlines(keepends=True):
        try:
            line.decode()
        except UnicodeDecodeError:
            break
        at += len(line)
    try:
        line.decode("cp1252")
        guess = " but, it seems, Windows-1252 or Latin-1"
    except UnicodeDecodeError:
        pass
    return UserError(
        f"{path}, line {_line(path, before + at)}: not UTF-8 text{guess}; save the file as UTF-8, "
        "or set data.format where it is no CSV"
    )


def _check_text(path: str, before: int, data: bytes) -> None:
    if not before and data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(
            f"{path}: not UTF-8 but UTF-16 text, by its first bytes; save it as UTF-8, or run "
            "`iconv -f UTF-16 -t UTF-8` on it"
        )
    for magic, what in _NO_CSV.items() if not before else ():
        if re.match(magic, data):
            raise UserError(f"{path}: not a CSV but {what}")
    if (at := data.find(b"\0")) >= 0:
        raise UserError(
            f"{path}, line {_line(path, before + at)}: not UTF-8 text: it has a NUL byte, as "
            "UTF-16 and damaged files have; save it as UTF-8, copy it again, or set data.format "
            "where it is no CSV"
        )


def _check_lengths(
    path: str,
    before: int,
    block: bytes,
    end: int,
    quoted: tuple[np.ndarray, np.ndarray],
    limit: int,
) -> None:
    """Raises UserError for the first row, the unfinished one from `end` on included, beyond it."""
    opens, closes = quoted
    ends = np.flatnonzero(np.isin(np.frombuffer(block, np.uint8), np.frombuffer(b"\r\n", np.uint8)))
    ends = ends[np.searchsorted(opens, ends) == np.searchsorted(closes, ends)]
    starts = np.concatenate([[0], ends + 1])
    lengths = np.diff(np.append(starts, len(block)))
    if not (long := np.flatnonzero(lengths > limit)).size:
        return
    start = int(starts[long[0]])
    line = _line(path, before + start)
    if start >= end and len(opens) > len(closes):
        raise UserError(
            f"{path}, line {line}: bad quoting: a quote in this row is not closed within "
            f"{limit:,} bytes; close it, or raise data.max_line_bytes if that is right"
        )
    raise UserError(
        f"{path}, line {line}: a row longer than {limit:,} bytes; raise data.max_line_bytes if "
        "that is right, else look for missing line ends or quotes"
    )


def _quoted(block: bytes, delimiter: str) -> tuple[np.ndarray, np.ndarray]:
    """Where quoted text of whole rows opens and closes, both int64; the last may stay open."""
    if b'"' not in block:
        return _NOWHERE, _NOWHERE
    data = np.frombuffer(block, np.uint8)
    quotes = np.flatnonzero(data == _QUOTE)
    starts = np.frombuffer(f"{delimiter}\r\n".encode(), np.uint8)
    # As files are written each quote opens or closes: one that opens stands at a field's start, or
    # right behind one that closed, as the second of two that are one.
    opening = quotes[::2]
    before = data[opening - 1]
    right = np.isin(before, starts) | (before == _QUOTE) | (opening == 0)
    right[1:] &= (before[1:] != _QUOTE) | (quotes[1 : 2 * len(opening) - 1 : 2] == opening[1:] - 1)
    if right.all():
        return opening, quotes[1::2]
    opens, closes = [], []
    places, may_open = quotes.tolist(), np.isin(data[quotes - 1], starts) | (quotes == 0)
    i, is_open = 0, False
    while i < len(places):
        if not is_open:
            if may_open[i]:
                opens.append(places[i])
                is_open = True
        elif i + 1 < len(places) and places[i + 1] == places[i] + 1:
            i += 1
        else:
            closes.append(places[i])
            is_open = False
        i += 1
    return np.array(opens, np.int64), np.array(closes, np.int64)


def _last_row_end(block: bytes, opens: np.ndarray, closes: np.ndarray) -> int:
    """Where the last whole row ends, behind its line end; 0: there is none."""
    end = len(block)
    while True:
        at = max(block.rfind(b"\n", 0, end), block.rfind(b"\r", 0, end))
        which = int(np.searchsorted(opens, at)) - 1  # the quoted text that begins before it
        if at < 0 or which < 0 or (which < len(closes) and closes[which] < at):
            return at + 1
        end = int(opens[which])


def _first_row_end(block: bytes, start: int, opens: np.ndarray, closes: np.ndarray) -> int:
    """Where the first row from `start` on ends, behind its line end or with the block."""
    while True:
        found = [at for at in (block.find(b"\n", start), block.find(b"\r", start)) if at >= 0]
        if not found:
            return len(block)
        at = min(found)
        which = int(np.searchsorted(opens, at)) - 1
        if which < 0 or (which < len(closes) and closes[which] < at):
            return at + 1
        start = int(closes[which]) if which < len(closes) else len(block)
