"""Write the generated parts of this folder: tables between markers, and the published JSON Schemas.

    python docs/generate.py          write what is stale
    python docs/generate.py --check  write nothing; exit with 1 and name what is stale

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`; NAME is a key of `BLOCKS`, with an
argument after a blank where the block takes one (`<!-- generated: method cart -->`).
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, get_args

DOCS = Path(__file__).parent
_MARKED = re.compile(r"(<!-- generated: ([a-z-]+)(?: ([^ ]+))? -->\n)(.*?)(<!-- end -->)", re.DOTALL)
LEVELS = ("low", "default", "high")


def pages() -> list[Path]:
    """Every page of the documentation, README and the like included."""
    return sorted([*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md")])


def render(text: str) -> str:
    """A page's text with every generated part made anew."""
    def fill(found: re.Match[str]) -> str:
        opening, name, argument, _, closing = found.groups()
        made = BLOCKS[name](argument) if argument else BLOCKS[name]()
        return f"{opening}{made.strip()}\n{closing}"

    return _MARKED.sub(fill, text)


def schemas() -> dict[str, str]:
    """File name in docs/schemas → its text."""
    from synthloom.reports.render import report_json_schema
    from synthloom.tables.schema_file import schema_file_json_schema

    found = {"schema-file.json": schema_file_json_schema(), "report.json": report_json_schema()}
    return {name: json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in found.items()}


def wanted() -> dict[Path, str]:
    """Every file with generated content → the text it should have."""
    files = {page: render(page.read_text(encoding="utf-8")) for page in pages()}
    return files | {DOCS / "schemas" / name: text for name, text in schemas().items()}


def stale() -> list[Path]:
    """Files whose generated content is not what the code says."""
    return [p for p, text in wanted().items() if not p.exists() or p.read_text(encoding="utf-8") != text]


# Blocks --------------------------------------------------------------------------------------------------------------


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    head = list(head)
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for row in rows:
        cells = (str(cell).replace("|", "\\|").replace("\n", " ").replace("/<", "/\\<") for cell in row)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _methods() -> str:
    from synthloom.registry import methods

    rows = [
        (
            f"[`{name}`](methods/{name}.md)", ", ".join(f"`{a}`" for a in m.info.aliases), m.info.summary,
            "yes" if m.info.conditional else "no", "yes" if m.info.imputes else "no",
            "yes" if m.info.dp else "no",
            f"`synthloom[{m.info.needs}]`" if m.info.needs else "nothing more",
        )
        for name, m in methods().items()
    ]
    head = ("method", "also called", "in a sentence", "conditions", "imputes", "differential privacy", "needs")
    return table(head, rows)


def _method(name: str) -> str:
    from synthloom.registry import methods

    method = methods()[name]
    fields = method.Params.model_json_schema().get("properties", {})
    params = [
        (f"`{key}`", _default(part), _allowed(part), part.get("description", "")) for key, part in fields.items()
    ]
    levels = {level: method.privacy_params(level) for level in LEVELS}
    also = f" (also {', '.join(f'`{a}`' for a in method.info.aliases)})" if method.info.aliases else ""
    parts = [
        f"`{name}`{also}. Source: {method.info.paper}.",
        table(("parameter", "default", "allowed", "meaning"), params),
    ]
    if any(levels.values()):
        names = list(dict.fromkeys(key for level in levels.values() for key in level))
        rows = [(f"`{level}`", *(values.get(key, "") for key in names)) for level, values in levels.items()]
        parts.append("What `--privacy` stands for:\n\n" + table(("level", *(f"`{key}`" for key in names)), rows))
    return "\n\n".join(parts)


def _default(part: dict[str, Any]) -> str:
    return f"`{json.dumps(part['default'])}`" if "default" in part else "none: it must be given"


