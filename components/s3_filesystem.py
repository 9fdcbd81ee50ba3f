"""s3:// for TFX's fileio by Beam's S3 filesystem, where TensorFlow has none.

Reads AWS_ENDPOINT_URL and the rest of the environment as boto3 does. Folders are what keys have in
common up to a slash: an empty one does not exist, and listing one lists all that lie below it.
"""

import copy
import io
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, ClassVar, NamedTuple

from apache_beam.io.aws import s3io
from apache_beam.io.aws.clients.s3 import boto3_client
from apache_beam.options.pipeline_options import PipelineOptions
from tfx.dsl.io import filesystem, filesystem_registry

PREFERRED = 5  # a lower number goes first; TensorFlow's plugin has 10


class Stat(NamedTuple):
    """What is known of a file; zeros for a folder.

    Attributes:
      length: bytes.
      mtime_nsec: when it was written, nanoseconds since 1970.
    """

    length: int
    mtime_nsec: int


class S3Filesystem(filesystem.Filesystem):
    """The methods of TFX's Filesystem, which says what they do."""

    SUPPORTED_SCHEMES: ClassVar = ["s3://"]

    @staticmethod
    def open(name: str, mode: str = "r") -> Any:
        """As the built-in, for reading or writing; a file appears when it is closed."""
        if mode not in ("r", "rb", "w", "wb"):
            raise ValueError(f"{name}: found mode {mode!r}; an object store knows r, rb, w, wb")
        if mode[0] == "w":
            raw: Any = _Upload(name)
        else:
            if not _is_file(name):
                raise filesystem.NotFoundError(f"{name}: no such file")
            # A client reads one file at a time; what costs time is the boto3 client inside.
            raw = s3io.S3IO(copy.copy(_client())).open(name, "rb")
        return raw if mode[1:] else io.TextIOWrapper(raw, encoding="utf-8")

    @staticmethod
    def copy(src: str, dst: str, overwrite: bool = False) -> None:
        """See base class."""
        _check_free(dst, overwrite)
        if not _is_file(src):
            raise filesystem.NotFoundError(f"{src}: no such file")
        _store().copy(src, dst)

    @staticmethod
    def exists(path: str) -> bool:
        """See base class."""
        return _is_file(path) or S3Filesystem.isdir(path)

    @staticmethod
    def glob(pattern: str) -> list[str]:
        """Files and folders, sorted; a star matches no slash."""
        fixed = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        bucket_end = len("s3://") + len(fixed.removeprefix("s3://").partition("/")[0])
        found: set[str] = set()
        for path in _files(fixed):
            while len(path) > bucket_end:
                found.add(path)
                path = path.rpartition("/")[0]
        matches = re.compile(_regex(pattern.rstrip("/"))).fullmatch
        return sorted(path for path in found if matches(path))

    @staticmethod
    def isdir(path: str) -> bool:
        """See base class."""
        return next(_files(_folder(path)), None) is not None

    @staticmethod
    def listdir(path: str) -> list[str]:
        """See base class; folders without a slash at their end."""
        _, folders, files = _level(path)
        return [*folders, *files]

    @staticmethod
    def makedirs(path: str) -> None:
        """Nothing: a folder is there when something is in it."""

    @staticmethod
    def mkdir(path: str) -> None:
        """Nothing, as `makedirs`."""

    @staticmethod
    def remove(path: str) -> None:
        """See base class."""
        if not _is_file(path):
            raise filesystem.NotFoundError(f"{path}: no such file")
        _store().delete(path)

    @staticmethod
    def rename(src: str, dst: str, overwrite: bool = False) -> None:
        """Copies a file or all files of a folder, then removes what was copied."""
        _check_free(dst, overwrite)
        if _is_file(src):
            pairs = [(src, dst)]
        else:
            source = _folder(src)
            pairs = [(path, _folder(dst) + path.removeprefix(source)) for path in _files(source)]
        if not pairs:
            raise filesystem.NotFoundError(f"{src}: no such file or folder")
        for old, new in pairs:
            _store().copy(old, new)
        for old, _ in pairs:
            _store().delete(old)

    @staticmethod
    def rmtree(path: str) -> None:
        """See base class."""
        if not S3Filesystem.isdir(path):
            raise filesystem.NotFoundError(f"{path}: no such folder")
        failed = {p: e for p, e in _store().delete_paths([_folder(path)]).items() if e is not None}
        if failed:
            raise OSError(f"{path}: cannot be removed: {failed}")

    @staticmethod
    def stat(path: str) -> Stat:
        """See base class."""
        if S3Filesystem.isdir(path):
            return Stat(0, 0)
        if not _is_file(path):
            raise filesystem.NotFoundError(f"{path}: no such file or folder")
        store = _store()
        return Stat(store.size(path), int(store.last_updated(path) * 1e9))

    @staticmethod
    def walk(
        top: str, topdown: bool = True, onerror: Callable[..., None] | None = None
    ) -> Iterable[tuple[str, list[str], list[str]]]:
        """See base class."""
        try:
            level = _level(top)
        except filesystem.NotFoundError as error:
            if onerror is not None:
                onerror(error)
            return
        if topdown:
            yield level
        for name in level[1]:
            yield from S3Filesystem.walk(os.path.join(top, name), topdown, onerror)
        if not topdown:
            yield level


def register() -> None:
    """Makes TFX's fileio use it for s3://."""
    filesystem_registry.DEFAULT_FILESYSTEM_REGISTRY.register(S3Filesystem, PREFERRED)


class _Upload(io.BytesIO):
    """What is written goes up when it is closed.

    Beam's own stream would make a multipart upload of no parts, an error, of an empty file.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def close(self) -> None:
        if not self.closed:
            bucket, key = s3io.parse_s3_path(self._path)
            _store().client.client.put_object(Bucket=bucket, Key=key, Body=self.getvalue())
        super().close()


@cache
def _client() -> Any:
    return boto3_client.Client(PipelineOptions([]))  # all settings from the environment


@cache
def _store() -> s3io.S3IO:
    """For all but reading files."""
    return s3io.S3IO(_client())


def _folder(path: str) -> str:
    return path.rstrip("/") + "/"


def _files(prefix: str) -> Iterator[str]:
    """All files whose path starts so."""
    return (path for path, _ in _store().list_files(prefix))


def _is_file(path: str) -> bool:
    _, key = s3io.parse_s3_path(path, object_optional=True)
    return bool(key) and not key.endswith("/") and _store().exists(path)


def _level(path: str) -> tuple[str, list[str], list[str]]:
    """A folder, its folders and its files, as os.walk gives them."""
    base = _folder(path)
    folders: dict[str, None] = {}
    files, there = [], False
    for name in _files(base):
        there = True
        first, slash, _ = name.removeprefix(base).partition("/")
        if slash:
            folders[first] = None
        elif first:  # else the empty object that some tools make for a folder
            files.append(first)
    if not there:
        raise filesystem.NotFoundError(f"{path}: no such folder")
    return path, list(folders), files


def _check_free(path: str, overwrite: bool) -> None:
    if not overwrite and _is_file(path):
        raise OSError(f"{path}: is there already, and overwrite is false")


def _regex(pattern: str) -> str:
    """A glob as a regular expression; brackets as fnmatch has them."""
    parts = re.split(r"(\*|\?|\[[^\]]+\])", pattern)
    special = {"*": "[^/]*", "?": "[^/]"}
    return "".join(
        part.replace("[!", "[^", 1)
        if part[:1] == "[" and i % 2
        else special.get(part, re.escape(part))
        for i, part in enumerate(parts)
    )
