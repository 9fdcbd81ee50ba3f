"""Draws of synthetic rows, by a sampler that shows what it is given and by all of the registry."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer import plan, selection, sketch
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import METHODS_OF, RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Origin, Rows, Split
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS, Source, SyntheticSampler
from tfx_imbalance.components.rebalancer.synthesis import synthesise

CLASSES = ("no", "yes")
FEATURE_SETS = [
    Features({"a": "float", "n": "int", "v": "float"}, (), {}, ("w", "float"), {"v": 2}),
    Features({"a": "float", "v": "float"}, ("c", "d"), {}, ("w", "float"), {"v": 2}),
    Features({}, ("c", "d"), {}, ("w", "float")),
]
METHODS = sorted(name for name, s in SAMPLERS.items() if isinstance(s, SyntheticSampler))


class Showing(SyntheticSampler):
    """Columns are what `make` was given; neighbours are the next in the pool."""

    name = "showing"

    def sources(self, split, new, params):
        pytest.fail("synthesise is given its source")

    def neighbors(self, split, source, bases):
        at = np.searchsorted(source.pool, bases)[:, None] + np.arange(1, source.k + 1)
        return source.pool[at % len(source.pool)]

    def make(self, split, source, draws):
        near = np.pad(draws.near, ((0, 0), (0, 3 - draws.near.shape[1])), constant_values=-1)
        return {**draws._asdict(), "near": near}


def make_split(ids, seed=0, weight=True):
    ids = np.sort(np.asarray(ids, np.int64))
    columns = {"w": np.arange(len(ids), dtype=np.float32)} if weight else {}
    features = Features({}, weight=("w", "float") if weight else None)
    return Split(Rows(ids, np.ones(len(ids), np.int64), columns), CLASSES, features, seed)


def source_of(bases, uses, k=0, pool=(), method="showing", reach=1.0):
    bases, uses, pool = (np.array(x, np.int64) for x in (bases, uses, pool))
    return Source(1, bases, uses, pool, k, method, reach)


def shown(split, source, start=0, stop=None):
    stop = int(source.uses.sum()) if stop is None else stop
    return synthesise(Showing(), split, source, start, stop)


def must_be_equal(first, second):
    for a, b in zip((*first[0][:2], *first[1][:3]), (*second[0][:2], *second[1][:3]), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    for name, column in first[0].columns.items():
        np.testing.assert_array_equal(column, second[0].columns[name])


def joined(parts):
    rows, origins = zip(*parts, strict=True)
    return Rows.concatenated(rows), Origin.concatenated(origins)


@settings(max_examples=60)
@given(
    uses=st.lists(st.integers(0, 4), min_size=1, max_size=15).filter(sum),
    k=st.integers(0, 3),
    cuts=st.lists(st.integers(1, 60), max_size=6),
)
def test_pieces_are_those_of_the_whole_and_each_base_is_used_as_asked(uses, k, cuts):
    split = make_split(np.arange(len(uses) + 4) // 2)
    pool = np.arange(len(split)) if k else ()
    source = source_of(np.arange(len(uses)), uses, k, pool)
    total = sum(uses)
    whole = shown(split, source)
    bounds = [0, *sorted({cut for cut in cuts if cut < total}), total]
    pieces = [shown(split, source, a, b) for a, b in itertools.pairwise(bounds)]
    must_be_equal(joined(pieces), whole)
    rows, origin = whole
    np.testing.assert_array_equal(rows.columns["base"], np.repeat(np.arange(len(uses)), uses))
    np.testing.assert_array_equal(origin.base, split.rows.ids[rows.columns["base"]])
    np.testing.assert_array_equal(origin.neighbor, split.rows.ids[rows.columns["chosen"]])
    np.testing.assert_array_equal(rows.columns["w"], rows.columns["base"])
    assert (rows.codes == 1).all()
    if k:
        near = rows.columns["near"][:, :k]
        expected = (rows.columns["base"][:, None] + np.arange(1, k + 1)) % len(split)
        np.testing.assert_array_equal(near, expected)
        assert (near == rows.columns["chosen"][:, None]).any(axis=1).all()
    else:
        np.testing.assert_array_equal(rows.columns["chosen"], rows.columns["base"])


@pytest.mark.parametrize("reach", [1.0, 0.5])
def test_gaps_are_uniform_within_reach_and_neighbours_equally_likely(reach):
    split = make_split(np.arange(50))
    source = source_of(np.arange(50), [400] * 50, 3, np.arange(50), reach=reach)
    rows, origin = shown(split, source)
    assert origin.gap.dtype == np.float32
    np.testing.assert_array_equal(origin.gap, rows.columns["gap"].astype(np.float32))
    assert stats.kstest(rows.columns["gap"] / reach, "uniform").pvalue > 0.001
    turn = (rows.columns["chosen"] - rows.columns["base"] - 1) % 50
    assert stats.chisquare(np.bincount(turn, minlength=3)).pvalue > 0.001
    assert stats.spearmanr(turn, rows.columns["gap"]).pvalue > 0.001
    assert len(set(rows.columns["words"].tolist())) == len(set(rows.ids.tolist())) == 20_000


def test_a_draw_depends_on_identity_rank_turn_seed_method_and_class_alone():
    split = make_split([10, 10, 20, 30])
    pool = np.arange(4)

    def words(split=split, bases=(0, 1, 2, 3), uses=(2, 2, 2, 2), **changes):
        source = source_of(bases, uses, 2, pool, **changes)
        return shown(split, source)[0].columns["words"].tolist()

    usual = words()
    assert len(set(usual)) == 8
    # Fewer bases and more uses: the draws there were stay.
    assert words(bases=(1, 3), uses=(1, 3))[:3] == [usual[2], usual[6], usual[7]]
    # Another row in front takes nothing from the others; a twin does not change the twins before.
    assert words(make_split([5, 10, 20, 30]), bases=(1, 2, 3), uses=(2, 2, 2)) == [
        *usual[:2],
        *usual[4:],
    ]
    for other in (
        words(make_split([10, 10, 20, 30], seed=1)),
        words(method="other"),
        words(Split(split.rows, ("no", "maybe"), split.features, 0)),
    ):
        assert not set(other) & set(usual)


def test_new_identities_depend_on_the_neighbour_too():
    split = make_split([1, 2, 3])
    one, other = (
        shown(split, source_of([0], [5], 1, pool))[0].ids.tolist() for pool in ([0, 1], [0, 2])
    )
    assert not set(one) & set(other)


def test_no_weight_column_where_there_is_none():
    rows, _ = shown(make_split([1, 2], weight=False), source_of([0, 1], [1, 1]))
    assert set(rows.columns) == {"base", "chosen", "gap", "words", "near"}


def problem(method):
    """(split, sources) of a method on 50 and 22 rows, of which some are equal."""
    rng = np.random.default_rng(3)
    n = 72
    columns = {
        "a": rng.normal(size=n).astype(np.float32),
        "n": rng.integers(0, 50, n),
        "v": rng.normal(size=(n, 2)).astype(np.float32),
        "c": rng.integers(0, 3, n),
        "d": rng.integers(0, 4, n),
        "w": rng.uniform(size=n).astype(np.float32),
    }
    rows = Rows(rng.integers(-(2**62), 2**62, n), np.repeat([0, 1], [50, 22]), columns)
    rows = rows.take(np.append(np.arange(n - 3), [60, 60, 61]))
    given_params = {"k_neighbors": 3} if method in METHODS_OF["k_neighbors"] else {}
    if method == "kmeans_smote":
        given_params |= {"cluster_balance_threshold": 0.05, "n_clusters": 2}
    params = RebalanceParams(method=method, seed=5, **given_params)
    found = sketch.add(sketch.empty(2), rows.codes, selection.hashes(rows.ids, params.seed), [])
    for features in FEATURE_SETS:
        try:
            made = plan.plan(found, CLASSES, features, params)
        except UserError:
            continue
        narrow = Rows(rows.ids, rows.codes, {name: rows.columns[name] for name in features.types})
        if SAMPLERS[method].reads == "classes":
            narrow = narrow.take(narrow.codes == 1)
        prepared = plan.prepare(narrow, made, CLASSES, features, params)
        return prepared.split, prepared.sources
    raise AssertionError(f"{method} takes none of the feature sets")


@pytest.mark.parametrize("method", METHODS)
def test_pieces_of_every_method_are_those_of_the_whole(method):
    split, sources = problem(method)
    sampler = SAMPLERS[method]
    assert sum(int(source.uses.sum()) for source in sources) == 28
    for source in sources:
        total = int(source.uses.sum())
        whole = synthesise(sampler, split, source, 0, total)
        bounds = sorted({0, *range(1, total, 5), total})
        pieces = [synthesise(sampler, split, source, a, b) for a, b in itertools.pairwise(bounds)]
        must_be_equal(joined(pieces), whole)
        rows, _ = whole
        assert set(rows.columns) == set(split.features.types)
        for name, column in rows.columns.items():
            assert column.dtype == split.rows.columns[name].dtype
            assert column.shape[1:] == split.rows.columns[name].shape[1:]
        for name in split.features.categorical:
            assert np.isin(rows.columns[name], split.rows.columns[name]).all()


@pytest.mark.parametrize("method", METHODS)
def test_neighbours_are_others_of_the_pool_and_no_neighbour_comes_twice(method):
    split, sources = problem(method)
    for source in (source for source in sources if source.k):
        near = SAMPLERS[method].neighbors(split, source, source.bases)
        assert near.shape == (len(source.bases), source.k)
        assert np.isin(near, source.pool).all()
        assert (near != source.bases[:, None]).all()
        assert (np.diff(np.sort(near, axis=1), axis=1) > 0).all()
