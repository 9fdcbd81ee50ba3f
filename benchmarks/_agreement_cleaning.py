"""Rows that the cleaning methods remove, by ours and by imbalanced-learn's implementation.

Both see the same float32 values in the same order, standardised, where hardly any two rows are
equally far from a third, and as they are, where many are. Rows with equal features are dropped but
the first. Where rows are equally far from a row, imbalanced-learn's choice depends on
its search; a row on which the two differ counts as explained only if its own outcome rests on such
a tie, so a difference that is not explained is a mistake of one of them.
"""

import csv
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from imblearn.under_sampling import EditedNearestNeighbours, NearMiss, TomekLinks
from scipy.spatial.distance import cdist

from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers.cleaning import NeighborCleaning
from tfx_imbalance.components.rebalancer.samplers.combined import SmoteTomek
from tfx_imbalance.components.rebalancer.samplers.edited_nearest_neighbours import (
    EditedNearestNeighbours as OurEditedNearestNeighbours,
)
from tfx_imbalance.components.rebalancer.samplers.near_miss import (
    NearMiss1,
    NearMiss2,
    NearMiss3,
)
from tfx_imbalance.components.rebalancer.samplers.tomek_links import TomekLinks as OurTomekLinks
from tfx_imbalance.components.rebalancer.synthesis import synthesise

N_NEIGHBORS = 3
MOST_ROWS = 20_000
_CHUNK = 256
_ROUNDING = 1e-12  # of squared distances, as a share of the largest squared norm


