"""The only code that talks to Kubernetes: a connection, a watch cache, and the shell that performs requests."""
