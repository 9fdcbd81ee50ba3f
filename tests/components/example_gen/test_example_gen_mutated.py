"""Damaged files are read as pandas, pyarrow and TensorFlow read them, or refused.

Never with a traceback, a hang or a crash. What is tried stands in mutated.py.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("csv", 500), ("parquet", 200), ("tfrecord", 200)])
def test_damaged_files_are_read_right_or_refused(tmp_path, kind, count):
    module = "tests.components.example_gen.mutated"
    done = subprocess.run(
        [sys.executable, "-m", module, kind, str(count), str(tmp_path)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    last = done.stderr.splitlines()[-40:]
    assert done.returncode == 0, f"it crashed or hung at the last of: {last}"
    *wrong, figures = done.stdout.splitlines()
    print(figures)
    found = json.loads(figures)
    assert not wrong and "wrong" not in found["outcomes"], "\n".join(wrong[:40])
    assert sum(found["outcomes"].values()) == count
    assert sum(n for name, n in found["outcomes"].items() if name.startswith("read")) > count // 4
    assert found["peak_mb"] < 2000
