"""The lanes, which carry frames: directly over the transport, or through plain ASGI."""
