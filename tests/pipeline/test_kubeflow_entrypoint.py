"""A node's container takes what the open backend hands it, and leaves what its launcher reads."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.dsl.components.base import base_beam_executor, base_executor
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.types import standard_artifacts

from tests.components.gate import handmade
from tfx_imbalance import artifacts
from tfx_imbalance.components import artifact_io
from tfx_imbalance.components.champion.report import ChampionInfo
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.pipeline.runners import kubeflow_entrypoint

CHAMPION_LOADER = "tfx_imbalance.components.champion.executor.Executor"
DRIFT_CHECK = "tfx_imbalance.components.drift_check.executor.Executor"


def _schema(artifact_type: Any) -> dict[str, str]:
    text = compiler_utils.get_artifact_schema(artifact_type)
    return {"instanceSchema": text if isinstance(text, str) else text.decode()}


def _output(artifact_type: Any, uri: object) -> dict[str, Any]:
    """As the driver provisions it."""
    return {"artifacts": [{"uri": str(uri), "type": _schema(artifact_type), "metadata": {}}]}


def _input(uri: object, **metadata: Any) -> dict[str, Any]:
    """As ML Metadata hands it on: of no type, with properties of the backend's own."""
    own = {"display_name": "x", "store_session_info": "{}"}
    artifact = {"name": "17", "uri": str(uri), "type": {"instanceSchema": ""}}
    return {"artifacts": [artifact | {"metadata": metadata | own}]}


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """run(executor, inputs, outputs, parameters, *beam) -> (exit code, output artifacts)."""

    def run(
        executor: Any,
        inputs: dict[str, tuple[Any, dict[str, Any]]],
        outputs: dict[str, dict[str, Any]],
        parameters: dict[str, Any],
        *beam: str,
    ) -> tuple[int, dict[str, Any]]:
        if not isinstance(executor, str):
            executor = f"{executor.__module__}.{executor.__name__}"
        output_file = tmp_path / "kfp_outputs" / "output_metadata.json"
        spec = {
            "artifacts": {k: {"artifactType": _schema(cls)} for k, (cls, _) in inputs.items()},
            "parameters": {
                k: {"parameterType": "STRING" if isinstance(v, str) else "NUMBER_INTEGER"}
                for k, v in parameters.items()
            },
        }
        invocation = {
            "inputs": {
                "artifacts": {key: artifact for key, (_, artifact) in inputs.items()},
                "parameterValues": parameters,
            },
            "outputs": {"artifacts": outputs, "outputFile": str(output_file)},
        }
        code = kubeflow_entrypoint.main(
            [
                *("--executor_class_path", executor),
                *("--json_serialized_invocation_args", json.dumps(invocation)),
                *("--json_serialized_inputs_spec_args", json.dumps(spec)),
                *beam,
            ]
        )
        if not output_file.exists():
            return code, {}
        text = output_file.read_text()
        json_format.Parse(text, pipeline_spec_pb2.ExecutorOutput())  # strictly, as the launcher
        listed = json.loads(text).get("artifacts", {})
        return code, {key: artifact["artifacts"][0] for key, artifact in listed.items()}

    return run


def _outputs(root: Path) -> dict[str, dict[str, Any]]:
    return {
        "champion": _output(artifacts.Champion, root / "champion"),
        "model": _output(standard_artifacts.Model, root / "model"),
        "statistics": _output(standard_artifacts.ExampleStatistics, root / "statistics"),
    }


@pytest.fixture
def imbalance_report(tmp_path: Path) -> tuple[Any, dict[str, Any]]:
    handmade.report_artifact(
        artifacts.ImbalanceReport, tmp_path / "imbalance", handmade.imbalance()
    )
    return artifacts.ImbalanceReport, _input(tmp_path / "imbalance")


def test_a_cold_start_marks_the_outputs_that_the_node_left_out(
    run: Any, tmp_path: Path, imbalance_report: tuple[Any, dict[str, Any]]
) -> None:
    code, made = run(
        CHAMPION_LOADER,
        {"imbalance_report": imbalance_report},
        _outputs(tmp_path / "out"),
        {"registry_dir": str(tmp_path / "serving"), "code_fingerprint": "x"},
    )
    assert code == 0
    assert {k for k, a in made.items() if a["metadata"].get("absent") == "1"} == {
        "model",
        "statistics",
    }
    assert {key: artifact["uri"] for key, artifact in made.items()} == {
        key: str(tmp_path / "out" / key) for key in ("champion", "model", "statistics")
    }
    champion = handmade.artifact(artifacts.Champion, tmp_path / "out" / "champion")
    info = artifact_io.read_report({"champion": [champion]}, "champion", ChampionInfo)
    assert info.version is None


def test_without_a_version_the_newest_that_is_complete_is_the_champion(
    run: Any, tmp_path: Path, imbalance_report: tuple[Any, dict[str, Any]]
) -> None:
    for version in ("7", "12", "13"):
        (tmp_path / "serving" / version).mkdir(parents=True)
    for version in ("7", "12"):
        (tmp_path / "serving" / version / "saved_model.pb").write_bytes(b"")
    code, _ = run(
        CHAMPION_LOADER,
        {"imbalance_report": imbalance_report},
        _outputs(tmp_path / "out"),
        {"registry_dir": str(tmp_path / "serving"), "code_fingerprint": "x"},
    )
    champion = handmade.artifact(artifacts.Champion, tmp_path / "out" / "champion")
    info = artifact_io.read_report({"champion": [champion]}, "champion", ChampionInfo)
    assert (code, info.version) == (0, "12")


