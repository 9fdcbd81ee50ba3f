from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from scipy.spatial.distance import jensenshannon
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import Channel, artifact_utils, standard_artifacts

from tfx_imbalance import artifacts
from tfx_imbalance.components.artifact_io import read_report, write_report
from tfx_imbalance.components.champion.report import ChampionInfo
from tfx_imbalance.components.drift_check.component import DriftCheck
from tfx_imbalance.components.drift_check.drift import compare
from tfx_imbalance.components.drift_check.executor import Executor
from tfx_imbalance.components.drift_check.params import DriftParams
from tfx_imbalance.components.drift_check.report import Drift
from tfx_imbalance.components.imbalance_detector.detect import detect
from tfx_imbalance.components.imbalance_detector.params import DetectorParams

CHAMPION = ChampionInfo(
    version="1700000000",
    message="serving/1700000000",
    model_fingerprint="f",
    classes=["no", "yes"],
    comparable=True,
)
NOBODY = ChampionInfo(
    version=None,
    message="no model was pushed yet",
    model_fingerprint=None,
    classes=None,
    comparable=False,
)


def rows(n=2000, yes=0.1, seed=0, **columns):
    """Train rows with the label, an identity and one feature of each kind."""
    rng = np.random.default_rng(seed)
    label = np.where(np.arange(n) < round(yes * n), "yes", "no")
    base = {
        "y": label,
        "_row_id": rng.integers(-(2**62), 2**62, n),
        "job": rng.permutation(np.resize(["clerk", "cook", "clerk", "baker"], n)),
        "age": np.linspace(0, 100, n),
        "count": np.resize(np.arange(50), n),
    }
    return pd.DataFrame({**base, **columns})


def statistics_of(data, **options):
    return tfdv.generate_statistics_from_dataframe(data, tfdv.StatsOptions(**options), n_jobs=1)


def imbalance_of(statistics):
    return detect({"train": statistics}, schema_pb2.Schema(), DetectorParams(label="y"))


def drift(now, then, champion=CHAMPION, **params):
    now = now if not isinstance(now, pd.DataFrame) else statistics_of(now)
    then = then if not isinstance(then, pd.DataFrame) else statistics_of(then)
    return compare(now, then, imbalance_of(now), champion, DriftParams(**params))


def distance(report, name):
    (one,) = [f for f in report.features if f.feature == name]
    return one


def test_equal_data_do_not_drift_and_label_and_identity_are_no_features():
    report = drift(rows(), rows(seed=1))
    assert report.verdict == "ok"
    assert {f.feature: f.distance for f in report.features} == {"age": 0, "count": 0, "job": 0}
    assert report.prior_change == 0
    assert report.prior_then == report.prior_now == pytest.approx({"no": 0.9, "yes": 0.1})
    assert report.messages == ["prior and 3 features are within bounds"]
    assert report.champion_version == "1700000000"


def test_categories_by_l_infinity():
    then, now = rows(), rows(job=np.resize(["cook", "smith", "cook", "cook", "baker"], 2000))
    shares = [x["job"].value_counts(normalize=True) for x in (then, now)]
    expected = shares[1].sub(shares[0], fill_value=0).abs().max()
    job = distance(drift(now, then), "job")
    assert (job.measure, job.level) == ("l_infinity", "search")
    assert job.distance == pytest.approx(expected)


def quantiles(statistics, name):
    (found,) = [f for f in statistics.datasets[0].features if f.path.step[0] == name]
    (histogram,) = [h for h in found.num_stats.histograms if h.type == h.QUANTILES]
    return [(b.low_value, b.high_value, b.sample_count) for b in histogram.buckets]


def spread(buckets, edges, points):
    """Mass between neighbouring edges, uniform within a bucket, then mass on single points."""
    between = [
        sum(
            count * max(0, min(high, right) - max(low, left)) / (high - low)
            for low, high, count in buckets
            if high > low
        )
        for left, right in pairwise(edges)
    ]
    return between + [sum(c for low, high, c in buckets if low == high == p) for p in points]


