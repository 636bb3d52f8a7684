"""The protocol odac.v1 above RFC 6455: control messages, and what becomes of Python values on the wire."""
