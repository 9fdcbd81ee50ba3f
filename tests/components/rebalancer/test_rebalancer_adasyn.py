"""ADASYN against imbalanced-learn's."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imblearn.over_sampling import ADASYN
from sklearn.neighbors import NearestNeighbors

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers.adasyn import Adasyn
from tfx_imbalance.components.rebalancer.selection import apportioned
from tfx_imbalance.components.rebalancer.synthesis import synthesise

CLASSES = ("maybe", "no", "yes")
FEATURES = Features({"a": "float", "b": "float"}, weight=("w", "float"))
K = 5
PARAMS = RebalanceParams(method="adasyn", k_neighbors=K, seed=4)
SAMPLER = Adasyn()


def make_split(counts=(60, 200, 40), apart=1.0, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(3), counts))
    x = (rng.normal(size=(len(codes), 2)) + codes[:, None] * apart).astype(np.float32)
    columns = {"a": x[:, 0], "b": x[:, 1], "w": np.arange(len(x), dtype=np.float32)}
    return Split(Rows(np.arange(len(x)), codes, columns), CLASSES, FEATURES, seed=4)


def ratios(split, code):
    """Share of other classes among each row's K nearest, by scikit-learn."""
    near = NearestNeighbors(n_neighbors=K).fit(split.numeric).kneighbors(return_distance=False)
    codes = split.rows.codes
    return (codes[near] != codes[:, None]).mean(axis=1)[codes == code]


@pytest.mark.parametrize("seed", range(4))
def test_uses_are_their_ratios_but_exact_in_total(seed):
    split = make_split(seed=seed)
    new = {0: 137, 2: 161}
    total = {0: 60 + 137, 2: 40 + 161}
    _, y = ADASYN(sampling_strategy=total, n_neighbors=K).fit_resample(
        split.numeric, split.rows.codes
    )
    for source in SAMPLER.sources(split, new, PARAMS):
        n, rows = new[source.code], split.of_class(source.code)
        uses = np.zeros(len(split))
        uses[source.bases] = source.uses
        wanted = ratios(split, source.code)
        wanted = wanted / wanted.sum() * n
        assert source.uses.sum() == n
        assert (np.abs(uses[rows] - wanted) < 1).all()
        assert (y[len(split) :] == source.code).sum() == np.rint(wanted).sum()


def test_rows_lie_between_those_near_others_and_neighbours_of_the_class():
    split = make_split()
    (source,) = SAMPLER.sources(split, {2: 300}, PARAMS)
    made, origin = synthesise(SAMPLER, split, source, 0, 300)
    rows = split.of_class(2)
    x = split.numeric[rows].astype(np.float64)
    near = NearestNeighbors(n_neighbors=K).fit(x).kneighbors(return_distance=False)
    for base, neighbor in zip(origin.base, origin.neighbor, strict=True):
        assert neighbor in rows[near[np.searchsorted(rows, base)]]
    assert set(origin.base) == set(rows[ratios(split, 2) > 0])
    for name in ("a", "b"):
        column = split.rows.columns[name].astype(np.float64)
        way = column[origin.neighbor] - column[origin.base]
        expected = column[origin.base] + origin.gap * way
        np.testing.assert_allclose(made.columns[name], expected, atol=1e-5)


@given(
    st.lists(st.integers(0, 20), min_size=1, max_size=30).filter(any),
    st.integers(1, 500),
    st.randoms(use_true_random=False),
)
def test_apportioned_is_exact_within_one_and_gives_to_the_largest_remainders(weights, n, random):
    words = list(range(len(weights)))
    random.shuffle(words)
    mine = apportioned(np.array(weights), n, np.array(words))
    quotas = [Fraction(weight * n, sum(weights)) for weight in weights]
    assert mine.sum() == n
    more = [m - quota.__floor__() for m, quota in zip(mine.tolist(), quotas, strict=True)]
    assert set(more) <= {0, 1}
    # A tie of different quotas may fall either way.
    rest = [round(float(quota % 1), 9) for quota in quotas]
    given_to = [r for r, m in zip(rest, more, strict=True) if m]
    assert min(given_to, default=1) >= max(
        (r for r, m in zip(rest, more, strict=True) if not m), default=0
    )
    for weight in set(weights):
        same = [(word, m) for word, m, w in zip(words, more, weights, strict=True) if w == weight]
        assert [m for _, m in sorted(same)] == sorted((m for _, m in same), reverse=True)


def test_a_class_far_from_all_others_is_told():
    with pytest.raises(UserError, match=r"^rebalance.method: 'adasyn'") as error:
        SAMPLER.sources(make_split(apart=1000), {2: 5}, PARAMS)
    for text in ("class yes", "5 nearest", "use smote"):
        assert text in str(error.value)


def test_counts_and_features_are_checked():
    only_yes = PARAMS.model_copy(update={"sampling_strategy": {"yes": 40}})
    SAMPLER.check({"maybe": 1, "no": 90, "yes": 6}, FEATURES, only_yes)
    with pytest.raises(UserError, match=r"^rebalance.k_neighbors: 5 .* class yes has 5"):
        SAMPLER.check({"no": 90, "yes": 5}, FEATURES, PARAMS)
    with pytest.raises(UserError, match=r"'adasyn' .*job.* use smote_nc"):
        SAMPLER.check({"no": 90, "yes": 9}, Features({"a": "float"}, ("job",)), PARAMS)
