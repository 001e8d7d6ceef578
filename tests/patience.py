"""How long tests wait. Only a hang reaches these limits, so no test fails because its machine is slow or busy."""

from __future__ import annotations

# Seconds until a test gives up on what must happen.
PATIENCE = 600.0
# Seconds that a planned call hangs: longer than any test waits.
HANGS = 3600.0
# Seconds for what waits for no hanging call: less than CALL_TIMEOUT, after which a client ends such a call itself.
SOON = 25.0
