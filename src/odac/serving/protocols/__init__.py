"""The classes in uvicorn's http= and ws= seats."""
