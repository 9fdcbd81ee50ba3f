"""What `rebalance` refuses, and how little it holds in memory."""

from types import SimpleNamespace

import apache_beam as beam
import numpy as np
import pytest
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_imbalance.components import examples_io, hashing
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.rebalancer import rebalance as module
from tfx_imbalance.components.rebalancer.features import Features, features_of
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.reading import Layout

OVER = RebalanceParams(method="over")


def rows(n, label, **changed):
    return [{"a": float(i), "y": label, "_row_id": i, **changed} for i in range(n)]


def records(kit, *groups):
    return [kit.example(row) for group in groups for row in group]


@pytest.mark.parametrize(
    ("odd", "told"),
    [
        ({"y": "maybe"}, ["label is 'maybe' in 3 rows", "no, perhaps, yes"]),
        ({"y": None}, ["label is missing in 3 rows"]),
        ({"y": 7}, ["'y'", "one text value"]),
        ({"_row_id": None}, ["int64 '_row_id'"]),
        ({"_row_id": "x"}, ["int64 '_row_id'"]),
    ],
)
def test_rows_that_cannot_be_read_are_told(odd, told, run, kit):
    group = rows(3, "no", **odd)
    with pytest.raises(UserError) as error:
        run(records(kit, rows(20, "no"), rows(5, "yes"), group), OVER)
    for text in told:
        assert text in str(error.value)
    assert "\n" not in str(error.value)
    assert "while running" not in str(error.value)


def test_label_that_is_a_number_is_told(run, kit):
    with pytest.raises(UserError, match="label 'y' is int64_list in the first row"):
        run(records(kit, rows(3, 1)), OVER)


def test_no_rows_are_told(run):
    with pytest.raises(UserError, match="no rows"):
        run([], OVER, shards=2)


def test_growth_past_the_limit_is_refused(run, kit):
    source = records(kit, rows(90, "no"), rows(10, "yes"))
    params = RebalanceParams(method="over", sampling_strategy={"yes": 111}, max_growth=2)
    with pytest.raises(UserError, match=r"^rebalance.max_growth: 2, but 100 rows .* 201 \(2.0 "):
        run(source, params)
    at_limit = params.model_copy(update={"sampling_strategy": {"yes": 110}})
    assert sum(run(source, at_limit).report.after.values()) == 200


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_value_that_is_no_number_is_told_before_it_spreads(bad, run, kit):
    source = records(kit, rows(20, "no", a=bad), rows(6, "yes"), rows(1, "yes", a=bad))
    features = Features({"a": "float"})
    params = RebalanceParams(method="smote", k_neighbors=3)
    with pytest.raises(UserError, match=r"^train, class yes: feature 'a' is missing, NaN or inf"):
        run(source, params, features)


def test_missing_category_is_told_by_name(run, kit):
    source = records(kit, rows(20, "no", c=1), rows(6, "yes", c=2), rows(1, "yes"))
    params = RebalanceParams(method="smote_nc", k_neighbors=3)
    with pytest.raises(UserError, match=r"^train, class yes: .*\bc\b"):
        run(source, params, Features({"a": "float"}, ("c",)))


def test_class_absent_from_the_data_stays_absent(run, kit):
    report = run(records(kit, rows(9, "no"), rows(4, "yes")), OVER).report
    assert report.after == {"no": 9, "perhaps": 0, "yes": 9}
    assert report.factors["perhaps"] == 1


def test_equal_rows_at_the_cut_are_counted_exactly(run, kit):
    equal = [{"a": 1.0, "y": "no", "_row_id": 5}] * 40
    source = records(kit, equal, rows(7, "yes"))
    under = run(source, RebalanceParams(method="under"), shards=3)
    assert under.rows == kit.multiset_of(records(kit, equal[:7], rows(7, "yes")))
    over = run(source, RebalanceParams(method="over", sampling_strategy={"no": 97}), shards=3)
    assert over.rows == kit.multiset_of(records(kit, equal + equal + equal[:17], rows(7, "yes")))


def test_rows_that_differ_under_one_identity_are_told_apart_by_content(run, kit):
    group = [{"a": float(i), "y": "no", "_row_id": 5} for i in range(30)]
    params = RebalanceParams(method="under")
    once = run(records(kit, group, rows(7, "yes")), params)
    again = run(records(kit, rows(7, "yes"), group[::-1]), params, shards=4)
    assert once.rows == again.rows


def test_which_rows_stay_is_told_by_their_hashes_alone(run, kit):
    source = records(kit, rows(300, "no"), rows(90, "yes"))
    result = run(source, RebalanceParams(method="under", seed=11), shards=2)
    order = np.argsort(hashing.keyed(np.arange(300), 11, "resample"))
    kept = [i for i, y in zip(result.ids, result.labels, strict=True) if y == b"no"]
    assert sorted(kept) == sorted(order[:90].tolist())


def test_uncompressed_files_are_read_too(tmp_path, kit):
    files = kit.write_files(
        tmp_path / "in", records(kit, rows(9, "no"), rows(4, "yes")), shards=2, gz=False
    )
    report = module.rebalance(
        kit.in_memory,
        files,
        str(tmp_path / "out"),
        label="y",
        classes=["no", "yes"],
        features=Features({}),
        params=OVER,
    )
    assert report.after == {"no": 9, "yes": 9}


