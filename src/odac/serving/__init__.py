"""The parts of ``odac run``: loading an app, listening, serving it in one process or several, and stopping."""