def _allowed(part: dict[str, Any]) -> str:
    """What JSON Schema allows, in words."""
    if "anyOf" in part:
        return " or ".join(_allowed(choice) for choice in part["anyOf"])
    if "const" in part or "enum" in part:
        return ", ".join(f"`{value}`" for value in part.get("enum", [part.get("const")]))
    if part.get("type") == "array":
        return "a list of names"
    words = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}
    low, high = part.get("minimum", part.get("exclusiveMinimum")), part.get("maximum", part.get("exclusiveMaximum"))
    bounds = []
    if low is not None:
        bounds.append(f"{'from' if 'minimum' in part else 'above'} {low:g}")
    if high is not None:
        bounds.append(f"{'to' if 'maximum' in part else 'below'} {high:g}")
    return " ".join([words.get(part.get("type", ""), "anything"), *bounds])


def _metrics() -> str:
    from synthloom.registry import metrics

    rows = [
        (f"[`{m.info.key}`](#{_anchor(m.info.key)})", m.info.title, _better(m.info), _range(m.info),
         ", ".join(m.info.inputs), "yes" if m.floored else "")
        for m in metrics()
    ]
    return table(("key", "title", "better", "range", "looks at", "floor"), rows)


def _metric_details() -> str:
    from synthloom.registry import metrics

    parts = []
    for m in metrics():
        info = m.info
        parts.append(f"### {info.key}\n\n**{info.title}.** {info.explanation}\n\nSource: {info.source}")
    return "\n\n".join(parts)


def _anchor(key: str) -> str:
    return key.replace(".", "").lower()


def _better(info: Any) -> str:
    if info.direction == "none":
        return "neither"
    if info.direction == "target":
        return f"near {info.ideal:g}"
    return info.direction + (f", best {info.ideal:g}" if info.ideal is not None else "")


def _range(info: Any) -> str:
    low = "no bound" if info.low is None else f"{info.low:g}"
    high = "no bound" if info.high is None else f"{info.high:g}"
    return f"{low} to {high}"


def _thresholds() -> str:
    from synthloom.domain.run import DEFAULT_THRESHOLDS

    rows = [(f"`{t.name}`", f"`{t.key}`", t.comparison.replace("_", " "), f"{t.limit:g}") for t in DEFAULT_THRESHOLDS]
    return table(("setting", "metric", "passes when", "limit"), rows)


def _settings() -> str:
    from synthloom.settings import Settings

    rows = []
    for field in Settings.model_fields.values():
        value = field.default
        shown = "" if value is None else f"{value:.2f}" if str(field.alias).endswith("_MAX") else f"{value}"
        rows.append((f"`{field.alias}`", shown, field.description))
    return table(("variable", "default", "meaning"), rows)


def _command(name: str) -> str:
    from typer.main import get_command

    from synthloom.cli.app import app

    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    members = getattr(command, "commands", {})
    if not members:
        return _options(command)
    return "\n\n".join(
        f"`synthloom {name} {member}`: {(part.help or '').partition(chr(10))[0]}\n\n{_options(part)}"
        for member, part in members.items()
    )


def _options(command: Any) -> str:
    rows = []
    for param in command.params:
        if param.param_type_name == "argument":
            rows.append((f"`{param.metavar or param.name}`", "", param.help or ""))
        elif param.name != "help":
            shown = "" if param.default is None or param.is_flag or callable(param.default) else f"`{param.default}`"
            value = "" if param.is_flag else f" {param.metavar or 'N'}"
            rows.append((", ".join(f"`{opt}{value}`" for opt in reversed(param.opts)), shown, param.help or ""))
    return table(("argument or option", "default", "meaning"), rows)


def _error_tree() -> list[Any]:
    from synthloom.domain.errors import SynthloomError

    def below(kind: type) -> list[type]:
        return [kind, *(found for child in kind.__subclasses__() for found in below(child))]

    return [k for k in below(SynthloomError) if k.__module__ == SynthloomError.__module__]


def _errors() -> str:
    rows = [
        (f"`{k.__name__}`", f"`{k.code}`", k.exit_code, k.http_status, (inspect.getdoc(k) or "").partition("\n")[0])
        for k in _error_tree()
    ]
    return table(("class", "code", "exit", "HTTP", "when"), rows)


