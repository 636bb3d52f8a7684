from __future__ import annotations

from odac.presence.questions import AT_OPENING, PATIENCE, ShareQuestions

OTHER, THIRD = b"other", b"third"


def test_a_question_is_overdue_until_its_whole_answer_has_arrived() -> None:
    questions = ShareQuestions()
    questions.asked(OTHER, "a", 7, 0.0)
    assert questions.overdue(OTHER, PATIENCE - 0.1) == questions.overdue(THIRD, PATIENCE) == []
    assert questions.overdue(OTHER, PATIENCE) == ["a"]
    questions.answered(OTHER, "a", 7, 2.0, whole=False)
    assert questions.overdue(OTHER, PATIENCE) == []
    assert questions.overdue(OTHER, 2.0 + PATIENCE) == ["a"]
    questions.answered(OTHER, "a", 7, 3.0, whole=True)
    questions.answered(OTHER, "a", 7, 3.0, whole=True)
    assert questions.overdue(OTHER, 100.0) == []


def test_the_answer_to_an_earlier_question_does_not_count() -> None:
    questions = ShareQuestions()
    questions.asked(OTHER, "a", 7, 0.0)
    questions.asked(OTHER, "a", 8, 0.0)
    questions.answered(OTHER, "a", 7, 0.0, whole=False)
    questions.answered(OTHER, "a", 7, 0.0, whole=True)
    assert questions.overdue(OTHER, PATIENCE) == ["a"]
    questions.answered(OTHER, "a", 8, 0.0, whole=True)
    assert questions.overdue(OTHER, PATIENCE) == []


def test_at_the_opening_of_a_room_every_answer_counts() -> None:
    questions = ShareQuestions()
    questions.asked(OTHER, "a", AT_OPENING, 0.0)
    questions.answered(OTHER, "a", 7, 0.0, whole=True)
    assert questions.overdue(OTHER, PATIENCE) == []


def test_rooms_and_processes_are_forgotten() -> None:
    questions = ShareQuestions()
    for origin in (OTHER, THIRD):
        for room in ("a", "b"):
            questions.asked(origin, room, 7, 0.0)
    questions.forget_room("a")
    assert questions.overdue(OTHER, PATIENCE) == questions.overdue(THIRD, PATIENCE) == ["b"]
    questions.forget(THIRD)
    assert (questions.overdue(OTHER, PATIENCE), questions.overdue(THIRD, PATIENCE)) == (["b"], [])
