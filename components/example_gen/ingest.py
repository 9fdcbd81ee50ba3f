"""The two passes over the data as Beam transforms.

The first keeps keys, classes and counts (plan.py), the second reads again and is fused with
encoding and writing, so that rows never cross a stage boundary. A file is read by one worker:
several files are read in parallel.
"""

from collections.abc import Iterator, Mapping, Sequence

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf

from ..errors import ImbalanceError
from ..examples_io import encode, framed
from ..names import SPLITS
from ..progress import say
from .files import Format
from .kinds import Kind
from .params import IngestParams
from .plan import (
    Assignment,
    FileScan,
    Plan,
    check_scans,
    dump_result,
    is_settled,
    join_kinds,
    load_result,
    make_plan,
    scan_file,
)
from .rows import FileRows, examples


class WritePlan(beam.PTransform):
    """First pass: writes the plan, or the error that there is instead, to a file.

    Input: a Beam pipeline. `plan.load_result` reads the file. An error that is the user's does not
    stop the Beam job, because a runner would only hand on its text.
    """

    def __init__(
        self, files: Sequence[str], file_format: Format, params: IngestParams, plan_path: str
    ) -> None:
        super().__init__()
        self._files, self._path = list(files), plan_path
        self._how = (file_format, params.to_property())

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection:
        scans = (
            pipeline
            | "Files" >> beam.Create(self._files)
            | "Spread" >> beam.Reshuffle()
            | "Scan" >> beam.Map(_scan, *self._how)
        )
        kinds = (
            scans
            | "CollectKinds" >> beam.combiners.ToList()
            | "Settle" >> beam.Map(_settle, *self._how)
        )
        return (
            scans
            | "ScanAgain" >> beam.Map(_rescan, beam.pvalue.AsSingleton(kinds), *self._how)
            | "CollectScans" >> beam.combiners.ToList()
            | "Plan" >> beam.Map(_plan, beam.pvalue.AsSingleton(kinds), self._path, self._how[1])
        )


class ReadSplits(beam.PTransform):
    """Second pass: blocks of serialized tf.Examples by split.

    Input: a Beam pipeline. Output: a PCollection of lists of bytes for each of names.SPLITS.
    """

    def __init__(
        self, files: Sequence[str], file_format: Format, params: IngestParams, plan_path: str
    ) -> None:
        super().__init__()
        self._files = list(files)
        self._read = _ReadSplits(file_format, params.to_property(), plan_path)

    def expand(self, pipeline: beam.Pipeline) -> dict[str, beam.PCollection]:
        blocks = (
            pipeline
            | "Files" >> beam.Create(self._files)
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(self._read).with_outputs(*SPLITS)
        )
        return {split: blocks[split] for split in SPLITS}


class _ReadSplits(beam.DoFn):
    def __init__(self, file_format: Format, params: str, plan_path: str) -> None:
        self._format, self._params, self._plan_path = file_format, params, plan_path

    def setup(self) -> None:
        self._plan = load_result(self._plan_path)
        self._ingest = IngestParams.from_property(self._params)

    def process(self, path: str) -> Iterator[beam.pvalue.TaggedOutput]:
        rows = FileRows(path, self._format, self._ingest, self._plan.summary.kinds)
        assignment = Assignment(self._plan, path, self._ingest)
        for first_row, batch in rows.batches():
            columns, split = assignment.assign(rows.convert(first_row, batch))
            for i, name in enumerate(SPLITS):
                chosen = columns.filter(pa.array(split == i))
                if chosen.num_rows:
                    yield beam.pvalue.TaggedOutput(name, framed(encode(examples(chosen))))


def _scan(path: str, file_format: Format, params: str) -> FileScan | ImbalanceError:
    try:
        scan = scan_file(path, file_format, IngestParams.from_property(params))
    except ImbalanceError as error:
        return error
    say(f"read {path}: {scan.rows:,} rows")
    return scan


def _settle(
    scans: Sequence[FileScan | ImbalanceError], file_format: Format, params: str
) -> dict[str, Kind] | ImbalanceError:
    try:
        good = _good(scans)
        check_scans(good, file_format, IngestParams.from_property(params))
        return join_kinds(good, file_format)
    except ImbalanceError as error:
        return error


def _rescan(
    scan: FileScan | ImbalanceError,
    kinds: Mapping[str, Kind] | ImbalanceError,
    file_format: Format,
    params: str,
) -> FileScan | ImbalanceError:
    if isinstance(scan, ImbalanceError) or isinstance(kinds, ImbalanceError):
        return scan
    if is_settled(scan, kinds):
        return scan
    try:
        return scan_file(scan.path, file_format, IngestParams.from_property(params), kinds)
    except ImbalanceError as error:
        return error


def _plan(
    scans: Sequence[FileScan | ImbalanceError],
    kinds: Mapping[str, Kind] | ImbalanceError,
    path: str,
    params: str,
) -> None:
    result: Plan | ImbalanceError
    try:
        if isinstance(kinds, ImbalanceError):
            raise kinds
        result = make_plan(_good(scans), kinds, IngestParams.from_property(params))
    except ImbalanceError as error:
        result = error
    with tf.io.gfile.GFile(path, "wb") as file:
        file.write(dump_result(result))


def _good(scans: Sequence[FileScan | ImbalanceError]) -> list[FileScan]:
    """The scans; raises an error among them, the same one on every runner."""
    if errors := sorted((s for s in scans if isinstance(s, ImbalanceError)), key=str):
        raise errors[0]
    return [scan for scan in scans if isinstance(scan, FileScan)]
