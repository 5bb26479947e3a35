"""Conformance suites, shipped: what every method and metric must pass, ours or another package's."""
