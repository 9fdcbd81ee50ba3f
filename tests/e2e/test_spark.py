"""Rebalancer on a real Spark cluster: a master, two workers, and Python workers beside them."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

from tests.e2e import engines
from tfx_imbalance.components import example_encoder, tfrecord
from tfx_imbalance.components.compat import IN_PROCESS_BEAM
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.rebalance import rebalance

pytestmark = [pytest.mark.slow, pytest.mark.e2e]

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "spark.sh"


def call(command: str, state: Path) -> str:
    done = subprocess.run([SCRIPT, command, "--state", state], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """Beam's options for the cluster."""
    engines.fetch(SCRIPT)
    state = tmp_path_factory.mktemp("spark")
    try:
        call("start", state)
        yield call("options", state).split()
    finally:
        call("stop", state)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Three files of examples of two numeric features and the label, about 10 % 'yes'."""
    folder = tmp_path_factory.mktemp("examples")
    paths = [str(folder / f"part-{i}.gz") for i in range(3)]
    for i, path in enumerate(paths):
        rng = np.random.default_rng(i)
        columns = {
            **{name: rng.normal(size=400).astype(np.float32) for name in "ab"},
            "_row_id": np.arange(400) + i * 400,
            "y": np.where(rng.random(400) < 0.1, b"yes", b"no").astype(object),
        }
        with tfrecord.Writer(path) as writer:
            for frames in example_encoder.encode(columns, 400):
                writer.write(frames.buffer)
    return paths


def rebalanced(argv: list[str], files: list[str], out: Path, method: str) -> Counter[bytes]:
    def make_pipeline() -> Any:
        return beam.Pipeline(argv=argv)

    rebalance(
        make_pipeline,
        files,
        str(out),
        label="y",
        classes=["no", "yes"],
        features=Features({"a": "float", "b": "float"}),
        params=RebalanceParams(method=method, seed=3),
    )
    return Counter(
        payload
        for path in sorted(out.iterdir())
        for frames in tfrecord.read_frames(str(path))
        for payload in frames.payloads()
    )


@pytest.mark.parametrize("method", ["over", "under", "smote", "tomek_links"])
def test_rebalancing_gives_the_rows_of_the_in_memory_runner(
    options: list[str], files: list[str], tmp_path: Path, method: str
) -> None:
    there = rebalanced(options, files, tmp_path / "spark" / "train", method)
    assert there == rebalanced(list(IN_PROCESS_BEAM), files, tmp_path / "memory" / "train", method)
