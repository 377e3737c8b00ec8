"""How a table of estimates of log p(x) was made."""

from __future__ import annotations

import json
import time
from importlib import metadata

from ..core import provenance


def attributes(settings: dict, device, started: float, code: provenance.Code) -> dict:
    """The attributes of a table that `code` made: settings, seconds, versions, machine.

    It was begun at `started` (time.perf_counter) and made on `device` (a torch.device).
    """
    made = provenance.attributes(device, code)
    more = {name: metadata.version(name) for name in ("arviz-stats", "scipy")}
    made["versions"] = json.dumps(json.loads(made["versions"]) | more)
    return {"config": json.dumps(settings), "seconds": time.perf_counter() - started, **made}
