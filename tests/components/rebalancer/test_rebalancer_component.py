"""The component: artifacts in, artifacts out."""

from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration import metadata, pipeline
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

from tfx_imbalance.artifacts import ImbalanceReport, RebalanceReport
from tfx_imbalance.components.artifact_io import read_report, split_files, write_report
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.imbalance_detector.report import Imbalance
from tfx_imbalance.components.rebalancer.component import Rebalancer
from tfx_imbalance.components.rebalancer.executor import Executor
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.report import Rebalancing

SMOTE_NC = RebalanceParams(method="smote_nc", k_neighbors=3, seed=2)


def made(cls: type[types.Artifact], folder: Path) -> types.Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    artifact = cls()
    artifact.uri = str(folder)
    return artifact


def detected(kit) -> Imbalance:
    counts = kit.make_data().counts
    return Imbalance(
        label="y",
        classes=list(kit.CLASSES),
        positive=None,
        counts={"train": counts},
        unlabelled={"train": 0},
        majority="no",
        minority="yes",
        minority_share=14 / 99,
        imbalance_ratio=60 / 14,
        normalized_entropy=0.8,
        severity="moderate",
        prior_shift={},
        slices=[],
        class_weights=dict.fromkeys(counts, 1.0),
        suggested_class_weights={},
        anomalies={},
        checks=[],
        recommendation={"technique": "none", "reasons": []},
    )


@pytest.fixture
def inputs(tmp_path, kit):
    """What Transform and ImbalanceDetector would hand over."""
    data = kit.make_data()
    examples = made(standard_artifacts.Examples, tmp_path / "examples")
    examples.split_names = artifact_utils.encode_split_names(["train", "val", "test"])
    for split, shards in [("train", 2), ("val", 3), ("test", 1)]:
        kit.write_files(tmp_path / "examples" / f"Split-{split}", data.records(), shards)

    schema = schema_pb2.Schema()
    kinds = dict.fromkeys("abw", schema_pb2.FLOAT) | dict.fromkeys("cd", schema_pb2.INT)
    for name, kind in {**kinds, "y": schema_pb2.BYTES, "_row_id": schema_pb2.INT}.items():
        feature = schema.feature.add(name=name, type=kind)
        feature.shape.dim.add(size=1)
        feature.int_domain.is_categorical = name in "cd"
    graph = made(standard_artifacts.TransformGraph, tmp_path / "graph")
    metadata_io.write_metadata(
        dataset_metadata.DatasetMetadata(schema), str(tmp_path / "graph" / "transformed_metadata")
    )

    report = made(ImbalanceReport, tmp_path / "imbalance")
    write_report({"report": [report]}, "report", detected(kit))
    return {
        "transformed_examples": [examples],
        "transform_graph": [graph],
        "imbalance_report": [report],
    }


@pytest.fixture
def do(tmp_path, inputs, kit):
    """Calls the executor: do(params) gives its output_dict."""

    def call(params, weight="w"):
        outputs = {
            "examples": [made(standard_artifacts.Examples, tmp_path / "out" / "examples")],
            "report": [made(RebalanceReport, tmp_path / "out" / "report")],
        }
        context = BaseBeamExecutor.Context(make_beam_pipeline_fn=kit.in_memory)
        properties = {"params": params.to_property(), "code_fingerprint": "x", "weight": weight}
        Executor(context).Do(inputs, outputs, properties)
        return outputs

    return call


