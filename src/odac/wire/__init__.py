"""RFC 6455 and RFC 7692 without input or output: bytes in, events and bytes out; no asyncio, no clock, no socket."""
