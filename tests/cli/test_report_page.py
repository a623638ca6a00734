"""The page that a real run leaves, in a real browser: names, figures and widths that no fixture has."""

from tests.browser import needs_browser, overlaps, running, serious, visit
from tests.cli.conftest import MainJob


@needs_browser
def test_the_page_of_a_real_run_is_drawn_silent_and_accessible_on_a_phone(main_job: MainJob) -> None:
    report = main_job.folder / "report.html"
    assert report.stat().st_size < 6_000_000
    with running() as browser, visit(browser, report, width=360, scheme="dark") as found:
        assert found.complaints == []
        assert found.requests == [report.as_uri()]
        assert serious(found.page) == []
        assert overlaps(found.page) == []
        assert found.page.evaluate("() => document.scrollingElement.scrollWidth") <= 360
