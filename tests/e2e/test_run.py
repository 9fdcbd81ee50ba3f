"""Whole pipelines, from a CSV to a pushed model, in this process."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.workbench import Workbench, rows, write_csv
from tfx_imbalance.components import examples_io
from tfx_imbalance.components.names import ROW_ID, TEST, TRAIN, VAL

pytestmark = pytest.mark.e2e

DATA_NODES = {
    "StratifiedExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "ImbalanceDetector",
    "Transform",
    "Rebalancer",
}


def newest(workspace: Path, node: str, key: str) -> Path:
    """Folder of the newest artifact of a node."""
    folders = (workspace / "artifacts" / node / key).iterdir()
    return max(folders, key=lambda folder: int(folder.name))


def identities(artifact: Path, split: str) -> Counter:
    """Row identity and label of each row of a split."""
    files = sorted(map(str, (artifact / f"Split-{split}").glob("*")))
    decode = examples_io.decoder({ROW_ID: "int", "y": "bytes"}).DecodeBatch
    found: Counter = Counter()
    for block in examples_io.read_blocks(files):
        batch = decode(block)
        names = batch.schema.names
        ids, labels = (batch.column(names.index(c)).flatten().to_pylist() for c in (ROW_ID, "y"))
        found.update(zip(ids, labels, strict=True))
    return found


@pytest.fixture(scope="module")
def temp_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A temporary folder of the runs' own."""
    folder = tmp_path_factory.mktemp("temp")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        yield folder


@pytest.fixture(scope="module")
def pushed(make_workbench: Callable[..., Workbench], temp_folder: Path) -> Workbench:
    """A run that ends in a pushed model."""
    bench = make_workbench(
        rebalance={"method": "under", "sampling_strategy": 0.5},
        class_weights={"scheme": "balanced"},
        evaluate={"slices": ["job"]},
        checks={"slices": ["job"]},
    )
    assert bench.run() == 0
    return bench


def test_a_run_pushes_a_model_and_leaves_page_and_summary(pushed: Workbench) -> None:
    summary = pushed.summary
    assert summary["outcome"] == "pushed"
    assert summary["blessed"] is True
    assert (Path(summary["pushed_path"]) / "saved_model.pb").is_file()
    assert "<html" in (pushed.workspace / "latest" / "report.html").read_text()
    counts = summary["class_counts"]
    assert counts["rebalanced"]["no"] == 2 * counts["rebalanced"]["yes"]
    assert sum(sum(counts[s].values()) for s in (TRAIN, VAL, TEST)) == 2400


def test_nothing_is_left_in_the_temporary_folder(pushed: Workbench, temp_folder: Path) -> None:
    # TensorFlow removes its files of generated code when the process ends.
    assert [p.name for p in temp_folder.iterdir() if "autograph" not in p.name] == []


def test_pushed_probabilities_are_calibrated_though_weights_and_rates_moved_the_prior(
    pushed: Workbench,
) -> None:
    assert pushed.summary["metrics"][TEST]["ece"] < 0.08  # 360 rows: noise alone is about 0.04


def test_val_and_test_are_not_rebalanced(pushed: Workbench) -> None:
    raw = newest(pushed.workspace, "StratifiedExampleGen", "examples")
    rebalanced = newest(pushed.workspace, "Rebalancer", "examples")
    assert identities(rebalanced, VAL) == identities(raw, VAL)
    assert not (rebalanced / f"Split-{TEST}").exists()
    assert set(identities(rebalanced, TRAIN)) <= set(identities(raw, TRAIN))


