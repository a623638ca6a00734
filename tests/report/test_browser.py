"""The page in a real browser: silent, drawn, accessible, at ease on a phone, on paper and without its script."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page
from tests.browser import Visit, needs_browser, overlaps, running, serious, visit

from moe2_pl.planning import FrontierRow, Results
from moe2_pl.report import write_report
from moe2_pl.report._panel import MOE2

pytestmark = [pytest.mark.xdist_group("browser"), needs_browser]

WIDE, PHONE = 1280, 360
# Report, width of the window, the system's scheme, and whether the page's button is pressed.
VIEWS = {
    "light": ("whole", WIDE, "light", False),
    "dark": ("whole", WIDE, "dark", False),
    "dark by button": ("whole", WIDE, "light", True),
    "phone": ("whole", PHONE, "light", False),
    "infeasible, dark phone": ("infeasible", PHONE, "dark", False),
}


# Of this module and no longer: code of other tests may start event loops, which the running browser forbids.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def reports(data: Results, infeasible: FrontierRow, tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("reports")
    made = {"whole": data, "infeasible": replace(data, chosen=infeasible)}
    return {name: write_report(each, folder / f"{name}.html") for name, each in made.items()}


@pytest.fixture(scope="module", params=VIEWS)
def seen(request, browser: Browser, reports: dict[str, Path]) -> Iterator[Visit]:
    """Each view of the page, for tests that only look."""
    name, width, scheme, press = VIEWS[request.param]
    with visit(browser, reports[name], width=width, scheme=scheme) as found:
        if press:
            found.page.get_by_role("button", name="Switch to dark colours").click()
        yield found


@pytest.fixture
def opened(browser: Browser, reports: dict[str, Path]) -> Iterator[Visit]:
    """The page afresh, for tests that act on it."""
    with visit(browser, reports["whole"]) as found:
        yield found


def test_the_browser_has_nothing_to_complain_of_and_nothing_to_fetch(seen: Visit) -> None:
    assert seen.complaints == []
    assert seen.requests == [seen.page.url]


def test_every_figure_fills_its_place(seen: Visit) -> None:
    sizes = seen.page.evaluate(
        """() => Object.keys(specs).map((key) => {
          const box = document.getElementById("plot-" + key);
          const svg = box.querySelector("svg.main-svg").getBoundingClientRect();
          return [key, box.clientWidth, svg.width, svg.height, svg.left];
        })"""
    )
    assert len(sizes) >= 6
    for key, place, width, height, left in sizes:
        assert width == pytest.approx(place, abs=2), key
        assert height > 100, key
        assert left >= 0, key


def test_no_text_of_a_figure_lies_on_another(seen: Visit) -> None:
    assert overlaps(seen.page) == []


def test_axe_finds_nothing_serious(seen: Visit) -> None:
    found = serious(seen.page)
    assert not found, "\n".join(found)


def test_the_page_is_no_wider_than_its_window(seen: Visit) -> None:
    wide, window = seen.page.evaluate("() => [document.scrollingElement.scrollWidth, innerWidth]")
    assert wide <= window


def test_page_and_figures_have_the_colours_of_their_scheme(seen: Visit) -> None:
    page = seen.page
    paper = brightness(page.locator("body"), "backgroundColor")
    ink = brightness(page.locator("#plot-frontier .xtick text").first, "fill")
    if page.get_by_role("button", name="Switch to light colours").is_visible():
        assert paper < 50 < 200 < ink
    else:
        assert page.get_by_role("button", name="Switch to dark colours").is_visible()
        assert ink < 50 < 200 < paper


def brightness(element: Locator, colour: str) -> float:
    """Mean of red, green and blue, 0 to 255."""
    shown = element.evaluate("(element, name) => getComputedStyle(element)[name]", colour)
    return sum(map(float, re.findall(r"[\d.]+", shown)[:3])) / 3


def test_the_slider_is_moved_by_the_arrow_keys(opened: Visit) -> None:
    page = opened.page
    said = page.locator("#plot-frontier .slider-label").first
    before = said.text_content()
    page.locator("#plot-frontier").focus()
    page.keyboard.press("ArrowRight")
    after = said.text_content()
    assert after != before
    page.keyboard.press("ArrowLeft")
    assert said.text_content() == before


def test_a_mark_names_its_experts_and_the_slider_shows_another_latency(opened: Visit, data: Results) -> None:
    page = opened.page
    said = page.locator("#plot-frontier .slider-label").first
    before = said.text_content(), pointed(page)
    page.evaluate(
        """() => {
          const box = document.getElementById("plot-frontier");
          window.redrawn = new Promise((resolve) => box.once("plotly_afterplot", resolve));
        }"""
    )
    page.locator("#plot-frontier .slider-rail-touch-rect").click(position={"x": 30, "y": 5})
    page.evaluate("() => redrawn.then(() => null)")  # the slider's label comes before its marks
    after = said.text_content(), pointed(page)
    for label, experts in (before, after):
        latency = float(label.removeprefix("latency budget (s per query): "))
        assert experts == dearest(data, latency)
    assert before[0] != after[0]
    assert before[1] != after[1]


def dearest(data: Results, latency: float) -> list[str]:
    """The subset at the largest energy budget and the latency budget next to a rounded one."""
    row = min(data.grid, key=lambda row: (abs(row.latency_budget_s - latency), -row.energy_budget_j))
    return list(row.experts)


def pointed(page: Page) -> list[str]:
    """The experts that the frontier's last mark of MoE² names when the mouse is on it."""
    red, green, blue = bytes.fromhex(MOE2.colour[1:])
    marks = f'#plot-frontier .scatterlayer path.point[style*="fill: rgb({red}, {green}, {blue})"]'
    # In one call, because whatever redraws the figure puts other elements in the place of its marks.
    x, y = page.evaluate(
        """(marks) => {
          document.getElementById("plot-frontier").scrollIntoView({ block: "center" });
          const { x, y, width, height } = [...document.querySelectorAll(marks)].at(-1).getBoundingClientRect();
          return [x + width / 2, y + height / 2];
        }""",
        marks,
    )
    page.mouse.move(x, y)
    text = page.locator("#plot-frontier .hoverlayer .hovertext .line")
    text.first.wait_for()
    return [line[2:] for line in text.all_text_contents() if line.startswith("• ")]


