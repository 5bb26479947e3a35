"""Methods, one file each. They keep the contract in `contract.py` and never import each other."""
