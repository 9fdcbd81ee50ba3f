"""Runs mypy over the package as it is imported.

mypy does not follow setuptools' package-dir, so build/typed holds links laid out as the import
names are. Messages name the files as they stand in the checkout.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "build" / "typed"
PACKAGE = TREE / "tfx_imbalance"


def main() -> int:
    """Lays out the tree, runs mypy with the given arguments and returns its exit status."""
    shutil.rmtree(TREE, ignore_errors=True)
    PACKAGE.mkdir(parents=True)
    sources = [*(ROOT / "tfx_imbalance").iterdir(), ROOT / "components", ROOT / "pipeline"]
    for source in sources:
        if source.name != "__pycache__":
            (PACKAGE / source.name).symlink_to(os.path.relpath(source, PACKAGE))

    command = [sys.executable, "-m", "mypy", "--config-file", "pyproject.toml", *sys.argv[1:]]
    done = subprocess.run(command, cwd=ROOT, text=True, stdout=subprocess.PIPE)
    inside = f"{PACKAGE.relative_to(ROOT)}{os.sep}"
    for line in done.stdout.splitlines():
        if line.startswith(inside):
            path = line[len(inside) :]
            line = path if path.startswith(("components", "pipeline")) else f"tfx_imbalance/{path}"
        print(line)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
