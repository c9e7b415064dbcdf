"""The configuration file: what it may say, and how each fault is told."""

from pathlib import Path

import pytest

from controller.app.config import LocalNginxConfig, SharedVolumeNginxConfig
from controller.app.load import load
from controller.app.wiring import build, limits_of, spec_of
from controller.core.errors import ConfigError
from controller.core.render import UpstreamOptions, WhenFull
from controller.core.settings import HealthSettings, Limits
from controller.policy.capacity import Capacity
from controller.policy.ladder import Ladder

from .files import MINIMAL, faults, read, with_pool, with_section

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"


def test_a_minimal_file_has_all_defaults() -> None:
    """A URL, a pool and a way to Nginx are enough; the rest is what the core thinks best."""
    config = read(MINIMAL)
    assert limits_of(config) == Limits()
    (pool,) = config.pools
    spec = spec_of(pool)
    assert spec.backends == ["10.0.0.1:8000", "10.0.0.2:8000"]
    assert (spec.policy, spec.options, spec.health) == (
        Capacity(),
        UpstreamOptions(),
        HealthSettings(),
    )
    assert isinstance(config.nginx, LocalNginxConfig)
    assert (config.control.interval, config.telemetry.listen) == (10, "127.0.0.1:9808")


def test_there_are_examples() -> None:
    """At least three examples show how the file is used."""
    assert len(list(EXAMPLES.glob("*.yaml"))) >= 3


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_loads(path: Path) -> None:
    """An example is a file that works."""
    assert load(path).pools


def test_every_fault_is_told_at_once() -> None:
    """Each fault of a file is told with its line, its place, what was found and what expected."""
    text = """\
prometheus:
  url: prometheus:9090
  timeout: 10
  token: secret
pools:
  - name: 1llm
    selector: vllm
    backends:
      - address: 10.0.0.1
      - adress: 10.0.0.2:8000
    policy: {name: ladder, weights: [100, 60, 30, 10], busy: 3}
    health: {strikes: 0, hold: 5m, hold_max: 1m}
  - name: other
    selector: job="x"
control:
  dead_band: 0.5
  interval: 0.1s
  interval: 10s
nginx:
  mode: remote
"""
    assert faults(text) == [
        "18: interval stands there twice",
        "2: prometheus.url: expected an http or https URL, such as http://prometheus:9090,"
        " got 'prometheus:9090'",
        "3: prometheus.timeout: expected a duration with its unit, such as 500ms, 10s or 1m30s,"
        " got 10",
        "4: prometheus.token: is not a known key",
        "6: pools[0].name: expected letters, digits, '_', '.', '-', starting with a letter or '_',"
        " got '1llm'",
        '7: pools[0].selector: expected label matchers, such as job="vllm",namespace="prod",'
        " got 'vllm'",
        "9: pools[0].backends[0].address: '10.0.0.1': expected host:port, such as 10.0.0.5:8000",
        "10: pools[0].backends[1].address: is missing",
        "10: pools[0].backends[1].adress: is not a known key",
        "11: pools[0].policy: busy: is not a known parameter of ladder;"
        " weights: expected rising values in 1..100",
        "12: pools[0].health.strikes: expected greater than or equal to 1, got 0",
        "13: pools[1]: expected exactly one of backends and discovery",
        "16: control.dead_band: expected a percentage with its sign, such as 50%, got 0.5",
        "19: nginx: expected 'mode' to be one of 'local', 'shared_volume'",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", ": expected a mapping with the keys prometheus, pools, nginx"),
        ("# nothing\n", ": expected a mapping with the keys prometheus, pools, nginx"),
        ("- a\n", ": expected a mapping with the keys prometheus, pools, nginx"),
        ("text\n", ": expected a mapping with the keys prometheus, pools, nginx"),
        ("a: [1\nb: 2\n", "2: not YAML: expected ',' or ']', but got ':'"),
        ("a: b: c\n", "1: not YAML: mapping values are not allowed here"),
        ("a:\n\t- b\n", "2: not YAML: found character '\\t' that cannot start any token"),
        ("a: 1\n---\nb: 2\n", "2: not YAML: but found another document"),
        ("a: *b\n", "1: not YAML: found undefined alias 'b'"),
        ("a: 1\nb: \0\n", "2: not YAML: a character that cannot stand there: '\\x00'"),
        ("? [a]\n: 1\n", "1: not YAML: found unhashable key"),
        ("a: !!python/name:os.system\n", "1: not YAML: could not determine a constructor"),
        ("[" * 5000, ": nested too deeply"),
        ("a: 2001-99-99\n", ": has a value that is not what it claims: month must be in 1..12"),
        ("a: &a [*a]\n", ": its aliases make it endless or too large"),
    ],
)
def test_a_text_that_is_no_configuration(text: str, fault: str) -> None:
    """What is not YAML, or no mapping, is told with the line where there is one."""
    (found,) = faults(text)
    assert found.removeprefix(" ").startswith(fault.removeprefix(": "))


