"""`nightferry version`."""

from __future__ import annotations


def version() -> None:
    """Say which version this is."""
    from platform import python_version

    from controller.cli.screen import say
    from controller.report.metrics import product_version

    say(f"nightferry {product_version()} (Python {python_version()})")
