import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from tests.components.gate import handmade
from tfx_imbalance import artifacts
from tfx_imbalance.components import artifact_io
from tfx_imbalance.components.champion.executor import Executor
from tfx_imbalance.components.champion.report import ChampionInfo
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.names import EXTRA_DIR


@pytest.fixture
def pushed(tmp_path):
    """serving/7 as Calibrator and Pusher leave it; the model itself is only copied."""
    extra = tmp_path / "serving" / "7" / EXTRA_DIR
    extra.mkdir(parents=True)
    (extra / "calibration.json").write_text(
        handmade.calibration(model_fingerprint="of 7").model_dump_json()
    )
    (extra / "imbalance.json").write_text(handmade.imbalance().model_dump_json())
    trained = text_format.Parse(
        """datasets {
          features { path { step: "age" } type: INT num_stats {
            common_stats { num_non_missing: 9 } } }
          features { path { step: "job" } type: STRING string_stats {
            common_stats { num_non_missing: 9 } } }
          features { path { step: "empty" } type: FLOAT num_stats {
            common_stats { num_missing: 9 } } }
        }""",
        statistics_pb2.DatasetFeatureStatisticsList(),
    )
    (extra / "FeatureStats.pb").write_bytes(trained.SerializeToString())
    (tmp_path / "serving" / "7" / "saved_model.pb").write_bytes(b"model")
    return extra


@pytest.fixture
def load(tmp_path):
    """load(version) -> (ChampionInfo, its outputs)."""

    def run(version="7", classes=("no", "yes"), **inputs):
        report = handmade.imbalance(classes)
        outputs = {
            key: [handmade.artifact(cls, tmp_path / "out" / key)]
            for key, cls in {
                "champion": artifacts.Champion,
                "model": standard_artifacts.Model,
                "statistics": standard_artifacts.ExampleStatistics,
            }.items()
        }
        uri = tmp_path / "imbalance"
        given = handmade.report_artifact(artifacts.ImbalanceReport, uri, report)
        Executor().Do(
            {"imbalance_report": [given], **inputs},
            outputs,
            {
                "registry_dir": str(tmp_path / "serving"),
                "version": version,
                "code_fingerprint": "",
            },
        )
        return artifact_io.read_report(outputs, "champion", ChampionInfo), outputs

    return run


def test_cold_start_gives_a_champion_that_says_so_and_nothing_else(load):
    info, outputs = load(version="")
    assert info == handmade.champion_info(version=None)
    assert outputs["model"] == outputs["statistics"] == []


def test_champion_is_copied_with_its_train_statistics(pushed, load):
    info, outputs = load()
    assert info == handmade.champion_info(
        version="7", message="serving/7", model_fingerprint="of 7"
    )
    model = path_utils.serving_model_path(outputs["model"][0].uri)
    for name in ("saved_model.pb", f"{EXTRA_DIR}/calibration.json"):
        with open(f"{model}/{name}", "rb") as copy, (pushed.parents[1] / name).open("rb") as there:
            assert copy.read() == there.read()
    (statistics,) = outputs["statistics"]
    assert artifact_utils.decode_split_names(statistics.split_names) == ["train"]
    with open(f"{statistics.uri}/Split-train/FeatureStats.pb", "rb") as copy:
        assert copy.read() == (pushed / "FeatureStats.pb").read_bytes()


def test_a_model_that_is_not_ours_is_named_and_not_compared(pushed, load):
    for file in pushed.iterdir():
        file.unlink()
    info, outputs = load()
    assert (info.version, info.comparable, info.model_fingerprint) == ("7", False, None)
    assert info.message == f"serving/7, has no {EXTRA_DIR}: not comparable"
    assert outputs["model"] == outputs["statistics"] == []


def test_reports_of_another_form_are_said(pushed, load):
    (pushed / "calibration.json").write_text('{"classes": 1}')
    info, outputs = load()
    assert not info.comparable
    assert "of another release" in info.message
    assert outputs["model"] == []


@pytest.mark.parametrize("classes", [("yes", "no"), ("no", "yes", "maybe"), ("0", "1")])
def test_other_classes_or_another_positive_class_are_not_compared(pushed, load, classes):
    info, outputs = load(classes=classes)
    assert (info.version, info.comparable) == ("7", False)
    assert info.classes == ["no", "yes"]
    assert str(list(classes)) in info.message
    assert outputs["model"] == outputs["statistics"] == []


def test_a_champion_without_statistics_is_still_compared(pushed, load):
    (pushed / "FeatureStats.pb").unlink()
    info, outputs = load()
    assert info.comparable
    assert len(outputs["model"]) == 1
    assert outputs["statistics"] == []


def test_a_version_that_went_away_is_said(pushed, load):
    with pytest.raises(UserError, match="serving/8: no SavedModel is here"):
        load(version="8")


@pytest.mark.parametrize(("needs", "comparable"), [(("no", "yes"), True), (("a", "b", "c"), False)])
def test_a_champion_that_cannot_score_todays_rows_is_not_compared(
    pushed, load, tmp_path, needs, comparable
):
    handmade.save_model(tmp_path / "serving" / "7", needs)
    rows = handmade.encode(handmade.make_rows(2, n=5), ("no", "yes"))
    handmade.write_split(tmp_path / "examples", rows)
    info, outputs = load(examples=[handmade.examples_artifact(tmp_path / "examples")])
    assert info.comparable == comparable
    assert bool(outputs["model"]) == comparable
    if not comparable:
        assert info.message == (
            "serving/7, cannot score today's rows (Feature: x2 (data type: float) is required but "
            "could not be found): not comparable"
        )


@pytest.mark.parametrize(
    ("columns", "fault"),
    [
        ({"age": "INT", "job": "BYTES"}, None),
        ({"age": "INT", "job": "BYTES", "new": "FLOAT"}, None),
        ({"age": "INT"}, "column 'job' (text), which the data do not have"),
        (
            {"age": "BYTES", "job": "BYTES"},
            "column 'age' as whole numbers, which now holds text such as '41a'",
        ),
        ({"age": "FLOAT", "job": "BYTES"}, None),
    ],
)
def test_a_champion_of_other_columns_is_not_compared_and_the_column_is_named(
    pushed, load, tmp_path, columns, fault
):
    schema = "".join(f'feature {{ name: "{name}" type: {t} }}' for name, t in columns.items())
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "schema.pbtxt").write_text(schema)
    given = {"schema": [handmade.artifact(standard_artifacts.Schema, tmp_path / "schema")]}
    if fault and "such as" in fault:
        row = tf.train.Example()
        row.features.feature["age"].bytes_list.value.append(b"41a")
        handmade.write_split(tmp_path / "examples", [row.SerializeToString()])
        given["examples"] = [handmade.examples_artifact(tmp_path / "examples")]
    info, outputs = load(**given)
    if fault:
        assert fault in info.message and not info.comparable
        assert outputs["model"] == []
    else:
        assert info.comparable


def test_a_champion_that_needs_what_a_late_row_of_test_lacks_is_not_compared(
    pushed, load, tmp_path
):
    handmade.save_model(tmp_path / "serving" / "7", ("no", "yes"))
    rows = handmade.encode(handmade.make_rows(2, n=50), ("no", "yes"))
    example = tf.train.Example.FromString(rows[-1])
    del example.features.feature["x1"]
    handmade.write_split(tmp_path / "examples", [*rows[:-1], example.SerializeToString()])
    info, _ = load(examples=[handmade.examples_artifact(tmp_path / "examples")])
    assert not info.comparable and "Feature: x1" in info.message
