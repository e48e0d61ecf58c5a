"""What the controller's configuration says of one endpoint that webhook gates may call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """One endpoint. `secret_file` holds the key that signs the calls; `timeout` in seconds for one whole call."""

    name: str
    url: str
    secret_file: Path
    timeout: float = 5.0
    ca_file: Path | None = None
