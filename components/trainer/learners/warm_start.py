"""A trained MLP's network in a file beside its SavedModel, for a later training to start from.

The file travels with the model: Calibrator copies it into the one that is pushed, so that a pushed
folder is enough, wherever the metadata is.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft

from ...names import EXTRA_DIR, NETWORK_FILE, in_file_name
from ..input import Feature
from ..params import MlpParams

_VOCABULARY = re.compile(r"vocabulary_\d+_(.+)")
"""How preprocessing names the file of a column's vocabulary."""


class DoesNotFit(Exception):
    """Why a network is no start for a training."""


@dataclass(frozen=True)
class Inputs:
    """What a network's inputs and outputs mean.

    Attributes:
      features: the inputs.
      classes: class names in index order.
      vocabularies: feature -> its values in the order of their ids, where that is known.
      others: digests of the vocabulary files whose features are not known, sorted.
    """

    features: tuple[Feature, ...]
    classes: tuple[str, ...]
    vocabularies: dict[str, list[bytes]]
    others: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, transform: tft.TFTransformOutput, features: Sequence[Feature], classes: Sequence[str]
    ) -> "Inputs":
        """As Transform's graph has them."""
        folder = os.path.join(transform.transform_savedmodel_dir, "assets")
        files = sorted(tf.io.gfile.listdir(folder)) if tf.io.gfile.isdir(folder) else []
        of_column: dict[str, list[str]] = {}
        for name in files:
            column = _VOCABULARY.fullmatch(name)
            of_column.setdefault(column.group(1) if column else "", []).append(name)
        vocabularies, others = {}, set(files)
        for feature in features:
            found = of_column.get(in_file_name(feature.name), [])
            if feature.categories and len(found) == 1:
                content = _content(os.path.join(folder, found[0]))
                vocabularies[feature.name] = content.split(b"\n")[:-1]
                others -= {found[0]}
        digests = [hashlib.sha256(_content(os.path.join(folder, f))).hexdigest() for f in others]
        return cls(tuple(features), tuple(classes), vocabularies, tuple(sorted(digests)))


@dataclass(frozen=True)
class Network:
    """What an MLP has learned.

    Attributes:
      sizes: what the parameters say of its form, see `sizes_of`.
      edges: float32 [n_numbers, bins + 1], of its piecewise-linear encoding.
      weights: as Keras's `get_weights` lists them.
      table: index in `weights` of the embeddings, float32 [ids of all columns, units].
    """

    sizes: dict[str, Any]
    edges: np.ndarray
    weights: list[np.ndarray]
    table: int


def sizes_of(params: MlpParams) -> dict[str, Any]:
    """The parameters on which the shapes of weights depend, as JSON has them."""
    names = ("hidden", "embedding_units", "bins", "bin_units")
    sizes: dict[str, Any] = params.model_dump(mode="json", include=set(names))
    return {**sizes, "loss.name": "ldam" if params.loss.name == "ldam" else "other than ldam"}


def save(network: Network, inputs: Inputs, model_dir: str) -> None:
    """Writes the file beside the SavedModel in `model_dir`."""
    about = {
        "sizes": network.sizes,
        "table": network.table,
        "features": [[f.name, f.width, f.categories, f.lowest] for f in inputs.features],
        "classes": inputs.classes,
        "vocabularies": list(inputs.vocabularies),
        "others": inputs.others,
    }
    arrays = {f"weight_{i}": array for i, array in enumerate(network.weights)}
    for i, values in enumerate(inputs.vocabularies.values()):
        arrays[f"vocabulary_{i}"] = np.array(bytearray(b"\n".join(values)), np.uint8)
    content = io.BytesIO()
    np.savez(content, about=np.array(json.dumps(about)), edges=network.edges, **arrays)
    folder = os.path.join(model_dir, EXTRA_DIR)
    tf.io.gfile.makedirs(folder)
    with tf.io.gfile.GFile(os.path.join(folder, NETWORK_FILE), "wb") as file:
        file.write(content.getvalue())


