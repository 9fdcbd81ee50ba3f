"""Rebalancer's choices beside scikit-learn's and imbalanced-learn's, on real data.

SMOTE's rows against neighbours by scikit-learn's brute force; class counts of every form of
`sampling_strategy`, and the rows that cleaning removes, against imbalanced-learn; and how uniform
undersampling is.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from imblearn.over_sampling import RandomOverSampler
from imblearn.under_sampling import RandomUnderSampler
from imblearn.utils import check_sampling_strategy
from scipy import stats
from sklearn.neighbors import NearestNeighbors

from benchmarks import _data
from benchmarks._agreement_cleaning import cleaning_agreement
from benchmarks.claims import Claim
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.in_memory import resample
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.strategy import cleaned_classes

SMOTE_SETS = (
    "mammography",
    "oil_spill",
    "wine_quality_white_le4",
    "keel_yeast4",
    "keel_abalone9-18",
    "letter_Z",
    "abalone_19",
    "glass_multiclass",
)
CLEANING_SETS = (
    "mammography",
    "oil_spill",
    "ecoli_multiclass",
    "glass_multiclass",
    "wine_quality_white_le4",
    "keel_yeast4",
    "keel_abalone9-18",
    "letter_Z",
    "abalone_19",
)
UNIFORM_SET, UNIFORM_SEEDS = "keel_abalone9-18", 2000
NEIGHBORS = 5
LEAST_P = 0.01

_WORDS = ("auto", "minority", "majority", "not minority", "not majority", "all")
_RATIOS = (0.01, 0.1, 0.3, 0.5, 0.75, 0.999, 1.0)
_ROUNDING = 1e-6  # of a standardised value, where float32 has 24 bits


def run() -> Iterator[Claim]:
    """Yields SMOTE's claims, then those of class counts, of uniformity and of cleaning."""
    parts = {
        "SMOTE beside scikit-learn's neighbours": _smote_claims,
        "class counts beside imbalanced-learn's": _count_claims,
        "undersampling is uniform": _uniform_claims,
        "cleaning beside imbalanced-learn's": _cleaning_claims,
    }
    for name, claims in parts.items():
        try:
            yield from claims()
        except _data.MissingDataError as error:
            yield Claim.failed(name, str(error))


@dataclass(frozen=True)
class Interpolated:
    """What is wrong with the synthetic rows of one data set.

    Attributes:
      rows: synthetic rows.
      astray: those not on a segment between a row of the class and one of its k nearest.
      uneven: rows of the class that are a base less often than their even share rounded down, or
        more often than that rounded up.
      gaps: float64, how far on the segment the rows of segments of some length lie.
      gap_error: largest difference from the gap that the provenance gives.
    """

    rows: int
    astray: int
    uneven: int
    gaps: np.ndarray
    gap_error: float


def interpolated(data: _data.DataSet, seed: int = 0) -> Interpolated:
    """SMOTE of a data set's standardised numeric columns, all classes that have the rows for it.

    The provenance names two rows of the input; that they are of the class, near each other, and
    that the synthetic row lies between them is found here, by brute force and in float64.
    """
    x, y = data.standardised, data.label
    counts = Counter(y.tolist())
    most = max(counts.values())
    wanted = {c: most for c, n in counts.items() if NEIGHBORS < n < most}
    params = RebalanceParams(
        method="smote", sampling_strategy=wanted, k_neighbors=NEIGHBORS, max_growth=100, seed=seed
    )
    done = resample(x, y, params)
    made = done.index < 0
    new, labels = done.x[made].astype(np.float64), done.y[made]
    astray = uneven = 0
    gaps, gap_error = [], 0.0
    for name, rows in wanted.items():
        of_class = x[y == name].astype(np.float64)
        origin, points = done.origin[labels == name], new[labels == name]
        base = x[origin["base"]].astype(np.float64)
        end = x[origin["neighbor"]].astype(np.float64)
        search = NearestNeighbors(n_neighbors=NEIGHBORS + 1, algorithm="brute").fit(of_class)
        # One more than NEIGHBORS, since the nearest is the row itself or its equal.
        reach = search.kneighbors(of_class)[0][:, -1]
        known = {row.tobytes(): i for i, row in enumerate(of_class)}
        at = np.array([known.get(row.tobytes(), -1) for row in base])
        neighbor = np.array([row.tobytes() in known for row in end])
        step = end - base
        length = np.linalg.norm(step, axis=1)
        near = (at >= 0) & neighbor & (length <= reach[at] * (1 + 1e-5) + 1e-6)
        square = np.where(length > 0, length**2, 1)
        gap = ((points - base) * step).sum(axis=1) / square
        off = np.abs(points - (base + np.clip(gap, 0, 1)[:, None] * step)).max(axis=1)
        on = off <= _ROUNDING * (1 + np.abs(points).max(axis=1))
        astray += int((~(near & on)).sum())
        far = length > 1e-3
        gaps.append(gap[far])
        gap_error = max(gap_error, np.abs(gap - origin["gap"].to_numpy())[far].max(initial=0))
        # Equal rows are one base to the provenance: what counts is the uses of all of them.
        _, group, alike = np.unique(of_class, axis=0, return_inverse=True, return_counts=True)
        uses = np.bincount(group.reshape(-1)[at], minlength=len(alike))
        total = rows - len(of_class)
        low, high = total // len(of_class), -(-total // len(of_class))
        uneven += int(((uses < low * alike) | (uses > high * alike)).sum())
        if len(points) != total:
            raise RuntimeError(f"{data.name}: {len(points)} rows of {name} instead of {total}")
    return Interpolated(len(new), astray, uneven, np.concatenate(gaps), gap_error)


