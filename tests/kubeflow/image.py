"""The image's contents on this machine: the locked packages and our wheel, in an environment.

Not the Debian root that kubeflow/Dockerfile makes (tests/packaging has that): the same kind of
Python environment, from the lock that this checkout's own environment was made from.
"""

import importlib.metadata
import shutil
import subprocess
import sys
from pathlib import Path

from tests.kubeflow.spec_runner import Image

ROOT = Path(__file__).parents[2]


def build_image(folder: Path) -> Image:
    """Makes the environment in `folder`; seconds, where uv's cache holds the packages."""
    stack = ".".join(importlib.metadata.version("tfx").split(".")[:2])
    lock = ROOT / "requirements" / f"tfx-{stack}.txt"
    wheel = _build_wheel(folder)
    home = folder / "venv"
    # Resolved: it must not be a link into this checkout's own environment.
    _uv("venv", "--python", str(Path(sys.executable).resolve()), str(home))
    install = ["pip", "install", "--python", str(home / "bin" / "python"), "--no-deps"]
    # The lock bounds what source distributions are built with, as in scripts/setup.sh.
    locked = [*install, "--require-hashes", "--build-constraints", str(lock), "-r", str(lock)]
    if _uv("--offline", *locked, check=False) != 0:
        _uv(*locked)
    _uv("--offline", *install, str(wheel))
    # There is none for the image's Python; with it, containers would open s3:// themselves.
    _uv("pip", "uninstall", "--python", str(home / "bin" / "python"), "tensorflow-io")
    return Image(home / "bin")


def _build_wheel(folder: Path) -> Path:
    """Built from a copy: the checkout's own build folder may hold files that are gone since."""
    tree = folder / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    for name in ("tfx_imbalance", "components", "pipeline"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(tree)], check=True, capture_output=True)
    shutil.rmtree(tree)
    [wheel] = folder.glob("*.whl")
    return wheel


def _uv(*arguments: str, check: bool = True) -> int:
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [uv, "--no-config", "--quiet", *arguments], capture_output=True, text=True, check=False
    )
    if check and done.returncode:
        raise RuntimeError(f"uv {' '.join(arguments)}: {done.stderr[-2000:]}")
    return done.returncode
