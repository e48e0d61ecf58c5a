"""How the real parts of the tests come to a machine."""
