"""Beam nodes on a real Flink cluster: a JobManager, two TaskManagers and workers in processes."""

import json
import os
import re
import signal
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_data_validation import StatsOptions
from tensorflow_data_validation.utils.stats_util import load_stats_binary as load_statistics
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.components.statistics_gen import executor as statistics_gen
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import proto_utils

from tests.e2e import engines
from tests.e2e.workbench import rows, write_csv
from tfx_imbalance.components import example_encoder, tfrecord
from tfx_imbalance.components.compat import IN_PROCESS_BEAM
from tfx_imbalance.components.errors import UserError
from tfx_imbalance.components.example_gen import executor as ingest
from tfx_imbalance.components.example_gen.component import StratifiedExampleGen
from tfx_imbalance.components.example_gen.params import IngestParams
from tfx_imbalance.components.names import SPLITS
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import Method, RebalanceParams
from tfx_imbalance.components.rebalancer.rebalance import rebalance

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "flink.sh"
NATIVE = [method for method in get_args(Method) if method not in ("none", "imblearn")]
CATEGORICAL = {"smote_nc": ("c", "d"), "smote_n": ("c", "d")}
ROWS = {"no": 900, "perhaps": 260, "yes": 90}


@dataclass(frozen=True)
class Flink:
    """The cluster that the script has started for these tests."""

    state: Path

    def call(self, command: str) -> str:
        done = subprocess.run(
            [SCRIPT, command, "--state", self.state], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def facts(self) -> dict[str, Any]:
        return json.loads((self.state / "cluster.json").read_text())

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://localhost:{self.facts['rest']}{path}") as answer:
            return json.load(answer)

    def pipeline(self) -> beam.Pipeline:
        return beam.Pipeline(argv=self.call("options").split())


def in_memory() -> beam.Pipeline:
    return beam.Pipeline(argv=list(IN_PROCESS_BEAM))


@pytest.fixture(scope="module")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flink]:
    engines.fetch(SCRIPT)
    cluster = Flink(tmp_path_factory.mktemp("flink"))
    size = ["--task-managers", "2", "--slots", "2"]
    started = subprocess.run(
        [SCRIPT, "start", "--state", cluster.state, *size], capture_output=True, text=True
    )
    try:
        assert started.returncode == 0, started.stderr
        yield cluster
    finally:
        cluster.call("stop")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three files of examples, with numeric columns a, b and categorical ones c, d."""
    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(5)
    labels = np.repeat(list(ROWS), list(ROWS.values()))
    rng.shuffle(labels)
    n = len(labels)
    shift = np.select([labels == "yes", labels == "perhaps"], [1.5, 0.8])
    a, b = rng.normal(shift), rng.gamma(2.0, size=n) + shift
    c, d = rng.integers(0, 3, n), rng.integers(0, 5, n)
    paths = [str(folder / f"part-{i}.gz") for i in range(3)]
    for i, path in enumerate(paths):
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for j in range(i, n, 3):
                example = tf.train.Example()
                for name, value in (("a", a[j]), ("b", b[j])):
                    example.features.feature[name].float_list.value.append(value)
                for name, value in (("c", c[j]), ("d", d[j]), ("_row_id", j * 7919 - n)):
                    example.features.feature[name].int64_list.value.append(int(value))
                example.features.feature["y"].bytes_list.value.append(labels[j].encode())
                writer.write(example.SerializeToString(deterministic=True))
    return paths


def features_of(method: str) -> Features:
    numeric = () if method == "smote_n" else ("a", "b")
    return Features(dict.fromkeys(numeric, "float"), CATEGORICAL.get(method, ()))


def records(folder: Path) -> Counter[bytes]:
    """The examples of all files, each in one canonical form."""
    found: Counter[bytes] = Counter()
    for path in sorted(folder.iterdir()):
        for record in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator():
            example = tf.train.Example.FromString(record)
            found[example.SerializeToString(deterministic=True)] += 1
    return found


def rebalanced(make_pipeline: Any, files: list[str], out: Path, method: str) -> Counter[bytes]:
    rebalance(
        make_pipeline,
        files,
        str(out),
        label="y",
        classes=list(ROWS),
        features=features_of(method),
        params=RebalanceParams(method=method, seed=3),
    )
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    return records(out)


@pytest.mark.parametrize("method", NATIVE)
def test_each_native_method_gives_the_rows_of_the_in_memory_runner(
    flink: Flink, files: list[str], tmp_path: Path, method: str
) -> None:
    there = rebalanced(flink.pipeline, files, tmp_path / "flink" / "train", method)
    here = rebalanced(in_memory, files, tmp_path / "memory" / "train", method)
    assert there == here


@pytest.mark.timeout(300)
def test_a_step_may_hand_on_more_than_worker_and_runner_hold_in_their_queues(
    flink: Flink, tmp_path: Path
) -> None:
    """Beam's own worker pool waits for ever here: see beam_workers._of_any_size."""
    said = tmp_path / "said"
    options = [*flink.call("options").split(), "--parallelism=1"]
    with beam.Pipeline(argv=options) as pipeline:
        one = pipeline | "One" >> beam.Create([1])
        blocks = (
            pipeline
            | "Counts" >> beam.Create([140])
            | "Make" >> beam.FlatMap(lambda n: (bytes(11 << 20) for _ in range(n)))
        )
        # Begins a stage, as a step with a side input does on Flink.
        counted = blocks | "Take" >> beam.Map(lambda block, one: one, beam.pvalue.AsSingleton(one))
        _ = (
            counted
            | beam.CombineGlobally(sum)
            | "Say" >> beam.Map(lambda n, path: path.write_text(str(n)), said)
        )
    assert said.read_text() == "140"


