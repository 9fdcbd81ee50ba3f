"""StratifiedExampleGen: files in, tf.Examples in stratified train, val and test splits out."""

from tfx import types
from tfx.components.example_gen.component import FileBasedExampleGen
from tfx.dsl.components.base import executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import example_gen_pb2, range_config_pb2
from tfx.types import standard_artifacts, standard_component_specs
from tfx.types.component_spec import ExecutionParameter

from ..fingerprint import code_fingerprint
from ..names import SPLITS
from .driver import Driver
from .executor import Executor
from .files import split_path
from .params import IngestParams
from .rows import check_params, check_spans

_PACKAGE = "tfx_imbalance.components"
_BUCKETS = 10_000


class StratifiedExampleGenSpec(types.ComponentSpec):
    """Spec of StratifiedExampleGen: that of TFX's file-based ones and our own parameters."""

    PARAMETERS = {  # noqa: RUF012
        **standard_component_specs.FileBasedExampleGenSpec.PARAMETERS,
        "params": ExecutionParameter(type=str),
        "code_fingerprint": ExecutionParameter(type=str),
        "path": ExecutionParameter(type=str, optional=True),
        "only_span": ExecutionParameter(type=str, optional=True),
    }
    INPUTS = standard_component_specs.FileBasedExampleGenSpec.INPUTS
    OUTPUTS = standard_component_specs.FileBasedExampleGenSpec.OUTPUTS


class StratifiedExampleGen(FileBasedExampleGen):
    """Reads CSV, Parquet or TFRecord files and splits their rows.

    Each class is split by the shares in `params`; equal groups, where `group_by` is set, stay in
    one split, and so do equal rows as far as `split.duplicates` says. A row's split depends on its
    content and the seed, not on its place.

    What becomes of a column: integers, booleans (0 and 1) and times (seconds since 1970-01-01 UTC)
    are int64 features, floating point is float32, text is bytes; missing values and NaN are absent,
    infinite ones are refused.
    A CSV's columns have the narrowest of these types that all their values have; a field is missing
    where it is empty or one of pyarrow's null markers (NA, NULL, NaN, ...; a question mark is
    none). The label is a bytes feature, the class's name: '3' for 3 and 3.0, 'true' for a boolean,
    text as it is. The sample weight is float32. `_row_id` is the row's identity, by the values
    as the files have them (an id of 20 digits keeps its digits), and `_row_copy` which of the rows
    of this identity it is, from 0, over all splits.

    Columns under `exclude` are dropped; `group_by` and `order_by` may be among them, and are
    features otherwise. With `split.mode` stable a row (or a group) keeps its split while its
    values are read alike, which data that come in spans require; equal rows in different groups
    then go with their groups, and that is told. With `split.key` a row's identity is that of
    these columns, so that a new column leaves it alone.

    ```
    example_gen = StratifiedExampleGen(
        path="/data/bank.csv", params=IngestParams(label="y", exclude=("duration",))
    )
    ```

    Component `outputs` contains:
      - `examples`: standard_artifacts.Examples with the splits train, val and test.
    """

    SPEC_CLASS = StratifiedExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)
    DRIVER_CLASS = Driver

    def __init__(
        self,
        path: str | RuntimeParameter,
        params: IngestParams,
        range_config: range_config_pb2.RangeConfig | None = None,
        only_span: RuntimeParameter | None = None,
    ) -> None:
        """Constructs the component; the files need not be there yet.

        Args:
          path: of a file, a folder or a glob; TFX's {SPAN}, {VERSION} and {YYYY}, {MM},
            {DD} stand for the newest span and version. A runtime parameter where an orchestrator
            without TFX's drivers gives the path when the node runs.
          params: label, columns and splits.
          range_config: a certain span, instead of the newest.
          only_span: the same as text when the node runs: a number, or a day (2026-11-25) of a path
            with {YYYY}, {MM} and {DD}; '' for the newest.

        Raises:
          UserError: the parameters contradict one another or the path.
        """
        check_params(params)
        if isinstance(path, RuntimeParameter):
            check_spans(str(path.default), params)
            folder = pattern = ""
        else:
            check_spans(path, params)
            folder, pattern = split_path(path)
        shares = (params.split.train, params.split.val, params.split.test)
        spec = StratifiedExampleGenSpec(
            input_base=folder,
            input_config=example_gen_pb2.Input(
                splits=[example_gen_pb2.Input.Split(name="single_split", pattern=pattern)]
            ),
            output_config=example_gen_pb2.Output(
                split_config=example_gen_pb2.SplitConfig(
                    splits=[
                        example_gen_pb2.SplitConfig.Split(
                            name=name, hash_buckets=max(1, round(share * _BUCKETS))
                        )
                        for name, share in zip(SPLITS, shares, strict=True)
                    ]
                )
            ),
            output_data_format=example_gen_pb2.FORMAT_TF_EXAMPLE,
            output_file_format=example_gen_pb2.FORMAT_TFRECORDS_GZIP,
            range_config=range_config,
            params=params.to_property(),
            path=path if isinstance(path, RuntimeParameter) else None,
            only_span=only_span,
            code_fingerprint=code_fingerprint(
                *(
                    f"{_PACKAGE}.{name}"
                    for name in (
                        "compat",
                        "example_gen",
                        "examples_io",
                        "hashing",
                        "names",
                        "tfrecord",
                    )
                )
            ),
            examples=types.Channel(type=standard_artifacts.Examples),
        )
        # The parent's constructor would build TFX's own spec.
        super(FileBasedExampleGen, self).__init__(spec=spec)
