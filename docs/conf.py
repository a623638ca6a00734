"""The documentation site: ``make docs``. Sphinx with MyST, every formula as MathML, nothing loaded from elsewhere."""

from importlib.resources import files
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx

project = "moe2-pl"
author = "the moe2-pl authors"
extensions = ["myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["data"]
nitpicky = True

html_title = "moe2-pl"
html_theme = "pydata_sphinx_theme"
html_theme_options = {
    "navigation_with_keys": False,
    "show_prev_next": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "footer_start": [],
    "footer_end": [],
}
# The font of the formulas comes with a package, so that they look alike everywhere.
html_static_path = ["_static", str(files("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf")]
html_css_files = ["site.css"]
# Tables of results and the CSV files behind them are linked as they lie in the repository.
html_extra_path = ["data"]
html_sidebars = {page: [] for page in ("index", "get-started", "reference/configuration", "changelog")}
html_show_sourcelink = False
html_copy_source = False


def inline_formula(translator: Any, node: nodes.math) -> None:
    """Write a formula within a line, which any browser lays out by itself."""
    translator.body.append(convert(node.astext()))
    raise nodes.SkipNode


def formula(translator: Any, node: nodes.math_block) -> None:
    """Write a formula on a line of its own; a long one scrolls in its box."""
    translator.body.append(f'<div class="formula">{convert(node.astext(), display="block")}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))


html_math_renderer = "mathml"
