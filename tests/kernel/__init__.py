"""The kernel on the simulated world: laws after every write, under every fault at every request."""
