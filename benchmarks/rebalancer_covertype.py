"""Rebalancer on forest cover types 4 and 2, beside in-memory scripts and tfx-addons' Sampler.

286,048 rows of 10 floats, 1 % minority, in 4 gzipped TFRecord files; train is balanced 1:1 and
written as gzipped TFRecord files again. Timed are the executors' Do and the scripts' bodies, in
one process, in turn; imports and a first round are left out. The scripts compress at zlib's level
1, the quickest, or at the one that is given; ours and Sampler as they do by default.

`python -m benchmarks.rebalancer_covertype [LEVEL]` prints all figures as a Markdown table.
"""

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import _covertype, _peers
from benchmarks.claims import Claim

FILES, REPEATS, VAL_ROWS = 4, 3, 1000
INPUT_LEVEL = 6  # of zlib; TensorFlow's default, so what ExampleGen and Transform write
LEVEL = 1

Run = Callable[[Path], object]


@dataclass(frozen=True)
class Figures:
    """Medians of one thing that was measured.

    Attributes:
      seconds: wall time.
      cpu_seconds: of this process and its children, all threads.
      megabytes: of the files written.
    """

    seconds: float
    cpu_seconds: float
    megabytes: float

    def __str__(self) -> str:
        return f"{self.seconds:.2f} s (CPU {self.cpu_seconds:.2f} s, {self.megabytes:.1f} MB)"


def run() -> Iterator[Claim]:
    """Yields SMOTE beside both scripts, then over- and undersampling beside Sampler."""
    smote = {
        "fast": ("rebalance smote: wall time beside the best in-memory script", 1.3),
        "usual": ("rebalance smote: wall time beside the usual in-memory script", 4.0),
    }
    sampler = {
        "over": ("rebalance over: wall time beside tfx-addons' Sampler", 14.0),
        "under": ("rebalance under: wall time beside tfx-addons' Sampler", 40.0),
    }
    try:
        _covertype.find()
    except _covertype.MissingDataError as error:
        for name, _ in [*smote.values(), *sampler.values()]:
            yield Claim.failed(name, str(error))
        return
    with tempfile.TemporaryDirectory(prefix="rebalancer_covertype-") as temporary:
        folder = Path(temporary)
        inputs = write_inputs(folder / "in")
        found = measure(smote_runs(inputs, LEVEL), folder)
        for peer, (name, at_least) in smote.items():
            yield _claim(name, found["ours"], found[peer], at_least, f"scripts at level {LEVEL}")
        try:
            _peers.import_tfx_addons()
        except _peers.MissingPeerError as error:
            for name, _ in sampler.values():
                yield Claim.failed(name, str(error))
            return
        for method, (name, at_least) in sampler.items():
            ours = measure({"ours": _ours(inputs, method)}, folder)["ours"]
            peer_run = {"peer": _sampler(inputs, method)}
            peer = measure(peer_run, folder, repeats=1, warm_up=0)["peer"]
            yield _claim(name, ours, peer, at_least, "Sampler once")


def write_inputs(folder: Path, every: int = 1) -> _peers.Inputs:
    """Writes each so manieth row of the data set as train and its first rows as val.

    Raises:
      MissingDataError: its file is not there.
    """
    rows = _covertype.load()[::every]
    writer = _peers.Writer(folder, rows.names, FILES, INPUT_LEVEL)
    writer.write(rows)
    return writer.finish(rows[:VAL_ROWS])


def smote_runs(inputs: _peers.Inputs, level: int) -> dict[str, Run]:
    """SMOTE by ours and by the scripts at a zlib level."""
    return {
        "ours": _ours(inputs, "smote"),
        "fast": lambda out: _balanced(inputs, _peers.fast_script(inputs, out, "smote", level)),
        "usual": lambda out: _balanced(inputs, _peers.usual_script(inputs, out, "smote", level)),
    }


def measure(
    runs: Mapping[str, Run], folder: Path, repeats: int = REPEATS, warm_up: int = 1
) -> dict[str, Figures]:
    """Runs each in turn, `warm_up` and then `repeats` times; medians of the latter."""
    taken: dict[str, list[Figures]] = {name: [] for name in runs}
    out = folder / "out"
    for i in range(warm_up + repeats):
        for name, call in runs.items():
            cpu, started = _cpu_seconds(), time.perf_counter()
            call(out)
            seconds, cpu = time.perf_counter() - started, _cpu_seconds() - cpu
            size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
            shutil.rmtree(out)
            print(f"{name}: {seconds:.2f} s, CPU {cpu:.2f} s", file=sys.stderr, flush=True)
            if i >= warm_up:
                taken[name].append(Figures(seconds, cpu, size / 1e6))
    return {
        name: Figures(
            statistics.median(f.seconds for f in figures),
            statistics.median(f.cpu_seconds for f in figures),
            statistics.median(f.megabytes for f in figures),
        )
        for name, figures in taken.items()
    }


def main(level: int = LEVEL) -> None:
    """Prints what is measured, SMOTE's scripts at a zlib level."""
    with tempfile.TemporaryDirectory(prefix="rebalancer_covertype-") as temporary:
        folder = Path(temporary)
        inputs = write_inputs(folder / "in")
        found = {f"smote, {k}": v for k, v in measure(smote_runs(inputs, level), folder).items()}
        for method in ("over", "under"):
            found |= {
                f"{method}, {k}": v
                for k, v in measure({"ours": _ours(inputs, method)}, folder).items()
            }
            runs = {f"{method}, tfx-addons": _sampler(inputs, method)}
            found |= measure(runs, folder, repeats=1, warm_up=0)
    print(f"Scripts at level {level}.\n\n| what | s | CPU s | MB out |\n|---|---|---|---|")
    for name, figures in found.items():
        cells = (figures.seconds, figures.cpu_seconds, figures.megabytes)
        print(f"| {name} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |")


def _ours(inputs: _peers.Inputs, method: str) -> Run:
    def call(out: Path) -> None:
        after = _peers.rebalancer(inputs, out, method).after
        wanted = min if method == "under" else max
        if set(after.values()) != {wanted(inputs.counts.values())}:
            raise RuntimeError(f"{method} gave {after}")

    return call


def _sampler(inputs: _peers.Inputs, method: str) -> Run:
    _peers.tfx_addons_executor()  # before the clock runs
    return lambda out: _peers.tfx_addons_sampler(inputs, out, method)


def _balanced(inputs: _peers.Inputs, rows: int) -> None:
    if rows != 2 * max(inputs.counts.values()):
        raise RuntimeError(f"the script wrote {rows} rows")


def _cpu_seconds() -> float:
    times = psutil.Process().cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _claim(name: str, ours: Figures, peer: Figures, at_least: float, how: str) -> Claim:
    return Claim.against(
        name,
        ours.seconds,
        peer.seconds,
        unit="s",
        at_least=at_least,
        better="less",
        detail=f"covertype 4 vs 2, 286,048 rows, gzip in and out, Beam's in-memory runner; "
        f"medians of {REPEATS}, {how}; ours {ours}, peer {peer}",
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
