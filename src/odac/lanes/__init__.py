"""What carries frames: straight through the transport, or through plain ASGI."""