@pytest.mark.parametrize("tag", ["!!int ''", "!!bool 'x'", "!!timestamp 'x'", "!!float 'x'"])
def test_a_value_that_is_not_what_it_claims(tag: str) -> None:
    """A wrong tag is a fault of the file, not of the program."""
    assert faults(f"a: {tag}\n") != []


def bomb(levels: int) -> str:
    """A few lines that stand for ten times as much at each level."""
    text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for level in range(1, levels):
        text += f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]\n"
    return text


@pytest.mark.timeout(20)
@pytest.mark.parametrize("inside", ["", "pools: *a11\n", "nginx: {mode: *a11}\n"])
def test_an_alias_bomb_is_refused_at_once(inside: str) -> None:
    """A file that stands for billions of values is told from one that is merely long."""
    assert faults(bomb(12) + inside) == [" its aliases make it endless or too large"]


@pytest.mark.timeout(20)
def test_a_merge_bomb_is_refused_at_once() -> None:
    """Merge keys multiply as aliases do."""
    text = "a0: &a0 {x: 1, y: 2}\n"
    for level in range(1, 20):
        text += f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}]}}\n"
    assert faults(text) == [" its aliases make it endless or too large"]


def test_aliases_and_merge_keys_may_be_used() -> None:
    """An ordinary anchor saves typing."""
    text = MINIMAL.replace("- address: 10.0.0.1:8000", "- &one {address: 10.0.0.1:8000}").replace(
        "- address: 10.0.0.2:8000", "- {<<: *one, address: 10.0.0.2:8000}"
    )
    assert read(text) == read(MINIMAL)


@pytest.mark.timeout(20)
def test_thousands_of_faults_are_told_in_time() -> None:
    """The time to tell faults grows with their number and not with its square."""
    many = "".join(f"      - address: {number}\n" for number in range(4000))
    found = faults(MINIMAL.replace("      - address: 10.0.0.1:8000\n", many))
    assert len(found) == 4000


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """An absent file, a directory and bytes that are no text are told as such."""
    absent, latin = tmp_path / "absent.yaml", tmp_path / "latin.yaml"
    latin.write_bytes(b"a: \xe4\n")
    told: list[str] = []
    for path in (absent, tmp_path, latin):
        with pytest.raises(ConfigError) as refusal:
            load(path)
        told += refusal.value.faults
    assert told == [
        f"{absent}: cannot be read: No such file or directory",
        f"{tmp_path}: cannot be read: Is a directory",
        f"{latin}: not UTF-8 text at byte 3",
    ]


def test_a_file_is_read(tmp_path: Path) -> None:
    """A file on disk is the same as its text, also with a byte order mark."""
    path = tmp_path / "lb.yaml"
    path.write_text("\ufeff" + MINIMAL, encoding="utf-8")
    assert load(path) == read(MINIMAL)


