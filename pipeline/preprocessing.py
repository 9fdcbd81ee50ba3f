"""What TFX's Transform runs: raw columns in, model inputs out, dense and of shape [n, 1].

Text becomes a vocabulary id (int64, with an `int_domain` in the transformed schema, which is how
later components know a category from a number); a number becomes a scaled float32, and keeps
the precision of its column until it has been scaled. The label, the row's identity and the sample
weight pass through.

Analyzers are what Transform costs: about a second each, whatever the rows (`tft.vocabulary` for
the nine text columns of the demo 9 s, `_Vocabularies` 3 s). So all text columns share one, and
all numeric columns (`number_figures`).
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from inspect import signature
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam

from ..components.errors import UserError
from ..components.names import BOOKKEEPING, in_file_name
from .number_figures import Figures, difference, number_figures, ranks
from .preprocessing_params import PreprocessingParams

Inputs = Mapping[str, tf.Tensor | tf.SparseTensor]

MISSING = "<missing>"
"""Stands for an absent or empty category; it has id 0 in every vocabulary."""


def transform_config(
    params: PreprocessingParams, *, label: str, weight: str | None
) -> dict[str, str | None]:
    """Transform's `custom_config` for `preprocessing_fn`."""
    return {"params": params.to_property(), "label": label, "weight": weight}


def preprocessing_fn(inputs: Inputs, custom_config: Mapping[str, Any]) -> dict[str, tf.Tensor]:
    """Turns raw columns into model inputs.

    Args:
      inputs: column -> tensor [n, 1], or SparseTensor [n, <= 1] where the schema allows a column
        to be missing.
      custom_config: what `transform_config` returned.

    Returns:
      Under the columns' own names: text and `params.categorical` as int64 ids (0: missing, then
      the vocabulary by frequency, then the out-of-vocabulary ids); numbers as float32, missing
      ones at their train mean (by rank: the median); `<name>_missing` (int64, 0 or 1) for numbers
      that may be missing, always 0, and so by its `int_domain`, unless train has both rows with
      a value and rows without; the label untouched (whole numbers as text), the weight as float32,
      `_row_id` and `_row_copy` as int64. All [n, 1].

    Raises:
      UserError: a column has several values a row, a column to be treated as a category is not
        a whole number, or the user's own function cannot be loaded.
    """
    params: PreprocessingParams = PreprocessingParams.from_property(custom_config["params"])
    label, weight = custom_config["label"], custom_config["weight"]
    columns = {
        name: column for name, column in inputs.items() if name not in (label, weight, *BOOKKEEPING)
    }
    if params.fn:
        outputs = _user_fn(params.fn)(dict(inputs), custom_config)
    else:
        outputs = _default_outputs(columns, params, taken=inputs)
    return {**outputs, **_passed_through(inputs, label, weight)}


def _default_outputs(
    columns: Inputs, params: PreprocessingParams, taken: Iterable[str]
) -> dict[str, tf.Tensor]:
    columns = _single_valued(columns)
    texts: dict[str, tf.Tensor] = {}
    numbers: dict[str, tuple[tf.Tensor, tf.Tensor]] = {}
    for name, column in columns.items():
        if name in params.categorical and column.dtype.is_floating:
            raise UserError(
                f"preprocessing.categorical: column {name!r} holds decimal numbers; "
                "expected whole numbers or text"
            )
        if column.dtype == tf.string or name in params.categorical:
            texts[name] = _dense(name, column, MISSING, tf.string)
        else:
            numbers[name] = _number(name, column)
    optional = [name for name in numbers if isinstance(columns[name], tf.SparseTensor)]
    return _category_ids(texts, params) | _scaled(numbers, indicators(optional, taken), params)


def _single_valued(columns: Inputs) -> dict[str, tf.Tensor | tf.SparseTensor]:
    """The columns, which at run time fail where a row has several values; the message names them.

    One check for all of them: a model answers requests a row at a time.
    """
    sparse = {name: c for name, c in columns.items() if isinstance(c, tf.SparseTensor)}
    if not sparse:
        return dict(columns)
    several = tf.stack([tf.reduce_any(c.indices[:, 1] > 0) for c in sparse.values()])
    names = tf.boolean_mask(tf.constant(list(sparse)), several)
    message = "columns with several values in a row, expected one:"
    with tf.control_dependencies([tf.debugging.Assert(~tf.reduce_any(several), [message, names])]):
        checked = {
            name: tf.SparseTensor(tf.identity(c.indices), c.values, c.dense_shape)
            for name, c in sparse.items()
        }
    return {**columns, **checked}


