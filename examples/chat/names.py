"""Valid names of people, and names that look alike: a small part of Unicode Technical Standard 39."""

from __future__ import annotations

import unicodedata

__all__ = ["LONGEST_NAME", "NotAllowed", "clean_name", "look"]

LONGEST_NAME = 32

_ZWNJ, _ZWJ, _EMOJI_STYLE = "\u200c", "\u200d", "\ufe0f"

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Letters, marks and a symbol that show nothing: Hangul fillers and the like (UAX 44: Default_Ignorable_Code_Point)."""

_JOINING = frozenset(
    [
        "ARABIC",
        "SYRIAC",
        "NKO",
        "MANDAIC",
        "MONGOLIAN",
        "DEVANAGARI",
        "BENGALI",
        "GURMUKHI",
        "GUJARATI",
        "ORIYA",
        "TAMIL",
        "TELUGU",
        "KANNADA",
        "MALAYALAM",
        "SINHALA",
        "TIBETAN",
        "MYANMAR",
        "KHMER",
        "BALINESE",
        "JAVANESE",
    ]
)
"""Scripts that are written with joiners: the two change how the letters beside them look (UTS 39 section 3.1.1)."""

_WRITTEN_TOGETHER = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
)
"""The scripts that one name may mix (UTS 39 section 5.2, "Highly Restrictive")."""

_NO_SCRIPT = frozenset({"MODIFIER", "FEMININE", "MASCULINE", "DOUBLE-STRUCK", "SCRIPT", "INFORMATION", "MICRO"})

_LOOKS_LIKE = str.maketrans(
    "авԁеѕіїјкмнһорԛгстухѵѡьзӏүғԍӕ" + "αβγεηικνορτυχω" + "աոսօցհ" + "ıɑɡ|1i0",
    "abdesl" + "ljkmhhopqrctyxvwb3lyfgæ" + "abyenlkvoptuxw" + "wnuogh" + "laglllo",
)
"""Letters, in lower case, that are taken for Latin ones; and what is taken for one another among those."""


class NotAllowed(ValueError):
    """A person's request is refused; the text gives the person the reason."""


def clean_name(text: str) -> str:
    """``text`` as a name: composed, without space around it and with single spaces in it.

    Raises:
        NotAllowed: it is empty or too long, holds characters that do not show, or mixes scripts.
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if not name:
        raise NotAllowed("Please write a name.")
    if len(name) > LONGEST_NAME:
        raise NotAllowed(f"That name has {len(name)} characters. At most {LONGEST_NAME} fit.")
    if not all(_shows(name, at) for at in range(len(name))):
        raise NotAllowed("That name holds characters that cannot be shown. Please leave them out.")
    if not look(name):
        raise NotAllowed("That name holds nothing that could be read. Please write a name.")
    scripts = {_script(character) for character in unicodedata.normalize("NFKC", name)} - {""}
    if len(scripts) > 1 and not any(scripts <= together for together in _WRITTEN_TOGETHER):
        raise NotAllowed("That name mixes letters of several scripts, some of which look alike. Please use one.")
    return name


def look(name: str) -> str:
    """The appearance of a name: two names with the same result can be mistaken for each other.

    Case, width, joiners, spaces and punctuation make no difference, nor do letters of other scripts that look like
    Latin ones.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    shown = "".join(_plain(character) for character in folded if character not in (_ZWJ, _ZWNJ, _EMOJI_STYLE))
    read = "".join(character for character in shown if unicodedata.category(character)[0] not in "PZC")
    return read.translate(_LOOKS_LIKE).replace("rn", "m").replace("vv", "w")


def _shows(name: str, at: int) -> bool:
    """Whether a character of the name is visible at its position."""
    character = name[at]
    if character in (_ZWNJ, _ZWJ):
        return _joins(name[at - 1] if at else "", name[at + 1 : at + 2], character)
    if character == _EMOJI_STYLE:
        return at > 0 and unicodedata.category(name[at - 1]) == "So"
    if "\ufe00" <= character <= "\ufe0e" or character >= "\U000e0000":
        return False
    return character.isprintable() and character not in _INVISIBLE


def _joins(before: str, after: str, joiner: str) -> bool:
    """Whether a joiner changes the appearance of its neighbours."""
    if not before or not after:
        return False
    if joiner == _ZWJ and unicodedata.category(after) == "So":
        return unicodedata.category(before) in ("So", "Sk") or before == _EMOJI_STYLE
    return _word(before) in _JOINING and _word(after) == _word(before)


def _script(character: str) -> str:
    """The script of a letter; "" for a character without one."""
    if not character.isalpha():
        return ""
    word = _word(character).partition("-")[0]
    return "" if word in _NO_SCRIPT else word


def _word(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


def _plain(character: str) -> str:
    """The plain letter for a small capital."""
    name = unicodedata.name(character, "")
    small = name.removeprefix("LATIN LETTER SMALL CAPITAL ")
    return small.lower() if small != name and len(small) == 1 else character
