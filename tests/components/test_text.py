"""What is printed of text from outside cannot steer a terminal, end a comment or leave a line."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfx_imbalance.components.text import lines, printable

STEERING = [*map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), "\u2028", "\u2029"]
STEERING += [*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)), "\u200e", "\u200f"]
STEERING += ["\u061c", "\ufeff", "\u200b", "\ud800", "\udfff", "\ufffe", "\U0010ffff", "\U000e0041"]


@pytest.mark.parametrize("character", STEERING, ids=lambda c: f"U+{ord(c):04X}")
def test_a_steering_character_is_shown_by_its_escape(character: str) -> None:
    shown = printable(f"a{character}b")
    assert shown.isascii()
    assert shown.encode().decode("unicode_escape") == f"a{character}b"


@given(st.text(st.characters()))  # surrogates too
def test_any_text_becomes_one_line_that_every_utf8_terminal_takes(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) <= 1
    shown.encode("utf-8")
    bad = {"Cc", "Cs", "Zl", "Zp", "Cf"}
    assert not [c for c in shown if unicodedata.category(c) in bad and c not in "\u200c\u200d"]
    assert printable(shown) == shown


@given(st.text(st.characters(categories=["L", "M", "N", "P", "S", "Zs"])))
def test_letters_of_every_script_stay(text: str) -> None:
    assert printable(text) == text


def test_only_a_newline_ends_a_line() -> None:
    assert lines("one\ntw\ro\u2028\x85\nthree") == ["one", "tw\\ro\\u2028\\x85", "three"]
