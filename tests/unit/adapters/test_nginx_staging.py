"""The copy of a configuration in which only the upstream file is another one."""

from pathlib import Path

import pytest

from controller.adapters.nginx.staging import Staged, build, worst_line
from controller.core.errors import ActuationError, ActuationFault


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A configuration directory with the usual neighbours."""
    root = tmp_path / "etc"
    (root / "conf.d").mkdir(parents=True)
    (root / "mime.types").write_text("types {}\n")
    (root / "conf.d" / "a.conf").write_text("# nothing\n")
    (tmp_path / "live").mkdir()
    return root


def staged(root: Path, conf: str, live: Path | None = None) -> Staged:
    """Stage a top-level file of this text."""
    (root / "nginx.conf").write_text(conf)
    live = live or root.parent / "live" / "upstream.conf"
    return build(root.parent / "mirror", root / "nginx.conf", live, root.parent / "candidate")


def test_only_the_upstream_file_is_another(root: Path) -> None:
    """The include of the live file names the candidate; every other character is the same."""
    live = root.parent / "live" / "upstream.conf"
    conf = f"http {{ include mime.types; include {live}; server {{ }} }}\n"
    text = staged(root, conf).conf.read_text()
    assert text == conf.replace(f"include {live};", f'include "{root.parent}/candidate";')


def test_relative_paths_lead_to_the_same_files(root: Path) -> None:
    """Beside the staged file every entry of the directory is there under its own name."""
    conf = staged(root, "include ../live/upstream.conf;").conf
    assert (conf.parent / "mime.types").samefile(root / "mime.types")
    assert (conf.parent / "conf.d").samefile(root / "conf.d")
    assert sorted(path.name for path in root.iterdir()) == ["conf.d", "mime.types", "nginx.conf"]


def test_chain_of_includes_is_copied(root: Path) -> None:
    """A file through which the upstream file is reached is copied, its neighbours are not."""
    live = root.parent / "live" / "upstream.conf"
    (root / "conf.d" / "b.conf").write_text(f"include '{live}';\n")
    copy = staged(root, "http { include conf.d/*.conf; }")
    text = copy.conf.read_text()
    assert f'include "{root}/conf.d/a.conf"' in text
    assert f"{root}/conf.d/b.conf" not in text
    through = Path(text.split('"')[3])
    assert through.read_text() == f'include "{root.parent}/candidate";\n'
    assert copy.in_words_of_the_user(f"[emerg] x in {through}:1") == (
        f"[emerg] x in {root}/conf.d/b.conf:1"
    )


def test_live_file_among_others(root: Path) -> None:
    """A live file that a wildcard finds is exchanged, also before it exists for the first time."""
    live = root / "conf.d" / "upstream.conf"
    conf = "http { include conf.d/*.conf; }"
    expected = f'http {{ include "{root}/conf.d/a.conf"; include "{root.parent}/candidate"; }}'
    assert staged(root, conf, live).conf.read_text() == expected
    live.write_text("upstream x {}")
    assert staged(root, conf, live).conf.read_text() == expected


@pytest.mark.parametrize(
    "conf",
    [
        "http { }",
        "http { # include {live};\n }",
        "http { log_format x ' include {live}; '; }",
        'http { log_format x " include {live}; "; }',
        "http { include nowhere.conf; include conf.d/*.conf; }",
        "http { include nginx.conf; }",
    ],
)
def test_configuration_that_does_not_include_the_file(root: Path, conf: str) -> None:
    """A comment or a string is no include; the error says which line is missing."""
    live = root.parent / "live" / "upstream.conf"
    with pytest.raises(ActuationError, match=f"add the line `include {live};`") as error:
        staged(root, conf.replace("{live}", str(live)))
    assert error.value.fault is ActuationFault.UNSAFE


def test_hash_within_a_word_is_no_comment(root: Path) -> None:
    """A `#` or a quote inside a word, as in a regular expression, hides nothing after it."""
    live = root.parent / "live" / "upstream.conf"
    conf = f"location ~ ^/it's#here {{ }} include {live};\n"
    assert "candidate" in staged(root, conf).conf.read_text()


def test_pid_file_of_the_live_nginx_is_left_alone(root: Path) -> None:
    """`nginx -t` creates the pid file that it reads of, so the copy names one of its own."""
    live = root.parent / "live" / "upstream.conf"
    text = staged(root, f"pid /run/nginx.pid; include {live};").conf.read_text()
    assert "/run/nginx.pid" not in text
    assert f"pid {root.parent}/mirror/nginx.pid;" in text


def test_copy_is_the_same_to_the_byte(root: Path) -> None:
    """Bytes that are no UTF-8, and line ends of Windows, are the same in the copy."""
    live = root.parent / "live" / "upstream.conf"
    conf = b"# Br\xfccke\r\n" + f"include {live};\r\n".encode() + b"# \xff\n"
    (root / "nginx.conf").write_bytes(conf)
    copy = build(root.parent / "mirror", root / "nginx.conf", live, root.parent / "candidate")
    assert copy.conf.read_bytes() == conf.replace(
        f"include {live};".encode(), f'include "{root.parent}/candidate";'.encode()
    )


def test_missing_top_level_file_is_named(tmp_path: Path) -> None:
    """A top-level file that is not there is named in the error."""
    with pytest.raises(ActuationError, match=r"cannot stage .*nginx\.conf"):
        build(tmp_path / "m", tmp_path / "etc" / "nginx.conf", tmp_path / "l", tmp_path / "c")


def test_worst_line_of_a_log() -> None:
    """The gravest line says most; without one the last line does."""
    assert worst_line("a [warn] b\nc [emerg] d\nnginx: test failed\n") == "c [emerg] d"
    assert worst_line("first\nlast\n\n") == "last"
    assert not worst_line("")
