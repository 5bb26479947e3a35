"""Synthloom: a synthetic twin of a table, the model that made it, and the evidence to trust it."""
