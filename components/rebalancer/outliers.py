"""Outliers of each class: rows far from the rest of their own class.

What is usual is learnt from a sample of each class, the rows with the smallest hashes, so that a
rare class is not outlying as such. Everything is for train alone: rows of val and test stay as they
will be met.

`robust` judges each value by the modified z-score |x - median| / (1.4826 MAD) of its feature
(Iglewicz and Hoaglin, "How to Detect and Handle Outliers", ASQC 1993, who advise 3.5). Of many or
heavy-tailed features one is past any fixed threshold in nearly every row; so the cut rises to
where a row's largest z-score is itself outlying among those of the class, see `one_sided`. A robust
covariance (MCD) would see features together, but needs five rows per feature and fails where
features are constant or depend on each other, as one-hot columns do; for features together there is
`isolation_forest` (Liu, Ting and Zhou, "Isolation Forest", ICDM 2008), whose scores are cut in the
same way, or at a share that the user gives. A forest cannot tell what lies farther out than its
sample: a row there has the score of the outermost row of the sample on its side.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .. import hashing
from ..errors import UserError
from .features import Features
from .outliers_params import ClassOutliers, OutlierOptions
from .params import RebalanceParams
from .report import OutlierFindings
from .rows import Rows, Split

MIN_ROWS = 30
"""Fewer rows of a class say too little on what is usual in it."""

_CONSISTENT = 1.4826  # makes the MAD of a normal distribution its standard deviation
_TOLD = 5


def thinned(rows: Rows, n: int, seed: int) -> Rows:
    """The n rows with the smallest hashes: a sample of samples is a sample of all their rows."""
    if len(rows.ids) <= n:
        return rows
    words = hashing.keyed(rows.ids, seed, "outliers")
    return rows.take(np.sort(np.argsort(words, kind="stable")[:n]))


def column_names(features: Features) -> list[str]:
    """Names of the columns of `Split.numeric`: a vector's are name[0], name[1], ..."""
    return [
        column
        for name in features.numeric
        for column in (
            [f"{name}[{i}]" for i in range(features.widths[name])]
            if name in features.widths
            else [name]
        )
    ]


@dataclass(frozen=True)
class Usual:
    """What is usual in one class.

    Attributes:
      center: float64 [d], medians.
      scale: float64 [d], robust standard deviations; infinite for a feature that is not judged.
      common: float64 [d], the value of more than half of the rows, else the median.
      low: float [d], values below are outlying; -inf where none is.
      high: float [d], values above are outlying; inf where none is.
      forest: a fitted scikit-learn IsolationForest, or None.
      cut: rows of a lower score_samples are outlying.
    """

    center: np.ndarray
    scale: np.ndarray
    common: np.ndarray
    low: np.ndarray
    high: np.ndarray
    forest: Any = None
    cut: float = -np.inf

    def flag(self, numeric: np.ndarray) -> np.ndarray:
        """bool [n] of `numeric` float [n, d]."""
        if not len(numeric):
            return np.zeros(0, bool)
        if self.forest is None:
            return ((numeric < self.low) | (numeric > self.high)).any(axis=1)
        return self.forest.score_samples(_for_forest(numeric, self.center)) < self.cut

    def z(self, numeric: np.ndarray) -> np.ndarray:
        """float64 [n, d], robust z-scores; 0 where a feature is not judged or a value is common."""
        score = np.abs(numeric - self.center) / self.scale
        return np.where(numeric == self.common, 0, score)


