"""Unattended nights: when a release may leave, and what becomes of it when its hours end. Pure: `now` is given."""
