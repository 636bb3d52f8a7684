"""What may be a name in the chat, and which names are taken for each other."""

from __future__ import annotations

import pytest

from examples.chat.names import LONGEST_NAME, NotAllowed, clean_name, look


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Ada", "Ada"),
        ("  Ada \t Lovelace\n", "Ada Lovelace"),
        ("Jose\u0301", "José"),
        ("<b>Bob</b>", "<b>Bob</b>"),
        ("李", "李"),
        ("Анна", "Анна"),
        ("علی\u200cرضا", "علی\u200cرضا"),
        ("ක්\u200dෂ", "ක්\u200dෂ"),
        ("श्री\u200dराम", "श्री\u200dराम"),
        ("👩\u200d💻", "👩\u200d💻"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("山田 タロウ", "山田 タロウ"),
        ("Kim 철수", "Kim 철수"),
    ],
)
def test_a_name_is_tidied_and_otherwise_left_alone(written: str, name: str) -> None:
    assert clean_name(written) == name


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "write a name"),
        ("   ", "write a name"),
        ("...", "could be read"),
        ("a" * (LONGEST_NAME + 1), "33 characters"),
        ("A\u202edA", "cannot be shown"),
        ("Ada\u3164", "cannot be shown"),
        ("Ada\u115f", "cannot be shown"),
        ("Ada\uffa0", "cannot be shown"),
        ("Ada\u2800", "cannot be shown"),
        ("A\u200dda", "cannot be shown"),
        ("Ada\u200c", "cannot be shown"),
        ("علی\u200c", "cannot be shown"),
        ("علی\u200c\u200cرضا", "cannot be shown"),
        ("Ada\ufe0f", "cannot be shown"),
        ("Ada\U000e0061", "cannot be shown"),
        ("\u0410da", "several scripts"),
        ("Ad\u03b1", "several scripts"),
    ],
)
def test_a_name_that_is_none_is_refused_in_words(written: str, why: str) -> None:
    with pytest.raises(NotAllowed, match=why):
        clean_name(written)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada", "ADA"),
        ("Ada", "\uff21da"),
        ("Ada", "A d a"),
        ("Ada", "Ada."),
        ("Ada", "ᴀᴅᴀ"),
        ("Al", "AI"),
        ("Bob", "B0b"),
        ("Marnie", "Mamie"),
        ("AB", "\u0410\u0412"),
        ("Cope", "\u0421\u043e\u0440\u0435"),
        ("nko", "\u03b7\u03ba\u03bf"),
        ("علی\u200cرضا", "علیرضا"),
    ],
)
def test_names_that_look_alike_have_one_look(one: str, other: str) -> None:
    assert look(one) == look(other)


@pytest.mark.parametrize(
    ("one", "other"), [("Ada", "Adá"), ("Ada", "Ida"), ("Анна", "Инна"), ("李", "季"), ("🦉", "🦊")]
)
def test_names_that_do_not_have_two(one: str, other: str) -> None:
    assert look(one) != look(other)
