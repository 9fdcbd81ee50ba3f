"""What gets installed: three folders under one import name, with the files that the code reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {
    "tfx_imbalance": "tfx_imbalance",
    "components": "tfx_imbalance/components",
    "pipeline": "tfx_imbalance/pipeline",
}
DATA = {".css", ".html", ".j2", ".js", ".json", ".pbtxt", ".svg", ".yaml"}


def is_packaged(path: Path) -> bool:
    return path.suffix == ".py" or path.suffix in DATA or path.name == "py.typed"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel of a copy of the checkout, which stays clean, with one more data file."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "components" / "reporter" / "templates" / "deep").mkdir(parents=True)
    (tree / "components" / "reporter" / "templates" / "deep" / "trial.j2").touch()
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-wout", "."],
        cwd=tree,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    (path,) = (tree / "out").glob("*.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_every_module_and_data_file_under_one_name(wheel: zipfile.ZipFile) -> None:
    expected = {
        f"{inside}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, inside in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and is_packaged(path)
    }
    expected.add("tfx_imbalance/components/reporter/templates/deep/trial.j2")
    held = set(wheel.namelist())
    assert sorted(expected - held) == []
    strangers = {name.partition("/")[0] for name in held if ".dist-info/" not in name}
    assert strangers == {"tfx_imbalance"}


def test_wheel_offers_the_command(wheel: zipfile.ZipFile) -> None:
    (path,) = (name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "tfx-imbalance = tfx_imbalance.pipeline.cli:main" in wheel.read(path).decode()


def test_every_folder_with_code_is_a_package() -> None:
    missing = {
        path.parent.relative_to(ROOT).as_posix()
        for folder in FOLDERS
        for path in (ROOT / folder).rglob("*.py")
        if not (path.parent / "__init__.py").exists()
    }
    assert missing == set(), "setuptools leaves out folders that have no __init__.py"
