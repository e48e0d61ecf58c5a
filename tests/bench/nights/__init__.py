"""A thousand nights of a fleet in virtual time: what the whole controller does while nobody is looking."""
