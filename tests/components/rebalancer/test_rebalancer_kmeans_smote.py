"""k-means SMOTE against imbalanced-learn's, given the same clusters."""

import math

import numpy as np
import pytest
from imblearn.over_sampling import KMeansSMOTE
from sklearn.base import BaseEstimator
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.neighbors import NearestNeighbors

from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rows import Rows, Split
from tfx_imbalance.components.rebalancer.samplers import kmeans_smote
from tfx_imbalance.components.rebalancer.samplers.kmeans_smote import (
    Clusters,
    KMeansSmote,
    default_clusters,
    growing,
    log_sparsity,
    shares,
)
from tfx_imbalance.components.rebalancer.synthesis import synthesise

CLASSES = ("maybe", "no", "yes")
FEATURES = Features({"a": "float", "b": "float"})
K = 2
SAMPLER = KMeansSmote()


def params(**options):
    return RebalanceParams(method="kmeans_smote", **{"k_neighbors": K, "seed": 6} | options)


def split_of(x, codes):
    columns = {name: x[:, j].astype(np.float32) for j, name in enumerate("ab")}
    return Split(Rows(np.arange(len(x)), codes, columns), CLASSES, FEATURES, seed=6)


def make_split(scale=1.0, seed=0):
    """Nine blobs; the classes' shares differ between them, and so does their spread."""
    rng = np.random.default_rng(seed)
    blob = rng.integers(0, 9, 700)
    centres = np.array([[i % 3, i // 3] for i in range(9)]) * 20
    x = centres[blob] + rng.normal(size=(700, 2)) * (1 + blob[:, None] / 4)
    chance = np.array([[1, 9 - i, i / 2] for i in range(9)])
    chance /= chance.sum(axis=1, keepdims=True)
    codes = (rng.uniform(size=700)[:, None] > chance[blob].cumsum(axis=1)).sum(axis=1)
    return split_of(x * scale, codes)


class Given(BaseEstimator):
    """Clusters that are known before."""

    def __init__(self, labels=None, n_clusters=8):
        self.labels, self.n_clusters = labels, n_clusters

    def fit(self, X):
        return self

    def predict(self, X):
        return self.labels

    def fit_predict(self, X):
        return self.labels


class Recording(KMeansSMOTE):
    """Keeps the rows and sparsity of each cluster that grows, and the rows made in it."""

    def _find_cluster_sparsity(self, X):
        found = super()._find_cluster_sparsity(X)
        self.found_ = [*getattr(self, "found_", []), (X, found)]
        return found

    def _make_samples(self, X, y_dtype, y_type, nn_data, nn_num, n_samples, step_size=1.0, y=None):
        self.made_ = [*getattr(self, "made_", []), (y_type, n_samples)]
        return super()._make_samples(
            X, y_dtype, y_type, nn_data, nn_num, n_samples, step_size=step_size, y=y
        )


@pytest.mark.parametrize("threshold", [None, 0.0, 0.3])
def test_clusters_weights_and_rows_are_theirs(threshold):
    split = make_split()
    labels = clusters_of(split, split.seed)
    new = {0: 150, 2: 333}
    counts = np.bincount(split.rows.codes)
    theirs = Recording(
        sampling_strategy={code: counts[code] + n for code, n in new.items()},
        k_neighbors=K,
        kmeans_estimator=Given(labels, 9),
        cluster_balance_threshold="auto" if threshold is None else threshold,
        random_state=0,
    )
    if threshold == 0.3:
        new.pop(0)  # spread too thinly, which is an error there too
        theirs.sampling_strategy.pop(0)
    theirs.fit_resample(split.numeric.astype(np.float64), split.rows.codes)
    asked = params(n_clusters=9, cluster_balance_threshold=threshold)
    mine = SAMPLER.sources(split, new, asked)
    uses = {int(source.bases[0]): source.uses.sum() for source in mine}
    for (rows, sparsity), (code, n) in zip(theirs.found_, theirs.made_, strict=True):
        first = np.flatnonzero((split.numeric == rows[0]).all(axis=1))[0]
        pool = np.flatnonzero((labels == labels[first]) & (split.rows.codes == code))
        np.testing.assert_array_equal(split.numeric[pool], rows)
        assert log_sparsity(split, pool) == pytest.approx(math.log(sparsity), abs=1e-9)
        # They round each cluster's rows up.
        assert 0 <= n - uses.pop(first, 0) <= 1
    assert not uses
    for source in mine:
        np.testing.assert_array_equal(source.bases, source.pool)
    for code, n in new.items():
        assert sum(source.uses.sum() for source in mine if source.code == code) == n


def clusters_of(split, seed):
    return Clusters(split.numeric, 9, seed).of(split.numeric)


def test_a_cluster_grows_from_the_threshold_and_more_than_k_rows_on():
    codes = np.repeat([1, 2, 1, 2, 1, 2], [3, 3, 6, 3, 1, 2])
    labels = np.repeat([0, 0, 1, 1, 2, 2], [3, 3, 6, 3, 1, 2])
    rows = np.flatnonzero(codes == 2)
    asked = rows, labels[rows], np.bincount(labels)
    assert [pool.tolist() for pool in growing(*asked, 0.5, 2)] == [[3, 4, 5]]
    assert len(growing(*asked, 1 / 3, 2)) == 2
    assert len(growing(*asked, 1 / 3, 1)) == 3


def test_rows_stay_within_cluster_and_class():
    split = make_split()
    labels = clusters_of(split, split.seed)
    for source in SAMPLER.sources(split, {2: 200}, params(n_clusters=9)):
        _, origin = synthesise(SAMPLER, split, source, 0, int(source.uses.sum()))
        assert (split.rows.codes[origin.neighbor] == 2).all()
        np.testing.assert_array_equal(labels[origin.neighbor], labels[origin.base])
        x = split.numeric[source.pool].astype(np.float64)
        near = NearestNeighbors(n_neighbors=K).fit(x).kneighbors(return_distance=False)
        bases = source.bases[::-1]
        found = SAMPLER.neighbors(split, source, bases)
        np.testing.assert_array_equal(found, source.pool[near[::-1]])


def test_clusters_are_those_of_k_means_and_repeat():
    split = make_split()
    labels = clusters_of(split, 6)
    np.testing.assert_array_equal(labels, clusters_of(split, 6))
    exact = KMeans(9, n_init=5, random_state=0).fit(split.numeric)
    assert adjusted_rand_score(exact.labels_, clusters_of(split, 8)) > 0.7
    assert not np.array_equal(labels, clusters_of(split, 7))


def test_one_cluster_is_smote_whatever_the_share():
    split = make_split()
    rows = split.of_class(0)
    (source,) = SAMPLER.sources(split, {0: 80}, params(n_clusters=1))
    np.testing.assert_array_equal(source.pool, rows)
    assert source.uses.sum() == 80


@pytest.mark.parametrize(
    ("n", "smallest", "k", "clusters"),
    [
        (99, 14, 3, 1),
        (10_000, 400, 5, 33),
        (10_000, 3000, 5, 70),
        (10**7, 10**6, 5, 500),
        (9, 1, 5, 1),
    ],
)
def test_clusters_by_default(n, smallest, k, clusters):
    assert default_clusters(n, smallest, k) == clusters


def test_mean_distance_of_a_large_cluster_is_that_of_some_of_its_rows(monkeypatch):
    split = split_of(np.random.default_rng(0).normal(size=(2000, 2)), np.full(2000, 2))
    rows = np.arange(2000)
    exact = log_sparsity(split, rows)
    monkeypatch.setattr(kmeans_smote, "_MOST_ROWS", 500)
    exponent = math.log(2000, 1.6) ** 1.8 * 0.16
    assert log_sparsity(split, rows) != exact
    assert log_sparsity(split, rows) == pytest.approx(exact, abs=0.05 * exponent)


def test_weights_of_large_distances_and_of_equal_rows():
    assert 709 < log_sparsity(make_split(scale=1e18), np.arange(700)) < 1000
    np.testing.assert_allclose(shares([2000.0, 2000.0 + math.log(3)]), [0.25, 0.75])
    equal = split_of(np.zeros((9, 2)), np.full(9, 2))
    assert log_sparsity(equal, np.arange(9)) == -math.inf
    np.testing.assert_array_equal(shares([-math.inf, -math.inf]), [0.5, 0.5])
    np.testing.assert_array_equal(shares([-math.inf, 1.0]), [0, 1])


def test_a_class_without_a_cluster_is_told():
    asked = params(n_clusters=9, cluster_balance_threshold=0.9)
    with pytest.raises(UserError, match=r"^rebalance.method: 'kmeans_smote'") as error:
        SAMPLER.sources(make_split(), {0: 5}, asked)
    for text in ("class maybe", "of 9", "at least 0.9", "or smote"):
        assert text in str(error.value)


def test_counts_and_features_are_checked():
    only_yes = params(sampling_strategy={"yes": 40}, n_clusters=95)
    SAMPLER.check({"maybe": 1, "no": 90, "yes": 4}, FEATURES, only_yes)
    with pytest.raises(UserError, match=r"^rebalance.n_clusters: 95, .* 94 rows"):
        SAMPLER.check({"maybe": 1, "no": 89, "yes": 4}, FEATURES, only_yes)
    with pytest.raises(UserError, match=r"^rebalance.k_neighbors: 2 .* class yes has 2"):
        SAMPLER.check({"no": 90, "yes": 2}, FEATURES, params())
    with pytest.raises(UserError, match=r"'kmeans_smote' .*job.* use smote_nc"):
        SAMPLER.check({"no": 90, "yes": 9}, Features({"a": "float"}, ("job",)), params())