def test_what_is_too_wide_is_reached_and_moved_by_keys(seen: Visit) -> None:
    page = seen.page
    page.evaluate(
        """() => {
          window.boxes = [...document.querySelectorAll("main *")].filter((box) =>
            box.scrollWidth > box.clientWidth && /auto|scroll/.test(getComputedStyle(box).overflowX));
        }"""
    )
    left = set(range(page.evaluate("() => boxes.length")))
    assert left or page.evaluate("() => innerWidth") == WIDE
    for _ in range(60 if left else 0):
        page.keyboard.press("Tab")
        at, outline = page.evaluate(
            """() => [document.activeElement].flatMap((box) =>
              [boxes.indexOf(box), getComputedStyle(box).outlineStyle])"""
        )
        if at in left:
            assert outline != "none"
            page.keyboard.press("ArrowRight")
            moved = (
                "async (i) => { while (boxes[i].scrollLeft === 0) await new Promise(requestAnimationFrame) }"
            )
            page.evaluate(moved, at)
            left.remove(at)
    assert not left


def test_a_phone_that_is_turned_gets_figures_for_its_width(opened: Visit) -> None:
    opened.page.set_viewport_size({"width": PHONE, "height": 740})
    for _ in range(100):  # what redraws waits for the window to rest, and on a busy machine for its turn
        opened.page.wait_for_timeout(200)
        if not (found := overlaps(opened.page)):
            break
    assert found == []


def test_paper_is_light_and_has_every_section(browser: Browser, reports: dict[str, Path]) -> None:
    with visit(browser, reports["whole"], scheme="dark") as found:
        page = found.page
        dark = page.evaluate("() => [colour('--ink'), colour('--paper'), colour('--card')]")
        headings = page.locator("h2").all_inner_texts()
        page.emulate_media(media="print")
        light = page.evaluate("() => [colour('--ink'), colour('--card')]")
        page.emulate_media(media="screen")
        pdf = page.pdf(print_background=True, outline=True, tagged=True)
        assert (
            brightness(page.locator("#plot-frontier .xtick text").first, "fill") > 200
        )  # the screen is dark again
    assert len(re.findall(rb"/Type /Page\b", pdf)) > 1
    assert set(headings) <= titles(pdf)
    assert len(headings) >= 12
    inks = filled(pdf)
    assert {rgb(colour) for colour in light} <= inks
    assert not {rgb(colour) for colour in dark} & inks


def titles(pdf: bytes) -> set[str]:
    """What the outline of a PDF names: plain text in brackets, anything else as the digits of UTF-16."""
    found = re.findall(rb"/Title (?:\(((?:\\.|[^\\)])*)\)|<FEFF([0-9A-F]+)>)", pdf)
    return {
        bytes.fromhex(wide.decode()).decode("utf-16-be")
        if wide
        else re.sub(r"\\(.)", r"\1", plain.decode("latin-1"))
        for plain, wide in found
    }


def filled(pdf: bytes) -> set[tuple[int, ...]]:
    """Every colour that text and shapes are filled with."""
    found = set()
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.S):
        try:
            text = zlib.decompress(stream)
        except zlib.error:  # an image or a font of another coding
            continue
        found |= {
            tuple(round(255 * float(part)) for part in colour.split())
            for colour in re.findall(rb"([\d.]+ [\d.]+ [\d.]+) rg", text)
        }
    return found


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", colour)[:3]))


def test_without_script_text_and_tables_stand_and_a_notice_says_why_figures_do_not(
    browser: Browser, reports: dict[str, Path], data: Results
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(reports["whole"].as_uri())
    notice = page.locator("noscript p")
    assert notice.is_visible()
    assert "figures need JavaScript" in notice.inner_text()
    assert page.locator("#answer h2").is_visible()
    tables = page.get_by_role("table")
    assert tables.count() >= 5
    assert all(table.is_visible() for table in tables.all())
    assert all(caption.is_visible() for caption in page.locator("figcaption").all())
    assert page.locator("#provenance").get_by_text(data.provenance["command"]).is_visible()
    assert not page.locator("button").is_visible()  # it could do nothing
    context.close()