def test_nothing_changes_after_loading() -> None:
    """A configuration is a value."""
    config = read(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        config.control.interval = 1.0


POOL_FAULTS = [
    ("backends: [{address: 'a:1'}]", "9: backends stands there twice"),
    ("discovery: {}", "4: pools[0]: expected exactly one of backends and discovery"),
    ("engine: tgi", "9: pools[0].engine: expected 'vllm', 'sglang' or 'custom', got 'tgi'"),
    ("min_coverage: 0%", "9: pools[0].min_coverage: expected greater than 0, got 0.0"),
    ("min_coverage: 101%", "9: pools[0].min_coverage: expected less than or equal to 1, got 1.01"),
    ("rate_window: 60", "9: pools[0].rate_window: expected a duration with its unit, such as"),
    ("rate_window: .inf", "9: pools[0].rate_window: expected a duration with its unit, such as"),
    ("instance_label: a-b", "9: pools[0].instance_label: expected a text that matches ^[a-zA-Z_]"),
    ("signals: {KV: up}", "9: pools[0].signals.KV"),
    ("signals: {kv: 5}", "9: pools[0].signals.kv: expected a valid string, got 5"),
    ("signals: [up]", "9: pools[0].signals: expected a mapping of keys to values"),
    ("policy: ladder", "9: pools[0].policy: expected a mapping with a name, one of capacity, equ"),
    ("policy: {name: best}", "9: pools[0].policy: expected a mapping with a name, one of capac"),
    ("policy: {name: [x]}", "9: pools[0].policy: expected a mapping with a name, one of capac"),
    ("policy: {name: equal, x: 1}", "9: pools[0].policy: x: is not a known parameter of equal"),
    (
        "policy: {name: ladder, busy_running: true}",
        "9: pools[0].policy: busy_running: expected a valid number",
    ),
    (
        "policy: {name: ladder, busy_running: .nan}",
        "9: pools[0].policy: busy_running: expected a",
    ),
    (
        "policy: {name: ladder, busy_running: .inf}",
        "9: pools[0].policy: busy_running: expected a",
    ),
    (
        "policy: {name: ladder, weights: ['10', 30, 60, 100], thresholds: 5}",
        "9: pools[0].policy: thresholds: expected a list; weights[0]: expected a valid integer",
    ),
    ("health: {strikes: true}", "9: pools[0].health.strikes: expected a valid integer, got True"),
    ("health: {strikes: '2'}", "9: pools[0].health.strikes: expected a valid integer, got '2'"),
    ("health: {strikes: 1.5}", "9: pools[0].health.strikes: expected a valid integer, got 1.5"),
    ("health: {enabled: 1}", "9: pools[0].health.enabled: expected a valid boolean, got 1"),
    ("health: {enabled: 'no'}", "9: pools[0].health.enabled: expected a valid boolean, got 'no'"),
    ("health: {failing_rate: .nan}", "9: pools[0].health.failing_rate: expected a finite number"),
    ("health: {failing_rate: .inf}", "9: pools[0].health.failing_rate: expected a finite number"),
    ("health: {failing_rate: true}", "9: pools[0].health.failing_rate: expected a valid number"),
    ("health: {failing_rate: -1}", "9: pools[0].health.failing_rate: expected greater than or eq"),
    ("health: {hold: 10m, hold_max: 1m}", "9: pools[0].health: hold_max: expected at least hold"),
    (f"health: {{strikes: 0x{'F' * 5000}}}", "9: pools[0].health.strikes: expected less than or"),
    (f"health: {{hold_max: {'9' * 400}s}}", "9: pools[0].health.hold_max: expected a duration"),
    ("upstream: {fail_timeout: 1500ms}", "9: pools[0].upstream: fail_timeout: expected whole sec"),
    (
        "upstream: {zone_size_kib: 255}",
        "4: pools[0]: upstream.zone_size_kib: 255 is too small for 2 servers, expected at least 25",
    ),
    ("upstream: {zone_size_kib: 2097152}", "9: pools[0].upstream.zone_size_kib: expected less"),
    ("upstream: {keepalive: 0}", "9: pools[0].upstream.keepalive: expected greater than or equal"),
    (
        "when_full: queue",
        "9: pools[0].when_full: expected 'spill', 'shed' or 'ignore', got 'queue'",
    ),
    ("when_full: no", "9: pools[0].when_full: expected 'spill', 'shed' or 'ignore', got False"),
    ("model_name: ''", "9: pools[0].model_name: expected a text of at least 1 character, got ''"),
    ("1: 2", "4: pools[0][1]: is not a known key"),
]


@pytest.mark.parametrize(("more", "fault"), POOL_FAULTS, ids=[more[:40] for more, _ in POOL_FAULTS])
def test_a_fault_of_a_pool(more: str, fault: str) -> None:
    """Each fault of a pool is told, once, with its line and place."""
    found = faults(with_pool(more))
    assert [each[: len(fault)] for each in found[:1]] == [fault]
    assert len(found) == 1


SECTION_FAULTS = [
    ("control: {interval: 10}", "11: control.interval: expected a duration with its unit, such as"),
    ("control: {interval: 0.4s}", "11: control.interval: expected greater than or equal to 0.5"),
    ("control: {interval: .nan}", "11: control.interval: expected a duration with its unit"),
    ("control: {dead_band: .inf}", "11: control.dead_band: expected a percentage with its sign"),
    ("control: {panic_threshold: 101%}", "11: control.panic_threshold: expected less than or"),
    ("control: {max_old_generations: yes}", "11: control.max_old_generations: expected a valid i"),
    (
        "control: {fast_interval: 61s}",
        "11: control: fast_interval: expected at most min_interval",
    ),
    ("  replicas: 0", "11: nginx.replicas: expected greater than or equal to 1, got 0"),
    ("  replicas: 1001", "11: nginx.replicas: expected less than or equal to 1000, got 1001"),
    ("  replicas: 1.5", "11: nginx.replicas: expected a valid integer, got 1.5"),
    ("telemetry: {listen: ':9808'}", "11: telemetry.listen: ':9808': expected host:port, such as"),
    (
        "telemetry: {listen: 9808}",
        "11: telemetry.listen: expected host:port, such as 10.0.0.5:8000",
    ),
    ("telemetry: {log_level: loud}", "11: telemetry.log_level: expected 'debug', 'info', 'warnin"),
    ("state: {file: ''}", "11: state.file: expected a path"),
    ('state: {file: "a\\0b"}', "11: state.file: expected a path"),
    ("state: 5", "11: state: expected a mapping of keys to values"),
    ("extra: 5", "11: extra: is not a known key"),
    ("prometheus: {}", "11: prometheus stands there twice"),
]


@pytest.mark.parametrize(("more", "fault"), SECTION_FAULTS, ids=[m for m, _ in SECTION_FAULTS])
def test_a_fault_of_a_section(more: str, fault: str) -> None:
    """Each fault of the other sections is told with its line and place."""
    found = faults(with_section(more))
    assert [each[: len(fault)] for each in found[:1]] == [fault]


def of_prometheus(more: str) -> list[str]:
    """Faults of the minimal file with more in the section of Prometheus, on line 3 and on."""
    return faults(MINIMAL.replace("pools:\n", f"  {more}\npools:\n"))


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("bearer_token: abc", "3: prometheus.bearer_token: is not a known key"),
        ("password: abc", "3: prometheus.password: is not a known key"),
        (
            "basic_auth: {username: a}",
            "3: prometheus.basic_auth: expected exactly one of password_file and password_env",
        ),
        (
            "basic_auth: {username: a, password: b}",
            "3: prometheus.basic_auth.password: is not a known key",
        ),
        (
            "basic_auth: {username: a, password_env: B, password_file: c}",
            "3: prometheus.basic_auth: expected exactly one of password_file and password_env",
        ),
        (
            "bearer_token_env: 'A B'",
            "3: prometheus.bearer_token_env: expected a text that matches ^[A-Za-z_][A-Za-z0-9_]*$",
        ),
        (
            "bearer_token_env: A\n  bearer_token_file: /b",
            "1: prometheus: expected at most one of bearer_token_file, bearer_token_env and"
            " basic_auth",
        ),
        (
            "client_key_file: /k",
            "1: prometheus: client_key_file: expected client_cert_file beside it",
        ),
        (
            'headers: {"X Y": a}',
            "3: prometheus.headers.X Y.[key]: expected a text that matches ^[A-Za-z0-9-]+$",
        ),
        (
            'headers: {X: "a\\r\\nb"}',
            "3: prometheus.headers.X: expected a text of plain ASCII characters in one line",
        ),
        (
            "headers: {X: 1}",
            "3: prometheus.headers.X: expected a text of plain ASCII characters in one line",
        ),
        ("timeout: 61s", "3: prometheus.timeout: expected less than or equal to 60, got 61.0"),
        ("timeout: 0s", "3: prometheus.timeout: expected greater than 0, got 0.0"),
    ],
)
def test_a_fault_of_the_access_to_prometheus(more: str, fault: str) -> None:
    """Secrets stand in files or the environment, one way only, and headers are safe."""
    assert of_prometheus(more) == [fault]


