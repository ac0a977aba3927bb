"""The page in a real browser: no error, no request to a host, and the slider works."""

import contextlib
import shutil
from pathlib import Path

import pytest
import report_scenario as scenario

from equipoise.report import write_report

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module", params=["images", "points"])
def page_file(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    arguments = scenario.everything(folder / "run", points=request.param == "points")
    path = write_report(folder / "report.html", **arguments)
    shutil.rmtree(folder / "run")  # the page must not need it
    return request.param, path


DRAWN = (
    "[...document.querySelectorAll('.plot')].every("
    "(plot) => plot.dataset.drawn || plot.closest('details:not([open])'))"
)


def until(page, condition):
    """Wait for a condition; asked from outside, because the page forbids `eval` to all in it."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{condition} did not come true in 5 s")


@contextlib.contextmanager
def opened(path, width=1024, scheme="light"):
    """The page when all is drawn; fails if it complained or asked anybody for anything."""
    with playwright.sync_playwright() as driver:
        options = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=options)
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        complaints, requests = [], []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        until(page, DRAWN)
        yield page
        browser.close()
    assert complaints == []
    assert requests
    assert all(url.startswith(("file:", "data:")) for url in requests)


def test_the_page_tells_the_verdict_and_the_slider_moves_through_time(page_file):
    kind, path = page_file
    with opened(path) as page:
        text = page.inner_text("main")
        assert "Sick" in text
        assert "Discriminator dominance since step 600" in text
        slider, gallery = page.locator("input[type=range]").first, page.locator(".gallery").first
        state = (
            "(g) => g.querySelector('img.frame')?.src"
            " ?? JSON.stringify(g.querySelector('.plot').data[1].x)"
        )
        last = gallery.evaluate(state)
        slider.focus()
        page.keyboard.press("Home")
        first = gallery.evaluate(state)
        assert first != last
        assert gallery.locator("output").inner_text().startswith("step 0 ")
        page.keyboard.press("End")
        assert gallery.evaluate(state) == last
        assert page.locator(".gallery img").count() == (3 if kind == "images" else 0)


def test_folded_curves_are_drawn_when_unfolded(page_file):
    with opened(page_file[1]) as page:
        folded = page.locator("details .plot")
        assert folded.locator("svg").count() == 0
        page.locator("summary", has_text="More signals").click()
        page.wait_for_selector("details .plot[data-drawn] svg.main-svg")
        assert page.locator("details .plot[data-drawn]").count() == folded.count() == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_needs_no_sideways_scrolling(page_file, scheme):
    with opened(page_file[1], width=360, scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_the_figures_follow_the_colour_scheme(page_file):
    colour = "document.querySelector('.plot').layout.font.color"
    with opened(page_file[1]) as page:
        light = page.evaluate(colour)
        page.emulate_media(color_scheme="dark")
        until(page, f"{colour} !== '{light}'")
        assert page.evaluate(colour) == "#e6e9ec"
