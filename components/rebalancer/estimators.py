"""Our methods as objects with `fit_resample`, for imbalanced-learn's Pipeline and GridSearchCV.

Each is a subclass of imbalanced-learn's class of the same name: parameters, their checks, input and
output types, fitted attributes and tags are that class's own. The rows are ours, those of
`resample`, see docs/rebalancing.md; columns have no part in them by their names, but by where they
stand. What only imbalanced-learn's algorithm reads (`replacement`, other metrics, an encoder of
SMOTENC) is refused. `n_jobs` changes nothing: searches use all cores.
"""

import re
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, ClassVar, Final

import numpy as np
import pandas as pd
from imblearn import combine, over_sampling, under_sampling
from imblearn.over_sampling.base import BaseOverSampler
from scipy import sparse
from sklearn.base import clone
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import DataConversionWarning
from sklearn.preprocessing import OrdinalEncoder
from sklearn.utils import check_array, check_random_state
from sklearn.utils._param_validation import Interval

from ..errors import UserError
from .in_memory import Resampled, numeric_of, resample
from .labels import labels_of
from .neighbors import Space, nearest
from .params import RebalanceParams
from .samplers.borderline_smote import in_danger

__all__ = [
    "ADASYN",
    "ROSE",
    "SMOTE",
    "SMOTEENN",
    "SMOTEN",
    "SMOTENC",
    "BorderlineSMOTE",
    "EditedNearestNeighbours",
    "KMeansSMOTE",
    "NearMiss",
    "RandomOverSampler",
    "RandomUnderSampler",
    "SMOTETomek",
    "TomekLinks",
]

_NO_LIMIT: Final = 1e9
_MOST_SEED: Final = 2**31 - 1
_NUMBER: Final = re.compile(r"\bx(\d+)\b")
_COLUMNS: Final = re.compile(r"column 'x\d+'|(features|ones) \(x\d+(, x\d+)*\)")


class _Rows(ABC):
    """What all have in common: frames reach the method as they are, and it is `resample`."""

    _sampling_type: ClassVar[str]
    sampling_strategy_: dict[Any, int]

    def _check_X_y(self, X: Any, y: Any) -> tuple[Any, np.ndarray, bool]:
        checked, y, binarize = super()._check_X_y(X, y)  # type: ignore[misc]
        whole = isinstance(X, pd.DataFrame) and not sparse.issparse(checked)
        return (X if whole else checked), y, binarize

    def _resampled(
        self,
        X: Any,
        y: np.ndarray,
        strategy: Mapping[Any, int],
        categorical: Any = (),
        **options: Any,
    ) -> Resampled:
        """Rows of `resample`.

        Args:
          X: as checked.
          y: [n], as checked.
          strategy: as `check_sampling_strategy` gives it, or a part of it.
          categorical: columns, as x0, x1, ...
          **options: method and what else RebalanceParams takes.

        Raises:
          UserError: X or parameters do not allow it.
        """
        labels = labels_of(y)
        name_of = dict(zip(y[labels.first].tolist(), labels.classes, strict=True))
        counts = np.bincount(labels.codes)
        before = dict(zip(labels.classes, counts.tolist(), strict=True))
        asked: Any = {name_of[_plain(key)]: rows for key, rows in strategy.items()}
        if self._sampling_type == "over-sampling":
            asked = {name: before[name] + rows for name, rows in asked.items()}
        elif self._sampling_type == "clean-sampling":
            asked = tuple(asked)
        try:
            params = RebalanceParams(
                **options,
                sampling_strategy=asked,
                seed=self._seed(),
                max_growth=_NO_LIMIT,
                memory_limit_mb=int(_NO_LIMIT),
            )
            return resample(_by_position(X), y, params, categorical)
        except UserError as error:
            raise _by_name(error, X) from None

    def _seed(self) -> int:
        state = getattr(self, "random_state", 0)
        if isinstance(state, Integral):
            check_random_state(int(state))
            return int(state)
        return int(check_random_state(state).randint(_MOST_SEED))


