"""The API's page for people: its OpenAPI document as plain HTML. It loads nothing, from here or from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Any

_STYLE = """body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222 }
code, pre { font-family: monospace; background: #f3f3f3; padding: .1em .3em }
table { border-collapse: collapse; width: 100% } th, td { border: 1px solid #ccc; padding: .3em .6em; text-align: left }
section { border-top: 1px solid #ccc; margin-top: 2em }"""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""Sent with the page: a browser may load nothing, and run nothing."""


def page(document: dict[str, Any]) -> str:
    """Return the page of an OpenAPI document (3.1): each call with its parameters and answers."""
    info = document["info"]
    title = escape(f"{info['title']} {info['version']}")
    calls = "".join(
        _call(path, method, call) for path, methods in document["paths"].items() for method, call in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>Calls need the header <code>Authorization: Bearer &lt;your agency's API key&gt;</code> where "
        "they say so. Every error is a problem document (RFC 9457). The same for machines: "
        f'<a href="/openapi.json">/openapi.json</a>.</p>{calls}</body></html>'
    )


def _call(path: str, method: str, call: dict[str, Any]) -> str:
    key = "<p>Needs an API key.</p>" if call.get("security") else ""
    rows = "".join(_parameter(parameter) for parameter in call.get("parameters", ()))
    head = "<tr><th>parameter</th><th>in</th><th>takes</th><th>means</th></tr>"
    table = f"<table>{head}{rows}</table>" if rows else ""
    answers = "".join(
        f"<li><code>{escape(status)}</code> {escape(answer.get('description', ''))}</li>"
        for status, answer in call.get("responses", {}).items()
    )
    text = "".join(f"<p>{escape(part)}</p>" for part in call.get("description", "").split("\n\n"))
    return f"<section><h2><code>{escape(method.upper())} {escape(path)}</code></h2>{text}{key}{table}<ul>{answers}</ul></section>"


def _parameter(parameter: dict[str, Any]) -> str:
    needed = "" if parameter.get("required") else ", may be left out"
    cells = (
        f"<code>{escape(parameter['name'])}</code>",
        escape(parameter["in"]),
        escape(", ".join(_limits(parameter.get("schema", {}))) + needed),
        escape(parameter.get("description", "")),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _limits(schema: dict[str, Any]) -> Iterator[str]:
    yield str(schema.get("type", "any"))
    for name, word in (("minimum", "from"), ("maximum", "to"), ("default", "default")):
        if name in schema:
            yield f"{word} {schema[name]}"