@pytest.mark.parametrize("name", ["age", "count"])
def test_numbers_by_jensen_shannon_divergence_on_tfdvs_quantiles(name):
    rng = np.random.default_rng(3)
    moved = {"age": rng.beta(2, 5, 2000) * 100, "count": rng.poisson(2, 2000)}
    then, now = statistics_of(rows()), statistics_of(rows(**moved))
    histograms = [quantiles(statistics, name) for statistics in (then, now)]
    both = [bucket for histogram in histograms for bucket in histogram]
    edges = sorted({edge for low, high, _ in both if low < high for edge in (low, high)})
    points = sorted({low for low, high, _ in both if low == high})
    masses = [spread(histogram, edges, points) for histogram in histograms]
    found = distance(drift(now, then), name)
    assert found.measure == "jensen_shannon_divergence"
    assert found.distance == pytest.approx(jensenshannon(*masses, base=2) ** 2, rel=1e-6)


def test_a_few_outliers_are_no_drift():
    rng = np.random.default_rng(0)
    skewed = [rng.lognormal(0, 2, 20_000) for _ in range(2)]
    now, then = (
        statistics_of(rows(20_000, seed=i, age=x), num_quantiles_histogram_buckets=100)
        for i, x in enumerate(skewed)
    )
    assert drift(now, then).verdict == "ok"


def test_distance_that_chance_makes_with_few_rows_is_no_warning():
    rng = np.random.default_rng(1)
    now, then = (
        statistics_of(
            rows(400, age=rng.normal(size=400), job=rng.choice(["clerk", "cook"], 400)),
            num_quantiles_histogram_buckets=100,
        )
        for _ in range(2)
    )
    report = drift(now, then)
    age = distance(report, "age")
    assert age.distance > 0.05
    assert age.chance == pytest.approx(99 / (8 * np.log(2)) * (2 / 400))
    job = distance(report, "job")
    assert job.chance == pytest.approx(np.sqrt(2 / np.pi) * np.sqrt(2 * 0.25 / 400))
    assert report.verdict == "ok"


def test_levels_follow_the_bounds():
    now, then = rows(job=np.resize(["clerk", "cook", "cook", "baker"], 2000)), rows()
    assert distance(drift(now, then), "job").level == "search"
    report = drift(now, then, feature_search=0.3)
    assert report.verdict == "warn"
    assert report.messages == ["job: L-infinity 0.250, bound 0.05 plus 0.013 for chance"]
    assert drift(now, then, feature_warn=0.24, feature_search=0.3).verdict == "ok"


def test_integer_categories_are_compared_as_categories():
    schema = schema_pb2.Schema()
    schema.feature.add(name="code", type=schema_pb2.INT).int_domain.is_categorical = True
    then = statistics_of(rows(code=np.resize([1, 2, 3, 4], 2000)), schema=schema)
    now = statistics_of(rows(code=np.resize([1, 1, 1, 4], 2000)), schema=schema)
    code = distance(drift(now, then), "code")
    assert (code.measure, code.distance) == ("l_infinity", pytest.approx(0.5))


@pytest.mark.parametrize(
    ("yes", "verdict", "change"), [(0.1, "ok", 0), (0.12, "warn", 0.2), (0.2, "search", 1)]
)
def test_prior(yes, verdict, change):
    report = drift(rows(20_000, yes), rows(20_000, 0.1))
    assert report.verdict == verdict
    assert report.prior_change == pytest.approx(change)
    if verdict != "ok":
        assert report.messages[0].startswith("class yes went from 10 % to")


def test_prior_change_that_chance_makes_with_few_rows_is_no_warning():
    report = drift(rows(100, 0.09), rows(100, 0.06))
    assert report.prior_change == pytest.approx(0.5)
    assert report.verdict == "ok"
    assert "chance" in report.messages[0]


def test_classes_that_come_or_go_ask_for_a_search():
    odd = rows()
    odd["y"] = np.resize(["no", "yes", "maybe", "no"], 2000)
    assert "did not have: maybe" in drift(odd, rows()).messages[0]
    gone = drift(rows(), odd)
    assert "no longer has: maybe" in gone.messages[0]
    assert gone.verdict == "search"


def test_todays_minority_may_be_unknown_to_the_champion():
    then = rows()
    then["y"] = "no"
    report = drift(rows(), then)
    assert (report.prior_change, report.verdict) == (None, "search")


