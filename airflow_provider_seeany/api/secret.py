"""The API key as a value that does not show itself, and that finds itself in foreign text however that spells it."""

from __future__ import annotations

import re
import traceback
from typing import NoReturn, SupportsIndex

MASK = "***"

MIN_MASKED = 16
"""Shortest key, in characters, that is masked inside an answer; real ones are longer."""

MAX_SPELLED = 65_536
"""Longest text, in characters, that is searched for a disguised key letter by letter; a longer one is masked whole."""

_MIN_BEGINNING = 4
"""Shortest beginning of a key, in characters, that is masked where a text was cut off in the middle of one."""

# Bounded repetitions, and none that backtracks, so that the time is linear whatever a server sends.
_NO_LETTER = (
    # What moves a terminal's cursor or colours its text, as it is or as JSON and Python escape it.
    r"(?:(?:\x1b|(?<!\\)\\++(?:u00|x)1b)\[|\xc2?\x9b|(?<!\\)\\++(?:u00|x)9b)[0-?]{0,32}[ -/]{0,4}[@-~]"
)
_NUMBER = (
    # A character by its number, as JSON, Python, URLs and HTML write it, escaped once or several times.
    r"(?:(?<!\\)\\++(?:u00|x)|%(?:25){0,4}|&(?:amp;){0,4}#x0{0,8})([0-9a-f]{2});?|&(?:amp;){0,4}#0{0,8}([0-9]{2,3});"
    # No letter of a key: any other number, and white space.
    r"|(?<!\\)\\++(?:u[0-9a-f]{4}|[nrtbfv0])"
)
# What it may begin with is said first: it is searched for in every body that has such a byte.
_ESCAPES = re.compile(rf"(?=[\\%&\x1b\x9b\xc2])(?:{_NO_LETTER}|{_NUMBER})".encode("latin-1"), re.IGNORECASE)
# A backslash is none: it may stand before any sign.
_LETTERS = re.compile(rf"{_NO_LETTER}|{_NUMBER}|([!-\[\]-~])", re.IGNORECASE)
# What ends a terminal's code may as well be the first letter of a key that stands behind half a code.
_LETTERS_IN_CODES = re.compile(rf"{_NUMBER}|([!-\[\]-~])", re.IGNORECASE)

_LOWER_CASE = bytes(range(256)).lower()
_NEITHER_LETTER_NOR_DIGIT = bytes(byte for byte in range(256) if byte >= 0x80 or not chr(byte).isalnum())


class Secret:
    """
    A text that shows as ``***``, also in a crash report that keeps local variables.

    It cannot be pickled, as the pickle would hold it in clear text. A copy of it is itself.

    :param text: the text: printable ASCII without spaces, as an HTTP header carries it.
    """

    __slots__ = ("_letters_and_digits", "_text")

    def __init__(self, text: str) -> None:
        self._text = Hidden(text)
        self._letters_and_digits = _letters_and_digits(text.encode())

    def __repr__(self) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        _refuse_to_pickle()

    def bearer(self) -> Hidden:
        """Return the value of an ``Authorization`` header; this is the only way to the text."""
        return Hidden(f"Bearer {self._text}")

    def may_be_in(self, body: bytes) -> bool:
        """
        Tell quickly whether a JSON body may spell the key; if not, there is nothing in it to mask.

        A key of fewer than :data:`MIN_MASKED` characters could be part of an honest answer, and stays there.
        """
        return len(self._text) >= MIN_MASKED and self._may_be_spelled_in(body)

    def mask(self, text: str, *, goes_on: bool = False) -> str:
        """
        Return a text with ``***`` in place of the key.

        The key is found in any case, and with anything between its letters that is no printable ASCII: white space,
        control characters, what has no width, codes of a terminal. It is found, too, where JSON, Python, URLs or HTML
        escape its letters.

        :param text: text that came from outside.
        :param goes_on: whether the text was cut off at its end, where the key may have begun.
        """
        text = re.sub(re.escape(self._text), MASK, text, flags=re.IGNORECASE)
        if not goes_on and not self._may_be_spelled_in(text.encode("utf-8", "replace")):
            return text
        if len(text) > MAX_SPELLED:
            return MASK
        for letters in (_LETTERS, _LETTERS_IN_CODES):
            text = self._mask_spelled(text, letters, goes_on=goes_on)
        return text

    def _mask_spelled(self, text: str, letters: re.Pattern[str], *, goes_on: bool) -> str:
        wanted = self._text.lower().replace("\\", "")
        found = [(letter, match) for match in letters.finditer(text) if (letter := _letter(match))]
        spelled = "".join(letter for letter, _ in found).lower()
        pieces = []
        end = 0
        at = spelled.find(wanted)
        while at >= 0:
            pieces.append(text[end : found[at][1].start()])
            end = found[at + len(wanted) - 1][1].end()
            at = spelled.find(wanted, at + len(wanted))
        rest = text[end:]
        if goes_on:
            lengths = range(len(wanted) - 1, _MIN_BEGINNING - 1, -1)
            begun = next((n for n in lengths if spelled.endswith(wanted[:n])), 0)
            if begun and (start := found[-begun][1].start()) >= end:
                rest = text[end:start] + MASK
        return MASK.join([*pieces, rest])

    def _may_be_spelled_in(self, raw: bytes) -> bool:
        """Compare letters and digits only, whatever stands between them."""
        if self._letters_and_digits in _letters_and_digits(raw):
            return True
        if not any(sign in raw for sign in (b"\\", b"%", b"&", b"\x1b", b"\x9b")):
            return False
        return self._letters_and_digits in _letters_and_digits(_ESCAPES.sub(_unescaped, raw))


class Hidden(str):
    """A text that HTTP libraries take for a header's value, but whose ``repr()``, and that of its parts, is ``***``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    def __getitem__(self, key: SupportsIndex | slice) -> Hidden:
        return Hidden(super().__getitem__(key))

    def __reduce__(self) -> NoReturn:
        _refuse_to_pickle()


def forget_locals(error: BaseException) -> None:
    """
    Clear the local variables of the frames that an exception, and those it came from, have passed.

    HTTP libraries keep a request's bytes there, and a crash report may keep local variables. Lines and files stay.
    """
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        each = todo.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            traceback.clear_frames(each.__traceback__)
            todo += [each.__cause__, each.__context__]


def _refuse_to_pickle() -> NoReturn:
    raise TypeError("an API key is not pickled: hand on the id of its connection")


def _letters_and_digits(raw: bytes) -> bytes:
    return raw.translate(_LOWER_CASE, _NEITHER_LETTER_NOR_DIGIT)


def _letter(match: re.Match[str]) -> str:
    """Return the character that a piece of text stands for, or nothing if that cannot be part of a key."""
    by_hex, by_number, itself = match.groups()
    return itself or _printable(by_hex, by_number)


def _unescaped(match: re.Match[bytes]) -> bytes:
    by_hex, by_number = match.groups()
    return _printable(by_hex, by_number).encode()


def _printable(by_hex: str | bytes | None, by_number: str | bytes | None) -> str:
    code = int(by_hex, 16) if by_hex else int(by_number) if by_number else 0
    return chr(code) if 0x20 < code < 0x7F else ""
