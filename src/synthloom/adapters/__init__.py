"""The ports fulfilled: artifacts in a local folder or in memory. Only `wiring` and `api` choose between them."""
