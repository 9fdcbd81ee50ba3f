"""What the tests on clusters need of this machine."""

import shutil
import subprocess
from pathlib import Path

import pytest


def fetch(script: Path) -> None:
    """Has a cluster's script download what it needs; skips where that is out of reach."""
    for tool, package in (("java", "openjdk-17-jre-headless"), ("mvn", "maven")):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} on PATH (apt-get install {package})")
    done = subprocess.run([script, "fetch"], capture_output=True, text=True)
    if "download by" in done.stderr:
        pytest.skip(f"cannot run here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
