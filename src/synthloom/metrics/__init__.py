"""Metrics, one function each, in files by what they ask. They keep the contract in `contract.py`.

Details are JSON-safe and hold column names and numbers only; the docstring of each metric says which keys.
"""