def _schema_keys(name: str) -> str:
    from synthloom.tables.schema_file import schema_file_json_schema

    whole = schema_file_json_schema()
    properties = whole["properties"] if name == "file" else whole["$defs"]["ColumnOverride"]["properties"]
    said = {
        "version": "Version of the form; only 1 so far.", "columns": "Column name → what you know about it (below).",
        "target": "The column a model would predict.",
        "survival": "`{time: COLUMN, event: COLUMN}` of a survival table.",
        "sequence": "`{key: COLUMN, order: COLUMN}` of a table of sequences; `order` may be left out.",
        "kind": "What the column is; see [kinds](reading-tables.md#kinds).",
        "precision": "Decimal places of a decimal.", "timezone": "Zone of a timestamp, such as `Europe/Berlin`.",
        "sensitive": "Watched on its own by privacy and fairness metrics.",
        "drop": "Leave the column out, of everything.",
    }
    rows = [(f"`{key}`", _kind_of(part), part.get("description") or said[key]) for key, part in properties.items()]
    return table(("key", "value", "meaning"), rows)


def _kind_of(part: dict[str, Any]) -> str:
    choices = [c for c in part.get("anyOf", [part]) if c.get("type") != "null"]
    words = []
    for choice in choices:
        if "enum" in choice:
            words.append(" or ".join(f"`{value}`" for value in choice["enum"]))
        elif "const" in choice:
            words.append(f"`{choice['const']}`")
        elif "$ref" in choice:
            words.append("a kind" if choice["$ref"].endswith("/Kind") else "a mapping")
        else:
            names = {"array": "a list", "object": "a mapping", "boolean": "`true` or `false`", "string": "text",
                     "integer": "a whole number", "number": "a number"}
            words.append(names[choice["type"]])
    return " or ".join(words)


def _report_keys() -> str:
    from synthloom.reports.render import report_json_schema

    said = {
        "version": "Version of the form; only 1 so far.", "utility": "Numbers by name; null where there is none.",
        "privacy": "The same, and what differential privacy was asked for and is in effect.",
        "fairness": "Numbers by name.", "meta": "What was run, on what, with what: method, rows, seed, hash, versions, "
        "timings, command.", "guarantee": "What is promised about privacy, with the rules that are kept.",
        "protection": "Privacy level, minimum support, and the method's privacy settings.",
        "measurements": "Every metric: `info`, `outcome` (`measured`, `undefined` or `failed`), `floor`.",
        "verdicts": "Threshold, value, passed, and the reason in a sentence.",
        "columns": "Per column: kind, reason, missing shares, shape, and the figure's bars.",
        "associations": "Matrices of how columns hang together, real and synthetic.",
        "refinements": "Post-processing steps with metrics before and after.",
        "attempts": "Every plan tried, with its measurements and verdicts.",
        "fallbacks": "Every step down from what was asked.", "notices": "What the person should know.",
        "losses": "Training losses, of methods that have them.", "dropped": "Columns left out, by choice.",
        "survival": "Names of the time and the event column.",
        "sequence": "Names of the sequence key and the order.",
    }
    properties = report_json_schema()["properties"]
    return table(("key", "holds"), [(f"`{k}`", p.get("description") or said[k]) for k, p in properties.items()])


def _missing() -> str:
    from synthloom.tables.words import MISSING_ALWAYS, MISSING_AMONG_VALUES

    def listed(words: Iterable[str]) -> str:
        return ", ".join(f"`{word}`" if word else "(nothing)" for word in sorted(words))

    return (
        f"Missing in every column: {listed(MISSING_ALWAYS)}.\n\n"
        f"Missing only among numbers, times, truth values and identifiers: {listed(MISSING_AMONG_VALUES)}."
    )


