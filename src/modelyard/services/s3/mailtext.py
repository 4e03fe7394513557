"""Values of user metadata beyond ASCII, in the words of mail (RFC 2047): decoded when they are kept, encoded when they are told.

Source: "User-defined object metadata" of the S3 user guide. A header carries bytes; what is UTF-8 is read as that.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import unquote

_WORD = re.compile(r"=\?utf-8\?([bq])\?([^?]*)\?=", re.IGNORECASE)
_PLAIN = re.compile(r"[\t\x20-\x7e]*")


def decoded(value: str) -> str:
    """The text that a header's value means."""
    if value.startswith("=?"):
        found = _WORD.fullmatch(value)
        return value if found is None else _word(*found.groups(), value)
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return value


def _word(kind: str, text: str, value: str) -> str:
    if kind in "qQ":
        return unquote(text.replace("%", "%25").replace("_", " ").replace("=", "%"), errors="replace")
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except binascii.Error:
        return value


def encoded(value: str, words_too: bool = False) -> str:
    """The same for a header: ASCII as it is (but what looks like an encoded word itself, with `words_too`), else one word of UTF-8:
    quoted-printable where most is ASCII."""
    if _PLAIN.fullmatch(value) and not (words_too and value.startswith("=?")):
        return value
    if 2 * sum(map(len, _PLAIN.findall(value))) < len(value):
        return f"=?UTF-8?B?{base64.b64encode(value.encode('utf-8', 'replace')).decode()}?="
    return f"=?UTF-8?Q?{''.join(_quoted(byte) for byte in value.encode('utf-8', 'replace'))}?="


def _quoted(byte: int) -> str:
    return "_" if byte == 0x20 else chr(byte) if 0x20 < byte < 0x7F and byte not in b"=?_" else f"={byte:02X}"
