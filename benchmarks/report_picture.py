"""A figure of a run's report as the picture that README shows, docs/images/frontier.png.

python train.py expert_pool=jetson_mix hydra.run.dir=outputs/first
python benchmarks/report_picture.py outputs/first/report.html

The page is opened in the system's chromium or, without one, in Playwright's own (playwright install chromium).
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def take(report: Path, figure: str, to: Path) -> None:
    """Takes a figure in light colours, at twice the pixels so that it stays sharp when enlarged."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(
            viewport={"width": 1100, "height": 900}, device_scale_factor=2, color_scheme="light"
        )
        page.goto(report.resolve().as_uri())
        page.wait_for_selector("html[data-drawn]", state="attached")
        page.locator(f"#plot-{figure}").screenshot(path=to)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path, help="report.html of a run")
    parser.add_argument("--figure", default="frontier", help="its anchor on the page")
    parser.add_argument("--to", type=Path, help="the picture; docs/images/<figure>.png by default")
    args = parser.parse_args()
    take(args.report, args.figure, args.to or IMAGES / f"{args.figure}.png")


if __name__ == "__main__":
    main()
