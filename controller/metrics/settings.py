"""What the controller's configuration says of one metric source."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """One metric source. `url` is the base address, with the path prefix of a proxy where there is one; times in
    seconds. Credentials are names of files, never the secrets themselves; `basic_auth_file` holds `user:password`.
    """

    name: str
    url: str
    kind: str = "prometheus"
    scrape: float = 15.0
    window: float = 30.0
    timeout: float = 5.0
    bearer_token_file: Path | None = None
    basic_auth_file: Path | None = None
    ca_file: Path | None = None
    insecure_skip_verify: bool = False
