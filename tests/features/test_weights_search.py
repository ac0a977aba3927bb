import hashlib
import http.server
import os
import re
import subprocess
import sys
import threading
import time

import pytest

from equipoise.errors import EquipoiseError, MissingWeightsError, WeightsError
from equipoise.features import weights

BODY = bytes(range(256)) * 512  # 128 kB
SHA = hashlib.sha256(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Gives BODY at any path; `plan` says how the next answers go wrong."""

    daemon_threads = True

    def handle_error(self, *_):
        """A client that went away is what some tests are about."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.plan, self.asked = [], []

    def at(self, name="net.pth"):
        return weights.Weights(
            "net", f"http://127.0.0.1:{self.server_port}/{name}", SHA, name, ("other.pth",), 131072
        )


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        how = self.server.plan.pop(0) if self.server.plan else "right"
        if isinstance(how, int):
            return self.send_error(how)
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        if how in ("slow", "stalling"):
            for start in range(0, len(BODY), 4096):
                self.wfile.write(BODY[start : start + 4096])
                self.wfile.flush()
                time.sleep(0.05 if how == "slow" else 1)
            return None
        body = {"right": BODY, "short": BODY[:1000], "wrong": BODY[::-1]}[how]
        self.wfile.write(body)
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path):
    """All places that are searched, empty and within tmp_path; no waiting between attempts."""
    monkeypatch.setenv(weights.FOLDER, str(tmp_path / "own"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv(weights.CONSENT, raising=False)
    monkeypatch.setattr(weights, "PAUSE", 0.0)
    return tmp_path


def put(path, body=BODY):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body)
    return path


@pytest.mark.parametrize(
    "place",
    [
        "own/net.pth",
        "own/other.pth",
        "torch/hub/checkpoints/net.pth",
        "torch/hub/checkpoints/other.pth",
        "home/.cache/clip/net.pth",
    ],
)
def test_the_file_is_found_where_the_field_keeps_it(server, places, place):
    path = put(places / place)
    assert weights.find(server.at()) == weights.Found(path, SHA, True)
    assert server.asked == []


def test_the_first_place_wins_and_a_broken_file_there_does_not(server, places):
    put(places / "own/net.pth", BODY[:-1])
    right = put(places / "torch/hub/checkpoints/other.pth")
    assert weights.find(server.at()).path == right
    assert weights.find(server.at(), download=True).path == right
    first = put(places / "own/other.pth")
    assert weights.find(server.at()).path == first
    assert server.asked == []


def test_without_consent_nothing_is_fetched_and_all_is_told(server, places):
    put(places / "torch/hub/checkpoints/net.pth", b"half")
    wanted = server.at()
    for consent in (None, False):
        with pytest.raises(MissingWeightsError) as error:
            weights.find(wanted, download=consent)
        told = str(error.value)
        for part in (
            "'net' are not on this machine: net.pth",
            SHA,
            wanted.url,
            str(places / "own/net.pth"),
            str(places / "torch/hub/checkpoints"),
            str(places / "home/.cache/clip"),
            f"Passed over: {places / 'torch/hub/checkpoints/net.pth'}",
            "download=True",
            "EQUIPOISE_DOWNLOAD=1",
            "path=",
            "random_conv",
        ):
            assert part in told
    assert server.asked == []
    assert isinstance(error.value, WeightsError)
    assert isinstance(error.value, EquipoiseError)
    assert isinstance(error.value, OSError)


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_with_consent_it_is_fetched_once(server, places, monkeypatch, how):
    if how == "environment":
        monkeypatch.setenv(weights.CONSENT, "1")
    download = True if how == "argument" else None
    for _ in range(2):
        found = weights.find(server.at(), download=download)
        assert found == weights.Found(places / "own/net.pth", SHA, True)
    assert found.path.read_bytes() == BODY
    assert server.asked == ["/net.pth"]
    assert [p.name for p in found.path.parent.iterdir()] == ["net.pth"]


@pytest.mark.parametrize("value", ["", "0", "no"])
def test_other_words_are_no_consent(server, monkeypatch, value):
    monkeypatch.setenv(weights.CONSENT, value)
    with pytest.raises(MissingWeightsError):
        weights.find(server.at())


def test_an_argument_overrules_the_environment(server, monkeypatch):
    monkeypatch.setenv(weights.CONSENT, "1")
    with pytest.raises(MissingWeightsError):
        weights.find(server.at(), download=False)


def test_without_a_folder_of_our_own_it_goes_to_the_hub_cache(server, places, monkeypatch):
    monkeypatch.delenv(weights.FOLDER)
    found = weights.find(server.at(), download=True)
    assert found.path == places / "torch/hub/checkpoints/net.pth"


@pytest.mark.parametrize("failure", ["short", "wrong", 500, 503])
def test_what_may_mend_is_tried_again(server, failure):
    server.plan = [failure, failure]
    found = weights.find(server.at(), download=True)
    assert found.path.read_bytes() == BODY
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("failure", "attempts", "told"),
    [
        ("short", 3, "it ended after 1000 of 131072 bytes"),
        ("wrong", 3, f"131072 bytes came with sha256 {hashlib.sha256(BODY[::-1]).hexdigest()}"),
        (500, 3, "HTTP Error 500"),
        (404, 1, "HTTP Error 404"),
        (403, 1, "HTTP Error 403"),
    ],
)
def test_what_does_not_mend_is_told_and_leaves_nothing(server, places, failure, attempts, told):
    server.plan = [failure] * 5
    wanted = server.at()
    with pytest.raises(WeightsError, match="cannot fetch the weights of 'net'") as error:
        weights.find(wanted, download=True)
    for part in (told, wanted.url, SHA, str(places / "own/net.pth"), "by hand"):
        assert part in str(error.value)
    assert not isinstance(error.value, MissingWeightsError)
    assert len(server.asked) == attempts
    assert list((places / "own").iterdir()) == []


