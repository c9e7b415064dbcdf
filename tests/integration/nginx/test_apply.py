"""What both ways to Nginx promise."""

import http.client
import socket
import threading
from pathlib import Path

import pytest

from controller.core.errors import ActuationError, ActuationFault
from lab.nginx import RunningNginx, nginx
from lab.processes import await_true
from tests.integration.nginx.cases import (
    WAYS,
    Way,
    backend,
    edit,
    file_of,
    is_accepted,
    refused_by_nginx,
    reload,
    way_to,
)

pytestmark = [pytest.mark.integration, pytest.mark.parametrize("way", WAYS)]


def test_applied_generation_is_served_and_on_disk(tmp_path: Path, way: Way) -> None:
    """When apply returns, Nginx serves the generation and would start with it."""
    wanted = file_of(7)
    with nginx(tmp_path) as running, way_to(running, way) as actuator:
        actuator.apply(wanted.generation, wanted.text)
        assert actuator.view().generation == running.generation() == wanted.generation
        await_true(lambda: actuator.view().live_workers == 2, 5, "the workers of before are gone")
        assert actuator.served_text() == wanted.text


def test_what_is_live_is_not_reloaded(tmp_path: Path, way: Way) -> None:
    """Applying what Nginx serves already costs no reload, as after a restart of the controller."""
    wanted = file_of(7)
    with nginx(tmp_path, upstream_text=wanted.text) as running, way_to(running, way) as actuator:
        actuator.apply(wanted.generation, wanted.text)
        assert "reconfiguring" not in running.error_log.read_text()


def test_refused_file_changes_nothing(tmp_path: Path, way: Way) -> None:
    """A file that `nginx -t` refuses never reaches the disk, and the error is in Nginx's words."""
    before, broken = file_of(7), refused_by_nginx()
    with nginx(tmp_path, upstream_text=before.text) as running, way_to(running, way) as actuator:
        with pytest.raises(
            ActuationError, match=r"invalid port in upstream.*upstream\.conf:"
        ) as error:
            actuator.apply(broken.generation, broken.text)
        assert error.value.fault is ActuationFault.REJECTED
        assert running.upstream_file.read_text() == before.text
        assert running.generation() == before.generation
        assert "reconfiguring" not in running.error_log.read_text()


def test_text_of_another_generation_is_a_mistake_of_the_caller(tmp_path: Path, way: Way) -> None:
    """A text that Nginx could never confirm is refused before anything is touched."""
    with nginx(tmp_path) as running, way_to(running, way) as actuator:
        with pytest.raises(ValueError, match="the text is of generation"):
            actuator.apply("0123456789abcdef", file_of(7).text)
        with pytest.raises(ValueError, match="no whole rendered upstream file"):
            actuator.apply(file_of(7).generation, file_of(7).text[:-3])


def test_reload_refused_for_a_changed_zone_is_rolled_back(tmp_path: Path, way: Way) -> None:
    """A reload that fails though `nginx -t` passes is seen, and the file of before is put back."""
    zone = "limit_req_zone $binary_remote_addr zone=calls:1m rate=1r/s;"
    with nginx(tmp_path) as running:
        edit(running, "server_tokens off;", f"server_tokens off; {zone}")
        first, second = file_of(3), file_of(2)
        with way_to(running, way) as actuator:
            actuator.apply(first.generation, first.text)
        edit(running, "$binary_remote_addr zone", "$request_uri zone")
        expect_rollback(running, way, first.text, "limit_req")
        edit(running, "$request_uri zone", "$binary_remote_addr zone")
        with way_to(running, way) as actuator:
            actuator.apply(second.generation, second.text)
        assert running.generation() == second.generation


def test_reload_refused_for_a_taken_port_is_rolled_back(tmp_path: Path, way: Way) -> None:
    """A port that another process holds fails the reload, not the test; the file goes back."""
    first, second = file_of(1), file_of(2)
    with nginx(tmp_path, upstream_text=first.text) as running, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = f"server {{ listen 127.0.0.1:{taken.getsockname()[1]}; }}"
        edit(running, "server_tokens off;", f"server_tokens off; {server}")
        expect_rollback(running, way, first.text, "bind")
        edit(running, server, "")
        # Nginx tries the port for 2.5 s at each reload and reads its signals only then.
        with way_to(running, way, confirm_timeout_s=20) as actuator:
            actuator.apply(second.generation, second.text)
        assert running.generation() == second.generation


def expect_rollback(running: RunningNginx, way: Way, before: str, complaint: str) -> None:
    """Apply something that Nginx will not take up."""
    serving = running.generation()
    wanted = file_of(99)
    with (
        way_to(running, way, confirm_timeout_s=1.5) as actuator,
        pytest.raises(ActuationError, match="previous upstream file is back in place") as error,
    ):
        actuator.apply(wanted.generation, wanted.text)
    assert error.value.fault is ActuationFault.UNCONFIRMED
    if way == "local":
        assert complaint in str(error.value)
    assert running.upstream_file.read_text() == before
    assert running.generation() == serving
    assert is_accepted(running)


