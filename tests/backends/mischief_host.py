"""A host that does what hosts must not do, run by an interpreter without any package."""

import json
import os
import re
import signal
import subprocess
import sys
import time


def echo(context, payload):
    """What it was given, and what it sees."""
    try:
        import synthloom  # noqa: F401

        ours = True
    except ImportError:
        ours = False
    return {
        "payload": payload, "environment": dict(os.environ), "folder": os.getcwd(), "ours": ours,
        "executable": sys.executable, "count": context.state.setdefault("count", 0),
    }, {}


def count(context, payload):
    """How often it was asked in this session."""
    context.state["count"] = context.state.get("count", 0) + 1
    return {"count": context.state["count"]}, {}


def tell(context, payload):
    """Events of every kind, and what is none."""
    context.progress("fit", 0.25, "a quarter")
    context.loss("train", 3, 0.5)
    context.loss("train", 4, float("nan"))
    context.notice("advice", "fewer rows")
    voice({"type": "progress", "step": "fit", "fraction": 7})
    voice({"type": "confession"})
    return {}, {}


def fail(context, payload):
    """Raise an error, with something on standard error before it."""
    print("the last thing before it broke", file=sys.stderr)
    raise ZeroDivisionError("nothing to divide by")


def refuse(context, payload):
    """Refuse a parameter."""
    raise context.refuse("no parameter 'epochz'. Did you mean epochs?")


def end(context, payload):
    """End the process, with a word before."""
    print("goodbye, says the library", file=sys.stderr, flush=True)
    if payload.get("signal"):
        os.kill(os.getpid(), getattr(signal, payload["signal"]))
    os._exit(payload.get("status", 0))


def hang(context, payload):
    """Start a process, tell its number, and hang: with `stubborn` in C code that lets no other thread run."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(payload["note"], "w", encoding="utf-8") as file:
        json.dump({"worker": os.getpid(), "child": child.pid, "folder": os.path.dirname(os.getcwd())}, file)
    if payload.get("stubborn"):
        re.match(r"(a+)+$", "a" * 60 + "b")
    time.sleep(600)


def eat(context, payload):
    """Take memory, bit by bit or all at once."""
    kept = [bytearray(int(payload["at_once"]))] if "at_once" in payload else []
    while True:
        kept.append(bytearray(os.urandom(1000) * 10_000))
        time.sleep(0.005)


def babble(context, payload):
    """Write what is no answer where answers are expected, then go on as if nothing were."""
    print("plain words to print")
    voice(b"neither JSON nor anything\n{\"type\": \"done\", \"call\": \"call-0001\"}\n[1, 2\n\xff\xfe\n")
    voice(b"x" * 3_000_000 + b"\n")
    sys.stderr.write("e" * 200_000)
    return {"fine": True}, {}


def lie(context, payload):
    """Say that it is done, with an answer of its own."""
    if payload.get("answer") is not None:
        with open(os.path.join(context.folder, "result.json"), "w", encoding="utf-8") as file:
            file.write(payload["answer"])
    voice({"type": "done", "call": os.path.basename(context.folder)})
    time.sleep(600)


def undefined(context, payload):
    """Answer with what JSON cannot say."""
    return {"value": float("nan")}, {}


def back(context, payload):
    """The table that came, as it came."""
    table = context.table("rows")
    return {"dtypes": {name: str(kind) for name, kind in table.dtypes.items()}}, {"rows": table, "head": table.head(2)}


def voice(said):
    """Write to every pipe that is no standard stream: one of them is where answers go."""
    line = said if isinstance(said, bytes) else (json.dumps(dict(said, synthloom=1)) + "\n").encode()
    for descriptor in range(3, 30):
        try:
            os.write(descriptor, line)
        except OSError:
            continue


ACTIONS = {
    action.__name__: action
    for action in (echo, count, tell, fail, refuse, end, hang, eat, babble, lie, undefined, back)
}
