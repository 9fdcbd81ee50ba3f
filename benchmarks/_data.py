"""Tables that are rare-class problems, from the folder that TFX_IMBALANCE_DATA names.

They are no part of the project: MANIFEST.tsv in that folder, by default ../shared/data beside the
repository, lists each with its file, source, licence and label.
"""

import csv
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

DEFAULT_FOLDER = Path(__file__).parents[2] / "shared" / "data"
MANIFEST = "MANIFEST.tsv"

_NO_FEATURES = {"oil_spill": ("x1",)}  # numbers the images


class MissingDataError(FileNotFoundError):
    """A file that only the benchmarks need is not there; the message says which and where."""


@dataclass(frozen=True)
class DataSet:
    """One table.

    Attributes:
      name: as in the manifest.
      numeric: float64 columns, n rows, without missing values.
      categorical: text columns, n rows; a missing value is a category of its own, ''.
      label: text [n].
      minority: the class that counts as positive.
    """

    name: str
    numeric: pd.DataFrame
    categorical: pd.DataFrame
    label: np.ndarray
    minority: str

    @property
    def standardised(self) -> np.ndarray:
        """float32 [n, d]: numeric columns with mean 0 and deviation 1."""
        return standardise(self.numeric.to_numpy())


def folder() -> Path:
    """Where the files are looked for."""
    return Path(os.environ.get("TFX_IMBALANCE_DATA") or DEFAULT_FOLDER)


def find(name: str) -> Path:
    """Path of a file.

    Raises:
      MissingDataError: it is not there.
    """
    path = folder() / name
    if not path.is_file():
        raise MissingDataError(
            f"there is no {path}; set TFX_IMBALANCE_DATA to the folder that has {name}"
        )
    return path


def names() -> tuple[str, ...]:
    """Of all tables, in the manifest's order.

    Raises:
      MissingDataError: there is no manifest.
    """
    return tuple(_manifest())


def load(name: str) -> DataSet:
    """All rows of a table, in its file's order.

    Raises:
      MissingDataError: its file is not there.
    """
    entry = _manifest()[name]
    frame = pd.read_csv(find(entry["file"]))
    label = frame.pop(entry["label_column"]).astype(str).to_numpy(str)
    frame = frame.drop(columns=list(_NO_FEATURES.get(name, ())))
    numeric = frame.select_dtypes("number").astype(np.float64)
    categorical = frame.drop(columns=list(numeric.columns)).fillna("").astype(str)
    return DataSet(name, numeric, categorical, label, entry["minority_label"])


def standardise(x: np.ndarray, like: np.ndarray | None = None) -> np.ndarray:
    """float32 [n, d]: x by the means and deviations of `like`, of its own when not given.

    Args:
      x: float [n, d].
      like: float [m, d].
    """
    like = x if like is None else like
    deviation = like.std(axis=0)
    scaled = (x - like.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    return np.asarray(scaled, np.float32)


def _manifest() -> dict[str, dict[str, str]]:
    with find(MANIFEST).open(newline="", encoding="utf-8") as file:
        return {entry["name"]: entry for entry in csv.DictReader(file, delimiter="\t")}