@dataclass(frozen=True)
class OutlierModel:
    """What is usual in each class that has rows enough, and what was found in the samples.

    Attributes:
      options: of the user.
      usual: class code -> what is usual; classes with too few rows are left out.
      found: class code -> what was found in its sample.
    """

    options: OutlierOptions
    usual: Mapping[int, Usual]
    found: Mapping[int, ClassOutliers]

    def flag(self, code: int, numeric: np.ndarray) -> np.ndarray:
        """Which rows are outlying.

        Args:
          code: class of all n rows.
          numeric: float [n, d], as `Split.numeric`.

        Returns:
          bool [n]; all False for a class with too few rows.
        """
        usual = self.usual.get(code)
        return usual.flag(numeric) if usual else np.zeros(len(numeric), bool)

    def clip(self, code: int, numeric: np.ndarray) -> np.ndarray:
        """Values moved to the nearest bound, median +- cut * 1.4826 MAD; for train only.

        Args:
          code: class of all n rows.
          numeric: float [n, d], as `Split.numeric`.

        Returns:
          float [n, d], of which `flag` flags no row with method robust; unchanged for a class
          with too few rows.
        """
        usual = self.usual.get(code)
        return np.clip(numeric, usual.low, usual.high) if usual else numeric

    def flag_rows(self, rows: Rows, features: Features) -> np.ndarray:
        """bool [n]: `flag` of rows of any classes."""
        numeric = _numeric(rows, features)
        flags = np.zeros(len(rows.ids), bool)
        for code in np.unique(rows.codes).tolist():
            mine = rows.codes == code
            flags[mine] = self.flag(code, numeric[mine])
        return flags

    def clip_rows(self, rows: Rows, features: Features) -> Rows:
        """The rows with values clipped, integers to the last one within the bounds."""
        numeric = _numeric(rows, features)
        clipped = numeric.copy()
        for code in np.unique(rows.codes).tolist():
            mine = rows.codes == code
            clipped[mine] = self.clip(code, numeric[mine])
        columns, at = dict(rows.columns), 0
        for name, kind in features.numeric.items():
            column, width = rows.columns[name].copy(), features.widths.get(name, 1)
            old, new = (m[:, at : at + width].reshape(column.shape) for m in (numeric, clipped))
            moved = new != old
            old, new = old[moved], new[moved]
            if kind == "int":
                new = np.where(new > old, np.ceil(new), np.floor(new))
            column[moved] = new
            columns[name] = column
            at += width
        return Rows(rows.ids, rows.codes, columns)

    def report(self, classes: Sequence[str]) -> dict[str, ClassOutliers]:
        """Class name -> what was found in its sample; a class's code is its index."""
        return {classes[code]: found for code, found in sorted(self.found.items())}


def fit(
    samples: Mapping[int, np.ndarray], names: Sequence[str], options: OutlierOptions, seed: int
) -> OutlierModel:
    """Learns what is usual in each class.

    The result depends on the samples' rows as sets, options and seed, not on the rows' order or on
    threads.

    Args:
      samples: class code -> float [n, d], as `Split.numeric`, n at most options.sample_rows.
      names: of the d columns.
      options: method and thresholds.
      seed: of the forest.

    Raises:
      UserError: there is no numeric feature.
    """
    if options.method == "none":
        return OutlierModel(options, {}, {})
    if not names:
        raise UserError(
            f"rebalance.outliers.method: {options.method!r} judges numeric features, found none; "
            "allowed then: none"
        )
    usual: dict[int, Usual] = {}
    found: dict[int, ClassOutliers] = {}
    for code, sample in samples.items():
        if len(sample) < MIN_ROWS:
            reason = f"{len(sample)} rows, fewer than the {MIN_ROWS} that tell what is usual"
            found[code] = ClassOutliers(
                rows=len(sample), share=None, reason=reason, features={}, unjudged=[]
            )
            continue
        numeric = _in_order(sample)
        usual[code] = _usual(numeric, options, seed, code)
        found[code] = _found(usual[code], numeric, names)
    return OutlierModel(options, usual, found)


def spread(values: np.ndarray) -> tuple[float, float, float]:
    """Median, 1.4826 MAD and the most common value of one feature, `values` float [n].

    Where more than half of the values are equal the MAD is 0. Then the others are judged among
    themselves: a feature that is mostly 0 has the median and MAD of what is not 0. The third is
    that most common value, else the median. The scale is infinite where the others have no
    spread either, as in a flag of zeros and ones, or are fewer than MIN_ROWS.
    """
    common = center = float(np.median(values))
    scale = _CONSISTENT * float(np.median(np.abs(values - center)))
    if scale == 0:
        others = values[values != common]
        if len(others) < MIN_ROWS:
            return center, np.inf, common
        center = float(np.median(others))
        scale = _CONSISTENT * float(np.median(np.abs(others - center))) or np.inf
    return center, scale, common


def one_sided(scores: np.ndarray, threshold: float) -> float:
    """Where scores float64 [n] begin to be outlyingly high.

    Median + threshold * 1.4826 * the median excess of the scores above it. The side below is left
    out: scores are skewed.
    """
    middle = float(np.median(scores))
    above = scores[scores > middle]
    excess = float(np.median(above - middle)) if len(above) else 0.0
    return middle + threshold * _CONSISTENT * excess


