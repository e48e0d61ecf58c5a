"""Alerts from outside: Alertmanager's API, its posts, and the way from a post into the cluster."""
