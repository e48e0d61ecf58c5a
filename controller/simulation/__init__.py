"""A world in virtual time that answers a tick's requests: API server, controllers, pods, traffic, metric store.

Behind `demo`, `simulate` and the tests. The tick, the gates, `decide` and the strategies are the real ones; only what
stands behind the requests is simulated. All of it is deterministic: a seed and a script are a whole night.
"""
