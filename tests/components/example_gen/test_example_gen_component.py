"""StratifiedExampleGen as a TFX component: executor, driver, cache."""

import json
import os
from collections import Counter
from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.testing.util import assert_that, equal_to
from ml_metadata.proto import metadata_store_pb2
from tfx import v1 as tfx
from tfx.components.util import tfxio_utils
from tfx.orchestration import metadata
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import proto_utils

from tfx_imbalance.components.compat import IN_PROCESS_BEAM
from tfx_imbalance.components.errors import DataCheckError, UserError
from tfx_imbalance.components.example_gen.component import StratifiedExampleGen
from tfx_imbalance.components.example_gen.driver import Driver
from tfx_imbalance.components.example_gen.executor import Executor
from tfx_imbalance.components.example_gen.params import IngestParams

STABLE = {"mode": "stable"}


def executed(path, root, *beam_args, driver=False, **options):
    """Runs the executor, after the driver where asked; returns the Examples artifact."""
    params = IngestParams(**{"label": "y", **options})
    component = StratifiedExampleGen(path=str(path), params=params)
    properties = {
        key: proto_utils.proto_to_json(value) if hasattr(value, "DESCRIPTOR") else value
        for key, value in component.exec_properties.items()
    }
    if driver:
        properties = Driver(None).resolve_exec_properties(properties, None, None)
    artifact = standard_artifacts.Examples()
    artifact.uri = str(root)
    # Given Beam options instead, TFX would pack itself for remote workers each time.
    context = Executor.Context(
        make_beam_pipeline_fn=lambda: beam.Pipeline(argv=[*IN_PROCESS_BEAM, *beam_args])
    )
    Executor(context).Do({}, {"examples": [artifact]}, properties)
    return artifact


def records(artifact, split):
    files = sorted(Path(artifact_utils.get_split_uri([artifact], split)).iterdir())
    assert all(file.name.startswith("data_tfrecord-") for file in files)
    return [
        tf.train.Example.FromString(record)
        for file in files
        for record in tf.data.TFRecordDataset(str(file), "GZIP").as_numpy_iterator()
    ]


def values(example):
    """Feature -> its values, absent ones left out."""
    found = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        if kind and getattr(feature, kind).value:
            found[name] = list(getattr(feature, kind).value)
    return found


def content(artifact):
    return Counter(
        (split, str(sorted(values(example).items())))
        for split in ("train", "val", "test")
        for example in records(artifact, split)
    )


@pytest.fixture
def table(make_table):
    return make_table(500)


@pytest.mark.parametrize("pickler", ["cloudpickle", "dill"])
def test_the_executor_writes_what_the_plan_says(ingest, write, table, part, tmp_path, pickler):
    for i in range(3):
        write(f"d/{i}.csv", part(table, i, 3))
    artifact = executed(tmp_path / "d", tmp_path / "out", f"--pickle_library={pickler}")
    expected = ingest(tmp_path / "d")
    assert artifact_utils.decode_split_names(artifact.split_names) == ["train", "val", "test"]
    assert (
        json.loads(artifact.get_string_custom_property("split_counts")) == expected.summary.counts
    )
    deviation = json.loads(artifact.get_string_custom_property("split_deviation"))
    assert deviation == expected.summary.deviation
    assert artifact.get_int_custom_property("unlabelled_dropped") == 0
    assert artifact.get_int_custom_property("span") == 0
    found = Counter()
    for split in ("train", "val", "test"):
        for example in records(artifact, split):
            row = {name: value for name, [value] in values(example).items()}
            found[tuple(sorted((k, str(v)) for k, v in {**row, "split": split}.items()))] += 1
    assert found == expected.content()
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "Split-test",
        "Split-train",
        "Split-val",
    ]


def test_features_have_the_documented_types_and_nulls_are_absent(write, tmp_path):
    table = {"i": [1, None] * 50, "f": [0.5] * 100, "s": ["a", None] * 50}
    table |= {"w": [1] * 100, "id": list(range(100)), "y": [True, False] * 50}
    artifact = executed(write("a.csv", table), tmp_path / "out", weight="w")
    for example in records(artifact, "val"):
        kinds = {k: f.WhichOneof("kind") for k, f in example.features.feature.items()}
        assert {k: kinds[k] for k in ("f", "w", "y", "_row_id")} == {
            "f": "float_list",
            "w": "float_list",
            "y": "bytes_list",
            "_row_id": "int64_list",
        }
        found = values(example)
        assert ("i" in found) == ("s" in found) == (found["y"] == [b"true"])


