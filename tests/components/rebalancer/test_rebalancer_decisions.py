"""What is decided on rows, told and carried out, against a brute-force multiset."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tfx_imbalance.components.rebalancer.decisions import Decisions

IDS = st.sampled_from([-(2**63), -1, 0, 1, 2, 5, 2**63 - 1])
ROWS = st.tuples(IDS, st.integers(0, 2), st.sampled_from([0, 0, 1, 1, 2, 3]))


def arrays(rows):
    return (np.array(column, np.int64) for column in zip(*rows, strict=True))


def written(decisions, ids, codes):
    """Copies of each row with the first of the rows at an edge chosen, as any may be."""
    copies, keys, edge, within = decisions.of(ids, codes)
    copies = copies.copy()
    for key in np.unique(keys[edge]):
        rows = np.flatnonzero(edge & (keys == key))
        assert len(set(within[rows].tolist())) == 1
        assert 0 < within[rows[0]] < len(rows)
        copies[rows[: within[rows[0]]]] += 1
    return copies


@settings(max_examples=200)
@given(rows=st.lists(ROWS, min_size=1, max_size=40), shuffle=st.randoms(), cut=st.integers(0, 40))
def test_each_identity_and_class_is_written_as_often_as_decided_and_evenly(rows, shuffle, cut):
    ids, codes, copies = arrays(rows)
    decisions = Decisions.listed(ids, codes, copies, 3)
    wanted = Counter()
    for i, code, n in rows:
        wanted[i, code] += n
    shuffle.shuffle(rows)
    ids, codes, _ = arrays(rows)
    got = written(decisions, ids, codes)
    found, per_key = Counter(), {}
    for i, code, n in zip(ids.tolist(), codes.tolist(), got.tolist(), strict=True):
        found[i, code] += n
        per_key.setdefault((i, code), []).append(n)
    assert found == wanted
    assert all(max(n) - min(n) <= 1 for n in per_key.values())
    # What is said of a row does not depend on which others are asked about with it.
    for part in (slice(0, cut), slice(cut, None)):
        for whole, piece in zip(
            decisions.of(ids, codes), decisions.of(ids[part], codes[part]), strict=True
        ):
            np.testing.assert_array_equal(whole[part], piece)


def test_few_are_listed_whether_most_rows_stay_or_most_go():
    ids = np.arange(1000)
    codes = ids % 2
    copies = np.where(codes == 0, ids >= 20, ids < 20).astype(np.int64)
    decisions = Decisions.listed(ids, codes, copies, 2)
    np.testing.assert_array_equal(decisions.usual, [1, 0])
    assert len(decisions.keys) == 20
    assert (np.diff(decisions.keys.astype(object)) > 0).all()
    np.testing.assert_array_equal(written(decisions, ids, codes), copies)


def test_where_all_rows_stay_none_is_listed():
    ids = np.arange(9)
    decisions = Decisions.listed(ids, ids * 0, np.ones(9, np.int64), 2)
    assert len(decisions.keys) == 0
    np.testing.assert_array_equal(decisions.of(ids, ids * 0)[0], np.ones(9))


def test_equal_identities_of_two_classes_are_told_apart():
    ids, codes = np.array([7, 7]), np.array([0, 1])
    decisions = Decisions.listed(ids, codes, np.array([0, 3]), 2)
    np.testing.assert_array_equal(decisions.of(ids, codes)[0], [0, 3])


def test_twins_of_which_some_go_are_left_to_settle():
    ids, codes = np.full(5, 7), np.zeros(5, np.int64)
    decisions = Decisions.listed(ids, codes, np.array([1, 0, 0, 1, 0]), 1)
    copies, keys, edge, within = decisions.of(ids, codes)
    np.testing.assert_array_equal(copies, np.zeros(5))
    np.testing.assert_array_equal(within, np.full(5, 2))
    assert edge.all()
    assert len(set(keys.tolist())) == 1


def test_a_row_that_was_not_seen_is_treated_as_most_of_its_class():
    ids = np.arange(100)
    codes = np.repeat([0, 1], 50)
    decisions = Decisions.listed(ids, codes, np.where(ids == 3, 2, 1 - codes), 3)
    copies, _, edge, _ = decisions.of(np.array([1000, 1000, 1000, 3]), np.array([0, 1, 2, 2]))
    np.testing.assert_array_equal(copies, [1, 0, 1, 1])
    assert not edge.any()


def test_no_rows_at_all_decide_nothing():
    none = np.empty(0, np.int64)
    decisions = Decisions.listed(none, none, none, 2)
    np.testing.assert_array_equal(decisions.usual, [1, 1])
    assert len(decisions.of(none, none)[0]) == 0
