"""What an app asks of its releases: the schema, the loader, and everything that is made from them."""
