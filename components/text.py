"""Text from outside, made fit for a terminal, a page or a comment.

A column name, a cell, a path or another program's message may hold control characters that move
the cursor, end a line or a comment, or turn the reading direction of what stands beside them.
"""

import re
import unicodedata

from .masking import mask

_ESCAPED = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Unicode's controls, format characters (bidi among them), surrogates, line separators."""
_JOINERS = "\u200c\u200d"  # Persian, Indic scripts and emoji are written with them; harmless
_UNUSUAL = re.compile(r"[^ -~]")


def printable(text: str) -> str:
    r"""The text in one line without anything that a terminal, YAML or HTML would act on.

    Each control or format character, line separator, lone surrogate and noncharacter becomes its
    Python escape, as `\x1b`, `\n` or `\u2028`; every letter of every script stays. Where lines
    are meant, split them first: see `lines`.
    """
    return _UNUSUAL.sub(_escaped, text)


def lines(text: str) -> list[str]:
    r"""The lines of a message of ours, each `printable`.

    Only `\n` ends a line: `str.splitlines` would take a CR or U+2028 of the data for an end.
    """
    return [printable(line) for line in text.split("\n")]


def shown(text: str) -> str:
    """A message, log line or traceback as the terminal may have it: no secret, lines printable."""
    return "\n".join(lines(mask(text)))


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    noncharacter = code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
    if noncharacter or (unicodedata.category(character) in _ESCAPED and character not in _JOINERS):
        return character.encode("unicode_escape").decode("ascii")
    return character
