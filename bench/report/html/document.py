"""One HTML file that needs no network: style, content, data as JSON, and scripts."""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any, Final

ESCAPES: Final = str.maketrans(
    {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
)
"""Characters of JSON that HTML or JavaScript would read as their own."""


def document(
    title: str,
    body: str,
    data: Mapping[str, Any],
    scripts: Sequence[str],
    styles: Sequence[str] = ("page.css",),
) -> str:
    """The text of a page: `body` is HTML, `scripts` and `styles` are names of files in `assets/`, in order.

    The scripts find the data with `JSON.parse` in the element `data`.
    """
    script = "\n".join(asset(name) for name in scripts)
    style = "\n".join(asset(name) for name in styles)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The script of the page, and no other, may run.
    policy = (
        f"default-src 'none'; img-src 'self' file: data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f"{body}\n"
        f'<script type="application/json" id="data">{json_text(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def asset(name: str) -> str:
    """The text of a file of `assets/`."""
    return files("bench.report.html").joinpath("assets", name).read_text(encoding="utf-8")


def json_text(content: Mapping[str, Any]) -> str:
    """JSON that can stand in a script element, whatever the names and captions contain."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.translate(ESCAPES)
