"""What Nightferry does about a release: observe, decide, move capacity, tell."""
