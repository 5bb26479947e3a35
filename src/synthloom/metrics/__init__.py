"""Metrics, one function each, in files by what they ask. They keep the contract in `contract.py`."""
