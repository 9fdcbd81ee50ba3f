"""What the tests on clusters need of this machine, and what they run."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest

from tfx_imbalance.components import tfrecord
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.params import Method, RebalanceParams
from tfx_imbalance.components.rebalancer.rebalance import rebalance


def fetch(script: Path) -> None:
    """Has a cluster's script download what it needs; skips where that is out of reach."""
    for tool, package in (("java", "openjdk-17-jre-headless"), ("mvn", "maven")):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} on PATH (apt-get install {package})")
    done = subprocess.run([script, "fetch"], capture_output=True, text=True)
    if "download by" in done.stderr:
        pytest.skip(f"cannot run here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


def rebalanced(
    make_pipeline: Callable[[], beam.Pipeline], files: list[str], out: Path, method: Method
) -> Counter[bytes]:
    """The records that a method makes of examples with features a and b and label y, as written."""
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
