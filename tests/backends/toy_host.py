"""The host of a backend made for the tests, `toy`."""

import sys


def listing(context, payload):
    """What there is."""
    import toy_backend

    params = [{"name": "depth", "default": 3, "type": "integer", "low": None, "high": None, "choices": None}]
    return {"plugins": [{"name": toy_backend.PLUGIN, "kind": "generic", "params": params}], "broken": {}}, {}


def check(context, payload):
    """Use the package that was installed."""
    import toy_backend

    if toy_backend.BROKEN:
        raise RuntimeError("the toy is broken")
    return {"seconds": 0.1, "python": ".".join(map(str, sys.version_info[:3]))}, {}


ACTIONS = {"list": listing, "check": check}
