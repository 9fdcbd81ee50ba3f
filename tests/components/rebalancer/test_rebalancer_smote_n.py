"""SMOTE-N against imbalanced-learn's value difference metric and SMOTEN."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.metrics.pairwise import ValueDifferenceMetric
from imblearn.over_sampling import SMOTEN
from sklearn.preprocessing import OrdinalEncoder

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers import smote_n
from tfx_imbalance.components.rebalancer.samplers.smote_n import SmoteN
from tfx_imbalance.components.rebalancer.synthesis import synthesise

CLASSES = ("maybe", "no", "yes")
SAMPLER = SmoteN()


def params(k=5):
    return RebalanceParams(method="smote_n", k_neighbors=k, seed=1)


def split_of(x, codes):
    n, width = x.shape
    features = Features({}, tuple(f"c{j}" for j in range(width)), weight=("w", "float"))
    columns = {f"c{j}": x[:, j].astype(np.int64) for j in range(width)}
    columns["w"] = np.arange(n, dtype=np.float32)
    return Split(Rows(np.arange(n), codes, columns), CLASSES, features, seed=1)


def make_split(counts=(30, 90, 50), seed=0, width=4):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(3), counts))
    # Far from 0, with gaps, and unevenly spread over the classes.
    x = rng.integers(0, np.arange(2, 2 + width) * 2, (len(codes), width)) + (codes % 2)[:, None]
    return split_of(x * 7 - 20, codes)


def their_distances(split, rows):
    encoder = OrdinalEncoder(dtype=np.int32)
    x = encoder.fit_transform(split.categories)
    sizes = [len(values) for values in encoder.categories_]
    metric = ValueDifferenceMetric(n_categories=sizes).fit(x, split.rows.codes)
    return metric.pairwise(x[rows])


def their_neighbors(split, rows, k):
    distance = their_distances(split, rows).round(12)
    np.fill_diagonal(distance, np.inf)
    return rows[np.argsort(distance, axis=1, kind="stable")[:, :k]]


def test_distances_are_theirs():
    split = make_split()
    rows = split.of_class(2)
    tables = smote_n.value_tables(split, rows)
    at = smote_n._positions(tables, split.categories[rows])
    np.testing.assert_allclose(
        smote_n.distances(tables, at, at), their_distances(split, rows), atol=1e-14
    )


@pytest.mark.parametrize("cells", [1 << 22, 1])
def test_neighbours_are_the_nearest_by_their_distances(cells, monkeypatch):
    monkeypatch.setattr(smote_n, "_CHUNK_CELLS", cells)
    split = make_split((40, 60, 300), width=3)
    for code in (0, 2):
        rows = split.of_class(code)
        (source,) = SAMPLER.sources(split, {code: 9}, params())
        mine = SAMPLER.neighbors(split, source, rows)
        theirs = their_neighbors(split, rows, 5)
        distance = their_distances(split, np.arange(len(split)))
        np.testing.assert_allclose(distance[rows[:, None], mine], distance[rows[:, None], theirs])
        assert (mine != rows[:, None]).all()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=5, max_size=40),
    st.integers(1, 4),
    st.integers(0, 99),
)
def test_rows_equally_far_are_taken_in_row_order(values, k, seed):
    # Two classes that share no value: all values of a feature are equally far or the same.
    x = np.array(values)
    codes = np.full(len(x), 2)
    others = np.random.default_rng(seed).integers(5, 7, (8, 2))
    split = split_of(np.vstack([others, x]), np.r_[np.ones(8, int), codes])
    rows = split.of_class(2)
    (source,) = SAMPLER.sources(split, {2: 3}, params(k))
    expected = [[j for j in rows if j != i][:k] for i in rows]
    np.testing.assert_array_equal(SAMPLER.neighbors(split, source, rows), expected)


def test_synthetic_rows_are_those_of_the_papers_example():
    letters = np.array([list(row) for row in ("ABCDE", "AFCGN", "HBCDN", "QRSTU", "QRSTU")])
    split = split_of(letters.view(np.uint32), np.array([2, 2, 2, 1, 1]))
    (source,) = SAMPLER.sources(split, {2: 3}, params(2))
    made = synthesise(SAMPLER, split, source, 0, 3)[0]
    row = made.columns["w"].tolist().index(0)
    assert "".join(chr(made.columns[f"c{j}"][row]) for j in range(5)) == "ABCDN"


class Recording(SMOTEN):
    """Keeps what it chose."""

    def _make_samples(self, X_class, klass, y_dtype, nn_indices, n_samples):
        made = super()._make_samples(X_class, klass, y_dtype, nn_indices, n_samples)
        self.near_ = nn_indices
        self.base_ = np.random.RandomState(self.random_state).choice(
            np.arange(len(X_class)), size=n_samples, replace=True
        )
        return made


def test_categories_are_voted_as_theirs_where_distances_and_votes_are_clear():
    split = make_split((60, 200, 40), width=6)
    rows = split.of_class(2)
    theirs = Recording(sampling_strategy={2: 240}, k_neighbors=5, random_state=0)
    resampled, _ = theirs.fit_resample(split.categories, split.rows.codes)
    (source,) = SAMPLER.sources(split, {2: 40}, params())
    made = synthesise(SAMPLER, split, source, 0, 40)[0]
    where = {int(row): i for i, row in enumerate(made.columns["w"])}
    mine = np.column_stack([made.columns[name] for name in split.features.categorical])
    near = SAMPLER.neighbors(split, source, rows)
    clear = 0
    for new, base in zip(resampled[len(split) :], theirs.base_, strict=True):
        voters = rows[theirs.near_[base]]
        if set(voters) != {rows[base], *near[base]}:
            continue
        for j, column in enumerate(split.categories[voters].T):
            votes = np.unique(column, return_counts=True)[1]
            if (votes == votes.max()).sum() == 1:
                clear += 1
                assert mine[where[rows[base]], j] == new[j]
    assert clear > 400


def test_needs_no_other_rows_once_there_are_sources():
    split = make_split()
    rows = split.of_class(0)
    (source,) = SAMPLER.sources(split, {0: 33}, params())
    alone = replace(split, rows=split.rows.take(rows))
    moved = replace(source, bases=np.arange(len(rows)), pool=np.arange(len(rows)))
    whole, parts = (
        [synthesise(SAMPLER, s, o, *cut)[0] for cut in cuts]
        for s, o, cuts in ((split, source, [(0, 33)]), (alone, moved, [(0, 1), (1, 20), (20, 33)]))
    )
    parts = Rows.concatenated(parts)
    np.testing.assert_array_equal(parts.ids, whole[0].ids)
    for name, column in parts.columns.items():
        np.testing.assert_array_equal(column, whole[0].columns[name])


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (Features({"age": "float"}), ["age", "use smote"]),
        (Features({"age": "float"}, ("job",)), ["age", "use smote_nc"]),
    ],
)
def test_needs_categories_only(features, told):
    with pytest.raises(UserError, match=r"^rebalance.method: 'smote_n'") as error:
        SAMPLER.check({"no": 90, "yes": 30}, features, params())
    for text in told:
        assert text in str(error.value)


def test_classes_that_do_not_grow_may_be_small():
    features = Features({}, ("job",))
    asked = {"sampling_strategy": {"yes": 40}}
    counts = {"maybe": 1, "no": 90, "yes": 30}
    SAMPLER.check(counts, features, params().model_copy(update=asked))
    with pytest.raises(UserError, match=r"^rebalance.k_neighbors: 5 .* class maybe has 1 "):
        SAMPLER.check(counts, features, params())
