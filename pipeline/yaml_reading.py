"""Reads a config's YAML: plain data of bounded size, or one line on what is wrong where.

Taken of YAML 1.1 are maps, lists, text, whole numbers of 64 bits, floats, booleans and null, with
anchors and merges. A date stays the text that it is: classes may be called 2026-01-01.
"""

import math
from pathlib import Path
from typing import Any

import yaml

from ..components.errors import UserError

MOST_BYTES = 4 * 1024 * 1024
MOST_DEPTH = 50
MOST_VALUES = 50_000
"""Of a file, what aliases and merges repeat counted as often as it stands there."""

_LARGEST = 2**63 - 1
_TAKEN = ("null", "bool", "int", "float", "seq", "map", "str", "merge")
_Error = yaml.constructor.ConstructorError


def read_yaml(path: Path) -> Any:
    """What a YAML file says; None for an empty one.

    Raises:
      UserError: it cannot be read, is too large or is no plain YAML; with the line where known.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise UserError(f"{path}: is larger than {MOST_BYTES // 2**20} MiB; is it a config?")
        text = content.decode("utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such config file") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}: line {line}: cannot be read: it is not UTF-8; save it as such"
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UserError(
            f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from None
    try:
        return yaml.load(text, _PlainLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(
            f"{path}: line {line}: not valid YAML: the character U+{int(error.character):04X}"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise UserError(f"{path}: {where}not valid YAML: {' '.join(said.split())}") from None


class _PlainLoader(yaml.SafeLoader):
    """Makes plain data alone, and refuses what would take long or much memory before it does."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._depth = 0
        self._sizes: dict[yaml.Node, int] = {}  # of nodes that are read to their end

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Counts depth and values, an alias as all that it stands for."""
        mark = self.peek_event().start_mark
        is_alias = self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise _Error(None, None, f"nested deeper than {MOST_DEPTH}", mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if node is None:
            return None
        if node not in self._sizes:
            if is_alias:
                raise _Error(None, None, "an alias of what it stands in", mark)
            if isinstance(node, yaml.MappingNode):
                self._check_keys(node)  # here, before merges add to it
            self._sizes[node] = 1 + sum(self._sizes[child] for child in _children(node))
        if self._sizes[node] > MOST_VALUES:
            raise _Error(None, None, f"more than {MOST_VALUES:,} values", mark)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """As PyYAML, with its slips on odd scalars told by their place."""
        kind = node.tag.rpartition(":")[2]
        if kind not in _TAKEN or not node.tag.startswith("tag:yaml.org,2002:"):
            raise _Error(None, None, f"a tag {node.tag!r}; write a plain value", node.start_mark)
        if kind == "int" and len(str(node.value)) > 100:
            raise _Error(None, None, "a number of more than 64 bits", node.start_mark)
        try:
            value = super().construct_object(node, deep)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise _Error(None, None, f"{node.value!r} is no {kind}", node.start_mark) from None
        if isinstance(value, float) and not math.isfinite(value):
            raise _Error(None, None, f"{node.value} is no finite number", node.start_mark)
        if isinstance(value, int) and not -_LARGEST - 1 <= value <= _LARGEST:
            raise _Error(None, None, "a number of more than 64 bits", node.start_mark)
        return value

    def _check_keys(self, node: yaml.MappingNode) -> None:
        """A key may stand once: YAML keeps the last, here it is a mistake."""
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Error(None, None, "a key is a map or a list", key_node.start_mark)
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node)
            if key in seen:
                raise _Error(None, None, f"key {key!r} stands twice", key_node.start_mark)
            seen.add(key)


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag.rpartition(":")[2] in _TAKEN]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [child for pair in node.value for child in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []
