"""Transformed examples as batches of tensors."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from ..errors import UserError
from ..examples_io import compression_of

SHUFFLE_ROWS = 200_000
"""Rows that are shuffled at once; fewer rows than that are shuffled completely."""


@dataclass(frozen=True)
class FeatureSpace:
    """A model's inputs, in one order for training and serving.

    Attributes:
      numeric: names of the float features.
      categories: name -> number of ids of the categorical features.
    """

    numeric: tuple[str, ...]
    categories: Mapping[str, int]

    @classmethod
    def of(cls, schema: schema_pb2.Schema, exclude: Collection[str | None]) -> "FeatureSpace":
        """The features that Transform's schema describes.

        Args:
          schema: of the transformed data; an int feature with an `int_domain` is a category.
          exclude: names that are no features: label, weight, row identity.

        Raises:
          UserError: a feature that is neither a number nor a category, or none at all.
        """
        numeric, categories = [], {}
        for feature in sorted(schema.feature, key=lambda f: f.name):
            if feature.name in exclude:
                continue
            if feature.type == schema_pb2.BYTES:
                raise UserError(
                    f"preprocessing.fn: feature {feature.name!r} is text; expected numbers or "
                    "vocabulary ids (tft.compute_and_apply_vocabulary)"
                )
            if feature.type == schema_pb2.INT and feature.HasField("int_domain"):
                categories[feature.name] = int(feature.int_domain.max) + 1
            else:
                numeric.append(feature.name)
        if not numeric and not categories:
            raise UserError("preprocessing: no feature is left to learn from")
        return cls(tuple(numeric), categories)

    def pack(self, features: Mapping[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """Features as float32 [n, len(numeric)] and int32 [n, len(categories)]."""
        some = next(iter(features.values()))
        n = tf.shape(some)[0]

        def matrix(names: Collection[str], dtype: tf.DType) -> tf.Tensor:
            if not names:
                return tf.zeros(tf.stack([n, 0]), dtype)
            return tf.concat([tf.cast(tf.reshape(features[k], [-1, 1]), dtype) for k in names], 1)

        return matrix(self.numeric, tf.float32), matrix(self.categories, tf.int32)


@dataclass(frozen=True)
class Examples:
    """One split of transformed examples.

    Attributes:
      patterns: file names or patterns of gzipped TFRecords.
      spec: parsing spec of the transformed features.
      space: which of them are inputs.
      label: the label's name; its values are class names.
      classes: class names in index order.
      weight: the sample weight's name, if there is one.
    """

    patterns: Sequence[str]
    spec: Mapping[str, tf.io.FixedLenFeature]
    space: FeatureSpace
    label: str
    classes: Sequence[str]
    weight: str | None

    @cached_property
    def files(self) -> list[str]:
        """The files, sorted."""
        return sorted(f for pattern in self.patterns for f in tf.io.gfile.glob(pattern))

    def batches(self, size: int, seed: int | None = None) -> tf.data.Dataset:
        """Batches of (numeric [b, D], ids [b, C]), class index int32 [b], sample weight [b].

        Args:
          size: rows of a batch; the last one may have fewer.
          seed: shuffles anew in every epoch; None keeps the files' order.
        """
        compression = compression_of(self.files[0]) if self.files else ""
        records = tf.data.TFRecordDataset(self.files, compression, buffer_size=4 << 20)
        if seed is not None:
            records = records.shuffle(SHUFFLE_ROWS, seed=seed)
        parsed = records.batch(size).map(self._parse, num_parallel_calls=2, deterministic=True)
        return parsed.prefetch(4)

    def _parse(self, serialized: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], tf.Tensor, tf.Tensor]:
        features = tf.io.parse_example(serialized, self.spec)
        names = tf.constant(list(self.classes))
        hits = tf.equal(tf.reshape(features[self.label], [-1, 1]), names)
        index = tf.argmax(tf.cast(hits, tf.int32), axis=1, output_type=tf.int32)
        known = tf.cast(tf.reduce_any(hits, axis=1), tf.float32)
        weight = tf.reshape(features[self.weight], [-1]) if self.weight else tf.ones_like(known)
        return self.space.pack(features), index, weight * known