def test_a_users_mistake_is_told_in_its_own_words(
    flink: Flink, files: list[str], tmp_path: Path
) -> None:
    def run(make_pipeline: Any) -> str:
        params = RebalanceParams(method="smote", k_neighbors=500)
        with pytest.raises(UserError) as caught:
            rebalance(
                make_pipeline,
                files,
                str(tmp_path / "train"),
                label="y",
                classes=list(ROWS),
                features=features_of("smote"),
                params=params,
            )
        return str(caught.value)

    assert run(flink.pipeline) == run(in_memory)


@pytest.fixture(scope="module")
def ingested(
    flink: Flink, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, standard_artifacts.Examples]:
    """Examples of four CSV files, made on Flink and in memory."""
    data = tmp_path_factory.mktemp("csv")
    content = rows(4000)
    for i in range(4):
        write_csv(data / f"part-{i}.csv", content[i::4])
    made = {}
    for name, make_pipeline in (("flink", flink.pipeline), ("memory", in_memory)):
        component = StratifiedExampleGen(path=str(data), params=IngestParams(label="y", seed=3))
        properties = {
            key: proto_utils.proto_to_json(value) if hasattr(value, "DESCRIPTOR") else value
            for key, value in component.exec_properties.items()
        }
        made[name] = standard_artifacts.Examples()
        made[name].uri = str(tmp_path_factory.mktemp(name) / "examples")
        context = ingest.Executor.Context(make_beam_pipeline_fn=make_pipeline)
        ingest.Executor(context).Do({}, {"examples": [made[name]]}, properties)
    return made


def test_ingest_gives_the_rows_of_the_in_memory_runner(
    ingested: dict[str, standard_artifacts.Examples],
) -> None:
    there, here = ingested["flink"], ingested["memory"]
    for split in SPLITS:
        folders = [Path(artifact_utils.get_split_uri([each], split)) for each in (there, here)]
        found, expected = map(records, folders)
        assert found == expected and found
    assert there.get_string_custom_property("split_counts") == here.get_string_custom_property(
        "split_counts"
    )


def test_statistics_are_those_of_the_in_memory_runner(
    flink: Flink, ingested: dict[str, standard_artifacts.Examples], tmp_path: Path
) -> None:
    found = {}
    for name, make_pipeline in (("flink", flink.pipeline), ("memory", in_memory)):
        output = standard_artifacts.ExampleStatistics()
        output.uri = str(tmp_path / name)
        context = statistics_gen.Executor.Context(make_beam_pipeline_fn=make_pipeline)
        statistics_gen.Executor(context).Do(
            {"examples": [ingested["memory"]]},
            {"statistics": [output]},
            {"stats_options_json": StatsOptions().to_json(), "exclude_splits": "[]"},
        )
        found[name] = {
            split: load_statistics(f"{tmp_path / name}/Split-{split}/FeatureStats.pb")
            for split in SPLITS
        }
    for split in SPLITS:
        assert canonical(found["flink"][split]) == canonical(found["memory"][split])