def test_tfx_reads_the_splits(write, table, tmp_path):
    artifact = executed(write("a.csv", table), tmp_path / "out")
    assert artifact.get_string_custom_property("payload_format") == "FORMAT_TF_EXAMPLE"
    assert artifact.get_string_custom_property("file_format") == "tfrecords_gzip"
    counts = json.loads(artifact.get_string_custom_property("split_counts"))
    reader = tfxio_utils.get_split_tfxio([artifact], "test", telemetry_descriptors=["test"])
    with beam.Pipeline(argv=list(IN_PROCESS_BEAM)) as pipeline:
        batches = pipeline | reader.BeamSource()
        rows = batches | beam.Map(lambda b: b.num_rows) | beam.CombineGlobally(sum)
        assert_that(rows, equal_to([sum(counts["test"].values())]), label="rows")
        names = batches | beam.FlatMap(lambda b: b.schema.names) | beam.Distinct()
        assert_that(names, equal_to([*table, "_row_id", "_row_copy"]), label="names")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("x,y\n1,a\n", UserError, r"a\.csv: only one class, 'a'"),
        ("x,y\n1,a\n2\n", UserError, r"a\.csv, line 3: 1 fields"),
        ("x,y\n" + "1,a\n2,\n3,b\n" * 9, DataCheckError, r"9 of 27 rows have no label.*row 2"),
    ],
)
def test_the_executor_raises_the_users_errors_as_they_are(tmp_path, text, error, message):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(error, match=message):
        executed(tmp_path / "a.csv", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.gz"))
    assert not list((tmp_path / "out").glob("plan-*"))


def test_a_span_pattern_takes_the_newest_span_and_version_with_or_without_a_driver(
    write, make_table, tmp_path
):
    for span, version in ((8, 1), (9, 2), (9, 10), (10, 1)):
        write(f"s/span-{span}/v{version}/a.csv", make_table(300, seed=span * 100 + version))
    path = tmp_path / "s/span-{SPAN}/v{VERSION}/a.csv"
    plain = executed(path, tmp_path / "one", split=STABLE)
    driven = executed(path, tmp_path / "two", driver=True, split=STABLE)
    wanted = executed(tmp_path / "s/span-10/v1/a.csv", tmp_path / "three", split=STABLE)
    assert content(plain) == content(driven) == content(wanted)
    for artifact in (plain, driven):
        assert artifact.get_int_custom_property("span") == 10
        assert artifact.get_int_custom_property("version") == 1
    fingerprints = {a.get_string_custom_property("input_fingerprint") for a in (plain, driven)}
    assert len(fingerprints) == 1


def test_spans_require_stable_splits(tmp_path):
    with pytest.raises(
        UserError, match=r"split\.mode: 'exact' with spans .*set split\.mode: stable"
    ):
        StratifiedExampleGen(path=f"{tmp_path}/{{SPAN}}.csv", params=IngestParams(label="y"))


def test_contradicting_parameters_are_refused_before_anything_runs():
    with pytest.raises(UserError, match=r"'y' is needed as data\.label"):
        StratifiedExampleGen(path="a.csv", params=IngestParams(label="y", exclude=("y",)))


@pytest.mark.parametrize(
    ("path", "folder", "pattern"),
    [
        ("/data/bank.csv", "/data", "bank.csv"),
        ("/data/bank/", "/data", "bank"),
        ("/data/*/part-*.csv", "/data", "*/part-*.csv"),
        ("/data/span-{SPAN}/v{VERSION}/*", "/data", "span-{SPAN}/v{VERSION}/*"),
        ("gs://bucket/a.csv", "gs://bucket", "a.csv"),
        ("/a.csv", "/", "a.csv"),
    ],
)
def test_tfx_gets_the_path_as_folder_and_pattern(path, folder, pattern):
    component = StratifiedExampleGen(path=path, params=IngestParams(label="y", split=STABLE))
    assert component.exec_properties["input_base"] == folder
    config = component.exec_properties["input_config"]
    if isinstance(config, str):
        config = proto_utils.json_to_proto(config, example_gen_pb2.Input())
    assert [split.pattern for split in config.splits] == [pattern]


def test_an_untouched_file_is_cached_and_an_edit_within_second_and_size_is_not(
    write, table, tmp_path
):
    path = write("a.csv", table)
    config = tfx.orchestration.metadata.sqlite_metadata_connection_config(f"{tmp_path}/m.sqlite")

    def run(**options):
        example_gen = StratifiedExampleGen(
            path=str(path), params=IngestParams(label="y", **options)
        )
        tfx.orchestration.LocalDagRunner().run(
            tfx.dsl.Pipeline(
                pipeline_name="ingest",
                pipeline_root=f"{tmp_path}/root",
                components=[example_gen],
                enable_cache=True,
                metadata_connection_config=config,
                beam_pipeline_args=list(IN_PROCESS_BEAM),
            )
        )
        with metadata.Metadata(config) as store:
            executions = store.store.get_executions()
            artifacts = store.store.get_artifacts()
        state = max(executions, key=lambda e: e.id).last_known_state
        return state, max(artifacts, key=lambda a: a.id)

    complete = metadata_store_pb2.Execution.COMPLETE
    cached = metadata_store_pb2.Execution.CACHED
    os.utime(path, ns=(10**18, 10**18))
    state, first = run()
    assert state == complete
    assert json.loads(first.custom_properties["split_counts"].string_value)["train"]
    assert run()[0] == cached

    before = path.stat()
    age = path.read_text().splitlines()[1].split(",")[0]
    other = age[:-1] + ("1" if age[-1] != "1" else "2")
    path.write_text(path.read_text().replace(f"\n{age},", f"\n{other},", 1))
    os.utime(path, ns=(10**18, 10**18))
    assert path.stat().st_size == before.st_size
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    state, second = run()
    assert state == complete
    fingerprint = "input_fingerprint"
    assert second.custom_properties[fingerprint] != first.custom_properties[fingerprint]
    assert run(seed=1)[0] == complete

    path.write_text("a,y\n1,x\n")
    with pytest.raises(UserError, match="only one class"):
        run()
    path.unlink()
    with pytest.raises(UserError, match=r"data\.path: no file .*a\.csv"):
        run()
