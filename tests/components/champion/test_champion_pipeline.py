"""ChampionLoader, Evaluator, Gate and Pusher in real LocalDagRunner runs."""

import os
from types import SimpleNamespace

import pytest
from tfx import v1 as tfx
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration import metadata
from tfx.types import standard_artifacts
from tfx.utils import path_utils

from tests.components.gate import handmade
from tfx_imbalance import artifacts
from tfx_imbalance.components.champion.component import ChampionLoader
from tfx_imbalance.components.champion.registry import latest_version
from tfx_imbalance.components.champion.report import ChampionInfo
from tfx_imbalance.components.compat import IN_PROCESS_BEAM
from tfx_imbalance.components.gate.component import Gate
from tfx_imbalance.components.gate.params import ChampionGate, GateParams
from tfx_imbalance.components.gate.report import Gating
from tfx_imbalance.components.names import EXTRA_DIR, TEST
from tfx_imbalance.components.report import REPORT_FILE
from tfx_imbalance.pipeline.evaluation import eval_config


class Lab:
    """A pipeline from imported examples, model and reports to a registry folder."""

    def __init__(self, folder):
        self.folder = folder
        self.serving = str(folder / "serving")
        records = handmade.encode(handmade.make_rows(2, n=120), handmade.CLASSES[2])
        handmade.write_split(folder / "examples", records, TEST)
        handmade.report_artifact(
            artifacts.ImbalanceReport, folder / "imbalance", handmade.imbalance()
        )

    def train(self, name, scale):
        """Puts a model and its report where `run` imports them from."""
        uri = self.folder / name
        handmade.model_artifact(uri / "model", handmade.CLASSES[2], scale)
        report = handmade.calibration(model_fingerprint=name)
        handmade.report_artifact(artifacts.CalibrationReport, uri / "report", report)
        extra = f"{path_utils.serving_model_dir(str(uri / 'model'))}/{EXTRA_DIR}"
        os.makedirs(extra)
        for file, content in (
            ("calibration.json", report.model_dump_json()),
            ("imbalance.json", handmade.imbalance().model_dump_json()),
            ("FeatureStats.pb", ""),
        ):
            with open(f"{extra}/{file}", "w") as out:
                out.write(content)

    def run(self, name):
        """Runs the pipeline on a trained model; states, reports and published outputs by node."""
        uri = self.folder / name
        imported = {
            "examples": (
                self.folder / "examples",
                standard_artifacts.Examples,
                {"split_names": '["test"]'},
                {"payload_format": "FORMAT_TF_EXAMPLE"},
            ),
            "imbalance": (self.folder / "imbalance", artifacts.ImbalanceReport, {}, {}),
            "model": (uri / "model", standard_artifacts.Model, {}, {}),
            "calibration": (uri / "report", artifacts.CalibrationReport, {}, {}),
        }
        importers = {
            key: Importer(
                source_uri=str(path), artifact_type=cls, properties=own, custom_properties=custom
            ).with_id(key)
            for key, (path, cls, own, custom) in imported.items()
        }
        given = {key: importer.outputs["result"] for key, importer in importers.items()}
        champion = ChampionLoader(
            imbalance_report=given["imbalance"],
            examples=given["examples"],
            registry_dir=self.serving,
            version=latest_version(self.serving) or "",
        )
        evaluator = tfx.components.Evaluator(
            examples=given["examples"],
            model=given["model"],
            baseline_model=champion.outputs["model"],
            eval_config=eval_config(),
            example_splits=[TEST],
        ).with_beam_pipeline_args(list(IN_PROCESS_BEAM))
        gate = Gate(
            evaluation=evaluator.outputs["evaluation"],
            model=given["model"],
            calibration_report=given["calibration"],
            imbalance_report=given["imbalance"],
            champion=champion.outputs["champion"],
            params=GateParams(champion=(ChampionGate(metric="brier"),)),
        )
        pusher = tfx.components.Pusher(
            model=given["model"],
            model_blessing=gate.outputs["blessing"],
            push_destination=tfx.proto.PushDestination(
                filesystem=tfx.proto.PushDestination.Filesystem(base_directory=self.serving)
            ),
        )
        connection = metadata.sqlite_metadata_connection_config(str(self.folder / "mlmd.sqlite"))
        tfx.orchestration.LocalDagRunner().run(
            tfx.dsl.Pipeline(
                pipeline_name="lab",
                pipeline_root=str(self.folder / "root"),
                components=[*importers.values(), champion, evaluator, gate, pusher],
                enable_cache=True,
                metadata_connection_config=connection,
            )
        )
        with metadata.Metadata(connection) as handle:
            return self._newest(handle.store)

    def _newest(self, store):
        found = {}
        for node in ("ChampionLoader", "Evaluator", "Gate", "Pusher"):
            (context,) = [c for c in store.get_contexts_by_type("node") if c.name == f"lab.{node}"]
            execution = max(store.get_executions_by_context(context.id), key=lambda e: e.id)
            events = store.get_events_by_execution_ids([execution.id])
            uris = {a.id: a.uri for a in store.get_artifacts_by_id([e.artifact_id for e in events])}
            found[node] = SimpleNamespace(
                cached=execution.last_known_state == execution.CACHED,
                inputs=_by_key(events, uris, events[0].INPUT),
                outputs=_by_key(events, uris, events[0].OUTPUT),
            )
        return SimpleNamespace(
            **{node.lower(): run for node, run in found.items()},
            champion=_read(found["ChampionLoader"].outputs["champion"], ChampionInfo),
            gating=_read(found["Gate"].outputs["report"], Gating),
        )


