"""The command line: what people ask and see. It reads records and writes wishes into Releases; it decides nothing."""
