"""Where Rebalancer's time goes: each stage alone, on the data of rebalancer_covertype.

`python -m benchmarks.rebalancer_profile` prints a Markdown table. Stages that run at the same time
in Rebalancer (reading ahead, compressing) are measured one after another here, so their sum is more
than the whole takes.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks import _peers
from benchmarks.rebalancer_covertype import write_inputs
from tfx_imbalance.components.rebalancer import selection, sketch
from tfx_imbalance.components.rebalancer.features import Features
from tfx_imbalance.components.rebalancer.output import synthetic_frames
from tfx_imbalance.components.rebalancer.params import RebalanceParams
from tfx_imbalance.components.rebalancer.plan import plan, prepare, synthetic_sampler
from tfx_imbalance.components.rebalancer.reading import Block, BlockParser, Layout, rows_of
from tfx_imbalance.components.rebalancer.rows import Rows
from tfx_imbalance.components.rebalancer.synthesis import synthesise
from tfx_imbalance.components.tfrecord import Writer, read_frames

T = TypeVar("T")
REPEATS = 3
TASK_ROWS = 1 << 16


def _once(block: Block) -> bytes:
    return block.frames.repeated(np.ones(len(block.frames), np.int64)).buffer


def _whole(inputs: _peers.Inputs, out: Path) -> float:
    """Seconds of the executor's Do, the best of several."""
    seconds = []
    for _ in range(1 + REPEATS):
        started = time.perf_counter()
        _peers.rebalancer(inputs, out, "smote")
        seconds.append(time.perf_counter() - started)
        shutil.rmtree(out)
    return min(seconds)


def main() -> None:
    """Prints the table."""
    classes = tuple(name.decode() for name in _peers.CLASSES)
    layout = Layout(_peers.LABEL, classes, has_row_id=True)
    params = RebalanceParams(method="smote")
    taken: dict[str, float] = {}

    def timed(stage: str, work: Callable[[], T]) -> T:
        best = np.inf
        for _ in range(REPEATS):
            started = time.perf_counter()
            result = work()
            best = min(best, time.perf_counter() - started)
        taken[stage] = best
        return result

    with tempfile.TemporaryDirectory(prefix="rebalancer_profile-") as folder:
        inputs = write_inputs(Path(folder) / "in")
        features = Features(dict.fromkeys(inputs.names, "float"))
        blocks = timed(
            "read, inflate, find the records",
            lambda: [f for p in inputs.files for f in read_frames(p)],
        )
        parser = BlockParser(layout)
        parsed = timed("parse label and identity", lambda: [parser(frames) for frames in blocks])

        def count() -> sketch.Sketch:
            found = sketch.empty(len(classes))
            for block in parsed:
                words = selection.hashes(block.ids, params.seed)
                found = sketch.add(found, block.codes, words, [])
            return found

        made = plan(timed("hash and count", count), classes, features, params)
        kept = timed("copy the rows that stay", lambda: [_once(block) for block in parsed])
        (code,) = made.new
        rows = timed(
            "parse the minority's features",
            lambda: Rows.concatenated(
                [rows_of(block, block.codes == code, features, classes) for block in parsed]
            ),
        )
        ready = prepare(rows, made, classes, features, params)
        (source,) = ready.sources
        sampler = synthetic_sampler(params)
        timed("search neighbours", lambda: sampler.neighbors(ready.split, source, source.bases))
        total = made.new[code]
        parts = timed(
            "search, draw and interpolate",
            lambda: [
                synthesise(sampler, ready.split, source, start, min(start + TASK_ROWS, total))
                for start in range(0, total, TASK_ROWS)
            ],
        )
        encoded = timed(
            "encode synthetic rows",
            lambda: [
                f for made_up, _ in parts for f in synthetic_frames(made_up, None, layout, False)
            ],
        )

        def write() -> None:
            with Writer(f"{folder}/out.gz") as writer:
                for buffer in [*kept, *(frames.buffer for frames in encoded)]:
                    writer.write(buffer)

        timed("compress and write", write)
        taken["all, as rebalance smote"] = _whole(inputs, Path(folder) / "out")
        few = write_inputs(Path(folder) / "few", every=286)
        taken["the same for 1,000 rows: Beam and TFX"] = _whole(few, Path(folder) / "out")
    print("| stage | s |\n|---|---|")
    for stage, seconds in taken.items():
        print(f"| {stage} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
    sys.exit(0)
