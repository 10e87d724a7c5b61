"""The API key as a value that does not show itself, and that masks itself in foreign text, however disguised."""

from __future__ import annotations

import re
import traceback
from typing import NoReturn, SupportsIndex

MASK = "***"

MIN_MASKED = 16  # minimum characters of a key that is masked inside a payload; real ones are longer

MAX_SPELLED = 65_536
"""Maximum characters of a text that is searched for a disguised key; a longer one is masked as a whole."""

_MIN_BEGINNING = 4  # minimum characters of a key's beginning that is masked at the end of a truncated text

# Bounded repetitions without backtracking, so that the time is linear whatever a server sends.
_NO_LETTER = (
    # Terminal control sequences, raw or escaped as in JSON and Python.
    r"(?:(?:\x1b|(?<!\\)\\++(?:u00|x)1b)\[|\xc2?\x9b|(?<!\\)\\++(?:u00|x)9b)[0-?]{0,32}[ -/]{0,4}[@-~]"
)
_NUMBER = (
    # A character by its number, as in JSON, Python, URLs and HTML, escaped once or several times.
    r"(?:(?<!\\)\\++(?:u00|x)|%(?:25){0,4}|&(?:amp;){0,4}#x0{0,8})([0-9a-f]{2});?|&(?:amp;){0,4}#0{0,8}([0-9]{2,3});"
    # Not part of a key: any other number, and white space.
    r"|(?<!\\)\\++(?:u[0-9a-f]{4}|[nrtbfv0])"
)
# The lookahead is for speed: this is searched for in every body that has such a byte.
_ESCAPES = re.compile(rf"(?=[\\%&\x1b\x9b\xc2])(?:{_NO_LETTER}|{_NUMBER})".encode("latin-1"), re.IGNORECASE)
# Without the backslash, which may escape any character.
_LETTERS = re.compile(rf"{_NO_LETTER}|{_NUMBER}|([!-\[\]-~])", re.IGNORECASE)
# The last character of a control sequence may as well be the first of a key behind a truncated sequence.
_LETTERS_IN_CODES = re.compile(rf"{_NUMBER}|([!-\[\]-~])", re.IGNORECASE)

_LOWER_CASE = bytes(range(256)).lower()
_NEITHER_LETTER_NOR_DIGIT = bytes(byte for byte in range(256) if byte >= 0x80 or not chr(byte).isalnum())


class Secret:
    """
    A text that shows as ``***``, also in a crash report with local variables. It cannot be pickled.

    :param text: printable ASCII without spaces, as in an HTTP header.
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
        """Return the value of an ``Authorization`` header, the only way to the text."""
        return Hidden(f"Bearer {self._text}")

    def may_be_in(self, body: bytes) -> bool:
        """
        Tell quickly whether a JSON body may contain the key, so that it has to be masked.

        A key of fewer than :data:`MIN_MASKED` characters could be part of a real payload, and stays there.
        """
        return len(self._text) >= MIN_MASKED and self._may_be_spelled_in(body)

    def mask(self, text: str, *, is_truncated: bool = False) -> str:
        """
        Return a text with ``***`` in place of the key.

        The key is found in any case, with anything but printable ASCII between its letters (white space, invisible
        characters, terminal control sequences), and where JSON, Python, URLs or HTML escape its letters.

        :param is_truncated: whether the key may have begun at the end of the text.
        """
        text = re.sub(re.escape(self._text), MASK, text, flags=re.IGNORECASE)
        if not is_truncated and not self._may_be_spelled_in(text.encode("utf-8", "replace")):
            return text
        if len(text) > MAX_SPELLED:
            return MASK
        for letters in (_LETTERS, _LETTERS_IN_CODES):
            text = self._mask_spelled(text, letters, is_truncated=is_truncated)
        return text

    def _mask_spelled(self, text: str, letters: re.Pattern[str], *, is_truncated: bool) -> str:
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
        if is_truncated:
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
    """A header's value for HTTP libraries whose ``repr()``, and that of its parts, is ``***``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    def __getitem__(self, key: SupportsIndex | slice) -> Hidden:
        return Hidden(super().__getitem__(key))

    def __reduce__(self) -> NoReturn:
        _refuse_to_pickle()


def forget_locals(error: BaseException) -> None:
    """
    Clear the local variables in the tracebacks of an exception and its causes.

    HTTP libraries keep a request's bytes there, and a crash report may include them. Lines and files stay.
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
    raise TypeError("an API key is not pickled: pass the id of its connection")


def _letters_and_digits(raw: bytes) -> bytes:
    return raw.translate(_LOWER_CASE, _NEITHER_LETTER_NOR_DIGIT)


def _letter(match: re.Match[str]) -> str:
    """Return the character that a match stands for, or nothing if that cannot be part of a key."""
    by_hex, by_number, itself = match.groups()
    return itself or _printable(by_hex, by_number)


def _unescaped(match: re.Match[bytes]) -> bytes:
    by_hex, by_number = match.groups()
    return _printable(by_hex, by_number).encode()


def _printable(by_hex: str | bytes | None, by_number: str | bytes | None) -> str:
    code = int(by_hex, 16) if by_hex else int(by_number) if by_number else 0
    return chr(code) if 0x20 < code < 0x7F else ""