def test_nobody_listens(server, places):
    wanted = server.at()
    server.server_close()
    with pytest.raises(WeightsError, match="Connection refused"):
        weights.find(wanted, download=True)
    assert list((places / "own").iterdir()) == []


def test_a_target_that_cannot_be_written_is_told(server, places):
    put(places / "own", b"a file where the folder should be")
    with pytest.raises(WeightsError, match=r"cannot fetch .*own"):
        weights.find(server.at(), download=True)


def test_a_download_replaces_a_broken_file(server, places):
    path = put(places / "own/net.pth", BODY[:99])
    assert weights.find(server.at(), download=True).path == path
    assert path.read_bytes() == BODY


def test_the_pause_doubles(server, monkeypatch):
    slept = []
    monkeypatch.setattr(weights, "PAUSE", 1.0)
    monkeypatch.setattr(weights.time, "sleep", slept.append)
    server.plan = [500, 500, 500]
    with pytest.raises(WeightsError):
        weights.find(server.at(), download=True)
    assert slept == [1.0, 2.0]


def test_a_path_is_taken_and_nothing_else(server, places):
    put(places / "own/net.pth")
    mine = put(places / "mine.pth")
    assert weights.find(server.at(), mine) == weights.Found(mine, SHA, True)
    assert weights.find(server.at(), str(mine), sha256=SHA[:8].upper()).published
    with pytest.raises(MissingWeightsError, match=r"absent\.pth' is no file; .* are net\.pth"):
        weights.find(server.at(), places / "absent.pth", download=True)
    assert server.asked == []


def test_other_weights_at_a_path_must_be_meant(server, places):
    body = b"other weights"
    other = hashlib.sha256(body).hexdigest()
    mine = put(places / "mine.pth", body)
    with pytest.raises(WeightsError, match=f"has sha256 {other}, expected {SHA}.*{other[:16]}"):
        weights.find(server.at(), mine)
    with pytest.raises(WeightsError, match="expected 00000000"):
        weights.find(server.at(), mine, sha256="00000000")
    for meant in (other, other[:8], "any"):
        found = weights.find(server.at(), mine, sha256=meant)
        assert found == weights.Found(mine, other, False)
    assert weights.named("net", found) == f"net_{other[:8]}"
    assert weights.named("net", weights.Found(mine, SHA, True)) == "net"


@pytest.mark.parametrize("sha256", ["", "1234", "xyzxyzxy", SHA + "0"])
def test_what_is_no_sha256_is_refused(server, places, sha256):
    mine = put(places / "mine.pth")
    with pytest.raises(ValueError, match="8 to 64 hexadecimal digits"):
        weights.find(server.at(), mine, sha256=sha256)


def test_a_sha256_goes_with_a_path(server):
    with pytest.raises(ValueError, match="goes with path="):
        weights.find(server.at(), sha256=SHA)


def _fetch(wanted):
    weights.find(wanted, download=True)


@pytest.mark.parametrize("locked", [True, False])
def test_several_at_once_end_with_one_whole_file(server, places, monkeypatch, locked):
    if not locked:
        monkeypatch.setitem(sys.modules, "fcntl", None)  # as on Windows
    server.plan = ["slow"] * 4
    wanted = server.at()
    threads = [threading.Thread(target=_fetch, args=(wanted,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [p.name for p in (places / "own").iterdir()] == ["net.pth"]
    assert (places / "own/net.pth").read_bytes() == BODY
    assert len(server.asked) == (1 if locked else 4)


CHILD = """
import sys
from equipoise.features import weights
weights.find(weights.Weights("net", sys.argv[1], sys.argv[2], "net.pth"), download=True)
print("done", flush=True)
"""


def child(server, folder):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, server.at().url, SHA],
        env=os.environ | {weights.FOLDER: str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    )


def until(happened):
    for _ in range(6000):
        if happened():
            return
        time.sleep(0.01)
    raise AssertionError("a minute passed")


def test_processes_wait_for_one_another_and_a_killed_one_leaves_no_harm(server, places):
    server.plan = ["stalling", "right"]
    killed = child(server, places / "own")
    until(lambda: server.asked)
    waiting = child(server, places / "own")
    part = re.compile(r"\.net\.pth\.\d+\.[0-9a-f]{8}\.part")
    until(lambda: any(part.fullmatch(p.name) for p in (places / "own").iterdir()))
    killed.kill()
    assert killed.communicate()[0] == ""
    out, _ = waiting.communicate(timeout=60)
    assert out == "done\n"
    assert (places / "own/net.pth").read_bytes() == BODY
    assert len(server.asked) == 2
    left = [p.name for p in (places / "own").iterdir() if p.name != "net.pth"]
    assert all(part.fullmatch(name) for name in left)  # never taken for the file


def test_published_entries_are_well_formed():
    from equipoise.features import clip, dinov2, inception, vgg

    entries = [inception.INCEPTION, dinov2.DINOV2_B, dinov2.DINOV2_L]
    entries += [clip.CLIP_B_32, clip.CLIP_L_14_336, vgg.VGG16, vgg.LPIPS]
    for entry in entries:
        assert entry.url.startswith("https://")
        assert re.fullmatch("[0-9a-f]{64}", entry.sha256)
        for prefix in re.findall(r"-([0-9a-f]{8})\.pth", f"{entry.file} {entry.url}"):
            assert entry.sha256.startswith(prefix)
        for whole in re.findall("[0-9a-f]{64}", entry.url):
            assert entry.sha256 == whole
    assert len({entry.file for entry in entries}) == len(entries)
