"""What the numbers say: pure statistics over counters, without I/O, clock, globals or randomness."""
