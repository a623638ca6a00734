"""The shell of every HTML page: one file that opens anywhere, with its script, styles and figures inside.

A page is a template that extends ``base.html``; the figures that it shows are drawn by the script of the shell.
"""

import base64
import gzip
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped]

from moe2_pl.files import replacing
from moe2_pl.report import _format
from moe2_pl.report._panel import Panel

__all__ = ["write_page"]


def write_page(path: Path, template: str, panels: Mapping[str, Panel], **values: Any) -> Path:
    """Renders a template that extends ``base.html`` into one self-contained file.

    Args:
        path: where to write; an existing file is replaced once the new one is complete.
        template: its name.
        panels: the figures by their key; the template has them as ``panels`` and shows each with ``figure.html``.
        values: what else the template names; ``base.html`` itself needs ``title``.

    Returns:
        ``path``.
    """
    page = _environment().get_template(template)
    text = page.render(panels=panels, specs=_specs(panels.values()), library=_library(), **values)
    with replacing(path) as file:
        file.write(text)
    return path


def _environment() -> Environment:
    env = Environment(
        loader=PackageLoader("moe2_pl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "score": _format.score,
        "interval": _format.interval,
        "signed": _format.signed,
        "span": _format.signed_span,
        "quantity": _format.quantity,
        "change": _format.change,
        "percent": _format.percent,
        "limit": _format.limit,
        "range": _format.range_text,
        "rho": _format.rho,
        "status": _format.status_text,
        "budget": _format.budget_text,
    }
    return env


def _specs(figures: Iterable[Panel]) -> Markup:
    """The figures as JSON that no name in them can break out of."""
    specs = {panel.key: json.loads(panel.figure.to_json()) for panel in figures if panel.figure is not None}
    text = json.dumps(specs, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"))


@lru_cache(maxsize=1)
def _library() -> str:
    """plotly.js, compressed: as text it would be nine tenths of the file."""
    return base64.b64encode(gzip.compress(get_plotlyjs().encode(), mtime=0)).decode()
