"""`diagnose --follow`: what is new is said once, and the command is run for it."""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from equipoise.cli.follow import Watch, follow
from equipoise.errors import RecordError

WELL = "".join(f"step {s} d_loss: 1.2 g_loss: 0.9\n" for s in range(50))
SICK = "".join(f"step {s} d_loss: nan g_loss: nan\n" for s in range(50, 60))


class Film:
    """A clock whose every rest is a scene: something is written to the log."""

    def __init__(self, *scenes):
        self.scenes = list(scenes)
        self.rests = []

    def __call__(self, seconds):
        self.rests.append(seconds)
        if self.scenes:
            self.scenes.pop(0)()


def append(path, text):
    def scene():
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)

    return scene


def followed(path, film, capsys, **watch):
    said = []
    last = follow(path, {}, Watch(**{"every": 1.0, "idle": 2.5} | watch), said.append, film)
    return last, said, capsys.readouterr().err


def test_a_finding_is_said_once_and_the_log_is_waited_for(tmp_path, capsys):
    path = tmp_path / "train.log"
    film = Film(
        append(path, "starting\n"), append(path, WELL), append(path, SICK), append(path, SICK)
    )
    last, said, waited = followed(path, film, capsys)
    assert last.verdict == "sick"
    assert len(said) == 1
    assert "non_finite since step 50" in said[0]
    assert waited.count("waiting: ") == 2  # not there; then nothing known in it
    assert len(film.rests) >= 7


def test_a_finding_that_goes_is_said_too(tmp_path, capsys):
    path = tmp_path / "train.log"
    path.write_text(WELL + SICK)
    last, said, _ = followed(path, Film(lambda: path.write_text(WELL)), capsys)
    assert last.verdict == "inconclusive"
    assert [("non_finite" in line, "no longer" in line) for line in said] == [(1, 0), (1, 1)]


def test_the_command_gets_the_finding(tmp_path, capsys):
    path, out = tmp_path / "train.log", tmp_path / "out"
    path.write_text(WELL + SICK)
    script = tmp_path / "hook.py"
    script.write_text(
        "import json, os, sys\nfound = json.load(sys.stdin)\n"
        f"out = open({str(out)!r}, 'a')\n"
        "out.write(found['failure'] + ' ' + os.environ['EQUIPOISE_SINCE'])\nout.close()\n"
    )
    followed(path, Film(), capsys, on_finding=f'"{sys.executable}" "{script}"')
    assert out.read_text() == "non_finite 50"


@pytest.mark.parametrize(
    ("command", "words"),
    [("exit 3", "ended with 3"), ("http://127.0.0.1:9/hook", "failed"), ("http://[", "failed")],
)
def test_a_command_that_fails_is_said_and_does_not_end_it(tmp_path, capsys, command, words):
    path = tmp_path / "train.log"
    path.write_text(WELL + SICK)
    last, said, errors = followed(path, Film(), capsys, on_finding=command)
    assert (last.verdict, len(said)) == ("sick", 1)
    assert words in errors


def test_an_address_gets_the_finding_by_post(tmp_path, capsys):
    bodies = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    path = tmp_path / "train.log"
    path.write_text(WELL + SICK)
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        followed(path, Film(), capsys, on_finding=f"http://127.0.0.1:{server.server_port}/")
        thread.join(5)
    assert [body["failure"] for body in bodies] == ["non_finite"]
    assert bodies[0]["path"] == str(path)


def test_the_command_line_follows(equipoise_says, here):
    (here / "train.log").write_text(WELL + SICK)
    said = equipoise_says(
        "diagnose", "train.log", "--follow", "--every", "0.01", "--idle", "0.02", "--json"
    )
    assert said.code == 1
    assert json.loads(said.out)["failure"] == "non_finite"


def test_seconds_must_be_above_zero(tmp_path):
    with pytest.raises(RecordError, match=r"--every 0: give seconds above 0"):
        follow(tmp_path, {}, Watch(every=0), print)