def _smote_claims() -> Iterator[Claim]:
    found = {name: interpolated(_data.load(name)) for name in SMOTE_SETS}
    rows = sum(one.rows for one in found.values())
    about = f"{rows:,} synthetic rows, standardised columns of {_listed(list(found))}"
    yield _none(
        f"SMOTE: rows not between a row of the class and one of its {NEIGHBORS} nearest",
        sum(one.astray for one in found.values()),
        f"{about}; nearest by scikit-learn's brute force in float64",
    )
    yield _none(
        "SMOTE: rows that are a base more or less often than their even share",
        sum(one.uneven for one in found.values()),
        about,
    )
    each = {name: _uniform_p(one.gaps) for name, one in found.items()}
    least = min(each, key=each.__getitem__)
    p = min(1.0, each[least] * len(each))
    worst = max(one.gap_error for one in found.values())
    yield _likely(
        "SMOTE: gaps are uniform",
        p,
        f"least p of {len(each)} Kolmogorov-Smirnov tests ({each[least]:.3f}, {least}), times "
        f"{len(each)}; all {sum(len(one.gaps) for one in found.values()):,} gaps together "
        f"p = {_uniform_p(np.concatenate([one.gaps for one in found.values()])):.3f}; measured "
        f"from the rows, within {worst:.0e} of what the provenance says",
    )


def _uniform_p(gaps: np.ndarray) -> float:
    return float(stats.kstest(gaps, "uniform").pvalue)


