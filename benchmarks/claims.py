"""What a claim is, and running the modules that make them."""

from __future__ import annotations

import contextlib
import importlib
import json
import math
import os
import pkgutil
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

_NOT_CLAIMS = {"claims", "learners", "rebalancer_profile", "techniques"}


@dataclass(frozen=True)
class Claim:
    """One number of ours beside a peer's, and whether it clears its bar.

    Attributes:
        name: what is claimed, as the README words it.
        ours: our measurement, in `unit`.
        peer: the peer's, in `unit`; None where the claim has no peer.
        ratio: how many times better we are, so that more is always better; None without a peer.
        unit: of `ours` and `peer`, e.g. "s", "MB", "rows/s", "AUC-PR".
        bar: what `ratio` (or `ours`, without a peer) has to reach, in words, e.g. ">= 3x".
        ok: whether it does.
        detail: how it was measured, where the name does not say.
        error: why there is no measurement.
    """

    name: str
    ours: float | None
    peer: float | None
    ratio: float | None
    unit: str
    bar: str
    ok: bool
    detail: str = ""
    error: str = ""

    @classmethod
    def against(
        cls,
        name: str,
        ours: float,
        peer: float,
        *,
        unit: str,
        at_least: float,
        better: Literal["less", "more"],
        detail: str = "",
    ) -> Claim:
        """Judges two measurements of one thing: ours must be `at_least` so many times better.

        Raises:
            ValueError: a measurement is not a finite number above 0, so that there is no ratio.
        """
        for who, value in (("ours", ours), ("peer", peer)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: {who} is {value}; a ratio needs finite numbers above 0")
        ratio = peer / ours if better == "less" else ours / peer
        bar = f">= {at_least:g}x"
        return cls(name, ours, peer, ratio, unit, bar, ok=ratio >= at_least, detail=detail)

    @classmethod
    def failed(cls, name: str, error: str) -> Claim:
        """A claim that could not be measured, which is a claim not kept."""
        return cls(name, None, None, None, unit="", bar="", ok=False, error=error)


def find(package: str = "benchmarks") -> list[str]:
    """Names of the modules in `package` that make claims, sorted."""
    path = importlib.import_module(package).__path__
    names = (module.name for module in pkgutil.iter_modules(path))
    return sorted(n for n in names if not n.startswith("_") and n not in _NOT_CLAIMS)


def measure(names: Sequence[str], package: str = "benchmarks") -> Iterator[tuple[str, Claim]]:
    """Runs the modules one after another and yields (module, claim) as soon as it is measured.

    A module that fails, before or after some of its claims, yields one claim that is not ok and
    says why; the next modules run all the same. What the modules print goes to stderr: stdout is
    for the results.
    """
    for name in names:
        claims: Iterator[Claim] | None = None
        count = 0
        while True:
            try:
                with contextlib.redirect_stdout(sys.stderr):
                    if claims is None:
                        claims = iter(_run_of(name, package)())
                    claim = next(claims)
                if not isinstance(claim, Claim):
                    raise TypeError(f"run() gave a {type(claim).__name__}, not a Claim")
            except StopIteration:
                if count == 0:
                    yield name, Claim.failed(name, "run() gave no claim")
                break
            except (Exception, SystemExit) as error:
                traceback.print_exc()
                yield name, Claim.failed(name, f"{type(error).__name__}: {error}")
                break
            count += 1
            yield name, claim


def _run_of(name: str, package: str) -> Callable[[], Iterable[Claim]]:
    run: Callable[[], Iterable[Claim]] = importlib.import_module(f"{package}.{name}").run
    return run


def main(names: Sequence[str], results: Path, package: str = "benchmarks") -> int:
    """Measures all claims or those of the named modules, each a JSON line on stdout and in a file.

    `results` holds the run so far after each claim, never half a line.

    Returns:
        0 when every claim is ok, 1 when one is not, 2 when a name is unknown.
    """
    known = find(package)
    unknown = sorted(set(names) - set(known))
    if unknown or not known:
        wrong = f"there is no {', '.join(unknown)}" if unknown else "nothing to measure"
        print(f"benchmarks: {wrong}; known: {', '.join(known) or 'none'}", file=sys.stderr)
        return 2
    lines: list[str] = []
    all_ok = True
    started = time.monotonic()
    for module, claim in measure(names or known, package):
        now = time.monotonic()
        row = {"module": module, **asdict(claim), "seconds": round(now - started, 3)}
        started = now
        all_ok = all_ok and bool(claim.ok)
        lines.append(json.dumps(row, default=_plain))
        print(lines[-1], flush=True)
        _write(results, lines)
    return 0 if all_ok else 1


def _plain(value: Any) -> Any:
    """numpy's numbers as Python's."""
    return value.item()


def _write(path: Path, lines: Sequence[str]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    partial.replace(path)