def test_train_is_rebalanced_val_copied_and_test_left_out(do, inputs, kit):
    outputs = do(SMOTE_NC)
    (examples,) = outputs["examples"]
    assert artifact_utils.decode_split_names(examples.split_names) == ["train", "val"]
    folders = sorted(path.name for path in Path(examples.uri).iterdir())
    assert folders == ["Split-train", "Split-val"]
    tf_example = example_gen_pb2.FORMAT_TF_EXAMPLE
    assert examples_utils.get_payload_format(examples) == tf_example

    source = split_files(inputs, "transformed_examples", "val")
    copied = split_files(outputs, "examples", "val")
    assert [Path(p).read_bytes() for p in copied] == [Path(p).read_bytes() for p in source]

    report = read_report(outputs, "report", Rebalancing)
    assert report.before == {"no": 60, "perhaps": 25, "yes": 14}
    assert report.after == {"no": 60, "perhaps": 60, "yes": 60}
    assert report.synthetic == {"no": 0, "perhaps": 35, "yes": 46}
    assert report.factors == {"no": 1, "perhaps": 60 / 25, "yes": 60 / 14}
    assert (report.kind, report.row_identity) == ("approximate", "feature")

    before = kit.multiset_of(kit.read(split_files(inputs, "transformed_examples", "train")))
    after = kit.multiset_of(kit.read(split_files(outputs, "examples", "train")))
    assert before <= after
    weights = {dict(row)["w"] for row in before if ("y", b"yes") in row}
    fresh = [dict(row) for row in after - before]
    assert {row["w"] for row in fresh if row["y"] == b"yes"} <= weights
    names = {"a", "b", "c", "d", "w", "y", "_row_id"}
    assert all(row.keys() == names and isinstance(row["c"], int) for row in fresh)


def test_rows_that_are_left_weigh_what_was_dropped_and_priors_stay(do, kit):
    outputs = do(RebalanceParams(method="downsample_upweight"))
    report = read_report(outputs, "report", Rebalancing)
    assert report.after == {"no": 14, "perhaps": 14, "yes": 14}
    assert report.weights == {"no": 60 / 14, "perhaps": 25 / 14, "yes": 1}
    assert report.factors == pytest.approx({"no": 1, "perhaps": 1, "yes": 1})
    assert report.kind == "none"
    for row in map(dict, kit.multiset_of(kit.read(split_files(outputs, "examples", "train")))):
        weight = report.weights[row["y"].decode()]
        assert row.get("_sampling_weight", 1) == pytest.approx(weight)
        assert ("_sampling_weight" in row) == (weight != 1)
    for row in map(dict, kit.multiset_of(kit.read(split_files(outputs, "examples", "val")))):
        assert "_sampling_weight" not in row


def test_smote_names_the_categorical_features_of_the_transform(do):
    with pytest.raises(UserError, match=r"\(c, d\).*use smote_nc"):
        do(RebalanceParams(method="smote"))


@pytest.mark.parametrize("missing", ["train", "val"])
def test_missing_split_is_named(missing, do, inputs):
    (examples,) = inputs["transformed_examples"]
    others = [name for name in ("train", "val", "test") if name != missing]
    examples.split_names = artifact_utils.encode_split_names(others)
    with pytest.raises(UserError, match=f"no files of split {missing}"):
        do(RebalanceParams(method="under"))


def test_examples_of_another_format_are_named(do, inputs):
    (examples,) = inputs["transformed_examples"]
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_PROTO)
    with pytest.raises(UserError, match="FORMAT_PROTO"):
        do(RebalanceParams(method="under"))


def test_runs_in_a_pipeline_and_is_cached_there(tmp_path, inputs, caplog):
    def imported(key):
        (artifact,) = inputs[key]
        split_names = {"split_names": artifact.split_names} if key.endswith("examples") else {}
        return Importer(
            source_uri=artifact.uri, artifact_type=type(artifact), properties=split_names
        ).with_id(key)

    def run_once():
        sources = {key: imported(key) for key in inputs}
        rebalancer = Rebalancer(
            examples=sources["transformed_examples"].outputs["result"],
            transform_graph=sources["transform_graph"].outputs["result"],
            imbalance_report=sources["imbalance_report"].outputs["result"],
            params=RebalanceParams(method="under"),
        )
        LocalDagRunner().run(
            pipeline.Pipeline(
                pipeline_name="small",
                pipeline_root=str(tmp_path / "root"),
                components=[*sources.values(), rebalancer],
                enable_cache=True,
                metadata_connection_config=metadata.sqlite_metadata_connection_config(
                    str(tmp_path / "mlmd.sqlite")
                ),
                beam_pipeline_args=["--runner=FnApiRunner"],
            )
        )
        return sorted((tmp_path / "root" / "Rebalancer" / "report").glob("*/report.json"))

    (report,) = run_once()
    assert Rebalancing.model_validate_json(report.read_text()).after["no"] == 14
    assert run_once() == [report]
