"""The configuration from the environment, and the choice between it and a file."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import example, given, settings
from typer.testing import CliRunner

from controller.app import cli, effective
from controller.app.config import Config
from controller.app.environment import DEFAULT_FILE, SWITCH, VARIABLES, find, parse
from controller.core.errors import ConfigError

from .files import MINIMAL, read
from .files import faults as file_faults

ROOT = Path(__file__).parents[3]
URL = {SWITCH: "http://prometheus:9090"}
# Each variable with a value that is not its default.
ALL = URL | {
    "LB_PROMETHEUS_TOKEN_FILE": "/run/secrets/token",
    "LB_TENANT": "inference",
    "LB_ENGINE": "sglang",
    "LB_SELECTOR": 'job="engines", zone="a"',
    "LB_POOL": "chat",
    "LB_BACKENDS": "10.0.0.1:8000, 10.0.0.2:8000 embed=[::1]:9000",
    "LB_MODEL_NAME": "qwen",
    "LB_POLICY": "ladder",
    "LB_WHEN_FULL": "shed",
    "LB_RATE_WINDOW": "20s",
    "LB_INTERVAL": "5s",
    "LB_MIN_INTERVAL": "30s",
    "LB_REPLICAS": "3",
    "LB_SHARED_DIR": "/shared",
    "LB_CONFIRM_URL": "http://nginx:8081/lb/generation",
    "LB_STATE_FILE": "/state/state.json",
    "LB_TELEMETRY_LISTEN": "0.0.0.0:9808",
    "LB_LOG_LEVEL": "debug",
    "LB_LOG_FORMAT": "json",
}
POOL = """\
    engine: sglang
    selector: 'job="engines", zone="a"'
    model_name: qwen
    policy: {name: ladder}
    when_full: shed
    rate_window: 20s
"""
ALL_AS_A_FILE = f"""\
prometheus:
  url: http://prometheus:9090
  bearer_token_file: /run/secrets/token
  headers: {{X-Scope-OrgID: inference}}
pools:
  - name: chat
    backends: [address: "10.0.0.1:8000", address: "10.0.0.2:8000"]
{POOL}
  - name: embed
    backends: [address: "[::1]:9000"]
{POOL}
control: {{interval: 5s, min_interval: 30s}}
nginx:
  mode: shared_volume
  directory: /shared
  confirm_url: http://nginx:8081/lb/generation
  replicas: 3
state: {{file: /state/state.json}}
telemetry: {{listen: "0.0.0.0:9808", log_level: debug, log_format: json}}
"""


def faults(variables: Mapping[str, str]) -> list[str]:
    """All faults of some variables beside that of Prometheus; empty when they are fine."""
    try:
        parse({**URL, **variables})
    except ConfigError as error:
        return list(error.faults)
    return []


def config_of(variables: Mapping[str, str]) -> Config:
    """The configuration of some variables beside that of Prometheus."""
    return parse({**URL, **variables}).config


def test_the_address_of_prometheus_is_enough() -> None:
    """One variable makes a pool of whatever is scraped as vllm, behind an Nginx next door."""
    assert config_of({}) == read(
        """\
