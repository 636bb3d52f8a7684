"""The protocol classes for uvicorn's http= and ws= options."""