def canonical(statistics: statistics_pb2.DatasetFeatureStatisticsList) -> dict[str, Any]:
    """What does not depend on the order in which TFDV's sketches were merged."""
    [dataset] = statistics.datasets
    found: dict[str, Any] = {"rows": dataset.num_examples}
    for feature in dataset.features:
        numbers, strings = feature.num_stats, feature.string_stats
        common = (numbers if feature.HasField("num_stats") else strings).common_stats
        found[feature.path.step[0]] = (
            feature.type,
            common.num_non_missing,
            common.tot_num_values,
            numbers.min,
            numbers.max,
            numbers.num_zeros,
            pytest.approx(numbers.mean, rel=1e-9),
            pytest.approx(numbers.std_dev, rel=1e-9),
            strings.unique,
            sorted((b.label, b.sample_count) for b in strings.rank_histogram.buckets),
        )
    return found


def write_many(folder: Path, rows_each: int, count: int) -> list[str]:
    """Files of examples of two numeric features and the label, about 8 % 'yes'."""
    folder.mkdir()
    paths = []
    for i in range(count):
        rng = np.random.default_rng(i)
        labels = np.where(rng.random(rows_each) < 0.08, b"yes", b"no").astype(object)
        columns = {
            **{name: rng.normal(size=rows_each).astype(np.float32) for name in "ab"},
            "_row_id": np.arange(rows_each) + i * rows_each,
            "y": labels,
        }
        paths.append(str(folder / f"part-{i}.gz"))
        with tfrecord.Writer(paths[-1]) as writer:
            for frames in example_encoder.encode(columns, rows_each):
                writer.write(frames.buffer)
    return paths


def test_a_killed_task_manager_costs_no_row_and_doubles_none(flink: Flink, tmp_path: Path) -> None:
    files = write_many(tmp_path / "in", rows_each=60_000, count=6)
    known = {job["id"] for job in flink.get("/jobs")["jobs"]}
    killed: dict[str, str] = {}

    def kill_one_that_writes() -> None:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and not killed:
            time.sleep(0.02)
            if not any(part.stat().st_size for part in tmp_path.glob("flink/train.writing-*/*")):
                continue
            for job in flink.get("/jobs")["jobs"]:
                if job["id"] not in known and (name := a_writer(flink, job["id"])):
                    os.kill(flink.facts["pids"][name], signal.SIGKILL)
                    killed[job["id"]] = name
                    break

    def two_at_once() -> beam.Pipeline:
        return beam.Pipeline(argv=[*flink.call("options").split(), "--parallelism=2"])

    killer = threading.Thread(target=kill_one_that_writes)
    killer.start()
    found = engines.rebalanced(two_at_once, files, tmp_path / "flink" / "train", "smote")
    killer.join()
    [job] = killed
    flink.call("add")
    assert was_tried_again(flink, job)
    assert [path.name for path in (tmp_path / "flink").iterdir()] == ["train"]
    there = tmp_path / "memory" / "train"
    assert found == engines.rebalanced(in_memory, files, there, "smote")


def a_writer(flink: Flink, job: str) -> str | None:
    """A TaskManager that is just writing the job's rows."""
    for vertex in flink.get(f"/jobs/{job}")["vertices"]:
        if vertex["status"] == "RUNNING" and re.search(r"\bWrite\b", vertex["name"]):
            for part in flink.get(f"/jobs/{job}/vertices/{vertex['id']}")["subtasks"]:
                if part["status"] == "RUNNING":
                    return part["taskmanager-id"]
    return None


def was_tried_again(flink: Flink, job: str) -> bool:
    return any(
        part["attempt"] > 0
        for vertex in flink.get(f"/jobs/{job}")["vertices"]
        for part in flink.get(f"/jobs/{job}/vertices/{vertex['id']}")["subtasks"]
    )