def _usual(numeric: np.ndarray, options: OutlierOptions, seed: int, code: int) -> Usual:
    spreads = [spread(column.astype(np.float64)) for column in numeric.T]
    center, scale, common = np.array(spreads).T
    unbounded = np.full(len(center), np.inf, numeric.dtype)
    usual = Usual(center, scale, common, -unbounded, unbounded)
    largest = usual.z(numeric).max(axis=1)
    reach = max(options.threshold, one_sided(largest, options.threshold)) * scale
    with np.errstate(over="ignore"):  # a bound past float32 is no bound
        low = np.minimum(common, center - reach).astype(numeric.dtype)
        high = np.maximum(common, center + reach).astype(numeric.dtype)
    usual = replace(usual, low=low, high=high)
    if options.method == "robust":
        return usual
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(
        max_samples=min(256, len(numeric)),
        random_state=int(hashing.text_hash(f"{seed}/outliers/{code}")) % 2**32,
        n_jobs=1,
    ).fit(_for_forest(numeric, center))
    scores = forest.score_samples(_for_forest(numeric, center))
    if options.contamination is not None:
        return replace(usual, forest=forest, cut=float(np.quantile(scores, options.contamination)))
    # Rows of scores up to 0.5 (here negative) are usual by the paper.
    cut = min(-0.5, -one_sided(-scores, options.threshold))
    return replace(usual, forest=forest, cut=cut)


def _found(usual: Usual, numeric: np.ndarray, names: Sequence[str]) -> ClassOutliers:
    flags = usual.flag(numeric)
    z = usual.z(numeric[flags])
    votes = np.bincount(z.argmax(axis=1)[z.any(axis=1)], minlength=len(names))
    first = np.argsort(-votes, kind="stable")[:_TOLD]
    return ClassOutliers(
        rows=len(numeric),
        share=float(flags.mean()),
        reason="",
        features={names[i]: float(votes[i] / flags.sum()) for i in first if votes[i]},
        unjudged=[names[i] for i in np.flatnonzero(np.isinf(usual.scale))],
    )


def _numeric(rows: Rows, features: Features) -> np.ndarray:
    return Split(rows, (), features, 0).numeric


def _for_forest(numeric: np.ndarray, center: np.ndarray) -> np.ndarray:
    """float32 [n, d], in which a forest works: what is wider is centred, to keep its digits."""
    if numeric.dtype == np.float32:
        return numeric
    return np.asarray((numeric - center).astype(np.float32))


def _in_order(numeric: np.ndarray) -> np.ndarray:
    """The rows of float [n, d] in an order that depends on their values alone."""
    rows = np.ascontiguousarray(numeric) + numeric.dtype.type(0)  # zeros have no sign
    return rows[np.argsort(rows.view(f"V{rows.strides[0]}")[:, 0], kind="stable")]


def samples_of(parts: list[Rows], params: RebalanceParams) -> dict[int, Rows]:
    """Class code -> its rows with the smallest hashes."""
    found: dict[int, Rows] = {}
    if not parts:
        return found
    rows = Rows.concatenated(parts)
    for code in np.unique(rows.codes).tolist():
        mine = rows.take(rows.codes == code)
        found[code] = thinned(mine, params.outliers.sample_rows, params.seed)
    return found


def fit_rows(
    samples: Mapping[int, Rows],
    classes: tuple[str, ...],
    features: Features,
    params: RebalanceParams,
) -> OutlierModel:
    """Learns what is usual in each class, given its rows with the smallest hashes in any order."""
    matrices = {
        code: Split(rows.ordered(), classes, features, params.seed).numeric
        for code, rows in sorted(samples.items())
    }
    return fit(matrices, column_names(features), params.outliers, params.seed)


def findings(
    model: OutlierModel, touched: Iterable[np.ndarray], classes: tuple[str, ...]
) -> OutlierFindings:
    """For the report; `touched` int64 [n_classes] each, rows dropped or clipped."""
    rows = np.sum([np.zeros(len(classes), np.int64), *touched], axis=0)
    return OutlierFindings(
        method=model.options.method,
        action=model.options.action,
        classes=model.report(classes),
        rows=dict(zip(classes, rows.tolist(), strict=True)),
    )


def moved_rows(rows: Rows, clipped: Rows) -> np.ndarray:
    """int64 [m], rows of which a value was clipped."""
    different = [
        np.atleast_2d((rows.columns[name] != column).T).any(axis=0)
        for name, column in clipped.columns.items()
    ]
    return np.flatnonzero(np.any(different, axis=0))