class _Grows(_Rows):
    """Synthetic rows are added after those of the input."""

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        self._validate_estimator()  # type: ignore[attr-defined]
        done = self._resampled(X, y, self.sampling_strategy_, **self._options())
        return _named(done.x, X), done.y

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """Method and parameters of RebalanceParams."""


class _Drops(_Rows):
    """Rows are left out.

    Attributes:
      by_class: whether what stays is sorted by class, as imbalanced-learn's class does it.
    """

    by_class: ClassVar[bool] = True

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        done = self._resampled(X, y, self.sampling_strategy_, **self._options())
        index = done.index
        if self.by_class:
            index = index[np.argsort(labels_of(y).codes[index], kind="stable")]
        self.sample_indices_ = index
        return _at(X, index), y[index]

    @abstractmethod
    def _options(self) -> dict[str, Any]:
        """Method and parameters of RebalanceParams."""


class RandomOverSampler(_Rows, over_sampling.RandomOverSampler):
    """Copies rows, each equally often; with `shrinkage` ROSE's noise on their numbers."""

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        self.shrinkage_ = self.shrinkage
        if isinstance(self.shrinkage, Real):
            self.shrinkage_ = dict.fromkeys(self.sampling_strategy_, self.shrinkage)
        if self.shrinkage_ is not None:
            _must_be_shrinkage(self.shrinkage_, self.sampling_strategy_, X)
        return self._grown(X, y, self.shrinkage_ or {})

    def _grown(self, X: Any, y: np.ndarray, shrinkage: Mapping[Any, float]) -> Any:
        by_factor: dict[float, dict[Any, int]] = {}
        for name, rows in self.sampling_strategy_.items():
            by_factor.setdefault(float(shrinkage.get(name, 0)), {})[name] = rows
        n = len(y)
        parts, bases = [X], [np.arange(n)]
        for factor, strategy in by_factor.items():
            if factor:
                done = self._resampled(X, y, strategy, method="rose", shrinkage=factor)
                parts.append(_at(_named(done.x, X), np.arange(n, len(done.y))))
                bases.append(done.origin["base"].to_numpy(np.int64))
            else:
                index = self._resampled(X, y, strategy, method="over").index
                again = np.flatnonzero(np.diff(index, prepend=-1) == 0)
                again = again[np.argsort(labels_of(y).codes[index[again]], kind="stable")]
                parts.append(_at(X, index[again]))
                bases.append(index[again])
        self.sample_indices_ = np.concatenate(bases)
        return _stacked(parts), y[self.sample_indices_]