def _limits() -> str:
    from synthloom.tables.archive import Limits

    meanings = dict(re.findall(r"^\s+(\w+): (.+)$", inspect.getdoc(Limits) or "", re.MULTILINE))
    rows = []
    for name, value in vars(Limits()).items():
        size = f"{value // 1024**2:,} MiB" if name.endswith("bytes") else f"{value:,}"
        rows.append((meanings[name], size))
    return table(("what", "limit"), rows)


def _refinements() -> str:
    from synthloom.domain.plan import Refinement

    said = {
        "quantile_matching": "Numeric columns take the training rows' protected quantiles; the order of rows stays.",
        "jitter": "Values of nearly continuous columns are moved by up to the distance to the next one; range kept.",
        "categorical_marginals": "As few labels as possible are changed to match the training rows' shares.",
    }
    return table(("step", "does"), [(f"`{step}`", said[step]) for step in get_args(Refinement)])


def _routes() -> str:
    from synthloom.http.app import ROUTERS

    rows = []
    for router in ROUTERS:
        for route in router.routes:
            scope = next((s for d in route.dependant.dependencies if (s := getattr(d.call, "scope", None))), None)
            said = (inspect.getdoc(route.endpoint) or "").partition("\n\n")[0]
            rows += [
                (f"`{method} {route.path_format}`", f"`{scope}`" if scope else "", " ".join(said.split()))
                for method in sorted(route.methods)
            ]
    return table(("route", "scope", "does"), rows)


# Backends ------------------------------------------------------------------------------------------------------------


def _backend_methods(backend: str) -> str:
    from synthloom.backends.names import PLUGINS, UNSERVED

    reported = _reported()[backend]
    rows = []
    for name, plugin in PLUGINS[backend].items():
        loads = "" if name in reported else " It does not load in the release that is installed."
        claim = f" {plugin.claim}" if plugin.claim else ""
        aliases = ", ".join(f"`{a}`" for a in plugin.aliases)
        rows.append((f"`{backend}:{name}`", aliases, f"{plugin.title}. {plugin.summary}{claim}{loads}"))
    for name, part in reported.items():
        if part["kind"] in UNSERVED:
            rows.append((f"`{backend}:{name}`", "", f"Not served: {UNSERVED[part['kind']]}."))
    return table(("method", "also called", "what it is"), rows)


def _parameter_names(method: str) -> str:
    """What each maker of a method calls a parameter, for every name that any of them knows."""
    from synthloom.backends.names import OURS, PLUGINS
    from synthloom.methods.synonyms import all_names
    from synthloom.registry import methods

    makers: dict[str, tuple[list[str], Any, Any]] = {}
    if method in methods():
        own = methods()[method]
        makers["native"] = (list(own.Params.model_fields), own.meanings, own.lacks)
    for backend, plugins in PLUGINS.items():
        if method in plugins and method in _reported()[backend]:
            own_names = [n for n in _reported()[backend][method]["params"] if n not in OURS]
            makers[backend] = (own_names, plugins[method].meanings, plugins[method].lacks)
    known = {who: all_names(own, meanings) for who, (own, meanings, _) in makers.items()}
    rows = []
    for name in sorted({n for found in known.values() for n in found} | {n for m in makers.values() for n in m[2]}):
        cells = []
        for who, (_, _, lacks) in makers.items():
            own = known[who].get(name, ())
            cells.append(", ".join(f"`{o}`" for o in own) or (f"none: {lacks[name]}" if name in lacks else ""))
        rows.append((f"`{name}`", *cells))
    return table(("name", *makers), rows)


def _synthcity_metrics() -> str:
    from synthloom.backends.evaluators import EVALUATORS

    rows = [(f"`{e.key}`", e.title, e.explanation, e.direction.value) for e in EVALUATORS]
    return table(("key", "title", "says", "better"), rows)


def _reported() -> dict[str, dict[str, Any]]:
    """What the plugins of the pinned releases say of themselves, as found when they were installed."""
    return dict(json.loads((DOCS / "data" / "backend-parameters.json").read_text("utf-8")))


# Python --------------------------------------------------------------------------------------------------------------


