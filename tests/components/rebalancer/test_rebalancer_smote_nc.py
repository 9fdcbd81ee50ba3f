"""SMOTE-NC against imbalanced-learn's SMOTENC."""

import numpy as np
import pytest
from imblearn.over_sampling import SMOTENC

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers import SAMPLERS
from tfx_imbalance.components.rebalancer.samplers.smote_nc import median_deviation, most_frequent
from tfx_imbalance.components.rebalancer.synthesis import synthesise

K = 5
FEATURES = Features(dict.fromkeys(["n0", "n1", "n2"], "float"), ("c0", "c1"), weight=("w", "float"))
PARAMS = RebalanceParams(method="smote_nc", k_neighbors=K, seed=1)
SAMPLER = SAMPLERS["smote_nc"]


def make_matrix(n=80, seed=0):
    rng = np.random.default_rng(seed)
    numeric = rng.normal(size=(n, 3)) * [1, 2, 5]
    return np.column_stack([numeric, rng.integers(0, 3, n), rng.integers(0, 6, n)]).astype(
        np.float32
    )


def make_split(x):
    """Row i has identity and weight i."""
    columns = {f"n{j}": x[:, j].copy() for j in range(3)}
    columns |= {f"c{j}": x[:, 3 + j].astype(np.int64) for j in range(2)}
    columns["w"] = np.arange(len(x), dtype=np.float32)
    rows = Rows(np.arange(len(x)), np.zeros(len(x), np.int64), columns)
    return Split(rows, ("yes",), FEATURES, PARAMS.seed)


def neighbours(x):
    split = make_split(x)
    (source,) = SAMPLER.sources(split, {0: 1}, PARAMS)
    return SAMPLER.neighbors(split, source, source.bases)


def smote_nc(x, n):
    """n synthetic rows."""
    split = make_split(x)
    (source,) = SAMPLER.sources(split, {0: n}, PARAMS)
    return synthesise(SAMPLER, split, source, 0, n)[0]


class Recording(SMOTENC):
    """Keeps what it chose."""

    def _generate_samples(self, X, nn_data, nn_num, rows, cols, steps, y_type, y=None):
        self.neighbors_, self.rows_ = nn_num, rows
        return super()._generate_samples(X, nn_data, nn_num, rows, cols, steps, y_type, y)


@pytest.fixture(scope="module")
def theirs():
    x = make_matrix()
    others = np.random.default_rng(9).normal(size=(300, 5)).astype(np.float32)
    others[:, 3:] = 0
    sampler = Recording(categorical_features=[3, 4], k_neighbors=K, random_state=0)
    resampled, y = sampler.fit_resample(np.vstack([x, others]), np.repeat([1, 0], [80, 300]))
    made = resampled[380:]
    assert (y[380:] == 1).all()
    return x, sampler, made


def test_penalty_is_the_median_deviation(theirs):
    x, sampler, _ = theirs
    assert median_deviation(x[:, :3]) == pytest.approx(sampler.median_std_[1], rel=1e-6)


def test_neighbours_are_as_near_as_theirs(theirs):
    x, sampler, _ = theirs
    found = neighbours(x)
    distance, _ = sampler.nn_k_.kneighbors()
    penalty = median_deviation(x[:, :3])
    for i, mine in enumerate(found):
        squared = ((x[mine, :3].astype(np.float64) - x[i, :3]) ** 2).sum(axis=1)
        squared += penalty**2 * (x[mine, 3:] != x[i, 3:]).sum(axis=1)
        np.testing.assert_allclose(np.sqrt(squared), distance[i, :K], rtol=1e-4)
    np.testing.assert_array_equal(np.sort(found), np.sort(sampler.neighbors_))


def test_categories_are_voted_as_theirs_where_the_vote_is_clear(theirs):
    x, sampler, made = theirs
    clear = 0
    for row, base in zip(made, sampler.rows_, strict=True):
        for column in (3, 4):
            near = x[sampler.neighbors_[base], column].astype(np.int64)
            votes = np.bincount(near)
            if (votes == votes.max()).sum() == 1:
                clear += 1
                assert most_frequent(near[None])[0] == row[column]
    assert clear > 200


def test_equal_votes_go_to_the_nearest():
    values = np.array([[7, 3, 3, 7, 1], [1, 2, 3, 4, 5], [5, 4, 4, 4, 5], [2, 9, 9, 2, 9]])
    np.testing.assert_array_equal(most_frequent(values), [7, 1, 4, 9])


def test_synthetic_rows_interpolate_numbers_and_vote_categories():
    x = make_matrix()
    neighbors, made = neighbours(x), smote_nc(x, 300)
    for s, base in enumerate(made.columns["w"].astype(int)):
        new = np.array([made.columns[f"n{j}"][s] for j in range(3)], np.float64)
        start, ends = x[base, :3].astype(np.float64), x[neighbors[base], :3].astype(np.float64)
        ways = ends - start
        gap = ((new - start) * ways).sum(axis=1) / (ways**2).sum(axis=1)
        off = np.abs(start + gap[:, None] * ways - new).max(axis=1)
        assert ((off < 1e-5) & (gap > -1e-6) & (gap < 1 + 1e-6)).any()
        for j in range(2):
            votes = np.bincount(x[neighbors[base], 3 + j].astype(np.int64))
            assert votes[made.columns[f"c{j}"][s]] == votes.max()


def test_numeric_features_without_spread_leave_categories_without_weight():
    x = make_matrix()
    x[:, :3] = 1
    made = smote_nc(x, 40)
    assert (made.columns["n0"] == 1).all()
    assert set(made.columns["c1"].tolist()) <= set(x[:, 4].astype(int).tolist())


@pytest.mark.parametrize(
    ("features", "told"),
    [
        (Features({"age": "float", "pay": "float"}), ["age, pay", "use smote"]),
        (Features({}, ("job", "town")), ["job, town", "use smote_n"]),
    ],
)
def test_needs_features_of_both_sorts(features, told):
    with pytest.raises(UserError, match=r"^rebalance.method: 'smote_nc'") as error:
        SAMPLER.check({"no": 91, "yes": 90}, features, PARAMS)
    for text in told:
        assert text in str(error.value)
