"""What fires, from outside: Alertmanager's API at every tick, and its posts as they come."""