class ROSE(RandomOverSampler):
    """Copies rows with normal noise on their numbers, see `rose`; categories are copied.

    Not in imbalanced-learn, whose RandomOverSampler(shrinkage=1) is near it.

    Args:
      sampling_strategy: as of oversampling.
      random_state: seed.
      shrinkage: factor of the bandwidth by the normal reference rule.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseOverSampler._parameter_constraints,
        "shrinkage": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self, *, sampling_strategy: Any = "auto", random_state: Any = None, shrinkage: float = 1.0
    ) -> None:
        super().__init__(
            sampling_strategy=sampling_strategy, random_state=random_state, shrinkage=shrinkage
        )

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        self.shrinkage_ = dict.fromkeys(self.sampling_strategy_, self.shrinkage)
        return self._grown(X, y, self.shrinkage_)

    def _more_tags(self) -> dict[str, Any]:  # asked for by scikit-learn before 1.6
        return {"X_types": ["2darray", "sparse", "dataframe"], "allow_nan": False}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = False
        tags.input_tags.string = False
        return tags


class RandomUnderSampler(_Drops, under_sampling.RandomUnderSampler):
    """Keeps a random sample of larger classes, drawn without replacement."""

    def _options(self) -> dict[str, Any]:
        if self.replacement:
            raise UserError(
                "replacement: found True; rows are drawn without replacement here: leave it False"
            )
        return {"method": "under"}


class SMOTE(_Grows, over_sampling.SMOTE):
    """Rows between a row and a near one of its class, see `smote`."""

    def _options(self) -> dict[str, Any]:
        return {"method": "smote", "k_neighbors": _wanted("k_neighbors", self.nn_k_, 1)}


class BorderlineSMOTE(_Grows, over_sampling.BorderlineSMOTE):
    """`SMOTE` from rows in danger, see `borderline_smote_1` and `_2`.

    A class without a row in danger stays as it is, with a warning.
    """

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        self._validate_estimator()
        self.in_danger_indices = self._in_danger(X, y)
        strategy = {k: n for k, n in self.sampling_strategy_.items() if k in self.in_danger_indices}
        if left := [key for key, n in self.sampling_strategy_.items() if n and key not in strategy]:
            warnings.warn(
                f"class {', '.join(map(str, left))} has no row in danger (m_neighbors "
                f"{self.m_neighbors}) and stays as it is",
                stacklevel=2,
            )
        if not strategy:
            return X, y
        done = self._resampled(X, y, strategy, **self._options())
        return _named(done.x, X), done.y

    def _in_danger(self, X: Any, y: np.ndarray) -> dict[Any, np.ndarray]:
        m = _wanted("m_neighbors", self.nn_m_, 1)
        every = {key: np.flatnonzero(y == key) for key, n in self.sampling_strategy_.items() if n}
        if len(y) <= m:
            return every
        table = _by_position(X if isinstance(X, pd.DataFrame) else pd.DataFrame(_dense(X)))
        try:
            numbers = numeric_of(table)
        except UserError as error:
            raise _by_name(error, X) from None
        if numbers is None:
            return every
        space = Space(numbers)
        found = {}
        for key, rows in every.items():
            others = (y[nearest(space, m, rows)[0]] != key).sum(axis=1)
            if (danger := in_danger(others, m)).any():
                found[key] = rows[danger]
        return found

    def _options(self) -> dict[str, Any]:
        return {
            "method": "borderline_smote_" + self.kind.rpartition("-")[2],
            "k_neighbors": _wanted("k_neighbors", self.nn_k_, 1),
            "m_neighbors": _wanted("m_neighbors", self.nn_m_, 1),
        }


class ADASYN(_Grows, over_sampling.ADASYN):
    """`SMOTE`, more rows where more of the near ones are of other classes, see `adasyn`."""

    def _options(self) -> dict[str, Any]:
        return {"method": "adasyn", "k_neighbors": _wanted("n_neighbors", self.nn_, 1)}


class KMeansSMOTE(_Grows, over_sampling.KMeansSMOTE):
    """`SMOTE` within clusters that hold much of the class, see `kmeans_smote`.

    Of `kmeans_estimator` the number of clusters is read; None: as many as `n_clusters` says.
    """

    def _validate_estimator(self) -> None:
        clusterer = self.kmeans_estimator
        if clusterer is not None and not isinstance(clusterer, Integral | KMeans | MiniBatchKMeans):
            raise UserError(
                f"kmeans_estimator: found {clusterer!r}; expected None, a number of clusters, "
                "KMeans or MiniBatchKMeans"
            )
        super()._validate_estimator()
        if clusterer is None:
            del self.kmeans_estimator_  # it would say 8

    def _options(self) -> dict[str, Any]:
        threshold, exponent = self.cluster_balance_threshold, self.density_exponent
        return {
            "method": "kmeans_smote",
            "k_neighbors": _wanted("k_neighbors", self.nn_k_, 1),
            "n_clusters": (
                None if self.kmeans_estimator is None else self.kmeans_estimator_.n_clusters
            ),
            "cluster_balance_threshold": None if threshold == "auto" else threshold,
            "density_exponent": None if exponent == "auto" else exponent,
        }


class SMOTENC(_Rows, over_sampling.SMOTENC):
    """`SMOTE` with categories by vote of the neighbours, see `smote_nc`."""

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        if self.categorical_encoder is not None:
            raise UserError("categorical_encoder: categories need no encoder here: leave it None")
        self.n_features_ = X.shape[1]
        self._validate_column_types(X)
        self._validate_estimator()
        numbers = _columns(X, self.continuous_features_)
        numbers = check_array(_dense(numbers), dtype=np.float64)
        self.median_std_ = {
            key: float(np.median(numbers[y == key].std(axis=0)))
            for key, n in self.sampling_strategy_.items()
            if n
        }
        done = self._resampled(
            X,
            y,
            self.sampling_strategy_,
            [f"x{i}" for i in self.categorical_features_],
            method="smote_nc",
            k_neighbors=_wanted("k_neighbors", self.nn_k_, 1),
        )
        return _named(done.x, X), done.y


class SMOTEN(_Rows, over_sampling.SMOTEN):
    """All columns are categories, see `smote_n`."""

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        self._validate_estimator()
        if sparse.issparse(X):
            warnings.warn(
                "SMOTEN on a sparse matrix is not really efficient: it is made dense",
                DataConversionWarning,
                stacklevel=2,
            )
        table = X.toarray() if sparse.issparse(X) else X
        self.categorical_encoder_ = (
            OrdinalEncoder(dtype=np.int32)
            if self.categorical_encoder is None
            else clone(self.categorical_encoder)
        )
        codes = self.categorical_encoder_.fit_transform(table).astype(np.int64)
        done = self._resampled(
            codes,
            y,
            self.sampling_strategy_,
            [f"x{i}" for i in range(codes.shape[1])],
            method="smote_n",
            k_neighbors=self.nn_k_.n_neighbors - 1,  # its distance is never Euclidean
        )
        if len(done.y) == len(y):
            return X, y
        made = self.categorical_encoder_.inverse_transform(done.x[len(y) :])
        if isinstance(X, pd.DataFrame):
            made = pd.DataFrame(made, columns=X.columns).astype(X.dtypes)
        elif sparse.issparse(X):
            made = sparse.csr_matrix(made.astype(X.dtype))
        else:
            made = made.astype(X.dtype)
        return _stacked([X, made]), done.y


class TomekLinks(_Drops, under_sampling.TomekLinks):
    """Drops rows that are mutually nearest to a row of another class, see `tomek_links`."""

    by_class = False

    def _options(self) -> dict[str, Any]:
        return {"method": "tomek_links"}


class EditedNearestNeighbours(_Drops, under_sampling.EditedNearestNeighbours):
    """Drops rows whose nearest are of other classes, see `edited_nearest_neighbours`."""

    def _options(self) -> dict[str, Any]:
        self._validate_estimator()
        return {
            "method": "edited_nearest_neighbours",
            "n_neighbors": _wanted("n_neighbors", self.nn_, 1),
            "kind_sel": self.kind_sel,
        }


class NearMiss(_Drops, under_sampling.NearMiss):
    """Keeps rows by their distance to the minority, see `near_miss_1` to `_3`."""

    def _options(self) -> dict[str, Any]:
        self._validate_estimator()
        k = _wanted("n_neighbors", self.nn_, 0)
        if self.version == 3 and _wanted("n_neighbors_ver3", self.nn_ver3_, 0) != k:
            raise UserError(
                f"n_neighbors_ver3: found {self.n_neighbors_ver3!r}; expected as many as "
                f"n_neighbors, {k}: near_miss_3 has one number for both"
            )
        return {"method": f"near_miss_{self.version}", "n_neighbors": k}


class SMOTEENN(combine.SMOTEENN):
    """`SMOTE`, then `EditedNearestNeighbours`, of all classes unless `enn` says otherwise."""

    def _validate_estimator(self) -> None:
        self.smote_ = _or_default(self.smote, SMOTE, self)
        self.enn_ = (
            EditedNearestNeighbours(sampling_strategy="all", n_jobs=self.n_jobs)
            if self.enn is None
            else clone(self.enn)
        )


class SMOTETomek(combine.SMOTETomek):
    """`SMOTE`, then `TomekLinks`, of all classes unless `tomek` says otherwise."""

    def _validate_estimator(self) -> None:
        self.smote_ = _or_default(self.smote, SMOTE, self)
        self.tomek_ = (
            TomekLinks(sampling_strategy="all", n_jobs=self.n_jobs)
            if self.tomek is None
            else clone(self.tomek)
        )


def _or_default(given: Any, default: type, of: Any) -> Any:
    if given is not None:
        return clone(given)
    return default(sampling_strategy=of.sampling_strategy, random_state=of.random_state)


def _wanted(name: str, search: Any, itself: int) -> int:
    """Neighbours that an object of imbalanced-learn's asks for.

    Args:
      name: of the parameter.
      search: what `check_neighbors_object` made of it.
      itself: 1 where a row is its own first neighbour in it.

    Raises:
      UserError: it searches by another distance.
    """
    metric = getattr(search, "metric", None)
    euclidean = metric in ("euclidean", "l2") or (metric == "minkowski" and search.p == 2)
    if not euclidean:
        raise UserError(
            f"{name}: found {search!r}; expected a number, or an object with metric 'euclidean', "
            "of which n_neighbors is read: the search is ours"
        )
    return int(search.n_neighbors) - itself


def _must_be_shrinkage(shrinkage: Mapping[Any, float], strategy: Mapping[Any, int], X: Any) -> None:
    if missing := [key for key in strategy if key not in shrinkage]:
        raise UserError(
            "`shrinkage` should contain a shrinkage factor for each class that will be resampled; "
            f"there is none for {', '.join(map(repr, missing))}"
        )
    for key, factor in shrinkage.items():
        if factor < 0:
            raise UserError(f"The shrinkage factor needs to be >= 0. Got {factor} for class {key}.")
    try:
        check_array(X, accept_sparse=["csr", "csc"], dtype="numeric")
    except ValueError as error:
        raise UserError(
            "When shrinkage is not None, X needs to contain only numerical data: "
            + str(error).splitlines()[0]
        ) from None


def _by_position(X: Any) -> Any:
    """A frame with the names that an array's columns have: it gives the same rows."""
    if not isinstance(X, pd.DataFrame):
        return X
    table = X.copy(deep=False)
    table.columns = [f"x{i}" for i in range(X.shape[1])]
    return table


