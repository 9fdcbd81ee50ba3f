"""imbalanced-learn's own tests of its samplers, run unchanged on our objects of the same names.

`python -m benchmarks.imblearn_suite` prints what passed, and each test that failed with the last
line of its error. The tests are those that the installed imbalanced-learn carries; of the modules
below they import `imblearn.over_sampling.SMOTE` and so on, which are ours while they run. SVMSMOTE,
which three cases of the common tests use, stays imbalanced-learn's.
"""

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import imblearn
import pytest
from imblearn import combine, over_sampling, under_sampling

from tfx_imbalance.components.rebalancer import estimators

_SMOTE = "over_sampling/_smote/tests"
_UNDER = "under_sampling/_prototype_selection/tests"
MODULES = (
    "over_sampling/tests/test_random_over_sampler.py",
    "over_sampling/tests/test_common.py",
    "over_sampling/tests/test_adasyn.py",
    f"{_SMOTE}/test_smote.py",
    f"{_SMOTE}/test_smote_nc.py",
    f"{_SMOTE}/test_smoten.py",
    f"{_SMOTE}/test_borderline_smote.py",
    f"{_SMOTE}/test_kmeans_smote.py",
    f"{_UNDER}/test_random_under_sampler.py",
    f"{_UNDER}/test_tomek_links.py",
    f"{_UNDER}/test_edited_nearest_neighbours.py",
    f"{_UNDER}/test_nearmiss.py",
    "combine/tests/test_smote_enn.py",
    "combine/tests/test_smote_tomek.py",
)


class Outcomes:
    """A pytest plugin: what became of each test.

    Attributes:
      passed: names of tests, as module::function[case].
      failed: name -> last line of the error.
    """

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.failed: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called by pytest after each phase of a test."""
        name = re.sub(r"^.*/", "", report.nodeid)
        if report.failed:
            lines = [line for line in str(report.longreprtext).splitlines() if line[:2] == "E "]
            self.failed[name] = lines[0][2:].strip() if lines else report.longreprtext[-200:]
        elif report.when == "call" and report.passed:
            self.passed.append(name)


def run() -> Outcomes:
    """Runs them all, quietly."""
    outcomes = Outcomes()
    folder = Path(imblearn.__file__).parent
    paths = [str(folder / module) for module in MODULES]
    options = ["-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "-c", "/dev/null"]
    with _ours(), contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*options, "--import-mode=importlib", *paths], plugins=[outcomes])
    return outcomes


@contextlib.contextmanager
def _ours() -> Iterator[None]:
    """Within it imbalanced-learn's packages hold our classes."""
    packages: tuple[ModuleType, ...] = (over_sampling, under_sampling, combine)
    before = {package: dict(vars(package)) for package in packages}
    try:
        for package in packages:
            for name in set(estimators.__all__) & set(vars(package)):
                setattr(package, name, getattr(estimators, name))
        yield
    finally:
        for package, names in before.items():
            vars(package).update(names)
        for name in [name for name in sys.modules if re.match(r"imblearn\..*tests\.test_", name)]:
            del sys.modules[name]


def main() -> None:
    """Prints the outcome."""
    outcomes = run()
    n = len(outcomes.passed) + len(outcomes.failed)
    print(f"imbalanced-learn {imblearn.__version__}: {len(outcomes.passed)} of {n} tests pass")
    for name, error in outcomes.failed.items():
        print(f"{name}: {error}")


if __name__ == "__main__":
    main()
