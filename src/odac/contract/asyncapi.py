"""A contract as an AsyncAPI 3.0 document (https://www.asyncapi.com/docs/reference/specification/v3.0.0)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from odac.contract.model import Contract, MessageContract, RouteContract

__all__ = ["document", "to_json", "to_yaml"]


def document(contract: Contract, *, title: str, version: str) -> dict[str, Any]:
    """Make the document. Equal contracts give equal documents, so that a difference in review is a changed contract.

    Args:
        contract: of the app.
        title: of the document.
        version: of the app's contract.
    """
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for route in contract.routes:
        channels[route.name] = _channel(route)
        operations |= _operations(route)
    schemes: dict[str, Any] = {}
    if any(route.auth for route in contract.routes):
        schemes["session"] = _session(contract.cookie)
    if any(route.token for route in contract.routes):
        schemes["token"] = _token(contract.prefix)
    components: dict[str, Any] = {}
    if contract.schemas.definitions:
        components["schemas"] = contract.schemas.definitions
    if schemes:
        components["securitySchemes"] = schemes
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": version},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        **({"components": components} if components else {}),
        **({"x-odac-rooms": contract.rooms} if contract.rooms else {}),
    }


def _session(cookie: str) -> dict[str, str]:
    return {
        "type": "httpApiKey",
        "name": cookie,
        "in": "cookie",
        "description": f"A user must be logged in: by this session cookie (over HTTPS __Host-{cookie}), or in another"
        " way that the app accepts.",
    }


def _token(prefix: str) -> dict[str, str]:
    return {
        "type": "httpApiKey",
        "name": "Sec-WebSocket-Protocol",
        "in": "header",
        "description": "A token of this session, offered as the subprotocol odac-token-<token>;"
        f" GET {prefix}/token returns one.",
    }


def _key(name: str) -> str:
    """A name as a key that AsyncAPI allows."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", name) or "_"


def _channel(route: RouteContract) -> dict[str, Any]:
    messages: dict[str, Any] = {}
    for message in (*_incoming(route), *_outgoing(route)):
        messages[_key(message.name)] = {"name": message.name, "payload": message.schema}
    for call in route.calls:
        key = _key(call.name)
        messages[f"call_{key}"] = {"name": call.name, "title": f"call {call.name}", "payload": call.arguments}
        messages[f"answer_{key}"] = {"name": call.name, "title": f"answer to {call.name}", "payload": call.returns}
    channel: dict[str, Any] = {"address": route.path}
    if route.text:
        channel["description"] = route.text
    if route.parameters:
        channel["parameters"] = {
            name: {"description": f"a path parameter: {kind}"} for name, kind in route.parameters.items()
        }
    channel["messages"] = messages
    channel["x-odac-subprotocols"] = ["odac.v1", *route.subprotocols]
    if route.middleware:
        channel["x-odac-middleware"] = list(route.middleware)
    return channel


def _incoming(route: RouteContract) -> tuple[MessageContract, ...]:
    return route.takes or (MessageContract("incoming", {}),)


def _outgoing(route: RouteContract) -> tuple[MessageContract, ...]:
    return route.gives or (MessageContract("outgoing", {}),)


def _operations(route: RouteContract) -> dict[str, Any]:
    channel = {"$ref": f"#/channels/{route.name}"}

    def messages(*names: str) -> list[dict[str, str]]:
        return [{"$ref": f"#/channels/{route.name}/messages/{_key(name)}"} for name in names]

    names = [name for name, wanted in (("session", route.auth), ("token", route.token)) if wanted]
    security = [{"$ref": f"#/components/securitySchemes/{name}"} for name in names]
    common = {"channel": channel, **({"security": security} if security else {})}
    operations: dict[str, Any] = {
        f"{route.name}_receive": {
            "action": "receive",
            **common,
            "messages": messages(*(message.name for message in _incoming(route))),
        },
        f"{route.name}_send": {
            "action": "send",
            **common,
            "messages": messages(*(message.name for message in _outgoing(route))),
        },
    }
    for call in route.calls:
        key = _key(call.name)
        operations[f"{route.name}_call_{key}"] = {
            "action": "receive",
            **common,
            **({"description": call.text} if call.text else {}),
            "messages": messages(f"call_{key}"),
            "reply": {"channel": channel, "messages": messages(f"answer_{key}")},
        }
    return operations


def to_json(value: object) -> str:
    """The document as JSON, with a line for each value, so that it can be compared."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def to_yaml(value: Any) -> str:
    """The document as YAML 1.2, in block style; scalars are written as in JSON, which is valid YAML."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        lines = []
        for key, part in value.items():
            lines += _entry(f"{_scalar(key)}:", part)
        return lines
    if isinstance(value, list) and value:
        lines = []
        for part in value:
            first, *rest = _lines(part)
            lines += [f"- {first}", *(f"  {line}" for line in rest)]
        return lines
    return [_scalar(value)]


def _entry(key: str, value: Any) -> list[str]:
    if isinstance(value, (Mapping, list)) and value:
        return [key, *(f"  {line}" for line in _lines(value))]
    return [f"{key} {_scalar(value)}"]


_PLAIN: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$./-]*")
_WORDS: Final = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
