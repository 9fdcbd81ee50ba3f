"""Serving of pushed models of bank on one core: raw serialized examples in, decisions out.

Each model is loaded by a process of its own that is bound to one core and knows plain TensorFlow
alone. Latency is that of one row a call; throughput that of batches of 1,024.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks._bank import ROOT, run_config
from benchmarks.claims import Claim

LEARNERS = ("mlp", "boosted_trees")
MAX_MILLISECONDS, MIN_ROWS = 10, 10_000

_SERVE = """
import glob, json, os, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
files = glob.glob(sys.argv[2])
records = list(tf.data.TFRecordDataset(files, "GZIP").take(4096).as_numpy_iterator())
def seconds(batch):
    examples = tf.constant(batch)
    start = time.perf_counter()
    {name: value.numpy() for name, value in model(examples=examples).items()}
    return time.perf_counter() - start
for _ in range(20):
    seconds(records[:1]), seconds(records[:1024])
one = [seconds([record]) for record in records[:1000]]
many = [seconds(records[i : i + 1024]) for i in range(0, 4096, 1024) for _ in range(5)]
print(json.dumps({"p50": np.median(one), "p99": np.quantile(one, 0.99), "rate": 1024 / min(many)}))
"""


def run() -> Iterator[Claim]:
    """Yields, for each learner, latency and throughput."""
    with tempfile.TemporaryDirectory(prefix="learner_serving-") as folder:
        for name in LEARNERS:
            path = ROOT / "configs" / "learners" / "bank.yaml"
            own = {"name": "bank", "gates": {"champion": []}, "train": {"learner": name}}
            finished = run_config(path, Path(folder), own)
            model = finished.summary["pushed_path"]
            raw = finished.workspace / "artifacts" / "StratifiedExampleGen" / "examples"
            found = _served(str(model), str(raw / "*" / "Split-test" / "*"))
            yield Claim(
                f"serve {name}: one row a call, one core, median",
                ours=found["p50"] * 1000,
                peer=None,
                ratio=None,
                unit="ms",
                bar=f"< {MAX_MILLISECONDS}",
                ok=found["p50"] * 1000 < MAX_MILLISECONDS,
                detail=f"99th percentile {found['p99'] * 1000:.2f} ms",
            )
            yield Claim(
                f"serve {name}: batches of 1,024, one core",
                ours=found["rate"],
                peer=None,
                ratio=None,
                unit="rows/s",
                bar=f">= {MIN_ROWS:,}",
                ok=found["rate"] >= MIN_ROWS,
                detail="the best of 20 batches",
            )


def _served(model: str, examples: str) -> dict[str, float]:
    threads = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", _SERVE, model, examples],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **threads},
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found
