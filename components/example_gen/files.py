"""Which files a path names, their format and content; local ones without TensorFlow."""

import difflib
import glob
import hashlib
import io
import os
import re
from typing import Any, Literal, cast

import pyarrow as pa
from isal import igzip, igzip_lib

from ..errors import UserError

Format = Literal["csv", "parquet", "tfrecord"]

_SPEC = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::\d+)?\}")  # TFX's placeholders
_BY_AGE = ("YYYY", "MM", "DD", "SPAN", "VERSION")
_SPECIAL = re.compile(r"[*?\[{]")
_CHUNK = 4 << 20
_PIECE = 1 << 16  # bytes
_ISAL_ERROR = cast(type[Exception], igzip_lib.IsalError)  # its stub says an instance
_SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tfrecord": "tfrecord",
    ".tfrecords": "tfrecord",
}
_TFX_SHARD = re.compile(r"tfrecords?-\d{5}-of-\d{5}$")


def has_span(path: str) -> bool:
    """Whether `path` is a pattern whose data come in spans."""
    return _SPEC.search(path) is not None


def split_path(path: str) -> tuple[str, str]:
    """`path` as (folder, pattern below it), as TFX wants it; the file need not exist."""
    parts = path.rstrip("/").split("/")
    special = [i for i, part in enumerate(parts[:-1]) if _SPECIAL.search(part)]
    at = special[0] if special else len(parts) - 1
    return "/".join(parts[:at]) or ("/" if path.startswith("/") else "."), "/".join(parts[at:])


def find_files(path: str) -> list[str]:
    """The data files that a path of a file, a folder or a glob names, sorted.

    Hidden files and those that start with `_` are left out of a folder.

    Raises:
      UserError: there is none.
    """
    fs = _file_system(path)
    found = [path] if fs.exists(path) else sorted(fs.glob(path))
    files: list[str] = []
    for name in found:
        if fs.isdir(name):
            inside = sorted(n.rstrip("/") for n in fs.listdir(name) if n[0] not in "._")
            paths = [os.path.join(name, n) for n in inside]
            data = [p for p in paths if not fs.isdir(p)]
            files += [p for p in data if _by_name(p)] or data
        else:
            files.append(name)
    if not files:
        raise UserError(f"data.path: {_nothing_there(fs, path, bool(found))}")
    return files


def newest_files(path: str) -> list[str]:
    """As `find_files`; of a pattern with placeholders, the files of the newest span and version.

    Raises:
      UserError: there is none.
    """
    if not has_span(path):
        return find_files(path)
    pieces = _SPEC.split(path)
    regex = "".join(
        f"(?P<{piece}>\\d+)"
        if i % 2
        else re.escape(piece).replace(r"\*", "[^/]*").replace(r"\?", ".")
        for i, piece in enumerate(pieces)
    )
    found: dict[tuple[int, ...], list[str]] = {}
    for name in find_files(_SPEC.sub("*", path)):
        # A pattern may name a folder: its files' paths go on below it.
        if match := re.match(regex + "(?:/[^/]*)?$", name):
            values = match.groupdict()
            age = tuple(int(values[key]) for key in _BY_AGE if key in values)
            found.setdefault(age, []).append(name)
    if not found:
        raise UserError(f"data.path: no file matches {path}")
    return found[max(found)]


def format_of(files: list[str], wanted: str = "auto") -> Format:
    """The common format of the files: as `wanted`, else by name, else by their first bytes.

    Raises:
      UserError: the files are of several formats.
    """
    if wanted != "auto":
        return wanted  # type: ignore[return-value]
    formats: dict[Format, str] = {}
    for path in files:
        formats.setdefault(_by_name(path) or _by_content(path), path)
    if len(formats) > 1:
        kinds = ", ".join(f"{f} ({os.path.basename(p)})" for f, p in sorted(formats.items()))
        raise UserError(
            f"data.path: files of several formats: {kinds}; name one with a pattern such as *.csv"
        )
    return next(iter(formats))


def is_gzip(path: str) -> bool:
    """Whether the file's content is gzipped, whatever its name."""
    with open_binary(path) as file:
        return file.read(2) == b"\x1f\x8b"


