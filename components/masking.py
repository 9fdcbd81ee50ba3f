"""Secrets in options and addresses are not shown: not on a page, in a log, an error or lineage.

Two things hide them. What an option's or key's name says is secret is masked wherever such an
option stands in a text; and a value once known to be secret (`remember`) is masked in every text.
"""

import re
from collections.abc import Iterator
from typing import Any

MASK = "***"

_WORDS = (
    "secret|passw(?:or)?d|passphrase|token|access[-_]?key|account[-_]?key|api[-_]?key"
    "|credential|private|signature|connection[-_]?string"
)
_SECRET = re.compile(_WORDS, re.IGNORECASE)
_PLACE = re.compile(r"[-_](env|file|path|name)$", re.IGNORECASE)
"""Such a name says where the secret is kept."""
_NAME = rf"[\w.-]*(?:{_WORDS})[\w.-]*"
# A bare `name=value` may be a slice of the data: only names that are surely no column's.
_SURE = (
    r"(?:\w*(?:secret_access_key|secret_key|access_key(?:_id)?|client_secret|session_token)"
    r"|account_?key|shared_?access_?(?:key|signature)|password|passwd|pwd)"
)
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s'",;&)\]}]+)"""
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?P<name>--?{_NAME})(?P<between>=)(?P<value>\"[^\"]*\"|'[^']*'|[^\s'\"]*)",
        # As two words of a command line, or two items of a printed list.
        rf"(?P<name>--{_NAME})(?P<between>['\"]?,?\s+)(?!['\"]?--)(?P<value>{_VALUE})",
        # A key of a printed dict or of JSON, its value a text.
        rf"(?P<name>(?P<quote>['\"]){_NAME})(?P<between>(?P=quote)\s*:\s*)"
        r"(?P<value>\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*')",
        rf"(?<![\w-])(?P<name>{_SURE})(?P<between>\s*=\s*)(?P<value>{_VALUE})",
        rf"(?P<name>[?&](?:{_NAME}|sig))(?P<between>=)(?P<value>[^&\s'\"]+)",
    )
)
_ADDRESS = re.compile(r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s:/?#@'\"]*):([^\s/?#'\"]+)@")
_BEARER = re.compile(r"(?i)\b(bearer|basic)(\s+)[\w.~+/=-]{8,}")
_PEM = re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END|\Z)", re.DOTALL)

_SHORTEST = 6  # a shorter value would be found inside of words and numbers
_known: set[str] = set()


def is_secret(name: str) -> bool:
    """Whether an option, key or variable of this name holds a secret itself.

    `password` does; `password_env` and `token_file` say where it is.
    """
    return bool(_SECRET.search(name)) and not _PLACE.search(name)


def has_password(address: str) -> bool:
    """Whether a URI holds a password, as in `mysql://user:password@host`."""
    return bool(_ADDRESS.search(address))


def remember(*values: str) -> None:
    """Has `mask` hide these values in every text from now on, those of six characters or more."""
    _known.update(value for value in values if len(value) >= _SHORTEST)


def secrets_in(data: Any) -> Iterator[str]:
    """The secret values in plain data: of keys, of options in lists of text, of addresses."""
    if isinstance(data, dict):
        for key, value in data.items():
            if isinstance(value, str) and is_secret(str(key)):
                yield value
            else:
                yield from secrets_in(value)
    elif isinstance(data, list | tuple):
        before = ""
        for item in data:
            if isinstance(item, str) and _waits(before) and not item.startswith("--"):
                yield item
            else:
                yield from secrets_in(item)
            before = item if isinstance(item, str) else ""
    elif isinstance(data, str):
        for found in (*_PATTERNS[0].finditer(data), *_PATTERNS[-1].finditer(data)):
            if is_secret(found["name"]) or found["name"][1:] == "sig":
                yield found["value"]
        for address in _ADDRESS.finditer(data):
            yield address[2]


def mask(text: str) -> str:
    """A text of a log, an error or another program with each secret in it as `***`."""
    for value in sorted(_known, key=len, reverse=True):
        text = text.replace(value, MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(_masked, text)
    text = _ADDRESS.sub(rf"\1:{MASK}@", text)
    text = _BEARER.sub(rf"\1\2{MASK}", text)
    return _PEM.sub(rf"\1{MASK}\2", text)


def mask_data(data: Any) -> Any:
    """Plain data, as a config, with each secret in it as `***`; numbers and names stay."""
    if isinstance(data, dict):
        return {
            key: MASK if isinstance(value, str) and is_secret(str(key)) else mask_data(value)
            for key, value in data.items()
        }
    if isinstance(data, list | tuple):
        items, before = [], ""
        for item in data:
            hidden = isinstance(item, str) and _waits(before) and not item.startswith("--")
            items.append(MASK if hidden else mask_data(item))
            before = item if isinstance(item, str) else ""
        return items
    return mask(data) if isinstance(data, str) else data


def _waits(option: str) -> bool:
    """Whether an option's secret is the next item of the list."""
    return option.startswith("--") and "=" not in option and is_secret(option)


def _masked(found: re.Match[str]) -> str:
    name = found["name"]
    if not (is_secret(name) or name.lower().endswith(("sig", "pwd", "signature"))):
        return found[0]
    value = found["value"]
    quote = value[:1] if value[:1] in ("'", '"') else ""
    return f"{name}{found['between']}{quote}{MASK}{quote}"
