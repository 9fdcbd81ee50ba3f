"""Transformed examples as arrays in memory, 4 bytes a value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from .. import hashing, tfrecord
from ..errors import UserError
from ..names import BOOKKEEPING, ROW_COPY, ROW_ID, SAMPLING_WEIGHT


@dataclass(frozen=True)
class Feature:
    """One model input of shape [n, width].

    Attributes:
      name: of the transformed feature.
      width: values a row.
      categories: how many ids it has; 0 for a number.
      lowest: its smallest id.
    """

    name: str
    width: int
    categories: int = 0
    lowest: int = 0


@dataclass(frozen=True)
class Rows:
    """One split, in an order that does not depend on how files hold it.

    Attributes:
      numbers: float32 [n, total width of the numbers].
      categories: int32 [n, total width of the categories], ids from 0.
      labels: int32 [n], class index.
      weights: float32 [n], the sample weights times Rebalancer's; ones where there are none.
    """

    numbers: np.ndarray
    categories: np.ndarray
    labels: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: np.ndarray | slice) -> "Rows":
        """The rows at `index`: int64, a bool mask or a slice."""
        return Rows(
            self.numbers[index], self.categories[index], self.labels[index], self.weights[index]
        )


def model_features(
    transform: tft.TFTransformOutput, label: str, weight: str | None
) -> tuple[Feature, ...]:
    """The transformed features that a model sees: all but label, weight and bookkeeping.

    A category is an int64 feature whose schema has an `int_domain`; any other is a number. A
    domain of one value, such as an indicator of gaps has where train had none, teaches nothing.

    Raises:
      UserError: a feature is text or has a varying number of values, or there is none.
    """
    schema = {f.name: f for f in transform.transformed_metadata.schema.feature}
    features = []
    for name, spec in sorted(transform.transformed_feature_spec().items()):
        if name in (label, weight, *BOOKKEEPING):
            continue
        if not isinstance(spec, tf.io.FixedLenFeature):
            raise UserError(
                f"transformed feature {name!r} has a varying number of values a row; "
                "preprocessing must make it dense"
            )
        width = int(np.prod(spec.shape, dtype=np.int64))
        domain = schema[name].int_domain
        if spec.dtype == tf.string:
            raise UserError(
                f"transformed feature {name!r} is text; preprocessing must turn it into numbers "
                "or vocabulary ids"
            )
        if spec.dtype == tf.int64 and schema[name].HasField("int_domain"):
            if domain.max == domain.min:
                continue
            features.append(Feature(name, width, domain.max - domain.min + 1, domain.min))
        else:
            features.append(Feature(name, width))
    if not features:
        raise UserError("preprocessing leaves no feature to learn from")
    return tuple(features)


def pack(
    columns: Mapping[str, tf.Tensor], features: Sequence[Feature]
) -> tuple[tf.Tensor, tf.Tensor]:
    """(numbers float32 [n, ...], categories int32 [n, ...]) from transformed tensors by name.

    Ids outside a feature's range move to its nearest end.
    """
    numbers, categories = [], []
    for feature in features:
        values = tf.reshape(columns[feature.name], [-1, feature.width])
        if feature.categories:
            ids = tf.clip_by_value(values - feature.lowest, 0, feature.categories - 1)
            categories.append(tf.cast(ids, tf.int32))
        else:
            numbers.append(tf.cast(values, tf.float32))
    n = tf.shape(columns[features[0].name])[0]
    return (
        tf.concat(numbers, 1) if numbers else tf.zeros([n, 0], tf.float32),
        tf.concat(categories, 1) if categories else tf.zeros([n, 0], tf.int32),
    )


def read_rows(
    patterns: Sequence[str],
    transform: tft.TFTransformOutput,
    features: Sequence[Feature],
    *,
    label: str,
    classes: Sequence[str],
    weight: str | None,
) -> Rows:
    """Reads the transformed examples of one split.

    Args:
      patterns: of TFRecord files, gzipped where their names end in .gz.
      transform: what the examples look like.
      features: what a model sees of them.
      label: name of the label, whose values are names in `classes`.
      classes: class names in index order.
      weight: name of the sample weight; None for none.

    Raises:
      UserError: a file that is truncated or corrupt; no rows; a label that cannot be a class (its
        type says regression or multi-label) or is not in `classes`; a weight that is negative or
        not finite.
    """
    specs = transform.transformed_feature_spec()
    _check_label(label, specs)
    wanted = {f.name: specs[f.name] for f in features}
    wanted |= {
        name: specs[name] for name in (label, weight, *BOOKKEEPING) if name and name in specs
    }
    wanted[SAMPLING_WEIGHT] = tf.io.FixedLenFeature([], tf.float32, 1.0)
    index_of = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(list(classes), tf.range(len(classes))), -1
    )

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def parse(records: tf.Tensor) -> tuple[tf.Tensor, ...]:
        columns = tf.io.parse_example(records, wanted)
        names = tf.reshape(columns[label], [-1])
        names = names if names.dtype == tf.string else tf.strings.as_string(names)
        row_ids, copies = (
            tf.reshape(columns.get(name, tf.zeros_like(names, tf.int64)), [-1])
            for name in (ROW_ID, ROW_COPY)
        )
        weights = columns[weight] if weight else tf.ones_like(names, tf.float32)
        return (
            *pack(columns, features),
            index_of.lookup(names),
            names,
            tf.reshape(tf.cast(weights, tf.float32), [-1]) * columns[SAMPLING_WEIGHT],
            row_ids,
            copies,
        )

    files = sorted(path for pattern in patterns for path in tf.io.gfile.glob(pattern))
    if weight and weight not in specs:
        raise UserError(f"the transformed examples have no sample weight {weight!r}")
    # A thread reads and inflates ahead of the parser, which has threads of its own.
    with tf.device("CPU:0"):
        blocks = [
            [column.numpy() for column in parse(tf.constant(frames.payloads()))]
            for path in files
            for frames in tfrecord.read_frames(path)
        ]
    if not blocks:
        raise UserError(f"no rows to learn from in {', '.join(patterns)}")
    numbers, categories, labels, names, weights, row_ids, copies = (
        np.concatenate(parts) for parts in zip(*blocks, strict=True)
    )
    if (labels < 0).any():
        unknown = names[labels < 0][0].decode(errors="replace")
        raise UserError(f"label {label!r} has the value {unknown!r}; expected one of {classes}")
    if not (np.isfinite(weights) & (weights >= 0)).all() or not weights.any():
        raise UserError(f"sample weight {weight!r}: expected finite numbers from 0, not all 0")
    rows = Rows(numbers, categories, labels, weights)
    return rows.take(canonical_order(rows, row_ids, copies))


def canonical_order(rows: Rows, row_ids: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """int64 [n]: by identity, copy, class, then content, whatever order the rows came in.

    Args:
      rows: n rows.
      row_ids: int64 [n], identities of content; 0 where examples have none.
      copies: int64 [n], which of the rows of one identity each is; 0 where examples do not say.
    """
    order = np.lexsort((rows.labels, copies, row_ids))
    keys = np.stack([row_ids, copies, rows.labels.astype(np.int64)])[:, order]
    twin = (keys[:, 1:] == keys[:, :-1]).all(axis=0)
    tied = np.append(twin, False) | np.insert(twin, 0, False)
    if len(order) and tied.any():
        # By a hash: of many columns it is sorted faster than all of them.
        among = order[tied]
        words = np.zeros(len(among), np.uint64)
        for column in (*rows.numbers.T, *rows.categories.T, rows.weights):
            bits = np.ascontiguousarray(column[among]).view(np.uint32).astype(np.uint64)
            words = hashing.splitmix64(words ^ bits)
        order[tied] = among[np.lexsort((words, rows.labels[among], copies[among], row_ids[among]))]
    return order


def _check_label(label: str, specs: Mapping[str, object]) -> None:
    spec = specs.get(label)
    if spec is None:
        raise UserError(f"the transformed examples have no label {label!r}")
    if not isinstance(spec, tf.io.FixedLenFeature) or np.prod(spec.shape, dtype=np.int64) != 1:
        raise UserError(
            f"label {label!r} has several values a row: multi-label classification is not "
            "supported; expected one class a row"
        )
    if spec.dtype.is_floating:
        raise UserError(
            f"label {label!r} is a decimal number: regression is not supported; "
            "expected the name of a class"
        )
