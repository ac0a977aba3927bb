"""The main job, whole: `equipoise demo` as a stranger runs it, and its page in a real browser."""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from equipoise.record import Trace
from equipoise.trial import Ledger

CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """(folder, what it printed, wall seconds, peak memory of its largest process in bytes)."""
    folder = tmp_path_factory.mktemp("demo")
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "equipoise", "demo", "--dir", str(folder / "here")],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return folder / "here", done.stdout, time.perf_counter() - began, peak


def test_it_names_the_failure_and_what_to_do(demo):
    _, said, _, _ = demo
    assert "SICK" in said
    assert "discriminator_dominance" in said
    assert "since step" in said
    assert "R1 + R2" in said


def test_the_trial_keeps_the_remedy_on_five_pairs(demo):
    folder, said, _, _ = demo
    with Ledger(folder / "ledger.sqlite") as ledger:
        (row,) = ledger.verdicts()
    assert "KEEP" in said
    assert (row.verdict, row.arm, len(row.seeds)) == ("keep", "gradient-penalty", 5)
    assert row.p_value == pytest.approx(1 / 32)
    assert row.interval[0] > 0


def test_the_run_it_leaves_can_be_read(demo):
    folder, _, _, _ = demo
    assert json.loads((folder / "run" / "diagnosis.json").read_text())["verdict"] == "sick"
    trace = Trace.read(folder / "run")
    assert trace.damaged == 0
    assert len(trace.series("auc/discriminator")) >= 30
    assert {"samples/fixed", "samples/real", "interpolation"} <= {b.name for b in trace.blobs}


def test_three_processes_stay_under_two_gibibytes(demo):
    *_, peak = demo
    assert 3 * peak < 2 << 30, f"{peak / 2**20:.0f} MiB in the largest of three processes"


@pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no browser at {CHROMIUM}")
def test_its_page_opens_without_a_complaint_or_a_request(demo):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    folder, said, _, _ = demo
    page_file = folder / "report.html"
    assert str(page_file) in said.replace("\n", "")
    complaints, requests = [], []
    with playwright.sync_playwright() as driver:
        options = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = driver.chromium.launch(executable_path=str(CHROMIUM), args=options)
        page = browser.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(page_file.as_uri())
        text = page.inner_text("body")
        browser.close()
    assert complaints == []
    assert all(url.startswith(("file:", "data:")) for url in requests)
    assert "Discriminator dominance" in text
    assert "keep" in text.lower()