def test_rows_cross_no_stage_unless_they_are_needed(monkeypatch, run, data, tmp_path):
    settle, crossed = module._settle, tmp_path / "crossed"

    def watched(group):
        parts = list(group[1])
        with crossed.open("a") as file:
            file.write("x" * sum(len(part.records) for part in parts))
        return settle((group[0], parts))

    monkeypatch.setattr(module, "_settle", watched)
    # Rows that were copied after they were numbered: only these cannot be told apart.
    data.columns["_row_copy"] = np.zeros(len(data), np.int64)
    run(data, RebalanceParams(method="under"))
    # One bucket of two classes, plus the ten equal rows where the cut falls among them.
    assert 0 < crossed.stat().st_size <= 2 * 11


@pytest.mark.parametrize(
    ("params", "reads"),
    [
        ({"method": "under"}, 2),
        ({"method": "smote", "k_neighbors": 3}, 2),
        ({"method": "borderline_smote_1", "k_neighbors": 3}, 3),
        ({"method": "tomek_links"}, 3),
    ],
)
def test_examples_are_read_no_oftener_than_the_method_has_to(params, reads, kit):
    steps = []
    with kit.in_memory() as pipeline:
        frames = pipeline | beam.Create([examples_io.framed(kit.make_data().records())])
        layout = Layout("y", kit.CLASSES, True)
        job = module.Job(layout, kit.FEATURE_SETS["numeric"], RebalanceParams(**params))
        module.rebalanced(lambda step: steps.append(step) or frames, job)
    assert len(set(steps)) == len(steps) == reads


@pytest.mark.parametrize("method", ["smote", "smote_tomek"])
def test_how_the_work_is_cut_makes_no_difference(method, monkeypatch, run, data):
    params = RebalanceParams(method=method, k_neighbors=3, provenance=True)
    whole = run(data, params).rows
    monkeypatch.setattr(module, "_TASK_ROWS", 7)
    assert run(data, params).rows == whole


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "tfx_imbalance.components.errors.UserError: a: b [while running 'X-ptransform-1']",
            "a: b",
        ),
        ("Traceback ...\n  raise UserError(\nx.errors.UserError: a: b\nDuring handling", "a: b"),
        ("error processing ... UserError: a: b\\nDuring", "a: b"),
    ],
)
def test_user_error_is_itself_again_however_a_runner_wraps_it(text, told):
    with pytest.raises(UserError) as error, module._user_errors():
        raise RuntimeError(text)
    assert str(error.value) == told


def test_other_errors_stay_what_they_are():
    tally = SimpleNamespace(after={"no": 3, "yes": 1})
    with pytest.raises(RuntimeError, match="wrote 3 rows instead of 4"), module._user_errors():
        module._must_be_all(3, tally)


def test_roles_of_features_come_from_the_transformed_schema():
    schema = schema_pb2.Schema()

    def add(name, kind, shape=(), categorical=False):
        feature = schema.feature.add(name=name, type=kind)
        if shape is not None:
            feature.shape.SetInParent()
            for size in shape:
                feature.shape.dim.add(size=size)
        if categorical:
            feature.int_domain.is_categorical = True

    add("y", schema_pb2.BYTES)
    add("_row_id", schema_pb2.INT)
    add("w", schema_pb2.FLOAT)
    add("age", schema_pb2.FLOAT, (1,))
    add("visits", schema_pb2.INT)
    add("job", schema_pb2.INT, (1,), categorical=True)
    add("notes", schema_pb2.BYTES)
    add("vector", schema_pb2.FLOAT, (3,))
    add("bits", schema_pb2.INT, (8,))
    add("image", schema_pb2.FLOAT, (3, 2))
    add("jobs", schema_pb2.INT, (2,), categorical=True)
    add("ragged", schema_pb2.FLOAT, None)
    add("age_missing", schema_pb2.INT, (1,), categorical=True)
    schema.feature[-1].int_domain.min = schema.feature[-1].int_domain.max = 0
    found = features_of(schema, "y", "w")
    assert found == Features(
        {"age": "float", "bits": "int", "vector": "float", "visits": "int"},
        ("job",),
        {
            "image": "has shape [3, 2]",
            "jobs": "is categorical and has shape [2]",
            "notes": "is text",
            "ragged": "has no fixed shape",
        },
        ("w", "float"),
        {"bits": 8, "vector": 3},
        constants=(("age_missing", 0),),
    )
    assert found.values == 1 + 8 + 3 + 1 + 1
    assert "w" in features_of(schema, "y").numeric


@pytest.mark.slow
@pytest.mark.parametrize("method", ["under", "smote", "tomek_links"])
def test_two_processes_give_the_rows_that_one_gives(method, data, run, kit):
    source, params = data.without("c", "d"), RebalanceParams(method=method, seed=3)
    one = run(source, params, kit.FEATURE_SETS["numeric"])
    two = run(source, params, kit.FEATURE_SETS["numeric"], shards=7, runner="two_processes")
    assert two.rows == one.rows
    assert two.report == one.report