def test_champion_without_label_statistics_warns():
    report = drift(rows(), rows().drop(columns="y"))
    assert report.verdict == "warn"
    assert "class prior cannot be compared: no value of 'y'" in report.messages[0]


def test_new_and_missing_features_warn():
    report = drift(rows(extra=1.0), rows(old=1.0))
    assert (report.new_features, report.missing_features) == (["extra"], ["old"])
    assert report.verdict == "warn"
    assert {f.feature for f in report.features} == {"age", "count", "job"}


def test_feature_that_changed_its_kind_asks_for_a_search():
    report = drift(rows(age=rows()["age"].astype(str)), rows())
    assert "age held numbers and holds categories now" in report.messages
    assert report.verdict == "search"
    assert "age" not in {f.feature for f in report.features}


def test_feature_without_values_warns():
    empty = pd.Series([None] * 2000, dtype=object)
    assert "age cannot be compared: it has no value now" in drift(rows(age=empty), rows()).messages
    report = drift(rows(), rows(age=empty))
    assert "it has no value in the champion's train" in report.messages[0]
    assert report.verdict == "warn"
    assert drift(rows(age=empty), rows(age=empty)).verdict == "ok"


@pytest.mark.parametrize(
    ("champion", "message"),
    [(NOBODY, "no model was pushed yet"), (CHAMPION, "1700000000 has no statistics")],
)
def test_without_champion_statistics(champion, message):
    report = drift(rows(), None, champion)
    assert report.verdict == "no champion"
    assert message in report.messages[0]
    assert report.champion_version == champion.version
    assert report.prior_change is None and report.prior_now == pytest.approx(
        {"no": 0.9, "yes": 0.1}
    )


def statistics_artifact(path, statistics):
    artifact = standard_artifacts.ExampleStatistics()
    artifact.uri = str(path)
    artifact.split_names = artifact_utils.encode_split_names(["train"])
    (path / "Split-train").mkdir(parents=True)
    (path / "Split-train" / "FeatureStats.pb").write_bytes(statistics.SerializeToString())
    return [artifact]


def report_artifact(kind, path, report=None):
    artifact = kind()
    artifact.uri = str(path)
    if report:
        write_report({"it": [artifact]}, "it", report)
    return [artifact]


@pytest.mark.parametrize(
    ("then", "champion", "verdict"),
    [(rows(20_000, 0.05), CHAMPION, "search"), (None, NOBODY, "no champion")],
)
def test_executor(tmp_path, then, champion, verdict):
    now = statistics_of(rows(20_000))
    inputs = {
        "statistics": statistics_artifact(tmp_path / "now", now),
        "imbalance_report": report_artifact(
            artifacts.ImbalanceReport, tmp_path / "imbalance", imbalance_of(now)
        ),
        "champion": report_artifact(artifacts.Champion, tmp_path / "champion", champion),
        "champion_statistics": []
        if then is None
        else statistics_artifact(tmp_path / "then", statistics_of(then)),
    }
    outputs = {"report": report_artifact(artifacts.DriftReport, tmp_path / "report")}
    params = {"params": DriftParams().to_property(), "code_fingerprint": ""}
    Executor().Do(inputs, outputs, params)
    report = read_report(outputs, "report", Drift)
    assert report.verdict == verdict
    assert report.prior_now == pytest.approx({"no": 0.9, "yes": 0.1})


def test_component_wires_with_and_without_champion_statistics():
    statistics = Channel(type=standard_artifacts.ExampleStatistics)
    kwargs = {
        "statistics": statistics,
        "imbalance_report": Channel(type=artifacts.ImbalanceReport),
        "champion": Channel(type=artifacts.Champion),
    }
    assert "champion_statistics" not in DriftCheck(**kwargs).inputs
    params = DriftParams(prior_warn=0.5)
    node = DriftCheck(**kwargs, champion_statistics=statistics, params=params)
    assert node.inputs["champion_statistics"] is statistics
    assert node.outputs["report"].type is artifacts.DriftReport
    assert DriftParams.from_property(node.exec_properties["params"]) == params