@pytest.mark.parametrize(
    "url",
    [
        *("", "prometheus:9090", "ftp://p", "http://", "http://p:99999", "http://p:0"),
        *("http://[::1", "http://p q", "http://p?a=b", "http://p#a", '"http://p\\n"'),
        *("5", "null", "[http://p]"),
    ],
)
def test_what_is_no_url_is_refused(url: str) -> None:
    """Prometheus is at an http or https URL with a host, and a port that exists."""
    (fault,) = faults(MINIMAL.replace("http://prometheus:9090", url or "''"))
    assert fault.startswith("2: prometheus.url: expected an http or https URL, such as http://")


@pytest.mark.parametrize(
    ("url", "read_as"),
    [
        ("http://p:9090/", "http://p:9090"),
        ("https://mimir.example/prometheus/", "https://mimir.example/prometheus"),
        ("http://[::1]:9090", "http://[::1]:9090"),
    ],
)
def test_a_url_is_read(url: str, read_as: str) -> None:
    """A path may stand behind the host, and a slash at the end says nothing."""
    text = MINIMAL.replace("http://prometheus:9090", url)
    assert read(text).prometheus.url == read_as


@pytest.mark.parametrize("place", ["prometheus", "nginx"])
def test_a_password_in_a_url_is_refused_and_not_repeated(place: str) -> None:
    """A secret in the file is a fault, and the message about it does not spread it."""
    url = "http://user:hunter2@host:9090"
    if place == "prometheus":
        found = faults(MINIMAL.replace("http://prometheus:9090", url))
        assert found == [
            "2: prometheus.url: expected no user or password in the URL; see basic_auth"
        ]
    else:
        found = faults(with_section(f"  confirm_url: {url}/gen"))
        assert len(found) == 1
    assert "hunter2" not in found[0]


