"""What is read from settings, files and the watcher, without an Nginx."""

import os
from pathlib import Path

import pytest

from controller.adapters.nginx import Endpoint
from controller.adapters.nginx.errorlog import ErrorLog
from controller.adapters.nginx.files import put, stage
from controller.adapters.nginx.served import check_text, choose_served
from controller.adapters.nginx.watch import Answer, Status, read_answer, read_status
from controller.core.errors import ActuationFault
from controller.core.model import Server
from controller.core.render import Rendered, Upstream, render


def rendered(weight: int) -> Rendered:
    """A sound upstream file."""
    return render([Upstream("llm", [Server("127.0.0.1:9", weight=weight)])])


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://127.0.0.1:8081/lb/generation", Endpoint("/lb/generation", "127.0.0.1", 8081)),
        ("http://[::1]:8081/g", Endpoint("/g", "::1", 8081)),
        ("http://nginx", Endpoint("/", "nginx", 80)),
        ("unix:/run/lb.sock:/g", Endpoint("/g", socket="/run/lb.sock")),
    ],
)
def test_endpoint(url: str, endpoint: Endpoint) -> None:
    """An endpoint is an http URL or a unix socket with a path, and prints as it was written."""
    assert Endpoint.parse(url) == endpoint
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "url", ["https://nginx/g", "nginx:8081", "unix:/run/lb.sock", "unix:lb.sock:/g", "http://h:x/"]
)
def test_no_endpoint(url: str) -> None:
    """Anything else is refused when the settings are made."""
    with pytest.raises(ValueError, match=r"expected http://host:port/path|[Pp]ort"):
        Endpoint.parse(url)


def test_text_must_be_of_its_generation() -> None:
    """A text with another generation, cut short or not rendered is a mistake of the caller."""
    wanted = rendered(1)
    check_text(wanted.generation, wanted.text)
    for text in (rendered(2).text, wanted.text[:-2], "", "upstream llm {}"):
        with pytest.raises(ValueError, match=f"generation {wanted.generation}: the text is"):
            check_text(wanted.generation, text)


def test_served_file_is_found(tmp_path: Path) -> None:
    """Of the file in place and the kept one, the one that Nginx serves is chosen."""
    live, kept, absent = tmp_path / "live", tmp_path / "kept", tmp_path / "absent"
    live.write_text(rendered(2).text)
    kept.write_text(rendered(1).text)
    assert choose_served(rendered(1).generation, live, kept) == kept.read_bytes()
    assert choose_served(rendered(2).generation, live, kept) == live.read_bytes()
    assert choose_served("another", live, kept) == live.read_bytes()
    assert choose_served(None, absent, kept) == kept.read_bytes()
    assert choose_served(None, absent) is None


def test_staged_file_is_hidden_and_has_its_mode(tmp_path: Path) -> None:
    """A staged file is a dotfile of the given mode; putting it leaves one whole file."""
    target = tmp_path / "upstream.conf"
    for content in (b"one", b"two"):
        staged = stage(tmp_path, target.name, content, 0o640)
        assert staged.name.startswith(".")
        assert not list(tmp_path.glob("[!.]*.staged"))
        put(staged, target)
        assert target.read_bytes() == content
    assert target.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["upstream.conf"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("00ff aa11 ok\n\n", Answer("00ff", None, "")),
        ("00ff aa11 invalid\nwhy\n", Answer("00ff", ActuationFault.REJECTED, "why")),
        ("00ff aa11 failed\nwhy\n", Answer("00ff", ActuationFault.UNREACHABLE, "why")),
        ("00ff aa11 unsafe\nwhy\n", Answer("00ff", ActuationFault.UNSAFE, "why")),
        ("00ff aa11 fine\n", None),
        ("", None),
    ],
)
def test_answer_of_the_watcher(tmp_path: Path, text: str, answer: Answer | None) -> None:
    """Each verdict of the watcher is a fault of its own; what cannot be understood is none."""
    (tmp_path / "answer").write_text(text)
    assert read_answer(tmp_path / "answer") == answer


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("master=7\nlive=2\nlingering=1\nend\n", Status(7, 2, 1)),
        ("master=none\nlive=0\nlingering=0\nend\n", Status(None, 0, 0)),
        ("master=7\nlive=2\nlinge", None),
        ("", None),
    ],
)
def test_heartbeat_of_the_watcher(tmp_path: Path, text: str, status: Status | None) -> None:
    """A heartbeat counts only when it is whole."""
    (tmp_path / "status").write_text(text)
    assert read_status(tmp_path / "status") == status


def test_complaint_since_a_place_in_the_log(tmp_path: Path) -> None:
    """Of the error log only what was written since is told, and no error of a mere request."""
    log, conf = tmp_path / "error.log", tmp_path / "nginx.conf"
    conf.write_text(f"error_log {log} notice;\n")
    log.write_text("[emerg] old\n")
    place = ErrorLog.of(conf)
    assert not place.complaint()
    with log.open("a") as file:
        file.write("[error] connect() failed\n[notice] signal\n[emerg] new\n")
    assert place.complaint() == "[emerg] new"


def test_log_named_by_a_configuration_that_is_no_utf_8(tmp_path: Path) -> None:
    """The error log is found in a configuration of any encoding, and by a name of any encoding."""
    log, conf = tmp_path / os.fsdecode(b"Br\xfccke.log"), tmp_path / "nginx.conf"
    conf.write_bytes(b"# \xe4\nerror_log " + os.fsencode(log) + b" notice;\n")
    log.touch()
    place = ErrorLog.of(conf)
    log.write_text("[emerg] new\n")
    assert place.complaint() == "[emerg] new"


@pytest.mark.parametrize("line", ["", "error_log stderr;", "error_log /no/such/file;"])
def test_log_that_cannot_be_read(tmp_path: Path, line: str) -> None:
    """Without a readable error log there is nothing to tell, and no failure."""
    conf = tmp_path / "nginx.conf"
    conf.write_text(line)
    assert not ErrorLog.of(conf).complaint()