def strategies(counts: Mapping[str, int], binary: bool) -> list[Any]:
    """Words, ratios and dicts, most of which fit these counts; some are mistakes on purpose."""
    most, least = max(counts.values()), min(counts.values())
    total = sum(counts.values())
    rarest = min(counts, key=counts.__getitem__)
    found: list[Any] = [*_WORDS, *_RATIOS]
    if binary:
        found += [least / most, float(np.nextafter(least / most, 1)), (least + 1) / most]
    found += [
        {rarest: least + 1},
        {rarest: 2 * least},
        {rarest: most},
        {name: 2 * rows for name, rows in counts.items()},
        {name: most + i for i, name in enumerate(sorted(counts))},
        dict(counts),
        {name: (rows + 1) // 2 for name, rows in counts.items()},
        dict.fromkeys(counts, least),
        {name: rows - 1 for name, rows in counts.items() if rows > 1},
        {name: rows for name, rows in counts.items() if rows > least},
        {name: max(1, rows // 3) for name, rows in counts.items() if rows == most},
        {rarest: total},
        {"no such class": 5},
        {rarest: -1},
    ]
    return found


def count_differences(data: _data.DataSet) -> tuple[Counter[str], list[str]]:
    """Compares class counts, or that a strategy is refused, for each way and strategy.

    Returns:
      Comparisons by 'counts', 'refused', 'classes to clean'; and a line for each difference.
    """
    y = data.label
    counts = {str(k): v for k, v in Counter(y.tolist()).items()}
    numbers = pd.DataFrame({"row": np.arange(len(y), dtype=np.float32)})
    compared: Counter[str] = Counter()
    different = []
    for method, peer in (("over", RandomOverSampler), ("under", RandomUnderSampler)):
        for strategy in strategies(counts, len(counts) == 2):
            theirs = _theirs(peer, strategy, numbers, y)
            ours = _ours(method, strategy, numbers, y)
            compared["refused" if theirs is None else "counts"] += 1
            if ours != theirs:
                different.append(f"{data.name}, {method}, {strategy}: {ours}, not {theirs}")
    lists = [[name] for name in sorted(counts)] + [sorted(counts), sorted(counts)[1:]]
    for chosen in [*_WORDS, *map(tuple, lists), ("no such class",)]:
        theirs_too = _cleaned_by_theirs(chosen, y)
        ours_too = _cleaned_by_ours(chosen, counts)
        compared["refused" if theirs_too is None else "classes to clean"] += 1
        if ours_too != theirs_too:
            different.append(f"{data.name}, cleaning, {chosen}: {ours_too}, not {theirs_too}")
    return compared, different


def _ours(method: str, strategy: Any, x: pd.DataFrame, y: np.ndarray) -> dict[str, int] | None:
    params = RebalanceParams.model_validate(
        {"method": method, "sampling_strategy": strategy, "max_growth": 1e9}
    )
    try:
        return _counted(resample(x, y, params).y)
    except UserError:
        return None


def _theirs(peer: Any, strategy: Any, x: pd.DataFrame, y: np.ndarray) -> dict[str, int] | None:
    try:
        with warnings.catch_warnings():
            # That a class becomes larger than the majority.
            warnings.simplefilter("ignore", UserWarning)
            return _counted(peer(sampling_strategy=strategy, random_state=0).fit_resample(x, y)[1])
    except ValueError:
        return None


def _cleaned_by_ours(strategy: Any, counts: Mapping[str, int]) -> set[str] | None:
    try:
        return set(cleaned_classes(strategy, counts))
    except UserError:
        return None


def _cleaned_by_theirs(strategy: Any, y: np.ndarray) -> set[str] | None:
    if isinstance(strategy, tuple):
        strategy = list(strategy)
    try:
        return {str(name) for name in check_sampling_strategy(strategy, y, "clean-sampling")}
    except ValueError:
        return None


def _counted(y: np.ndarray) -> dict[str, int]:
    return {
        str(name): int(rows) for name, rows in zip(*np.unique(y, return_counts=True), strict=True)
    }


def _count_claims() -> Iterator[Claim]:
    compared: Counter[str] = Counter()
    different: list[str] = []
    for name in _data.names():
        counted, lines = count_differences(_data.load(name))
        compared += counted
        different += lines
    told = ", ".join(f"{n:,} {what}" for what, n in sorted(compared.items()))
    yield _none(
        "class counts that differ from imbalanced-learn's",
        len(different),
        f"{compared.total():,} comparisons ({told}) on {len(_data.names())} data sets; words, "
        f"ratios and dicts, over and under, and the classes that cleaning looks at"
        + "".join(f"; {line}" for line in different[:5]),
    )


def _uniform_claims() -> Iterator[Claim]:
    data = _data.load(UNIFORM_SET)
    majority = np.flatnonzero(data.label != data.minority)
    times = np.zeros(len(data.label), np.int64)
    kept = len(data.label) - len(majority)
    for seed in range(UNIFORM_SEEDS):
        done = resample(data.numeric, data.label, RebalanceParams(method="under", seed=seed))
        times[done.index] += 1
    n = len(majority)
    p = kept / n
    # Of draws without replacement the covariance is (I - 1/n) n/(n-1) times p (1-p).
    spread = UNIFORM_SEEDS * p * (1 - p) * n / (n - 1)
    square = float(((times[majority] - UNIFORM_SEEDS * p) ** 2).sum() / spread)
    yield _likely(
        "undersampling keeps every row of the majority equally often",
        float(stats.chi2.sf(square, n - 1)),
        f"{UNIFORM_SET}: {kept} of {n} rows kept, {UNIFORM_SEEDS:,} seeds; chi-square "
        f"{square:.0f} with {n - 1} degrees of freedom",
    )


def _cleaning_claims() -> Iterator[Claim]:
    for name in CLEANING_SETS:
        _data.load(name)
    found = pd.DataFrame(cleaning_agreement(_data.folder(), CLEANING_SETS))
    removed, differing, ties, short = (
        int(found[name].sum()) for name in ("ours", "differing", "ties", "short")
    )
    yield _none(
        "cleaning: rows removed that imbalanced-learn keeps or the reverse, ties left out",
        differing - ties,
        f"{len(found)} comparisons of {found['method'].nunique()} methods, standardised and as "
        f"it is, on {_listed(list(CLEANING_SETS))}; {removed:,} rows removed, {differing:,} "
        f"differ, {ties:,} of them proven ties of distance; near_miss_3 keeps {short:,} rows that "
        "are wanted and that imbalanced-learn falls short of",
    )


def _none(name: str, value: int, detail: str) -> Claim:
    return Claim(name, value, None, None, unit="", bar="= 0", ok=value == 0, detail=detail)


def _likely(name: str, p: float, detail: str) -> Claim:
    bar = f"> {LEAST_P:g}"
    return Claim(name, p, None, None, unit="p", bar=bar, ok=p > LEAST_P, detail=detail)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