def open_arrow(path: str) -> pa.NativeFile:
    """The file's raw bytes for Arrow's readers."""
    if _is_remote(path):
        return pa.PythonFile(_RemoteFile(path), mode="r")
    return pa.OSFile(path)


def open_binary(path: str, unpack: bool = False) -> Any:
    """The file as a Python object, unpacked where it is gzipped and `unpack` is set.

    Reading what is unpacked raises UserError where the gzipped data are cut short or corrupt.
    """
    if unpack and is_gzip(path):
        return io.BufferedReader(_Unpacked(path, open_binary(path)), _PIECE)
    return io.BufferedReader(_RemoteFile(path), _CHUNK) if _is_remote(path) else open(path, "rb")


def content_fingerprint(path: str) -> str:
    """SHA-256 over names (below `path`'s folder) and bytes of all files that `path` names."""
    base, _ = split_path(path)
    digest = hashlib.sha256()
    for name in find_files(path):
        digest.update(f"\0{os.path.relpath(name, base)}\0".encode())
        with open_binary(name) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def close_names(wanted: str, names: list[str], limit: int = 8) -> str:
    """For a message: the names closest to a mistyped one, else the first few."""
    by_lower = {name.lower().strip(): name for name in reversed(names)}
    close = difflib.get_close_matches(wanted.lower().strip(), list(by_lower), n=3, cutoff=0.6)
    if close:
        return f"did you mean {' or '.join(repr(by_lower[c]) for c in close)}?"
    more = ", ..." if len(names) > limit else ""
    return f"found {', '.join(map(repr, names[:limit]))}{more}"


def _is_remote(path: str) -> bool:
    return "://" in path


class _Local:
    """The part of TFX's fileio that is needed, for local paths."""

    exists = staticmethod(os.path.exists)
    isdir = staticmethod(os.path.isdir)
    listdir = staticmethod(os.listdir)
    glob = staticmethod(glob.glob)


def _file_system(path: str) -> Any:
    if not _is_remote(path):
        return _Local
    return _fileio(path)


def _fileio(path: str) -> Any:
    """TFX's fileio, able to read the path's store in this process, a Beam worker's too."""
    from tfx.dsl.io import fileio

    from .. import storage

    storage.prepare(path)
    return fileio


class _Unpacked(io.RawIOBase):
    """What a gzipped file holds."""

    def __init__(self, path: str, raw: Any) -> None:
        self._path, self._raw = path, raw
        self._gzip = igzip.IGzipFile(fileobj=raw)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._gzip.read(len(buffer))
        except (OSError, EOFError, _ISAL_ERROR) as error:
            raise UserError(
                f"{self._path}: the gzipped data are cut short or corrupt ({error}); copy it again"
            ) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _RemoteFile(io.RawIOBase):
    """A remote file as the standard file object that Arrow asks for."""

    def __init__(self, path: str) -> None:
        self._file = _fileio(path).open(path, "rb")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        return self._file.tell()


def _by_name(path: str) -> Format | None:
    name = os.path.basename(path).lower().removesuffix(".gz")
    if _TFX_SHARD.search(name):
        return "tfrecord"
    return _SUFFIXES.get(os.path.splitext(name)[1])


def _by_content(path: str) -> Format:
    with open_binary(path, unpack=True) as file:
        head = file.read(12)
    if head[:4] == b"PAR1":
        return "parquet"
    # A TFRecord starts with the record's length as 8 bytes, little-endian.
    if len(head) == 12 and head[4:8] == b"\0\0\0\0":
        return "tfrecord"
    return "csv"


def _nothing_there(fs: Any, path: str, is_empty_folder: bool) -> str:
    if is_empty_folder:
        return f"folder {path} has no data files"
    if _SPECIAL.search(path):
        return f"no file matches {path}"
    folder = os.path.dirname(path.rstrip("/")) or "."
    if not fs.isdir(folder):
        return f"no file {path}: there is no folder {folder}"
    names = sorted(n.rstrip("/") for n in fs.listdir(folder) if not n.startswith("."))
    hint = close_names(os.path.basename(path), names) if names else "the folder is empty"
    return f"no file {path}; {hint}"