def start(model_dir: str | None, params: MlpParams, inputs: Inputs) -> tuple[Network, str]:
    """The network of an earlier model, for training on other rows.

    Its edges stay, since the weights after them belong to them. A category's embedding goes to
    the id that the category has now; one that is new begins where unseen ones were.

    Args:
      model_dir: of the SavedModel; None for none.
      params: of the MLP to be trained.
      inputs: what its inputs are.

    Returns:
      The network, and a line for people.

    Raises:
      DoesNotFit: there is none, or it differs in more than vocabularies.
    """
    if model_dir is None:
        raise DoesNotFit("there is no champion to compare with")
    path = os.path.join(model_dir, EXTRA_DIR, NETWORK_FILE)
    if not tf.io.gfile.exists(path):
        raise DoesNotFit("the champion carries no network of an mlp")
    with np.load(io.BytesIO(_content(path)), allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
        features = tuple(Feature(*parts) for parts in about["features"])
        vocabularies = {
            name: arrays[f"vocabulary_{i}"].tobytes().split(b"\n")
            for i, name in enumerate(about["vocabularies"])
        }
        before = Inputs(features, tuple(about["classes"]), vocabularies, tuple(about["others"]))
        weights = [arrays[f"weight_{i}"] for i in range(len(arrays.files) - 2 - len(vocabularies))]
        old = Network(about["sizes"], arrays["edges"], weights, about["table"])
    _check(old, before, inputs, params)
    return _carried(old, before, inputs)


def _check(old: Network, before: Inputs, now: Inputs, params: MlpParams) -> None:
    if before.classes != now.classes:
        raise DoesNotFit(f"its classes are {list(before.classes)}, now {list(now.classes)}")
    for option, value in sizes_of(params).items():
        if old.sizes.get(option) != value:
            raise DoesNotFit(f"its mlp.{option} is {old.sizes.get(option)}, now {value}")
    kinds_before, kinds_now = (
        {f.name: (f.width, bool(f.categories)) for f in inputs.features} for inputs in (before, now)
    )
    for name in sorted({*kinds_before, *kinds_now}):
        if name not in kinds_now:
            raise DoesNotFit(f"its feature {name!r} is gone")
        if name not in kinds_before:
            raise DoesNotFit(f"the feature {name!r} is new")
        if kinds_before[name] != kinds_now[name]:
            raise DoesNotFit(f"the feature {name!r} is of another width or sort")
    if before.others != now.others:
        raise DoesNotFit("a vocabulary file differs, and it cannot be told to which feature it is")
    if set(before.vocabularies) != set(now.vocabularies):
        odd = min(set(before.vocabularies) ^ set(now.vocabularies))
        raise DoesNotFit(f"the feature {odd!r} has a vocabulary only once")
    for was, this in zip(before.features, now.features, strict=True):
        ranges = [(f.lowest, f.categories) for f in (was, this)]
        if was.name not in now.vocabularies and ranges[0] != ranges[1]:
            raise DoesNotFit(f"the ids of feature {was.name!r} have another range")


def _carried(old: Network, before: Inputs, now: Inputs) -> tuple[Network, str]:
    table, parts, first, new, lost = old.weights[old.table], [], 0, 0, 0
    for was, this in zip(before.features, now.features, strict=True):
        keys, wanted = (
            _meanings(f, inputs.vocabularies.get(f.name, []))
            for f, inputs in ((was, before), (this, now))
        )
        row_of = {key: row for row, key in enumerate(keys)}
        unseen = [row for key, row in row_of.items() if isinstance(key, int)]
        for _ in range(was.width if was.categories else 0):
            rows = table[first : first + len(keys)]
            fresh = rows[unseen or slice(None)].mean(axis=0)
            parts.append(np.stack([rows[row_of[k]] if k in row_of else fresh for k in wanted]))
            first += len(keys)
        new += len(set(wanted) - set(keys))
        lost += len(set(keys) - set(wanted))
    weights = list(old.weights)
    if parts:
        weights[old.table] = np.concatenate(parts)
    changes = [f"{n} {what}" for n, what in ((new, "new"), (lost, "gone")) if n]
    told = f" (categories: {', '.join(changes)})" if changes else ""
    return replace(old, weights=weights), f"the champion's network{told}"


def _meanings(feature: Feature, values: list[bytes]) -> list[bytes | int]:
    """What each id stands for: a value, or by its number a share of the unseen."""
    ids = range(feature.lowest, feature.lowest + feature.categories)
    return [values[i] if 0 <= i < len(values) else i if i < 0 else i - len(values) for i in ids]


def _content(path: str) -> bytes:
    with tf.io.gfile.GFile(path, "rb") as file:
        content: bytes = file.read()
        return content