def cleaning_agreement(data_dir: Path, names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Compares every cleaning method on every data set of a folder that has numeric features.

    Args:
      data_dir: holds MANIFEST.tsv and the files it names.
      names: only these data sets; all when empty.

    Returns:
      For each set, scaling and method: `data`, `standardised`, `method`; `rows` (for smote_* with
      the synthetic ones); `ours` and `imblearn` (rows removed); `differing` (rows that only one of
      the two removes); `ties` (those of them that rest on rows equally far); `short` (near_miss_3:
      rows that are wanted but missing from imbalanced-learn's result, which ours fills up; they are
      not in `differing`).
    """
    found: list[dict[str, Any]] = []
    for name, x, label in data_sets(data_dir, names):
        for standardised in (True, False):
            split = split_of(x, label, standardised)
            for method, compare in _METHODS.items():
                about = {"data": name, "standardised": standardised, "method": method}
                found.append({**about, **compare(split)})
    return found


def data_sets(
    data_dir: Path, names: tuple[str, ...] = ()
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, numeric features float64 [n, d] and label text [n] of each set that has such features.

    Columns with missing values are left out.
    """
    with (data_dir / "MANIFEST.tsv").open(newline="") as file:
        for entry in csv.DictReader(file, delimiter="\t"):
            if names and entry["name"] not in names:
                continue
            frame = pd.read_csv(data_dir / entry["file"])
            label = frame.pop(entry["label_column"]).astype(str)
            numeric = frame.select_dtypes("number").dropna(axis=1)
            if numeric.shape[1]:
                yield entry["name"], numeric.to_numpy(np.float64), label.to_numpy(str)


def split_of(x: np.ndarray, label: np.ndarray, standardised: bool) -> Split:
    """A Split of at most 20,000 rows, no two with equal features.

    Args:
      x: float64 [n, d].
      label: text [n].
      standardised: whether features are brought to mean 0 and deviation 1.
    """
    if standardised:
        deviation = x.std(axis=0)
        x = (x - x.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
    scaled = x.astype(np.float32)
    _, first = np.unique(scaled, axis=0, return_index=True)
    keep = np.sort(first)
    if len(keep) > MOST_ROWS:
        keep = np.sort(np.random.default_rng(0).choice(keep, MOST_ROWS, replace=False))
    classes, codes = np.unique(label[keep], return_inverse=True)
    names = [f"x{j}" for j in range(scaled.shape[1])]
    columns = {name: scaled[keep, j] for j, name in enumerate(names)}
    rows = Rows(np.arange(len(keep)), codes.astype(np.int64), columns).ordered()
    return Split(rows, tuple(classes.tolist()), Features(dict.fromkeys(names, "float")), seed=0)


def oversampled(split: Split) -> Split:
    """Real rows and SMOTE's, strategy auto, without classes that have too few rows for it."""
    sampler = SmoteTomek()
    params = RebalanceParams(method="smote_tomek")
    counts = np.bincount(split.rows.codes, minlength=len(split.classes))
    new = {
        int(code): int(counts.max() - rows)
        for code, rows in enumerate(counts)
        if params.k_neighbors < rows < counts.max()
    }
    made = [
        synthesise(sampler, split, source, 0, int(source.uses.sum()))[0]
        for source in sampler.sources(split, new, params)
    ]
    rows = Rows.concatenated([split.rows, *made]).ordered()
    return Split(rows, split.classes, split.features, split.seed)


@dataclass(frozen=True)
class _Nearness:
    """Squared distances of rows to their nearest, by brute force.

    Attributes:
      near: int64 [q, k + 1], the nearest of each, itself left out.
      squared: float64 [q, k + 1].
      rounding: squared distances closer than this count as equal.
    """

    near: np.ndarray
    squared: np.ndarray
    rounding: float

    @classmethod
    def of(cls, x: np.ndarray, rows: np.ndarray, among: np.ndarray, k: int) -> "_Nearness":
        k = min(k + 1, len(among) - 1)
        near, squared = np.empty((len(rows), k), np.int64), np.empty((len(rows), k))
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            all_squared = cdist(x[part], x[among], "sqeuclidean")
            all_squared[part[:, None] == among] = np.inf
            some = np.argpartition(all_squared, k - 1, axis=1)[:, :k]
            values = np.take_along_axis(all_squared, some, axis=1)
            order = np.argsort(values, axis=1)
            near[start : start + len(part)] = among[np.take_along_axis(some, order, axis=1)]
            squared[start : start + len(part)] = np.take_along_axis(values, order, axis=1)
        return cls(near, squared, _ROUNDING * float((x**2).sum(axis=1).max()))

    def tied(self, k: int) -> np.ndarray:
        """bool [q]: the k-th nearest is as far as the next."""
        if self.squared.shape[1] <= k:
            return np.zeros(len(self.squared), bool)
        return np.asarray(self.squared[:, k] - self.squared[:, k - 1] <= self.rounding)

    def twin(self) -> np.ndarray:
        """bool [q]: another row has the same features, so which of the two is `self` is open."""
        return np.asarray(self.squared[:, 0] <= self.rounding)


def _tomek(split: Split, strategy: str) -> dict[str, int]:
    params = RebalanceParams(method="tomek_links", sampling_strategy=strategy)
    ours = _flagged(OurTomekLinks(), split, params)
    x, y = split.numeric.astype(np.float64), split.rows.codes
    sampler = TomekLinks(sampling_strategy=strategy)
    theirs = _removed(sampler, x, y)
    rows = np.flatnonzero(ours != theirs)
    mine = _Nearness.of(x, rows, np.arange(len(x)), 1)
    partner = _Nearness.of(x, mine.near[:, 0], np.arange(len(x)), 1)
    ties = mine.tied(1) | mine.twin() | partner.tied(1) | partner.twin()
    return _counts(ours, theirs, int(ties.sum()))


def _enn(split: Split, strategy: str, kind_sel: Any) -> dict[str, int]:
    params = RebalanceParams(
        method="edited_nearest_neighbours",
        sampling_strategy=strategy,
        n_neighbors=N_NEIGHBORS,
        kind_sel=kind_sel,
    )
    ours = _flagged(OurEditedNearestNeighbours(), split, params)
    x, y = split.numeric.astype(np.float64), split.rows.codes
    sampler = EditedNearestNeighbours(
        sampling_strategy=strategy, n_neighbors=N_NEIGHBORS, kind_sel=kind_sel
    )
    theirs = _removed(sampler, x, y)
    rows = np.flatnonzero(ours != theirs)
    near = _Nearness.of(x, rows, np.arange(len(x)), N_NEIGHBORS)
    return _counts(ours, theirs, int((near.tied(N_NEIGHBORS) | near.twin()).sum()))


def _near_miss(split: Split, version: int) -> dict[str, int]:
    sampler = (NearMiss1(), NearMiss2(), NearMiss3())[version - 1]
    counts = np.bincount(split.rows.codes)
    k = min(N_NEIGHBORS, int(counts.min()) - 1)
    params = RebalanceParams.model_validate({"method": sampler.name, "n_neighbors": k})
    ours = sampler.removed(split, params)
    x, y = split.numeric.astype(np.float64), split.rows.codes
    # Of equally small classes imbalanced-learn's reference is the first that it meets.
    order = np.argsort(y, kind="stable")
    theirs = np.empty(len(y), bool)
    peer = NearMiss(version=version, n_neighbors=k, n_neighbors_ver3=k)
    theirs[order] = _removed(peer, x[order], y[order])
    reference = np.flatnonzero(y == counts.argmin())
    wanted, by_theirs = int(counts.min()), int(theirs.sum())
    ties = short = 0
    for code in np.unique(y[ours | theirs]):
        rows = np.flatnonzero(y == code)
        certain = possible = np.ones(len(rows), bool)
        if version == 3:
            certain, possible = _listed(x, rows, reference, k)
        if certain.sum() < wanted:
            short += wanted - int((~theirs[rows]).sum())
            theirs[rows] &= possible | ours[rows]
        differing = ours[rows] != theirs[rows]
        if differing.any():
            score = _distance(version, x, rows, reference, k) * (1 if version == 3 else -1)
            ties += int((differing & _open(score, certain, possible, wanted)).sum())
    return {**_counts(ours, theirs, ties), "imblearn": by_theirs, "short": short}


def _distance(
    version: int, x: np.ndarray, rows: np.ndarray, reference: np.ndarray, k: int
) -> np.ndarray:
    """float64 [m]: what near_miss ranks by, by brute force."""
    total = np.empty(len(rows))
    for start in range(0, len(rows), _CHUNK):
        distance = np.sort(cdist(x[rows[start : start + _CHUNK]], x[reference]), axis=1)
        part = distance[:, -k:] if version == 2 else distance[:, :k]
        total[start : start + _CHUNK] = part.sum(axis=1)
    return total


def _open(score: np.ndarray, certain: np.ndarray, possible: np.ndarray, wanted: int) -> np.ndarray:
    """bool [m]: rows of one class that are kept or not, by how ties are broken.

    Args:
      score: float64 [m], rows with the largest are kept.
      certain: bool [m], rows among which these are chosen, however ties are broken.
      possible: bool [m], rows that are among them if ties are broken in some way.
      wanted: rows that are kept.
    """
    rounding = 1e-9 * max(1.0, float(np.abs(score).max()))
    no_less = possible.sum() - np.searchsorted(np.sort(score[possible]), score - rounding)
    greater = certain.sum() - np.searchsorted(np.sort(score[certain]), score + rounding, "right")
    kept = certain & (no_less <= wanted)
    gone = ~possible | (greater >= wanted)
    return np.asarray(~kept & ~gone)


def _listed(
    x: np.ndarray, rows: np.ndarray, reference: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """bool [m] twice: rows on near_miss_3's list however ties are broken, and in some way."""
    certain, possible = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
    rounding = _ROUNDING * float((x**2).sum(axis=1).max())
    for start in range(0, len(reference), _CHUNK):
        squared = cdist(x[reference[start : start + _CHUNK]], x[rows], "sqeuclidean")
        last = np.partition(squared, k - 1, axis=1)[:, k - 1 : k]
        within = squared <= last + rounding
        untied = within.sum(axis=1, keepdims=True) == k
        certain |= ((squared < last - rounding) | (within & untied)).any(axis=0)
        possible |= within.any(axis=0)
    return certain, possible


def _flagged(sampler: NeighborCleaning, split: Split, params: RebalanceParams) -> np.ndarray:
    """bool [n]; a class that would be lost is compared too, where `removed` refuses."""
    counts = np.bincount(split.rows.codes)
    codes = np.arange(len(counts))
    if params.sampling_strategy == "auto":
        codes = codes[codes != counts.argmin()]
    return sampler.flagged(split, codes, params)


def _removed(sampler: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """bool [n], the rows that imbalanced-learn removes."""
    with warnings.catch_warnings():
        # Of near_miss_3, that there are fewer rows than wanted.
        warnings.simplefilter("ignore", UserWarning)
        sampler.fit_resample(x, y)
    gone = np.ones(len(y), bool)
    gone[sampler.sample_indices_] = False
    return gone


def _counts(ours: np.ndarray, theirs: np.ndarray, ties: int) -> dict[str, int]:
    return {
        "rows": len(ours),
        "ours": int(ours.sum()),
        "imblearn": int(theirs.sum()),
        "differing": int((ours != theirs).sum()),
        "ties": ties,
        "short": 0,
    }


_METHODS: dict[str, Callable[[Split], dict[str, int]]] = {
    "tomek_links": lambda split: _tomek(split, "auto"),
    "edited_nearest_neighbours (all)": lambda split: _enn(split, "auto", "all"),
    "edited_nearest_neighbours (mode)": lambda split: _enn(split, "auto", "mode"),
    "near_miss_1": lambda split: _near_miss(split, 1),
    "near_miss_2": lambda split: _near_miss(split, 2),
    "near_miss_3": lambda split: _near_miss(split, 3),
    "smote_tomek": lambda split: _tomek(oversampled(split), "all"),
    "smote_enn": lambda split: _enn(oversampled(split), "all", "all"),
}
