"""What differs between the two TFX stacks (1.16 on Python 3.10, 1.21 on newer platforms)."""

import platform
from importlib.metadata import version

IN_PROCESS_BEAM = ("--runner=FnApiRunner",)
"""Beam options for one process. By name: DirectRunner may try to download a Go runner first."""


def versions() -> dict[str, str]:
    """Versions of what a run depends on."""
    return {
        "tfx-imbalance": version("tfx-imbalance"),
        "TFX": version("tfx"),
        "TensorFlow": version("tensorflow"),
        "Beam": version("apache-beam"),
        "Python": platform.python_version(),
    }
