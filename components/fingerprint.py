"""Fingerprints of code, so that TFX's cache sees an edit; and of files' content."""

import hashlib
import importlib.util
from collections.abc import Iterable
from pathlib import Path

_CHUNK = 1 << 20


def code_fingerprint(*modules: str) -> str:
    """SHA-256 over the Python source of the named modules; a package counts with all below it.

    The modules are found, not imported. Raises ModuleNotFoundError for a name that does not exist.
    """
    digest = hashlib.sha256()
    for path in sorted({path for name in modules for path in _sources(name)}):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def files_fingerprint(paths: Iterable[Path], root: Path | None = None) -> str:
    """SHA-256 over names (relative to `root`, else bare) and bytes of files, in sorted order."""
    digest = hashlib.sha256()
    for path in sorted(paths):
        digest.update(str(path.relative_to(root) if root else path.name).encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _sources(module: str) -> list[Path]:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)
    origin = Path(spec.origin)
    return sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
