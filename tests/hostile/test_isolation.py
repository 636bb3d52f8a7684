"""A thousand users at once, some of whose gates fail in every way: nobody is taken for another."""

from __future__ import annotations

import json
from collections import defaultdict

import pytest

from tests.hostile.links import Link, link, pump
from tests.hostile.peers import CLOSE, TEXT, frame
from tests.hostile.processes import needs_proc, serving

USERS = 1_000
ROUNDS = 3


def expected_code(user: int) -> int | None:
    """How the middleware of this user ends the connection; None where it lets it in."""
    return {1: 1011, 2: 1013, 3: 1011, 4: 4003}.get(user % 10)


@needs_proc
@pytest.mark.parametrize("kind", ["run", "asgi"])
def test_no_user_sees_anothers_identity_or_data(kind: str) -> None:
    with serving(kind, tracebacks=True, handshake_timeout=3.0, rate_limit=None) as server:
        links: dict[int, Link] = {}
        for user in range(USERS):
            links[user] = link(server.port, f"/who?user={user}", [("Cookie", f"mine=cookie-of-{user}")])
            assert links[user].status == 101
        everybody = list(links.values())
        codes: dict[int, int] = {}
        received: dict[int, list[dict[str, object]]] = defaultdict(list)
        for each in everybody:
            each.send(frame(TEXT, b'"who am I?"') * ROUNDS)

        def settled() -> bool:
            for user, each in links.items():
                for opcode, payload in each.frames():
                    if opcode == CLOSE:
                        codes[user] = int.from_bytes(payload[:2], "big")
                    elif opcode == TEXT:
                        received[user].append(json.loads(payload))
            # An answer, and the same message twice: as the user's and as the room's.
            return all(user in codes if expected_code(user) else len(received[user]) >= 3 * ROUNDS for user in links)

        pump(everybody, settled, "all are answered or closed", 60)
        assert codes == {user: code for user in links if (code := expected_code(user))}
        ids = set()
        for user, each in links.items():
            if expected_code(user):
                assert received[user] == []
                continue
            answers = [message for message in received[user] if "id" in message]
            assert len(answers) == ROUNDS
            assert len({message["id"] for message in answers}) == 1
            ids.add(answers[0]["id"])
            for message in answers:
                del message["id"]
                assert message == {
                    "user": str(user),
                    "before": str(user),
                    "query": str(user),
                    "cookie": f"cookie-of-{user}",
                    "number": user,
                }
            others = [message for message in received[user] if "for" in message]
            assert others == [{"for": str(user)}] * (2 * ROUNDS)
            each.close()
        assert len(ids) == sum(expected_code(user) is None for user in links)
        for each in everybody:
            each.close()
        server.until(lambda stats: stats.population == 0 and stats.rooms == 0, "nothing of anybody is left")
        # It serves on, and nothing that identifies anybody is in its log.
        again = link(server.port, "/who?user=5")
        again.send(frame(TEXT, b'"who am I?"'))
        assert json.loads(again.next()[0][1])["user"] == "5"
        again.close()
        assert "cookie-of-" not in server.log