@pytest.mark.parametrize("url", ["unix:/run/lb.sock:/gen", "http://127.0.0.1:8081/lb/generation"])
def test_a_generation_is_asked_for_over_http_or_a_socket(url: str) -> None:
    """The status server of Nginx is at an http address or a unix socket."""
    assert read(with_section(f"  confirm_url: {url}")).nginx.confirm_url == url


@pytest.mark.parametrize(
    "url", ["unix:/run/lb.sock", "unix:run/lb.sock:/gen", "/run/lb.sock", "https://", "5"]
)
def test_a_generation_is_not_asked_for_elsewhere(url: str) -> None:
    """Anything else is refused with both forms."""
    (fault,) = faults(with_section(f"  confirm_url: {url}"))
    assert fault.startswith(
        "11: nginx.confirm_url: expected an http URL or unix:/path/to.sock:/path, such as"
    )


@pytest.mark.parametrize(
    ("nginx", "fault"),
    [
        ("  mode: docker", "9: nginx: expected 'mode' to be one of 'local', 'shared_volume'"),
        ("  directory: /x", "9: nginx: expected a mapping that names its kind ('mode')"),
        ("  mode: local\n  name: [1]", "11: nginx.name: is not a known key"),
        ("  mode: local\n  pid_file: 5", "11: nginx.pid_file: expected a path, such as"),
        ("  mode: local\n  heartbeat_timeout: 5s", "11: nginx.heartbeat_timeout: is not a known k"),
        ("  mode: local\n  reload_command: []", "11: nginx.reload_command: expected a list of at"),
        ("  mode: local\n  reload_command: a b", "11: nginx.reload_command: expected a list"),
        ("  mode: shared_volume", "10: nginx.confirm_url: is missing"),
    ],
)
def test_a_fault_of_the_way_to_nginx(nginx: str, fault: str) -> None:
    """The mode says which keys there are."""
    found = faults(MINIMAL.replace("  mode: local", nginx))
    place = fault.split(": ", 1)[1]
    assert any(place in each for each in found), found


def test_a_shared_volume_is_another_mode() -> None:
    """Nginx in another container is reached through a directory and its status server."""
    text = MINIMAL.replace("mode: local", "mode: shared_volume\n  directory: /shared\n")
    config = read(text + "  confirm_url: http://nginx:8081/gen\n")
    assert isinstance(config.nginx, SharedVolumeNginxConfig)


