"""Releases on real parts: each test is one story, told from outside and judged by the API server's own watch."""
