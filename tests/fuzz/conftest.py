"""How long the fuzzers run: ``ODAC_FUZZ_EXAMPLES`` per property, 100 where it is not set."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# No deadline: on a busy machine, a slow example is not an error of the parser.
settings.register_profile(
    "odac",
    deadline=None,
    max_examples=int(os.environ.get("ODAC_FUZZ_EXAMPLES", "100")),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("odac")
