"""Files and folders by URI: local, or in an object store, which has neither folders nor renames.

TensorFlow reads gs:// itself and s3:// with tensorflow-io, whose last release fits TensorFlow up to
2.17. Newer ones leave s3:// to TFX's fileio alone, by way of Beam's S3 filesystem: that is enough
for data and pushed models, not for a pipeline root. docs/object_stores.md has the whole table.
"""

import atexit
import contextlib
import ctypes
import importlib
import os
import re
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from urllib.parse import urlsplit

import tensorflow as tf
from tfx.dsl.io import fileio
from tfx.dsl.io.filesystem import NotFoundError
from tfx.utils import io_utils

from .errors import UserError

_BUILT_IN = ("", "file", "gs")
_NOT_FOUND = (NotFoundError, tf.errors.NotFoundError)


def scheme(uri: str) -> str:
    """'s3' of s3://bucket/folder; '' of a local path."""
    found = re.match(r"([a-z0-9]+)://", uri)
    return found.group(1) if found else ""


def parent(uri: str) -> str:
    """The folder of a file or folder; `os.path.normpath` would make one slash of a scheme's two."""
    return os.path.dirname(uri.rstrip("/"))


def prepare(*uris: str, tensorflow: bool = False) -> None:
    """Makes this process able to read and write the stores of some URIs.

    Settings come from the environment, as boto3 knows it: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_REGION, and AWS_ENDPOINT_URL for a server that is not Amazon's.

    Args:
      uris: local paths among them are left alone.
      tensorflow: whether TensorFlow itself must be able to, as with artifacts, and not TFX alone.

    Raises:
      UserError: nothing that is installed can.
    """
    for uri in uris:
        name = scheme(uri)
        if tensorflow_reads(name) or (name == "s3" and not tensorflow and _plug_in_s3()):
            continue
        raise UserError(f"{uri}: {_remedy(name, tensorflow)}")


def tensorflow_reads(name: str) -> bool:
    """Whether TensorFlow itself, in this process, reads and writes URIs of a scheme.

    With tensorflow-io, which is loaded for that where it is installed.
    """
    if name not in _BUILT_IN:
        # Also where something else has imported it: it must be told settings, and how to end.
        load_tensorflow_io()
    return _registered(name)


@cache
def load_tensorflow_io() -> None:
    """Adds to the schemes that TensorFlow reads, if tensorflow-io is installed and fits it."""
    _share_settings()
    if find_spec("tensorflow_io") is None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns where it does not fit the TensorFlow
        # These are how it says that it does not fit: the scheme then stays unregistered, which all
        # who ask go by (`prepare` tells the user).
        with contextlib.suppress(ImportError, NotImplementedError):
            importlib.import_module("tensorflow_io")
    if _registered("s3"):
        atexit.register(_skip_destructors)


@contextlib.contextmanager
def for_tensorflow(folder: str) -> Iterator[str]:
    """The folder under a path that TensorFlow reads: itself, or a local copy for the while."""
    if tensorflow_reads(scheme(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory() as scratch:
        copy = os.path.join(scratch, "copy")
        io_utils.copy_dir(folder, copy)
        yield copy


def check_writable(folder: str) -> None:
    """Writes a small file into a folder of a store and removes it.

    Raises:
      UserError: that fails, with what the store's client says.
    """
    probe = f"{folder.rstrip('/')}/.writable-{uuid.uuid4().hex}"
    try:
        with fileio.open(probe, "wb") as file:
            file.write(b"x")
        fileio.remove(probe)
    except Exception as error:  # every client has its own
        words = " ".join(str(error).split())
        raise UserError(
            f"{folder}: cannot be written: {words}; see that the bucket exists, and "
            "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL or Google's credentials"
        ) from error


def move(source: str, target: str) -> None:
    """Renames a file, over what is there; again to do so, after it was done, does nothing.

    In an object store that is a copy, there whole or not at all, and then a removal.

    Raises:
      an OSError or tf.errors.NotFoundError: neither is there.
    """
    if fileio.exists(source) or not fileio.exists(target):
        fileio.rename(source, target, overwrite=True)


def remove_tree(folder: str) -> None:
    """Removes a folder and all in it, if it is there: one without files is not, in a store."""
    with contextlib.suppress(*_NOT_FOUND):
        fileio.rmtree(folder)


def _registered(name: str) -> bool:
    return name in tf.io.gfile.get_registered_schemes()


def _skip_destructors() -> None:
    """Ends the process, with the exit code it has, before the destructors of C++ run.

    tensorflow-io 0.35 to 0.37.1 aborts in them (its issue 2039): exit code 134 after all went well.
    Python is through with its own clearing up by then; what libc calls last goes first.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # glibc's
        libc.on_exit(libc._exit, None)


def _share_settings() -> None:
    """Tells tensorflow-io what boto3 was told."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    if endpoint:
        os.environ.setdefault("S3_ENDPOINT", endpoint)
        os.environ.setdefault("S3_USE_HTTPS", str(int(urlsplit(endpoint).scheme == "https")))
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:  # boto3 knows the one, the C++ library the other
        os.environ.setdefault("AWS_REGION", region)
        os.environ.setdefault("AWS_DEFAULT_REGION", region)


def _plug_in_s3() -> bool:
    if find_spec("boto3") is None:
        return False
    from . import s3_filesystem

    s3_filesystem.register()
    return True


def _remedy(name: str, tensorflow: bool) -> str:
    if name not in ("s3", "hdfs"):
        return f"{name}:// is not supported; expected a local path, gs://, s3:// or hdfs://"
    if name == "s3" and not tensorflow:
        return "s3:// needs boto3: pip install 'tfx-imbalance[s3]'"
    return (
        f"TensorFlow {tf.__version__} reads no {name}:// here: that needs tensorflow-io, which "
        "fits up to 2.17 (pip install 'tfx-imbalance[s3]'); with a newer one choose a local path "
        "or gs:// for artifacts"
    )