def indicators(names: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """Column -> the feature that says where it is missing.

    It is `<name>_missing`, with `_` appended until no column of the data, the label's included,
    and no other indicator has that name.
    """
    used, chosen = set(taken), {}
    for name in names:
        indicator = f"{name}_missing"
        while indicator in used:
            indicator += "_"
        used.add(indicator)
        chosen[name] = indicator
    return chosen


def _category_ids(texts: dict[str, tf.Tensor], params: PreprocessingParams) -> dict[str, tf.Tensor]:
    if not texts:
        return {}
    texts = {name: tf.where(text == "", MISSING, text) for name, text in texts.items()}
    files = tft.experimental.ptransform_analyzer(
        inputs=list(texts.values()),
        ptransform=_Vocabularies(tuple(texts), params.min_frequency, params.max_size),
        output_dtypes=[tf.string] * len(texts),
        output_shapes=[[]] * len(texts),
        output_asset_default_values=[MISSING.encode()] * len(texts),
        name="vocabularies",
    )
    return {
        name: tft.apply_vocabulary(text, file, num_oov_buckets=params.oov_buckets)
        for (name, text), file in zip(texts.items(), files, strict=True)
    }


class _Vocabularies(tft_beam.experimental.PTransformAnalyzer):
    """The vocabularies of all columns in one pass.

    Input: PCollection of batches, one bytes array [n, 1] a column. Output, for each column: the
    name of a text file with MISSING, then the values by falling frequency, equal ones by bytes.
    """

    def __init__(self, names: tuple[str, ...], min_frequency: int, max_size: int | None) -> None:
        super().__init__()
        self._names, self._min_frequency, self._max_size = names, min_frequency, max_size

    def expand(self, batches: beam.PCollection) -> tuple[beam.PCollection, ...]:
        columns = range(len(self._names))
        outputs = (
            batches
            | "CountInBatch" >> beam.FlatMap(_count)
            | "Count" >> beam.CombinePerKey(sum)
            | "FrequencyFloor" >> beam.Filter(_is_frequent, self._min_frequency)
            | "Gather" >> beam.combiners.ToList()
            | "Write"
            >> beam.FlatMap(
                _write_vocabularies, self.base_temp_dir, self._names, self._max_size
            ).with_outputs(*map(str, columns))
        )
        return tuple(outputs[str(column)] for column in columns)


Count = tuple[tuple[int, bytes], int]
"""(column's index, value), rows."""


def _count(batch: Sequence[np.ndarray]) -> Iterator[Count]:
    for column, values in enumerate(batch):
        for value, rows in zip(*np.unique(values, return_counts=True), strict=True):
            yield (column, value), int(rows)


def _is_frequent(count: Count, min_frequency: int) -> bool:
    return count[1] >= min_frequency


def _write_vocabularies(
    counts: list[Count], directory: str, names: tuple[str, ...], max_size: int | None
) -> Iterator[beam.pvalue.TaggedOutput]:
    tf.io.gfile.makedirs(directory)
    ranked: list[list[bytes]] = [[] for _ in names]
    for (column, value), _ in sorted(counts, key=lambda count: (-count[1], count[0])):
        # The file holds one value a line; one that cannot stand there counts as unseen.
        if value != MISSING.encode() and b"\n" not in value and b"\r" not in value:
            ranked[column].append(value)
    for column, (name, values) in enumerate(zip(names, ranked, strict=True)):
        path = os.path.join(directory, f"vocabulary_{column}_{in_file_name(name)}")
        with tf.io.gfile.GFile(path, "wb") as file:
            file.write(b"\n".join([MISSING.encode(), *values[:max_size]]) + b"\n")
        yield beam.pvalue.TaggedOutput(str(column), path)


def _number(name: str, column: tf.Tensor | tf.SparseTensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(int64 or float64 [n, 1], 0 where missing; bool [n, 1], where there is a finite value)."""
    if not column.dtype.is_floating:
        values = _dense(name, column, 0, tf.int64)
        ones = tf.ones_like(column.values if isinstance(column, tf.SparseTensor) else values)
        if isinstance(column, tf.SparseTensor):
            ones = tf.SparseTensor(column.indices, ones, column.dense_shape)
        return values, _dense(name, ones, 0, tf.int64) > 0
    values = _dense(name, column, float("nan"), tf.float64)
    present = tf.math.is_finite(values)
    return tf.where(present, values, 0.0), present


def _scaled(
    numbers: dict[str, tuple[tf.Tensor, tf.Tensor]],
    optional: Mapping[str, str],
    params: PreprocessingParams,
) -> dict[str, tf.Tensor]:
    """Scales all columns at once, and says where they were missing in the features that
    `optional` names for them."""
    if not numbers:
        return {}
    names = sorted(numbers, key=lambda name: numbers[name][0].dtype.is_floating)  # stable
    whole = [numbers[name][0] for name in names if not numbers[name][0].dtype.is_floating]
    decimal = [numbers[name][0] for name in names if numbers[name][0].dtype.is_floating]
    present = tf.concat([numbers[name][1] for name in names], axis=1)
    values = [tf.concat(part, axis=1) for part in (whole, decimal) if part]
    figures = number_figures(values, present, by_rank=params.numeric == "quantile")
    above = tf.concat(
        [
            tf.where(present_part, difference(part, least), 0.0)
            for part, least, present_part in zip(
                values, figures.least, _split(present, values), strict=True
            )
        ],
        axis=1,
    )
    if params.numeric == "quantile":
        scaled = ranks(above, present, figures)
    else:
        scaled = _linear(values, above, present, figures, params)
    scaled = tf.cast(scaled, tf.float32)
    outputs = {name: scaled[:, j : j + 1] for j, name in enumerate(names)}
    for j, name in enumerate(names):
        if name in optional:
            # apply_buckets marks the feature as a category in the schema, of one value where
            # train has no gap, or nothing but gaps: then nothing can be learned from it.
            bounds = tf.boolean_mask(tf.constant([[0.5]]), figures.has_gaps[j : j + 1], axis=1)
            absent = tf.cast(~present[:, j : j + 1], tf.float32)
            outputs[optional[name]] = tft.apply_buckets(absent, bounds)
    return outputs


def _split(matrix: tf.Tensor, parts: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    widths = [part.shape[1] for part in parts]
    return tf.split(matrix, widths, axis=1)


def _linear(
    values: Sequence[tf.Tensor],
    above: tf.Tensor,
    present: tf.Tensor,
    figures: Figures,
    params: PreprocessingParams,
) -> tf.Tensor:
    """float64 [n, k], scaled as params.numeric says but for ranks; missing ones at the mean.

    Args:
      values: what `number_figures` got.
      above: float64 [n, k], how far each lies above its column's least value in train.
      present: bool [n, k].
      figures: of train.
      params: says how.
    """
    filled = tf.where(present, above, figures.mean)
    if params.numeric == "z_score":
        scores = tf.math.divide_no_nan(filled - figures.mean, figures.std)
        return tf.clip_by_value(scores, -params.clip, params.clip)
    if params.numeric == "min_max":
        return tf.clip_by_value(tf.math.divide_no_nan(filled, figures.width), 0.0, 1.0)
    plain = tf.concat([tf.cast(part, tf.float64) for part in values], axis=1)
    return tf.where(figures.is_long, filled, tf.where(present, plain, figures.plain_mean))


def _passed_through(inputs: Inputs, label: str, weight: str | None) -> dict[str, tf.Tensor]:
    outputs = {}
    if label in inputs:
        dtype = inputs[label].dtype
        outputs[label] = _dense(label, inputs[label], "", tf.string if dtype.is_integer else dtype)
    if weight is not None and weight in inputs:
        outputs[weight] = _dense(weight, inputs[weight], 1.0, tf.float32)
    for name in BOOKKEEPING:
        if name in inputs:
            outputs[name] = _dense(name, inputs[name], 0, tf.int64)
    return outputs


def _dense(
    name: str, column: tf.Tensor | tf.SparseTensor, default: Any, dtype: tf.DType
) -> tf.Tensor:
    """The column as a tensor [n, 1] of `dtype`, `default` where there is no value."""
    if isinstance(column, tf.SparseTensor):
        values = _cast(column.values, dtype)
        shape = tf.stack([column.dense_shape[0], 1])
        return tf.reshape(
            tf.sparse.to_dense(tf.SparseTensor(column.indices, values, shape), default), [-1, 1]
        )
    if not isinstance(column, tf.Tensor) or column.shape[1:].num_elements() != 1:
        raise UserError(
            f"column {name!r} has several values a row; expected one: "
            "exclude it by data.exclude, or write your own preprocessing.fn"
        )
    return tf.reshape(_cast(column, dtype), [-1, 1])


def _cast(values: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    if values.dtype == dtype:
        return values
    return tf.strings.as_string(values) if dtype == tf.string else tf.cast(values, dtype)


def _user_fn(dotted: str) -> Callable[[dict[str, Any], Mapping[str, Any]], dict[str, tf.Tensor]]:
    module, _, name = dotted.rpartition(".")
    try:
        fn = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"preprocessing.fn: cannot load {dotted!r}: {error}") from error
    if "custom_config" in signature(fn).parameters:
        return fn
    return lambda inputs, custom_config: fn(inputs)
