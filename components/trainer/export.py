"""The trained model as a SavedModel that scores raw examples."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import descriptor_pb2

from ..names import LOGITS

Scorer = Callable[[dict[str, tf.Tensor]], tf.Tensor]


class ServingModule(tf.Module):
    """Transform's graph and a scorer as one: serialized raw tf.Examples in, raw scores out.

    Args:
      transform: what preprocessing does.
      scorer: module(transformed features) -> float32 [n, n_classes].
      hidden: raw features that are no model input: the label, the weight, `_row_id`.
    """

    def __init__(
        self, transform: tft.TFTransformOutput, scorer: Scorer, hidden: Collection[str | None]
    ) -> None:
        super().__init__()
        self.transform_layer = transform.transform_features_layer()
        self.scorer = scorer
        specs = transform.raw_feature_spec()
        self._specs = {name: spec for name, spec in specs.items() if name not in hidden}
        self._kinds = number_kinds(self._specs)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """string [n] -> {LOGITS: float32 [n, n_classes]}."""
        raw = tf.io.parse_example(with_expected_numbers(examples, self._kinds), self._specs)
        return {LOGITS: self.scorer(self.transform_layer(raw))}


def with_expected_numbers(
    examples: tf.Tensor, kinds: tf.lookup.StaticHashTable | None
) -> tf.Tensor:
    """Serialized tf.Examples in which a number has the type that the parser expects.

    tf.io.parse_example refuses the whole batch where one row holds a float that should be an int64,
    or the reverse. Such a row is written anew with the number in the expected type: a float becomes
    the nearest whole number, none where it is not finite or beyond int64. Looking for such rows
    costs about 10 microseconds a row of 16 features.

    Args:
      examples: string [n].
      kinds: from `number_kinds`.

    Returns:
      string [n].
    """
    if kinds is None:
        return examples
    n = tf.shape(examples)[0]
    (features,) = _texts(examples, "Example", "features")
    _, (padded,) = _decoded(features, "Features", ["feature"], tf.string)
    rows = tf.repeat(tf.range(n), tf.shape(padded)[1])
    entries = tf.reshape(padded, [-1])
    names, values = _texts(entries, "Features.FeatureEntry", "key", "value")
    expected = kinds.lookup(names)
    changed = tf.zeros_like(expected)
    for (kind, (field, of, dtype)), (_, (other, other_of, other_dtype)) in zip(
        _KINDS.items(), reversed(_KINDS.items()), strict=True
    ):
        has, (lists,) = _decoded(values, "Feature", [other], tf.string)
        odd = tf.where((expected == kind) & (has[:, 0] > 0))
        sizes, (numbers,) = _decoded(
            tf.gather_nd(lists, tf.pad(odd, [[0, 0], [0, 1]])), other_of, ["value"], other_dtype
        )
        if dtype == tf.int64:
            fits = tf.reduce_all(tf.abs(numbers) < 2.0**63, axis=1, keepdims=True)  # nor NaN
            sizes *= tf.cast(fits, tf.int32)
            numbers = tf.where(fits, tf.round(numbers), 0.0)
        number = _encoded(of, sizes, value=tf.cast(numbers, dtype))
        feature = _encoded("Feature", **{field: number})
        entry = _encoded("Features.FeatureEntry", key=tf.gather_nd(names, odd), value=feature)
        entries = tf.tensor_scatter_nd_update(entries, odd, entry)
        changed = tf.tensor_scatter_nd_update(changed, odd, tf.ones_like(odd[:, 0], tf.int32))
    rewritten = tf.math.unsorted_segment_max(changed, rows, n) > 0
    kept = tf.gather(rewritten, rows) & (tf.strings.length(entries) > 0)
    parts = _encoded("Features", feature=tf.boolean_mask(entries, kept))
    joined = tf.strings.unsorted_segment_join(parts, tf.boolean_mask(rows, kept), n)
    return tf.where(rewritten, _encoded("Example", features=joined), examples)


_KINDS = {1: ("int64_list", "Int64List", tf.int64), 2: ("float_list", "FloatList", tf.float32)}


def number_kinds(specs: Mapping[str, Any]) -> tf.lookup.StaticHashTable | None:
    """Feature name -> which of `_KINDS` it has in `specs`, 0 for any other; None without any."""
    of = {dtype: kind for kind, (_, _, dtype) in _KINDS.items()}
    kinds = {name: of[spec.dtype] for name, spec in specs.items() if spec.dtype in of}
    if not kinds:
        return None
    names, values = tf.constant(list(kinds), tf.string), tf.constant(list(kinds.values()), tf.int32)
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(names, values), 0)


def _descriptors() -> bytes:
    """Of tf.train.Example, for a TensorFlow that was built without them."""
    found = descriptor_pb2.FileDescriptorSet()
    for message in (tf.train.Feature, tf.train.Example):
        message.DESCRIPTOR.file.CopyToProto(found.file.add())
    return b"bytes://" + found.SerializeToString()


def _decoded(
    messages: tf.Tensor, kind: str, fields: list[str], dtype: tf.DType
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """(int32 [n, len(fields)], a [n, most values] each) of serialized messages, string [n]."""
    sizes, values = tf.io.decode_proto(
        tf.concat([messages, [""]], 0),  # it refuses to decode none
        f"tensorflow.{kind}",
        fields,
        [dtype] * len(fields),
        descriptor_source=_descriptors(),
    )
    return sizes[:-1], [value[:-1] for value in values]


def _texts(messages: tf.Tensor, kind: str, *fields: str) -> list[tf.Tensor]:
    """The fields, string [n] each, '' where there is none."""
    _, values = _decoded(messages, kind, list(fields), tf.string)
    absent = tf.fill([tf.shape(messages)[0], 1], "")
    return [tf.concat([value, absent], 1)[:, 0] for value in values]


def _encoded(kind: str, sizes: tf.Tensor | None = None, **fields: tf.Tensor) -> tf.Tensor:
    """Messages, string [n], of fields [n], or of one [n, most values] where sizes are given."""
    values = [value if value.shape.rank == 2 else value[:, None] for value in fields.values()]
    if sizes is None:
        sizes = tf.ones([tf.shape(values[0])[0], len(values)], tf.int32)
    return tf.io.encode_proto(
        sizes, values, list(fields), f"tensorflow.{kind}", descriptor_source=_descriptors()
    )


def export(module: ServingModule, directory: str) -> None:
    """Writes the SavedModel with the signature `serving_default`."""
    tf.saved_model.save(module, directory, signatures={"serving_default": module.serve})