@pytest.mark.parametrize(
    ("first", "second", "fault"),
    [
        (
            "address: 10.0.0.1:8000",
            "address: 10.0.0.1:8000",
            "address 10.0.0.1:8000 stands there twice",
        ),
        (
            "address: 10.0.0.1:8000, instance: a",
            "address: 10.0.0.2:8000, instance: a",
            "instance a stands there twice",
        ),
        (
            "address: 10.0.0.1:8000",
            "address: 10.0.0.2:8000, instance: 10.0.0.1:8000",
            "instance 10.0.0.1:8000 stands there twice",
        ),
        (
            "address: 10.0.0.1:8000, drain: true",
            "address: 10.0.0.2:8000, drain: true",
            "expected at least one that is not drained",
        ),
    ],
)
def test_backends_have_to_differ_and_one_to_serve(first: str, second: str, fault: str) -> None:
    """No address or instance stands for two backends, and not all are drained."""
    text = MINIMAL.replace("address: 10.0.0.1:8000", f"{{{first}}}").replace(
        "address: 10.0.0.2:8000", f"{{{second}}}"
    )
    assert faults(text) == [f"4: pools[0]: backends: {fault}"]


@pytest.mark.parametrize("name", ["llm", "LLM"])
def test_pools_have_to_differ(name: str) -> None:
    """Two pools of one name are refused; Nginx takes names that differ in case for one."""
    more = f"  - {{name: {name}, selector: 'job=\"x\"', backends: [{{address: 'a:1'}}]}}\n"
    (fault,) = faults(MINIMAL.replace("nginx:\n", more + "nginx:\n"))
    assert "pools: name llm stands there twice" in fault
    assert fault.endswith(": case does not count") == (name == "LLM")


def discovered(mapping: str) -> str:
    """The minimal file with discovery in place of its backends."""
    head, _, rest = MINIMAL.partition("    backends:\n")
    return head + f"    discovery: {mapping}\n" + rest[rest.index("nginx:") :]


def test_backends_can_be_discovered() -> None:
    """A pool may be whatever Prometheus scrapes."""
    (pool,) = read(discovered("{regex: '(.+):9100', replacement: '$1:8000'}")).pools
    assert spec_of(pool).backends is None


@pytest.mark.parametrize(
    ("regex", "replacement"),
    [("(", "$1"), ("(.+)", "$2"), ("a{99999999999}", "$0"), ("(" * 3000, "$0"), ("x", "${y}")],
)
def test_a_discovery_that_can_never_map_is_refused(regex: str, replacement: str) -> None:
    """A broken regular expression and a group that it lacks are told before the first tick."""
    (fault,) = faults(discovered(f"{{regex: '{regex}', replacement: '{replacement}'}}"))
    assert fault.startswith("6: pools[0].discovery: ")


def test_the_parameters_of_a_policy_are_read() -> None:
    """Lists and whole numbers of the file become what the policy takes."""
    more = "policy: {name: ladder, thresholds: [0.9, 0.5], weights: [5, 50, 100], busy_running: 4}"
    (pool,) = read(with_pool(more)).pools
    assert pool.policy == Ladder((0.9, 0.5), (5, 50, 100), 4)


@pytest.mark.parametrize("when_full", WhenFull)
def test_what_full_backends_mean_is_known_to_the_core(when_full: WhenFull) -> None:
    """Each use of slots has a word in the file."""
    (pool,) = read(with_pool(f"when_full: {when_full}")).pools
    assert spec_of(pool).options == UpstreamOptions(when_full=when_full)


@pytest.mark.parametrize("mode", ["local", "shared_volume"])
def test_the_number_of_nginx_is_known_to_every_pool(mode: str) -> None:
    """The slots of a backend are divided by it, whichever way Nginx is told."""
    way = f"mode: {mode}\n  replicas: 3\n"
    if mode == "shared_volume":
        way += "  directory: /shared\n  confirm_url: http://nginx:8081/lb/generation\n"
    parts = build(read(MINIMAL.replace("mode: local\n", way)))
    parts.close()
    assert [spec.replicas for spec in parts.wiring.specs] == [3]


def test_a_drained_backend_is_known_to_the_core() -> None:
    """What is drained in the file is drained in the pool."""
    text = MINIMAL.replace("- address: 10.0.0.2:8000", "- {address: '10.0.0.2:8000', drain: true}")
    (pool,) = read(text).pools
    assert spec_of(pool).drained == {"10.0.0.2:8000"}
