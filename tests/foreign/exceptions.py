"""Tests of the foreign suites that cannot hold for Odac's classes, by suite and name, each with the reason."""

from __future__ import annotations

from typing import Final

INTERNALS = "reads or sets attributes of uvicorn's own classes; the behaviour is tested in tests/integration/test_asgi_websocket.py"
CLOSES = "a connection that the app leaves open, or drops by an exception, ends with a close frame (1000, 1011), not without one"
REASON = "the disconnect message has the optional key 'reason', which the expected one lacks (ASGI, 'Disconnect')"
UNFINISHED = "an answer that the app begins and does not finish is a 500: its start is not sent before its body (ASGI)"
DATE = "no Date in a 101, where it may be left out (RFC 9110 section 6.6.1)"
WORDING = "the same status in other words: the answer says what is wrong with the request"
UPGRADE = "an upgrade to another protocol is ignored without a line in the log, which any client could fill"
CLIENT = "about what TestClient sends, which no real client does"
GONE = "closes a connection whose client is gone, which is an OSError since ASGI 2.4"
REFUSED = "the close code of a connection that was not accepted goes into no HTTP answer: a real client sees 403"
CONTEXT = "reads a context variable of the app in the test, which is in another thread"

EXCEPTIONS: Final[dict[str, dict[str, str]]] = {
    "uvicorn": {
        "test_websocket.py::test_send_respects_write_backpressure": INTERNALS,
        "test_websocket.py::test_close_waits_for_the_peer_close_frame": INTERNALS,
        "test_websocket.py::test_close_resumes_reads_paused_on_an_unconsumed_message": INTERNALS,
        "test_websocket.py::test_data_frame_while_closing_does_not_pause_reads": INTERNALS,
        "test_websocket.py::test_data_frame_and_peer_close_frame_in_one_read": INTERNALS,
        "test_websocket.py::test_ping_while_closing": INTERNALS,
        "test_websocket.py::test_close_gives_up_when_the_peer_never_replies": INTERNALS,
        "test_websocket.py::test_connection_lost_cancels_the_pending_close_timer": INTERNALS,
        "test_websocket.py::test_shutdown_while_the_close_reply_is_pending": INTERNALS,
        "test_websocket.py::test_send_after_peer_close_raises_client_disconnected": INTERNALS,
        "test_websocket.py::test_connection_lost_unblocks_paused_send": INTERNALS,
        "test_websocket.py::test_server_keepalive_ping_pong": INTERNALS,
        "test_websocket.py::test_server_keepalive_disabled": INTERNALS,
        "test_websocket.py::test_duplicate_handshake": CLOSES,
        "test_websocket.py::test_asgi_return_value": CLOSES,
        "test_websocket.py::test_close_transport_on_asgi_return": CLOSES,
        "test_websocket.py::test_connection_lost_before_handshake_complete": REASON,
        "test_websocket.py::test_send_close_on_server_shutdown": REASON,
        "test_websocket.py::test_server_reject_connection": REASON,
        "test_websocket.py::test_server_reject_connection_with_response": REASON,
        "test_websocket.py::test_server_reject_connection_with_multibody_response": REASON,
        "test_websocket.py::test_server_reject_connection_with_invalid_msg": UNFINISHED,
        "test_websocket.py::test_server_reject_connection_with_missing_body": UNFINISHED,
        "test_websocket.py::test_server_multiple_websocket_http_response_start_events": UNFINISHED,
        "test_websocket.py::test_default_server_headers": DATE,
        "test_http.py::test_keepalive_timeout_with_pipelined_websocket_upgrade": INTERNALS,
        "test_http.py::test_unsupported_ws_upgrade_request_warn_on_auto": UPGRADE,
        "test_http.py::test_invalid_http_request": WORDING,
        "test_http.py::test_header_upgrade_is_not_websocket_depend_installed": UPGRADE,
        "test_http.py::test_header_upgrade_is_websocket_depend_not_installed": UPGRADE,
    },
    "starlette": {
        "test_websockets.py::test_websocket_headers": CLIENT,
        "test_websockets.py::test_websocket_concurrency_pattern": GONE,
        "test_websockets.py::test_rejected_connection": REFUSED,
        "test_websockets.py::test_receive_wrong_message_type": CLIENT,
    },
    "fastapi": {
        "test_ws_router.py::test_depend_validation": REFUSED,
        "test_ws_router.py::test_depend_err_middleware": REFUSED,
        "test_ws_router.py::test_depend_err_handler": REFUSED,
        "test_dependency_yield_scope_websockets.py::test_function_scope": CONTEXT,
        "test_dependency_yield_scope_websockets.py::test_request_scope": CONTEXT,
        "test_dependency_yield_scope_websockets.py::test_two_scopes": CONTEXT,
        "test_dependency_yield_scope_websockets.py::test_sub": CONTEXT,
        "test_dependency_yield_scope_websockets.py::test_named_function_scope": CONTEXT,
        "test_dependency_yield_scope_websockets.py::test_regular_function_scope": CONTEXT,
    },
}
