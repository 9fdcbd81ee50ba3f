"""Exact selection without sorting everything."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tfx_imbalance.components.rebalancer import selection
from tfx_imbalance.components.rebalancer.rebalance import SketchFn

# Few distinct values, some in one bucket and some equal, so that ties and crowded buckets occur.
WORDS = st.sampled_from([0, 1, 2, 2**40, 2**63, 2**63 + 1, 2**63 + 2**47, 2**64 - 1])


def settled(copies, codes, words):
    """Copies of each row once the edge is settled: smallest hashes first."""
    times, edge = copies.of(codes, words)
    for code in np.unique(codes[edge]):
        waiting = np.flatnonzero(edge & (codes == code))
        within = copies.within[code]
        assert len(waiting) >= within
        times[waiting[np.argsort(words[waiting], kind="stable")[:within]]] += 1
    return times


@st.composite
def problems(draw):
    n_classes = draw(st.integers(1, 3))
    rows = draw(st.lists(st.tuples(st.integers(0, n_classes - 1), WORDS), min_size=1, max_size=60))
    codes = np.array([code for code, _ in rows], np.int64)
    words = np.array([word for _, word in rows], np.uint64)
    before = np.bincount(codes, minlength=n_classes)
    after = [draw(st.integers(0, 3 * n)) if n else 0 for n in before.tolist()]
    blocks = draw(st.lists(st.integers(0, len(rows)), max_size=4))
    return n_classes, codes, words, after, sorted(blocks)


@settings(deadline=None, max_examples=300)
@given(problem=problems())
def test_every_class_gets_its_rows_exactly_smallest_hashes_first(problem):
    n_classes, codes, words, after, cuts = problem
    histogram = selection.empty_histogram(n_classes)
    for rows in np.split(np.arange(len(codes)), cuts):
        selection.add_to_histogram(histogram, codes[rows], words[rows])
    copies = selection.Copies.exact(histogram, after)
    times = settled(copies, codes, words)
    for code in range(n_classes):
        mine = codes == code
        assert times[mine].sum() == after[code]
        if mine.any():
            base, extra = divmod(after[code], mine.sum())
            assert set((times[mine] - base).tolist()) <= {0, 1}
            chosen = np.sort(words[mine][times[mine] > base])
            assert chosen.tolist() == np.sort(words[mine])[:extra].tolist()


def test_only_one_bucket_has_to_be_settled():
    words = selection.hashes(np.arange(200_000), seed=3)
    codes = np.zeros(len(words), np.int64)
    histogram = selection.empty_histogram(2)
    selection.add_to_histogram(histogram, codes, words)
    times, edge = selection.Copies.exact(histogram, [77_777, 0]).of(codes, words)
    assert 0 < edge.sum() < 20
    assert 77_777 - 20 < times.sum() <= 77_777


def test_sketches_merge_in_any_order():
    rng = np.random.default_rng(0)
    blocks = [
        (rng.integers(0, 3, 50), rng.integers(0, 2**63, 50).astype(np.uint64), ["odd"] * i)
        for i in range(5)
    ]
    combine = SketchFn(3)

    def merged(order, groups):
        accumulators = []
        for part in np.array_split(order, groups):
            accumulator = combine.create_accumulator()
            for i in part:
                accumulator = combine.add_input(accumulator, blocks[i])
            accumulators.append(accumulator)
        return combine.extract_output(combine.merge_accumulators(accumulators))

    first, second = merged([0, 1, 2, 3, 4], 1), merged([3, 1, 4, 0, 2], 3)
    np.testing.assert_array_equal(first.histogram, second.histogram)
    assert first.histogram.sum() == 250
    assert first.strangers == second.strangers == {"odd": 10}


def test_sketch_stays_small_for_many_classes():
    for n_classes in (2, 8, 1000, 100_000):
        assert n_classes << selection.sketch_bits(n_classes) <= 2**21


def test_selection_is_uniform_over_seeds():
    n, m, seeds = 40, 13, 2000
    ids = np.arange(n) * 7919 - 100_000
    codes = np.repeat([0, 1], [n, n])
    taken = np.zeros(n)
    together = 0
    for seed in range(seeds):
        words = np.tile(selection.hashes(ids, seed), 2)
        histogram = selection.empty_histogram(2)
        selection.add_to_histogram(histogram, codes, words)
        times = settled(selection.Copies.exact(histogram, [m, n + m]), codes, words)
        assert times[:n].sum() == m
        np.testing.assert_array_equal(times[n:], times[:n] + 1)
        taken += times[:n]
        together += times[0] and times[1]
    share = m / n
    # Sampling without replacement: the counts sum to seeds * m, hence n - 1 degrees of freedom.
    statistic = ((taken - seeds * share) ** 2).sum() / (seeds * share * (1 - share)) * (n - 1) / n
    assert 0.001 < stats.chi2.sf(statistic, n - 1) < 0.999
    assert stats.binomtest(int(together), seeds, m * (m - 1) / (n * (n - 1))).pvalue > 0.001


@given(rows=st.integers(1, 12), n=st.integers(0, 60), seed=st.integers(0, 3), data=st.data())
def test_uses_are_even_and_of_equal_identities_the_first_come_first(rows, n, seed, data):
    ids = np.sort(np.array(data.draw(st.lists(st.integers(-3, 3), min_size=rows, max_size=rows))))
    uses = selection.uses_of(ids, n, seed)
    assert uses.sum() == n
    assert uses.max() - uses.min() <= 1
    for i in np.unique(ids):
        assert (np.diff(uses[ids == i]) <= 0).all()


def test_bases_of_one_use_more_are_drawn_uniformly_over_seeds():
    n, seeds, ids = 20, 2000, np.arange(20)
    uses = sum(selection.uses_of(ids, 45, seed) - 2 for seed in range(seeds))
    share = 5 / n
    statistic = ((uses - seeds * share) ** 2).sum() / (seeds * share * (1 - share)) * (n - 1) / n
    assert 0.001 < stats.chi2.sf(statistic, n - 1) < 0.999
