"""A real browser for tests of the pages, and a page opened in it with all that the browser had to say of it.

Pages keep their own content security policy: nothing here would work that a reader's browser forbids.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

# Playwright is imported where it is needed: pytest's header asks for the browser before any test, whichever.
if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome")

# Every figure has its drawing, as large as its place, with marks on it that can be seen.
_DRAWN = """() => [...document.querySelectorAll(".plot")].every((plot) => {
  const svg = plot.querySelector("svg.main-svg")?.getBoundingClientRect();
  const marks = [...plot.querySelectorAll(".mlayer :is(path, image)")];
  return svg?.width > 0 && svg.height > 0 && marks.some((mark) => mark.getBoundingClientRect().width > 0);
})"""


# Pairs of texts of one figure that lie on each other.
_OVERLAPS = """() => [...document.querySelectorAll(".plot")].flatMap((plot) => {
  const texts = [...plot.querySelectorAll("svg text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
  const on = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 2
    && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2;
  return texts.flatMap(([a, at], i) => texts.slice(0, i).filter(([, other]) => on(at, other)).map(
    ([b]) => `${plot.id}: ${a} on ${b}`));
})"""


@lru_cache(maxsize=1)
def executable() -> str | None:
    """The system's browser, or else Playwright's own where that was installed."""
    for path in filter(None, map(shutil.which, NAMES)):
        # Some systems have a program of that name which only says where to get the browser.
        if subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
            return path
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


needs_browser = pytest.mark.skipif(
    executable() is None, reason=f"no browser: none of {', '.join(NAMES)} is installed"
)


@contextmanager
def running() -> Iterator["Browser"]:
    """The browser, until the block ends: as long as it runs, this thread has an event loop of its own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable())
        yield browser
        browser.close()


@dataclass(frozen=True)
class Visit:
    """A page on which every figure is drawn.

    Args:
        page: in the browser.
        complaints: what the console warned of and what the script failed at, while the page lives.
        requests: addresses that the page asked for, itself first.
    """

    page: "Page"
    complaints: list[str]
    requests: list[str]


@contextmanager
def visit(
    browser: "Browser", path: Path, *, width: int = 1280, scheme: Literal["light", "dark"] = "light"
) -> Iterator[Visit]:
    """Opens a file in a window of its own and waits until its figures are drawn."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type in {"warning", "error"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri(), wait_until="commit")
    drawn(page)
    yield Visit(page, complaints, requests)
    context.close()


def drawn(page: "Page", timeout_s: float = 20) -> float:
    """Waits until every figure is drawn; returns the seconds since the navigation began."""
    page.wait_for_selector("html[data-drawn]", state="attached", timeout=1000 * timeout_s)
    wait = f"""async (timeout) => {{
      const drawn = {_DRAWN};
      while (!drawn() && performance.now() < timeout) await new Promise(requestAnimationFrame);
      return drawn() ? performance.now() : null;
    }}"""
    milliseconds = page.evaluate(wait, 1000 * timeout_s)
    assert milliseconds is not None, f"figures not drawn after {timeout_s:g} s"
    return float(milliseconds) / 1000


def serious(page: "Page") -> list[str]:
    """What axe-core finds serious or critical, one line each."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        f"{rule['id']} ({rule['impact']}): {node['target']} {node['failureSummary']}"
        for rule in Axe().run(page).response["violations"]
        if rule["impact"] in {"serious", "critical"}
        for node in rule["nodes"]
    ]


def overlaps(page: "Page") -> list[str]:
    """Texts of a figure that lie on other texts of it, one line each."""
    found: list[str] = page.evaluate(_OVERLAPS)
    return found
