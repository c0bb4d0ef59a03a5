"""Reward and value models: a number for every step of a trace, in this process or behind a server."""