def test_the_pushed_model_scores_in_plain_tensorflow_what_the_report_says(
    pushed: Workbench, tmp_path: Path
) -> None:
    raw = newest(pushed.workspace, "StratifiedExampleGen", "examples")
    code = f"""
import glob, json, sys
import tensorflow as tf
model = tf.saved_model.load({pushed.summary["pushed_path"]!r})
files = sorted(glob.glob({str(raw / "Split-test" / "*")!r}))
records = list(tf.data.TFRecordDataset(files, "GZIP"))
out = model.signatures["serving_default"](tf.stack(records))
truth = []
for record in records:
    example = tf.train.Example.FromString(record.numpy())
    truth.append(example.features.feature["y"].bytes_list.value[0].decode())
assert not {{"tfx", "tensorflow_transform", "tensorflow_model_analysis"}} & set(sys.modules)
print(json.dumps([out["probability"].numpy().tolist(), out["decision"].numpy().tolist(), truth]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    probability, decision, truth = json.loads(done.stdout.splitlines()[-1])
    y = np.array([label == "yes" for label in truth])
    said = pushed.summary["metrics"][TEST]
    assert np.mean((np.array(probability) - y) ** 2) == pytest.approx(said["brier"], abs=1e-6)
    assert np.mean(np.array(decision)[y]) == pytest.approx(said["recall"], abs=1e-6)


def test_the_same_again_is_all_cache_and_pushes_nothing(pushed: Workbench) -> None:
    versions = sorted(pushed.summary["pushed_path"])
    assert pushed.run() == 0
    assert pushed.summary["outcome"] == "unchanged"
    assert all(pushed.cached[node] for node in {*DATA_NODES, "Trainer", "Calibrator"})
    assert len(list((pushed.workspace / "serving").iterdir())) == 1, versions


def test_one_cell_changed_within_the_same_second_and_size_reruns_ingest(
    make_workbench: Callable[..., Workbench],
) -> None:
    import os

    bench = make_workbench(gates={"absolute": [{"metric": "auc", "min": 0.999}]})
    path = bench.folder / "data.csv"
    assert bench.run() == 3
    assert bench.summary["outcome"] == "not blessed"
    failed = [gate for gate in bench.summary["gates"] if gate["verdict"] == "fail"]
    assert "0.999" in failed[0]["message"] and "auc" in failed[0]["message"]
    assert not any((bench.workspace / "serving").iterdir())

    stat = path.stat()
    path.write_bytes(path.read_bytes().replace(b"clerk", b"nurse", 1))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size
    assert bench.run() == 3
    assert not bench.cached["StratifiedExampleGen"]


def test_splits_and_rebalanced_rows_depend_on_content_and_seed_alone(
    pushed: Workbench, make_workbench: Callable[..., Workbench]
) -> None:
    shuffled = make_workbench(**{k: v for k, v in pushed.config.items() if k not in ("output",)})
    content = rows()
    np.random.default_rng(1).shuffle(order := np.arange(len(content)))
    (shuffled.folder / "data.csv").unlink()
    (folder := shuffled.folder / "parts").mkdir()
    for i in range(3):
        write_csv(folder / f"part-{i}.csv", [content[j] for j in order[i::3]])
    shuffled.config["data"] = {**shuffled.config["data"], "path": "parts"}
    assert shuffled.run() == 0
    for node, key, splits in (
        ("StratifiedExampleGen", "examples", (TRAIN, VAL, TEST)),
        ("Rebalancer", "examples", (TRAIN, VAL)),
    ):
        one, two = (newest(b.workspace, node, key) for b in (pushed, shuffled))
        for split in splits:
            assert identities(one, split) == identities(two, split)


def test_a_failed_data_check_stops_the_run_and_is_explained(
    make_workbench: Callable[..., Workbench],
) -> None:
    bench = make_workbench(checks={"fail_on": {"severity": "moderate"}})
    assert bench.run() == 4
    summary = bench.summary
    assert summary["outcome"] == "data check failed"
    assert "moderate" in summary["message"]
    assert summary["class_counts"][TRAIN]
    assert "moderate" in (bench.workspace / "latest" / "report.html").read_text()
    assert not (bench.workspace / "artifacts" / "Transform").exists()


RUN_FN = '''
"""A user's own training."""
import tensorflow as tf

MARK = {mark}


class Model(tf.Module):
    def __init__(self, weights):
        self.bias = tf.Variable(weights[1] / (weights[0] + weights[1]), dtype=tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(self, examples):
        parsed = tf.io.parse_example(examples, {{"age": tf.io.FixedLenFeature([1], tf.int64)}})
        age = tf.cast(parsed["age"], tf.float32)
        return {{"outputs": tf.sigmoid((age - 50.0) / 30.0 - 1.0 + 0.0 * self.bias)}}


def run_fn(fn_args):
    model = Model(fn_args.custom_config["class_weights"])
    tf.saved_model.save(model, fn_args.serving_model_dir, {{"serving_default": model.serve}})
'''


def test_a_user_s_run_fn_trains_and_an_edit_of_it_reruns_the_trainer_alone(
    make_workbench: Callable[..., Workbench],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = tmp_path_factory.mktemp("code")
    module = code / "my_training.py"
    module.write_text(RUN_FN.format(mark=1))
    monkeypatch.syspath_prepend(str(code))
    bench = make_workbench(
        train={"run_fn": "my_training.run_fn"}, class_weights={"scheme": "balanced"}
    )
    assert bench.run() == 0
    module.write_text(RUN_FN.format(mark=2))
    assert bench.run() == 0
    assert not bench.cached["Trainer"]
    assert all(cached for node, cached in bench.cached.items() if node in DATA_NODES)


def test_nothing_is_left_of_a_run_that_another_one_holds_up(
    make_workbench: Callable[..., Workbench],
) -> None:
    import filelock

    from tfx_imbalance.components.errors import UserError

    bench = make_workbench()
    bench.workspace.mkdir(parents=True)
    with filelock.FileLock(bench.workspace / ".lock"), pytest.raises(UserError, match="at work"):
        bench.run()
    assert not (bench.workspace / "latest").exists()
