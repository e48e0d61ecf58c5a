"""CRDs of routers, with the schemas of the real ones, and the command that makes them anew."""