def test_workers_that_finish_streams_are_counted(tmp_path: Path, way: Way) -> None:
    """A stream lives through a reload, and its old worker is counted until the stream ends."""
    done = threading.Event()
    with backend(stream=done) as streaming:
        first, second = file_of(1, streaming.address), file_of(2, streaming.address)
        with nginx(tmp_path, upstream_text=first.text) as running, way_to(running, way) as actuator:
            connection = http.client.HTTPConnection(running.url.removeprefix("http://"), timeout=20)
            connection.request("GET", "/v1/stream")
            answer = connection.getresponse()
            assert answer.readline() == b"data: first\n"
            actuator.apply(second.generation, second.text)
            await_true(lambda: actuator.view().lingering_workers == 1, 20, "one worker lingers")
            done.set()
            assert answer.read().endswith(b"data: last\n\n")
            connection.close()
            await_true(lambda: actuator.view().lingering_workers == 0, 20, "no worker lingers")


def test_nobody_there_changes_nothing(tmp_path: Path, way: Way) -> None:
    """Without a running Nginx the file stays as it is, and the error says what was looked for."""
    before, wanted = file_of(1), file_of(2)
    with nginx(tmp_path, upstream_text=before.text) as running, way_to(running, way) as actuator:
        running.process.stop()
        with pytest.raises(ActuationError, match=r"nginx\.pid") as error:
            actuator.apply(wanted.generation, wanted.text)
        assert error.value.fault is ActuationFault.UNREACHABLE
        assert actuator.served_text() == before.text
        view = actuator.view()
        assert view.generation is None
        assert "refused" in view.detail


def test_foreign_fault_is_not_blamed_on_the_file(tmp_path: Path, way: Way) -> None:
    """When `nginx -t` refuses even what is live, the generation is not the one to quarantine."""
    wanted = file_of(2)
    with nginx(tmp_path) as running, way_to(running, way) as actuator:
        edit(running, "server_tokens off;", "server_tokens maybe;")
        with pytest.raises(
            ActuationError, match=r"even the configuration that is live.*maybe"
        ) as error:
            actuator.apply(wanted.generation, wanted.text)
        assert error.value.fault is ActuationFault.UNSAFE
        edit(running, "server_tokens maybe;", "server_tokens off;")
        reload(running)
        actuator.apply(wanted.generation, wanted.text)


def test_upstream_file_that_is_not_included_is_named(tmp_path: Path, way: Way) -> None:
    """A configuration that never reads the upstream file is told so, not left unconfirmed."""
    wanted = file_of(2)
    with nginx(tmp_path) as running, way_to(running, way) as actuator:
        edit(running, f"include {running.upstream_file};", 'map "" $lb_generation { default "x"; }')
        with pytest.raises(
            ActuationError, match=r"nginx\.conf does not include .*upstream\.conf"
        ) as error:
            actuator.apply(wanted.generation, wanted.text)
        assert error.value.fault is ActuationFault.UNSAFE


def test_nested_include_and_relative_paths(tmp_path: Path, way: Way) -> None:
    """The upstream file may be reached through conf.d, and relative paths keep their meaning."""
    with nginx(tmp_path) as running, way_to(running, way) as actuator:
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d" / "pools.conf").write_text(f"include {running.upstream_file};\n")
        (tmp_path / "kinds").write_text("types { text/plain txt; }\n")
        edit(
            running,
            f"include {running.upstream_file};",
            "include conf.d/*.conf;\n    include kinds;",
        )
        wanted, broken = file_of(2), refused_by_nginx()
        actuator.apply(wanted.generation, wanted.text)
        assert running.generation() == wanted.generation
        with pytest.raises(ActuationError, match="invalid port in upstream"):
            actuator.apply(broken.generation, broken.text)
        assert running.upstream_file.read_text() == wanted.text


def test_configuration_that_is_no_utf_8(tmp_path: Path, way: Way) -> None:
    """A Latin-1 byte, which Nginx does not mind, keeps no change out, and messages stay text."""
    wanted, broken = file_of(2), refused_by_nginx()
    with nginx(tmp_path) as running, way_to(running, way) as actuator:
        conf = running.conf.read_bytes()
        include = f"include {running.upstream_file};".encode()
        (tmp_path / "pools.conf").write_bytes(b"# f\xfcr alle\n" + include + b"\n")
        running.conf.write_bytes(conf.replace(include, b"include pools.conf; # Br\xfccke"))
        actuator.apply(wanted.generation, wanted.text)
        assert running.generation() == wanted.generation
        with pytest.raises(ActuationError, match="invalid port in upstream") as error:
            actuator.apply(broken.generation, broken.text)
        assert str(error.value).encode()


def test_nothing_is_left_behind(tmp_path: Path, way: Way) -> None:
    """Beside the live file and the one of before no file stays, and no include sees that one."""
    with nginx(tmp_path) as running, way_to(running, way) as actuator:
        for weight in (1, 2, 3):
            wanted = file_of(weight)
            actuator.apply(wanted.generation, wanted.text)
        await_true(lambda: len(list(running.upstream_dir.iterdir())) == 2, 5, "two files")
        assert [path.name for path in running.upstream_dir.glob("*")].count("upstream.conf") == 1
        assert all(
            path.name == "upstream.conf" or path.name.startswith(".")
            for path in running.upstream_dir.iterdir()
        )
        assert running.upstream_file.stat().st_mode & 0o777 == 0o644
