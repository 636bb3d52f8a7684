"""The protocol odac.v1 above RFC 6455: control messages, and the encoding of Python values."""
