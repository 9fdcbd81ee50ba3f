"""What a learner is shown of a fold's training part: rebalanced as Rebalancer would have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..rebalancer.in_memory import resample
from ..rebalancer.params import RebalanceParams, SamplingStrategy
from ..trainer.input import Feature, Rows

NO_ROW = -1


@dataclass(frozen=True)
class Part:
    """Rows to train on, and where they come from.

    Attributes:
      rows: m rows.
      counts: class -> rows, times what each counts for: what class weights are made of.
      index: int64 [m], the row of train that each is; NO_ROW for synthetic ones.
      base, neighbor: int64 [m], the rows of train that a synthetic one lies between; NO_ROW where
        there is none, or the sampler does not tell.
    """

    rows: Rows
    counts: dict[str, int]
    index: np.ndarray
    base: np.ndarray
    neighbor: np.ndarray


def training_part(
    train: Rows,
    chosen: np.ndarray,
    features: Sequence[Feature],
    classes: Sequence[str],
    params: RebalanceParams,
) -> Part:
    """Some rows of train, rebalanced among themselves.

    Class counts that `params` names are of all of train; here they shrink with the class.

    Args:
      train: all rows.
      chosen: int64 [n], which of them.
      features: as they lie in the arrays.
      classes: class names in index order.
      params: method, strategies, limits, seed.

    Raises:
      UserError: what Rebalancer would say.
    """
    rows = train.take(chosen)
    if not params.acts:
        return Part(rows, _counts(rows.labels, classes), chosen, *np.full((2, len(chosen)), NO_ROW))
    counts, of_all = _counts(rows.labels, classes), _counts(train.labels, classes)
    shares = {name: n / of_all[name] for name, n in counts.items() if of_all[name]}
    table, categorical = _table(rows, features)
    done = resample(
        table,
        np.asarray(classes, object)[rows.labels],
        shrunk(params, shares),
        categorical,
    )
    code_of = {name: k for k, name in enumerate(classes)}
    labels = np.array([code_of[name] for name in done.y], np.int32)
    real = done.index >= 0
    base, neighbor = (np.full(len(labels), NO_ROW) for _ in range(2))
    if len(done.origin) == (~real).sum():
        base[~real] = done.origin["base"].to_numpy(np.int64)
        neighbor[~real] = done.origin["neighbor"].to_numpy(np.int64)
    # Of samplers that do not tell, a synthetic row has the mean weight of its class.
    mass = np.bincount(rows.labels, rows.weights, minlength=len(classes))
    mean = mass / np.maximum(list(counts.values()), 1)
    parent = np.where(real, done.index, base)
    weights = np.where(parent >= 0, rows.weights[parent], mean[labels]) * done.weights
    made_up, width = pd.DataFrame(done.x), rows.numbers.shape[1]
    made = Rows(
        made_up.iloc[:, :width].to_numpy(np.float32),
        made_up.iloc[:, width:].to_numpy(np.int32),
        labels,
        weights.astype(np.float32),
    )
    after, each = done.report.after, done.report.weights
    return Part(
        made,
        {name: round(after[name] * each[name]) if name in after else 0 for name in classes},
        *(np.where(where >= 0, chosen[where], NO_ROW) for where in (done.index, base, neighbor)),
    )


def shrunk(params: RebalanceParams, shares: Mapping[str, float]) -> RebalanceParams:
    """Parameters for a part of the rows.

    Args:
      params: as for all rows.
      shares: class -> share of its rows in the part; a strategy's count of it shrinks likewise.
    """

    def scaled(strategy: SamplingStrategy) -> SamplingStrategy:
        if not isinstance(strategy, dict):
            return strategy
        return {name: max(round(n * shares.get(name, 1.0)), 1) for name, n in strategy.items()}

    return params.model_copy(
        update={
            name: scaled(getattr(params, name))
            for name in ("sampling_strategy", "under_sampling_strategy")
        }
    )


def _table(rows: Rows, features: Sequence[Feature]) -> tuple[pd.DataFrame, list[str]]:
    """The arrays as a table, numbers first, and the names of the columns that are categories."""
    numbers = [f"{f.name}/{i}" for f in features if not f.categories for i in range(f.width)]
    categories = [f"{f.name}/{i}" for f in features if f.categories for i in range(f.width)]
    table = pd.concat(
        [
            pd.DataFrame(rows.numbers, columns=numbers),
            pd.DataFrame(rows.categories, columns=categories),
        ],
        axis=1,
    )
    return table, categories


def _counts(labels: np.ndarray, classes: Sequence[str]) -> dict[str, int]:
    return dict(zip(classes, np.bincount(labels, minlength=len(classes)).tolist(), strict=True))