prometheus: {url: http://prometheus:9090}
pools: [{name: llm, selector: 'job="vllm"', discovery: {}}]
nginx:
  mode: shared_volume
  directory: /var/lib/vllm-nginx-lb
  confirm_url: http://127.0.0.1:8081/lb/generation
"""
    )


def test_variables_mean_what_their_keys_mean_in_a_file() -> None:
    """All variables together are the configuration of the file that says the same."""
    assert config_of(ALL) == read(ALL_AS_A_FILE)


@pytest.mark.parametrize("name", [each.name for each in VARIABLES])
def test_every_variable_changes_something(name: str) -> None:
    """No variable is listed and then forgotten."""
    one = {name: ALL[name]}
    assert config_of(one) != config_of({}) or name == SWITCH
    assert f"({', '.join(dict.fromkeys([SWITCH, name]))})" in parse(URL | one).source


def test_an_engine_is_found_by_its_own_job() -> None:
    """With SGLang and no selector, the pool is what is scraped as sglang."""
    assert config_of({"LB_ENGINE": "sglang"}).pools[0].selector == 'job="sglang"'


@pytest.mark.parametrize("name", sorted(set(ALL) - {SWITCH}))
@pytest.mark.parametrize("nothing", ["", "  "])
def test_an_empty_variable_is_not_set(name: str, nothing: str) -> None:
    """A composition that passes every variable on, set or not, changes no default."""
    assert config_of({name: nothing}) == config_of({})


@pytest.mark.parametrize("text", ["a:1 b:2", "a:1,b:2", " a:1 ,\n\tb:2, ", "llm=a:1 b:2"])
def test_backends_are_separated_by_spaces_or_commas(text: str) -> None:
    """However people write a list, the backends are the same."""
    backends = config_of({"LB_BACKENDS": text}).pools[0].backends
    assert [each.address for each in backends or ()] == ["a:1", "b:2"]


def test_reloads_may_follow_each_other_as_fast_as_was_asked_for() -> None:
    """A shorter interval between changes of weights is one between any reloads, too."""
    control = config_of({"LB_MIN_INTERVAL": "2s"}).control
    assert (control.min_interval, control.fast_interval) == (2, 2)
    assert config_of({"LB_MIN_INTERVAL": "30s"}).control.fast_interval == 10


def test_every_fault_is_told_at_once_by_its_variable() -> None:
    """Each fault names the variable, what was expected and what was found."""
    found = {
        SWITCH: "prometheus:9090",
        "LB_BACKENDS": "10.0.0.1 10.0.0.2:8000",
        "LB_ENGINE": "tgi",
        "LB_POOL": "1llm",
        "LB_SELECTOR": "vllm",
        "LB_POLICY": "best",
        "LB_WHEN_FULL": "panic",
        "LB_INTERVAL": "10",
        "LB_MIN_INTERVAL": "2h",
        "LB_RATE_WINDOW": "1s",
        "LB_REPLICAS": "two",
        "LB_CONFIRM_URL": "nginx:8081",
        "LB_TELEMETRY_LISTEN": "9808",
        "LB_LOG_LEVEL": "notice",
        "LB_LOG_FORMAT": "text",
    }
    with pytest.raises(ConfigError) as caught:
        parse(found)
    assert sorted(caught.value.faults) == [
        "LB_BACKENDS: '10.0.0.1': expected host:port, such as 10.0.0.5:8000",
        "LB_CONFIRM_URL: expected an http URL or unix:/path/to.sock:/path, such as"
        " http://127.0.0.1:8081/lb/generation, got 'nginx:8081'",
        "LB_ENGINE: expected 'vllm', 'sglang' or 'custom', got 'tgi'",
        "LB_INTERVAL: expected a duration with its unit, such as 500ms, 10s or 1m30s, got '10'",
        "LB_LOG_FORMAT: expected 'auto', 'json' or 'console', got 'text'",
        "LB_LOG_LEVEL: expected 'debug', 'info', 'warning' or 'error', got 'notice'",
        "LB_MIN_INTERVAL: expected at most 1h, got 2h",
        "LB_POLICY: expected one of capacity, equal, ladder, got 'best'",
        "LB_POOL: expected letters, digits, '_', '.', '-', starting with a letter or '_',"
        " got '1llm'",
        "LB_PROMETHEUS_URL: expected an http or https URL, such as http://prometheus:9090,"
        " got 'prometheus:9090'",
        "LB_RATE_WINDOW: expected at least 5s, got 1s",
        "LB_REPLICAS: expected a valid integer, got 'two'",
        'LB_SELECTOR: expected label matchers, such as job="vllm",namespace="prod", got \'vllm\'',
        "LB_TELEMETRY_LISTEN: '9808': expected host:port, such as 10.0.0.5:8000",
        "LB_WHEN_FULL: expected 'spill', 'shed' or 'ignore', got 'panic'",
    ]


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"LB_BACKENDS": "a:1 a:1"}, "LB_BACKENDS: address a:1 stands there twice"),
        (
            {"LB_BACKENDS": "A:1 b:2 a:1"},
            "LB_BACKENDS: address a:1 stands there twice, as A:1 and a:1: case does not count",
        ),
        (
            {"LB_POOL": "LLM", "LB_BACKENDS": "a:1 llm=b:1"},
            "LB_BACKENDS: name llm stands there twice, as LLM and llm: case does not count",
        ),
        (
            {"LB_BACKENDS": "a:1 =b:1"},
            "LB_BACKENDS: expected letters, digits, '_', '.', '-', starting with a letter or '_',"
            " got ''",
        ),
        (
            {"LB_BACKENDS": "chat=a:1"},
            "LB_BACKENDS: expected a backend of the pool 'llm' (LB_POOL), such as 10.0.0.1:8000",
        ),
        (
            {"LB_BACKENDS": "a:1 b=b:1 c=c:1", "LB_WHEN_FULL": "no"},
            "LB_WHEN_FULL: expected 'spill', 'shed' or 'ignore', got 'no'",
        ),
        (
            {"LB_ENGINE": "custom", "LB_SELECTOR": 'job="x"'},
            "LB_ENGINE: custom has signals of its own, which take a configuration file",
        ),
        ({"LB_MODEL_NAME": "\udcff"}, "LB_MODEL_NAME: expected UTF-8 text"),
        ({"LB_REPLICAS": "0"}, "LB_REPLICAS: expected greater than or equal to 1, got 0"),
        ({"LB_TENANT": "a\nb"}, "LB_TENANT: expected a text of plain ASCII characters in one line"),
        (
            {SWITCH: "http://me:secret@prometheus"},
            "LB_PROMETHEUS_URL: expected no user or password in the URL; see basic_auth",
        ),
        (
            {SWITCH: "http://p:9090/?token=secret"},
            "LB_PROMETHEUS_URL: expected an http or https URL, such as http://prometheus:9090,"
            " without a query, got 'http://p:9090'",
        ),
        (
            {"LB_CONFIRM_URL": "https://n:8081/lb?token=secret"},
            "LB_CONFIRM_URL: expected an http URL or unix:/path/to.sock:/path, such as"
            " http://127.0.0.1:8081/lb/generation, got 'https://n:8081/lb'",
        ),
    ],
)
def test_a_fault_is_told_once(variables: dict[str, str], fault: str) -> None:
    """A fault is told by its variable, once however many pools it concerns, without secrets."""
    assert faults(variables) == [fault]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("LB_BACKEND", "LB_BACKENDS"),
        ("LB_PROMETHEUS", "LB_PROMETHEUS_URL"),
        ("LB_PROMETHEUS_TOKEN", "LB_PROMETHEUS_TOKEN_FILE"),
        ("LB_MODEL", "LB_MODEL_NAME"),
        ("LB_LOGLEVEL", "LB_LOG_LEVEL"),
        ("LB_TELEMETRY", "LB_TELEMETRY_LISTEN"),
        ("LB_POOL_NAME", "LB_POOL"),
        ("lb_backends", "LB_BACKENDS"),
    ],
)
def test_a_slip_of_the_pen_is_pointed_at(name: str, meant: str) -> None:
    """A variable that nearly bears the name of one of ours is no fault, but is told of."""
    hint = f"{name} is not read: was {meant} meant?"
    assert parse({**URL, name: "x"}).hints == (hint,)
    assert faults({name: "x", "LB_INTERVAL": "x"})[-1] == hint


def test_variables_of_the_scripts_beside_nginx_are_no_slips() -> None:
    """Whoever shares one set of variables with the Nginx container is not bothered."""
    scripts = [*ROOT.glob("deploy/nginx/*.sh"), *ROOT.glob("deploy/nginx/*.template")]
    names = {name for path in scripts for name in re.findall(r"LB_[A-Z_]+", path.read_text())}
    ours = {each.name for each in VARIABLES}
    assert len(names - ours) > 20
    assert parse({**dict.fromkeys(names - ours, "x"), **URL}).hints == ()


def test_a_file_wins(tmp_path: Path) -> None:
    """Where the default file exists the variables are not read, and that is told."""
    file = tmp_path / "config.yaml"
    file.write_text(MINIMAL)
    found = find(None, ALL, file)
    assert (found.config, found.source) == (read(MINIMAL), str(file))
    assert found.hints == (f"LB_PROMETHEUS_URL and its like are not read, since {file} is",)
    assert find(None, {"LB_POOL": "of Nginx"}, file).hints == ()


def test_variables_are_read_where_there_is_no_file(tmp_path: Path) -> None:
    """Neither a missing file nor a missing directory stands in the way of the variables."""
    (tmp_path / "file").touch()
    for absent in (tmp_path / "a.yaml", tmp_path / "no" / "a.yaml", tmp_path / "file" / "a.yaml"):
        assert find(None, ALL, absent) == parse(ALL)


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    """Who names a file is not given another configuration in its place."""
    named = tmp_path / "lb.yaml"
    with pytest.raises(ConfigError, match=r"lb\.yaml: cannot be read"):
        find(named, ALL, tmp_path / "none.yaml")


@pytest.mark.parametrize("kind", ["directory", "dangling link"])
def test_a_default_file_that_cannot_be_read_is_a_fault(tmp_path: Path, kind: str) -> None:
    """A mount that went wrong is told of, not passed over in favour of the variables."""
    file = tmp_path / "config.yaml"
    if kind == "directory":
        file.mkdir()
    else:
        file.symlink_to(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read"):
        find(None, ALL, file)


@pytest.mark.parametrize("url", [{}, {SWITCH: " "}])
def test_without_a_file_and_variables_both_ways_are_named(
    tmp_path: Path, url: dict[str, str]
) -> None:
    """The message names the file, the option and the variable, and the slip of the pen."""
    file = tmp_path / "config.yaml"
    with pytest.raises(ConfigError) as caught:
        find(None, {**url, "LB_PROMETHEUS": "http://x"}, file)
    assert caught.value.faults == (
        f"{file}: no such file; write it, name another with --config, or set LB_PROMETHEUS_URL and"
        " configure by environment variables alone",
        "LB_PROMETHEUS is not read: was LB_PROMETHEUS_URL meant?",
    )


@pytest.mark.parametrize(
    "name", ["PROMETHEUS_URL", "lb_prometheus_url", "LB_URL", "Prometheus_Url", "LB_PROMETHEUS"]
)
def test_where_nothing_is_set_what_may_be_meant_is_named(tmp_path: Path, name: str) -> None:
    """Whoever set the address under another name reads why it is not there, once."""
    with pytest.raises(ConfigError) as caught:
        find(None, {name: "http://x", "URL": "x", "LB_PORT": "1", "VLLM_URL": "x"}, tmp_path / "c")
    assert caught.value.faults[1:] == (f"{name} is not read: was LB_PROMETHEUS_URL meant?",)
    if not name.upper().startswith("LB_P"):
        assert parse({**URL, name: "http://x"}).hints == ()


texts = st.text(max_size=12) | st.sampled_from(
    [
        *ALL.values(),
        "0",
        "-1",
        "1e9",
        "10s",
        "99999999999999999999",
        "custom",
        "\udcff",
        "a=b",
        "=,",
    ]
)
names = st.sampled_from(sorted(ALL))


@settings(deadline=None, derandomize=True, max_examples=300)
@example({"LB_BACKENDS": "=\u2028:1", "LB_POOL": "="})
@given(st.dictionaries(names, texts) | st.dictionaries(names, st.sampled_from(list(ALL.values()))))
def test_any_variables_are_a_configuration_or_faults(variables: dict[str, str]) -> None:
    """Whatever is set, it can be used or each fault names a variable; nothing else is raised."""
    try:
        config = parse(variables).config
    except ConfigError as error:
        for fault in error.faults:
            name, _, problem = fault.partition(": ")
            assert name in ALL, fault
            assert problem, fault
            assert fault.isprintable(), fault
    else:
        shown = effective.text(effective.values(config))
        assert read(shown) == config


@pytest.mark.parametrize("path", sorted((ROOT / "deploy/examples").glob("*.yaml")), ids=str)
def test_what_is_shown_is_the_configuration(path: Path) -> None:
    """The printed configuration, read as a file, is the same one; no default is rounded."""
    config = read(path.read_text().replace("dead_band: 50%", "dead_band: 12.5%"))
    assert read(effective.text(effective.values(config))) == config


def test_defaults_are_shown() -> None:
    """The printed configuration has the keys that nobody set, with their units."""
    control = effective.values(config_of({}))["control"]
    assert (control["interval"], control["dead_band"], len(control)) == ("10s", "50%", 9)


SECRET_URLS = [
    "http://p:9090/?token=secret",
    "http://p:9090#secret",
    "https://p/secret?x",
    "http:p/secret",
    "htp://p:9090/secret",
    "p:9090/secret",
    "p:9090?secret",
    "me:1/secret@p",
    "me:secret@p:9090",
    "htp://secret:1/x@p",
    "http://p:secret",
    "secret",
]


@pytest.mark.parametrize("url", SECRET_URLS)
def test_no_secret_of_an_address_is_repeated(url: str) -> None:
    """Of a refused address no path and no query is told, from a variable or from a file."""
    found = [
        *faults({SWITCH: url}),
        *file_faults(MINIMAL.replace("http://prometheus:9090", f'"{url}"')),
        *file_faults(MINIMAL.replace("\n  url: http://prometheus:9090", f' "{url}"')),
    ]
    assert len(found) == 3
    assert not [fault for fault in found if "secret" in fault]


def test_no_query_is_shown() -> None:
    """The query of an address may hold a token: it is left out of what is printed."""
    url = "unix:/run/nginx.sock:/lb?token=secret"
    shown = effective.values(config_of({"LB_CONFIRM_URL": url}))["nginx"]["confirm_url"]
    assert shown == "unix:/run/nginx.sock:/lb?(not shown)"


def test_no_secret_is_shown() -> None:
    """Of the headers that go to Prometheus only the tenant is shown; a key of an API is not."""
    headers = "  headers: {Authorization: Bearer abc, X-Scope-OrgID: inference}\n"
    config = read(MINIMAL.replace("pools:\n", headers + "pools:\n"))
    assert effective.values(config)["prometheus"]["headers"] == {
        "Authorization": "(not shown)",
        "X-Scope-OrgID": "inference",
    }


def invoke(*arguments: str, env: Mapping[str, str]) -> tuple[int, str, str]:
    """Exit code, output and errors of a command, with no configuration but these variables."""
    # Those of the developer's own, too: one that is not read would be a fault.
    names = {each.name for each in VARIABLES} | {name for name in os.environ if "LB_" in name}
    clean = dict.fromkeys(names | {"VLLM_NGINX_LB_CONFIG"})
    result = CliRunner().invoke(cli.app, arguments, env={**clean, **env})
    return result.exit_code, result.stdout, result.stderr


without_a_file = pytest.mark.skipif(
    DEFAULT_FILE.exists(), reason=f"{DEFAULT_FILE} exists on this machine, and wins"
)


@without_a_file
def test_the_command_prints_yaml_and_json() -> None:
    """`config` prints the effective configuration, as a file or as JSON."""
    code, text, _ = invoke("config", env=ALL)
    assert (code, read(text)) == (0, read(ALL_AS_A_FILE))
    code, printed, _ = invoke("config", "--json", env=ALL)
    assert (code, json.loads(printed)) == (0, yaml.safe_load(text))


@without_a_file
def test_the_command_tells_all_faults() -> None:
    """`config` exits with 2 and prints every fault on a line of its own."""
    code, text, errors = invoke("config", env=URL | {"LB_INTERVAL": "10", "LB_ENGINE": "tgi"})
    assert (code, text) == (2, "")
    assert [line.split(":")[0] for line in errors.splitlines()] == ["LB_ENGINE", "LB_INTERVAL"]


@without_a_file
@pytest.mark.parametrize("command", [("once", "--dry-run"), ("check",)])
def test_looking_leaves_no_trace(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Neither a lock, whose owner could be root, nor a memory is left by who only looks."""
    (tmp_path / "req").mkdir()
    nobody = "http://127.0.0.1:9"
    env = {SWITCH: nobody, "LB_SHARED_DIR": str(tmp_path), "LB_CONFIRM_URL": f"{nobody}/lb"}
    env["LB_STATE_FILE"] = str(tmp_path / "state.json")
    before = tmp_path.stat().st_mtime_ns, (tmp_path / "req").stat().st_mtime_ns
    assert invoke(*command, env=env)[0] == 3
    assert list(tmp_path.rglob("*")) == [tmp_path / "req"]
    assert (tmp_path.stat().st_mtime_ns, (tmp_path / "req").stat().st_mtime_ns) == before


@without_a_file
def test_the_check_says_what_it_read(tmp_path: Path) -> None:
    """`check` begins with where the configuration came from, and what looks like a slip."""
    env = {SWITCH: "http://127.0.0.1:9", "LB_SHARED_DIR": str(tmp_path), "LB_BACKEND": "a:1"}
    env["LB_CONFIRM_URL"] = "http://127.0.0.1:9/lb/generation"
    code, text, _ = invoke("check", "--json", env=env)
    assert code == 3
    first, second, *_ = json.loads(text)["findings"]
    assert first == {
        "severity": "ok",
        "subject": "configuration",
        "sentence": "read from the environment (LB_PROMETHEUS_URL, LB_SHARED_DIR, LB_CONFIRM_URL).",
    }
    assert second["severity"] == "warning"
    assert second["sentence"] == "LB_BACKEND is not read: was LB_BACKENDS meant?"
