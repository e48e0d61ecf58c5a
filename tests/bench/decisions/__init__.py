"""The benchmark of decisions: what gates promise, measured beside the rules of others on the same releases."""