def _by_name(error: UserError, X: Any) -> UserError:
    """`error`, about `_by_position(X)`, with the names of columns and parameters as given."""

    def told(line: str) -> str:
        line = line.replace("rebalance.", "")
        if not isinstance(X, pd.DataFrame):
            return line
        return _COLUMNS.sub(
            lambda found: _NUMBER.sub(lambda n: str(X.columns[int(n[1])]), found[0]), line
        )

    return UserError(*map(told, error.args))


def _named(made: Any, X: Any) -> Any:
    """Rows of `_by_position(X)` with the columns of X."""
    if isinstance(made, pd.DataFrame):
        made.columns = X.columns
    return made


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _at(X: Any, rows: np.ndarray) -> Any:
    return X.iloc[rows] if isinstance(X, pd.DataFrame) else X[rows]


def _columns(X: Any, columns: np.ndarray) -> Any:
    return X.iloc[:, columns] if isinstance(X, pd.DataFrame) else X[:, columns]


def _dense(X: Any) -> Any:
    if sparse.issparse(X):
        return X.toarray()
    return X.to_numpy() if isinstance(X, pd.DataFrame) else X


def _stacked(parts: list[Any]) -> Any:
    if isinstance(parts[0], pd.DataFrame):
        return pd.concat(parts, ignore_index=True)
    if sparse.issparse(parts[0]):
        return sparse.vstack(parts, format=parts[0].format)
    return np.concatenate(parts)