class Recorder(base_executor.BaseExecutor):
    """Keeps what it was given, for the test to look at."""

    given: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]
    flags: list[str]

    def Do(
        self,
        input_dict: dict[str, Any],
        output_dict: dict[str, Any],
        exec_properties: dict[str, Any],
    ) -> None:
        type(self).given = (input_dict, dict(output_dict), exec_properties)
        type(self).flags = self._extra_flags


def test_an_input_that_its_producer_left_out_is_not_connected(run: Any, tmp_path: Path) -> None:
    inputs = {
        "baseline_model": (standard_artifacts.Model, _input(tmp_path / "m", absent="1")),
        "model": (standard_artifacts.Model, _input(tmp_path / "model")),
    }
    assert run(Recorder, inputs, {}, {})[0] == 0
    assert set(Recorder.given[0]) == {"model"}


def test_inputs_have_the_type_that_the_spec_declares_and_their_own_properties(
    run: Any, tmp_path: Path
) -> None:
    examples = _input(
        tmp_path / "examples", span=3.0, split_names='["train"]', split_counts="{}", rows=12.0
    )
    code, _ = run(Recorder, {"examples": (standard_artifacts.Examples, examples)}, {}, {})
    assert code == 0
    [artifact] = Recorder.given[0]["examples"]
    assert type(artifact) is standard_artifacts.Examples
    assert (artifact.uri, artifact.span) == (str(tmp_path / "examples"), 3)
    assert artifact.split_names == '["train"]'
    assert artifact.get_string_custom_property("split_counts") == "{}"
    assert artifact.get_int_custom_property("rows") == 12
    for name in ("display_name", "store_session_info"):
        assert not artifact.has_custom_property(name)


def test_an_artifact_without_a_name_is_taken(run: Any, tmp_path: Path) -> None:
    model = _input(tmp_path / "model")
    model["artifacts"][0]["name"] = ""
    assert run(Recorder, {"model": (standard_artifacts.Model, model)}, {}, {})[0] == 0
    assert Recorder.given[0]["model"][0].id != 0


def test_outputs_of_the_backends_own_are_left_to_it(run: Any, tmp_path: Path) -> None:
    logs = {"artifacts": [{"uri": "s3://b/logs", "type": {"schemaTitle": "system.Artifact"}}]}
    model = _output(standard_artifacts.Model, tmp_path / "model")
    code, made = run(Recorder, {}, {"model": model, "executor-logs": logs}, {})
    assert (code, set(made), set(Recorder.given[1])) == (0, {"model"}, {"model"})


def test_parameters_have_their_types_and_may_be_empty(run: Any) -> None:
    assert run(Recorder, {}, {}, {"only_span": "", "number": 5.0})[0] == 0
    assert Recorder.given[2] == {"only_span": "", "number": 5}
    assert isinstance(Recorder.given[2]["number"], int)


def test_what_a_failed_attempt_left_is_gone(run: Any, tmp_path: Path) -> None:
    left = tmp_path / "model" / "Split-train" / "old.gz"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"old")
    model = _output(standard_artifacts.Model, tmp_path / "model")
    assert run(Recorder, {}, {"model": model}, {})[0] == 0
    assert list((tmp_path / "model").iterdir()) == []


def test_a_store_that_tensorflow_cannot_open_is_reached_by_the_launchers_folders(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kubeflow_entrypoint._LOCAL, "minio", f"{tmp_path}/minio/")
    there = tmp_path / "minio" / "bucket" / "model"
    there.mkdir(parents=True)
    uri = "minio://bucket/model"
    code, made = run(
        Recorder,
        {"model": (standard_artifacts.Model, _input(uri))},
        {"pushed": _output(standard_artifacts.PushedModel, "minio://bucket/pushed")},
        {},
    )
    assert code == 0
    assert Recorder.given[0]["model"][0].uri == str(there)
    assert Recorder.given[1]["pushed"][0].uri == f"{tmp_path}/minio/bucket/pushed"
    assert (tmp_path / "minio" / "bucket" / "pushed").is_dir()
    assert made["pushed"]["uri"] == "minio://bucket/pushed"


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("gs://b/a/c", "/gcs/b/a/c"),
        ("s3://b/a", "/s3/b/a"),
        ("minio://b/a", "/minio/b/a"),
    ],
)
def test_the_launchers_folders_are_those_of_its_sources(uri: str, folder: str) -> None:
    assert kubeflow_entrypoint.launcher_path(uri) == folder


class BeamRecorder(base_beam_executor.BaseBeamExecutor):
    """Keeps Beam's options."""

    options: list[str]

    def Do(
        self,
        input_dict: dict[str, Any],
        output_dict: dict[str, Any],
        exec_properties: dict[str, Any],
    ) -> None:
        type(self).options = self._beam_pipeline_args


def test_options_that_are_not_ours_are_beams(run: Any) -> None:
    options = ["--runner=FnApiRunner", "--sdk_container_image=unused"]
    options += ["--experiments=a", "--experiments=b"]
    assert run(BeamRecorder, {}, {}, {}, *options)[0] == 0
    assert [o for o in BeamRecorder.options if o in options] == options


class Failing(base_executor.BaseExecutor):
    """Raises what the test sets."""

    error: Exception

    def Do(
        self,
        input_dict: dict[str, Any],
        output_dict: dict[str, Any],
        exec_properties: dict[str, Any],
    ) -> None:
        raise self.error


def test_a_users_mistake_is_one_line_and_a_fault_of_ours_a_traceback(
    run: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    Failing.error = UserError("data.path: no file a.csv [while running 'Read']")
    assert run(Failing, {}, {}, {}) == (2, {})
    assert capsys.readouterr().err.splitlines()[-1] == "error: data.path: no file a.csv"
    Failing.error = ValueError("odd")
    assert run(Failing, {}, {}, {}) == (1, {})
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "ValueError: odd" in shown
