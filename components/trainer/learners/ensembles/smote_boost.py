"""SMOTEBoost: AdaBoost.M2 whose trees see synthetic rows of the smaller classes, new in each round.

Reference: Chawla, Lazarevic, Hall and Bowyer, "SMOTEBoost: Improving Prediction of the Minority
Class in Boosting", PKDD 2003.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from .... import progress
from ....errors import UserError
from ....rebalancer.features import Features
from ....rebalancer.params import RebalanceParams
from ....rebalancer.rows import Rows as Table
from ....rebalancer.rows import Split
from ....rebalancer.samplers import SAMPLERS, Source, SyntheticSampler
from ....rebalancer.selection import uses_of
from ....rebalancer.synthesis import synthesise
from ...input import Rows
from .. import columns
from ..base import Fitted, Task
from .ada_boost_m2 import Sample, Seen, boosted_m2
from .data import Data, moved, prepared, seeds
from .members import count, device


def fit(train: Rows, val: Rows, task: Task) -> Fitted:
    """Boosts trees; a synthetic row weighs what its base row did in the first round.

    Raises:
      UserError: a class has no rows, or a class that SMOTE has to enlarge only one; no tree is
        better than chance.
    """
    data = prepared(train, task)
    new = wanted(data, task)
    rounds = count(task, 50)
    samples = (with_added(data, *made, task) for made in smote_rows(data, new, rounds, task))
    return Fitted(
        boosted_m2(data, samples, rounds, task.params.ensemble.max_depth or 3, task),
        effect=moved(task, (data.counts + new) / data.counts),
        device=device(task),
    )


def with_added(data: Data, added: Rows, bases: np.ndarray, task: Task) -> Sample:
    """All rows and those `added`, each made of one of `bases` int64 [s]."""
    x = np.concatenate([data.x, columns.matrix(added, task.features)])
    labels = np.concatenate([data.labels, added.labels])
    return lambda weights: Seen(x, labels, np.concatenate([weights, data.weights[bases]]))


def wanted(data: Data, task: Task) -> np.ndarray:
    """int64 [n_classes]: synthetic rows of each class in a round."""
    most = data.counts.max() - data.counts
    return np.minimum(np.rint(task.params.ensemble.smote_rate * data.counts), most).astype(np.int64)


def smote_rows(
    data: Data, new: np.ndarray, rounds: int, task: Task
) -> Iterator[tuple[Rows, np.ndarray]]:
    """For each round synthetic rows, and int64 [s], the row that each was made of.

    They are made by Rebalancer's SMOTE, SMOTE-NC where there are categories, too, or SMOTE-N where
    there are only such; neighbours are searched once.

    Args:
      data: all rows.
      new: int64 [n_classes], synthetic rows of each class.
      rounds: how often.
      task: seed and neighbours.

    Raises:
      UserError: a class that grows has one row only.
    """
    numbers, categories = data.rows.numbers, data.rows.categories
    names = tuple(f"category {i}" for i in range(categories.shape[1]))
    wide = numbers.shape[1] > 0
    features = Features({"numbers": "float"} if wide else {}, names)
    table = {name: ids.astype(np.int64) for name, ids in zip(names, categories.T, strict=True)}
    table |= {"numbers": numbers} if wide else {}
    ids = np.arange(len(data.labels))
    split = Split(Table(ids, data.labels.astype(np.int64), table), tuple(task.classes), features, 0)
    sampler = SAMPLERS[("smote_nc" if wide else "smote_n") if names else "smote"]
    assert isinstance(sampler, SyntheticSampler)
    sources = [_source(sampler, split, code, task) for code in np.flatnonzero(new).tolist()]
    for seed in seeds(task, rounds):
        drawn = replace(split, seed=seed)
        parts = []
        for source in sources:
            n = int(new[source.code])
            uses = uses_of(ids[source.bases], n, seed)
            parts.append(synthesise(sampler, drawn, replace(source, uses=uses), 0, n))
        made = (
            Table.concatenated([rows for rows, _ in parts]) if parts else split.rows.take(ids[:0])
        )
        bases = np.concatenate([ids[:0], *(origin.base for _, origin in parts)])
        shape = len(bases), 0
        yield (
            Rows(
                made.columns["numbers"] if wide else np.zeros(shape, np.float32),
                np.column_stack(
                    [np.zeros(shape, np.int32), *(made.columns[c] for c in names)]
                ).astype(np.int32),
                made.codes.astype(np.int32),
                data.rows.weights[bases],
            ),
            bases,
        )


def _source(sampler: SyntheticSampler, split: Split, code: int, task: Task) -> Source:
    """A class's rows and their neighbours."""
    rows = split.of_class(code)
    name, k = split.classes[code], task.params.ensemble.k_neighbors
    if len(rows) < 2:
        raise UserError(
            f"train.learner smote_boost: found one row of class {name!r} in train, expected at "
            "least 2, to make synthetic rows between them; add rows, or use another learner, such "
            "as rus_boost"
        )
    if k >= len(rows):
        k = len(rows) - 1
        progress.say(
            f"warning: smote_boost: class {name!r} has {len(rows)} rows in train, so that each has "
            f"{k} neighbours instead of train.ensemble.k_neighbors"
        )
    (source,) = sampler.sources(
        split, {code: len(rows)}, RebalanceParams(method=sampler.name, k_neighbors=k)
    )
    return replace(source, table=sampler.neighbors(split, source, rows))