def _by_key(events, uris, kind):
    return {e.path.steps[0].key: uris[e.artifact_id] for e in events if e.type == kind}


def _read(uri, cls):
    with open(f"{uri}/{REPORT_FILE}") as file:
        return cls.model_validate_json(file.read())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A cold start that is blocked nowhere, the same again, and a better model."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.train("first", scale=0.5)
    lab.train("second", scale=1.0)
    cold = lab.run("first")
    version = latest_version(lab.serving)
    os.rename(lab.serving, f"{lab.serving}-aside")
    still_cold = lab.run("first")
    os.rename(f"{lab.serving}-aside", lab.serving)
    same = lab.run("first")
    return SimpleNamespace(
        cold=cold, still_cold=still_cold, same=same, better=lab.run("second"), version=version
    )


def test_cold_start_publishes_no_model_and_blocks_nothing(runs):
    assert set(runs.cold.championloader.outputs) == {"champion"}
    assert "baseline_model" not in runs.cold.evaluator.inputs
    assert not runs.cold.champion.comparable
    assert runs.cold.gating.verdict == "blessed"
    assert runs.cold.gating.results[0].verdict == "skipped"
    assert runs.version is not None


def test_an_execution_that_published_no_model_is_taken_from_the_cache(runs):
    for node in ("championloader", "evaluator", "gate"):
        assert getattr(runs.still_cold, node).cached
    assert set(runs.still_cold.championloader.outputs) == {"champion"}


def test_after_a_push_the_champion_is_the_baseline_and_the_same_model_unchanged(runs):
    assert not runs.same.championloader.cached
    assert set(runs.same.championloader.outputs) == {"champion", "model", "statistics"}
    assert runs.same.evaluator.inputs["baseline_model"] == runs.same.championloader.outputs["model"]
    assert runs.same.champion.version == runs.version
    assert runs.same.gating.verdict == "unchanged"


def test_a_better_model_is_blessed_against_the_champion_taken_from_the_cache(runs):
    assert runs.better.championloader.cached
    assert set(runs.better.championloader.outputs) == {"champion", "model", "statistics"}
    (result,) = runs.better.gating.results
    assert (runs.better.gating.verdict, result.verdict) == ("blessed", "pass")
    assert result.value < result.champion_value
