"""What differs between the two TFX stacks (1.16 on Python 3.10, 1.21 on newer platforms)."""

import platform
from importlib.metadata import version

IN_PROCESS_BEAM = ("--runner=FnApiRunner", "--sdk_container_image=unused")
"""Beam options for one process.

The runner by name: DirectRunner may try to download a Go runner first. An image, which this runner
never starts: without one, TFX packs a copy of itself for the workers of every Beam node, 45 MB that
stay in the temporary folder.
"""


def versions() -> dict[str, str]:
    """Versions of what a run depends on."""
    return {
        "tfx-imbalance": version("tfx-imbalance"),
        "TFX": version("tfx"),
        "TensorFlow": version("tensorflow"),
        "Beam": version("apache-beam"),
        "Python": platform.python_version(),
    }


def forbid_pickled_types() -> None:
    """Has pyarrow refuse files with columns of pickled Python types, whatever its version.

    Up to pyarrow 14.0 opening such a Parquet file runs code that is in it (CVE-2023-47248); later
    ones ask whoever else is in the process whether they may.
    """
    import pyarrow_hotfix

    pyarrow_hotfix.install()
