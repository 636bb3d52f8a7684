"""The WebSocket and HTTP tests of uvicorn, Starlette and FastAPI, with Odac's classes in place of uvicorn's."""