def _api() -> str:
    import synthloom

    parts = []
    for name in synthloom.__all__:
        if name == "__version__":
            parts.append("### `__version__`\n\nThe installed version, as text.")
            continue
        thing = getattr(synthloom, name)
        is_plain = not inspect.isclass(thing)
        parts.append(f"### `{name}`\n\n" + (_callable(name, thing) if is_plain else _class(thing)))
    return "\n\n".join(parts)


def _callable(name: str, thing: Any) -> str:
    return f"```text\n{_signature(name, thing)}\n```\n\n{_docstring(thing)}"


def _signature(name: str, thing: Any) -> str:
    shown = []
    marked = False
    for p in inspect.signature(thing).parameters.values():
        if p.name == "self":
            continue
        if p.kind is p.KEYWORD_ONLY and not marked:
            shown.append("*")
            marked = True
        default = "" if p.default is p.empty else f"={p.default.__name__ if callable(p.default) else repr(p.default)}"
        shown.append(f"{p.name}{default}")
    lines = [""]
    for k, piece in enumerate(shown):
        piece += ", " if k < len(shown) - 1 else ")"  # noqa: PLW2901
        if len(lines[-1]) + len(piece) > 100 - len(name):
            lines.append("")
        lines[-1] += piece
    indent = " " * (len(name) + 1)
    return f"{name}(" + f"\n{indent}".join(line.rstrip() for line in lines) + ("" if shown else ")")


def _docstring(thing: Any) -> str:
    """A Google-style docstring as Markdown: text, a table of arguments, then the other sections."""
    text = (inspect.getdoc(thing) or "").replace("``", "`")
    parts = re.split(r"\n\n(Args|Returns|Raises|Attributes):\n", text)
    made = [parts[0]]
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        items = re.split(r"\n(?=\S)", inspect.cleandoc("\n" + body))
        if title in ("Args", "Attributes"):
            rows = [(f"`{n.strip()}`", " ".join(d.split())) for n, _, d in (item.partition(":") for item in items)]
            made.append(table(("argument" if title == "Args" else "attribute", "meaning"), rows))
        else:
            made.append(f"{title}: " + " ".join(" ".join(item.split()) for item in items))
    return "\n\n".join(made)


def _class(thing: Any) -> str:
    from enum import Enum

    from pydantic import BaseModel

    head = _docstring(thing)
    if issubclass(thing, Enum):
        return head + "\n\n" + ", ".join(f"`{member.value}`" for member in thing)
    if issubclass(thing, BaseModel):
        return head + f"\n\nFields: {', '.join(f'`{n}`' for n in thing.model_fields)}."
    rows = []
    for key, member in vars(thing).items():
        if key.startswith("_"):
            continue
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if isinstance(plain, property):
            rows.append((f"`.{key}`", _first(plain.fget)))
        elif callable(plain):
            rows.append((f"`.{_signature(key, plain).replace('cls, ', '')}`", _first(plain)))
    return head + ("\n\n" + table(("member", "does"), rows) if rows else "")


def _first(thing: Any) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0].replace("``", "`")


BLOCKS: dict[str, Callable[..., str]] = {
    "methods": _methods, "method": _method, "metrics": _metrics, "metric-details": _metric_details,
    "thresholds": _thresholds, "settings": _settings, "command": _command, "errors": _errors,
    "schema-keys": _schema_keys, "report-keys": _report_keys, "missing": _missing, "limits": _limits,
    "backend-methods": _backend_methods, "parameter-names": _parameter_names,
    "synthcity-metrics": _synthcity_metrics, "refinements": _refinements, "routes": _routes, "api": _api,
}


def main(words: list[str]) -> int:
    """Write, or check; the exit code."""
    behind = stale()
    for path in behind:
        if "--check" not in words:
            path.parent.mkdir(exist_ok=True)
            path.write_text(wanted()[path], encoding="utf-8")
        sys.stdout.write(f"{'stale' if '--check' in words else 'written'}: {path.relative_to(DOCS.parent)}\n")
    return 1 if behind and "--check" in words else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
