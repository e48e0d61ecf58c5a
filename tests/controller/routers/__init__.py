"""The routers by themselves: objects in, patches out."""
