"""Rebalancer on a real Spark cluster: a master, two workers, and Python workers beside them."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest

from tests.e2e import engines
from tfx_imbalance.components import example_encoder, tfrecord
from tfx_imbalance.components.compat import IN_PROCESS_BEAM
from tfx_imbalance.components.rebalancer.params import Method

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


@pytest.mark.parametrize("method", ["over", "under", "smote", "tomek_links"])
def test_rebalancing_gives_the_rows_of_the_in_memory_runner(
    options: list[str], files: list[str], tmp_path: Path, method: Method
) -> None:
    def on(argv: list[str], folder: str) -> Counter[bytes]:
        out = tmp_path / folder / "train"
        return engines.rebalanced(lambda: beam.Pipeline(argv=argv), files, out, method)

    assert on(options, "spark") == on(list(IN_PROCESS_BEAM), "memory")
