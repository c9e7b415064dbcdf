"""The upstream file: what it looks like, what never gets into it, and reading it back."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from controller.core.model import Server
from controller.core.render import (
    PLACEHOLDER,
    Upstream,
    UpstreamOptions,
    WhenFull,
    parse,
    render,
    zone_kib,
)

from .worlds import A, B, C

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"
NAMED, OTHER = "vllm-0.prod.svc:8000", "vllm-1.prod.svc:8000"
SHED, IGNORE = (UpstreamOptions(when_full=each) for each in (WhenFull.SHED, WhenFull.IGNORE))

CASES: dict[str, tuple[Sequence[Upstream], Mapping[str, str]]] = {
    "one-pool": ([Upstream("llm_cluster", [Server(A), Server(B, 60), Server(C, 1)])], {}),
    "several-pools": (
        [
            Upstream("qwen", [Server(B), Server(A, 30)]),
            Upstream("deepseek", [Server(C, 80)], UpstreamOptions(10, 60, 128, 1024)),
        ],
        {},
    ),
    "names-with-endpoints": (
        [Upstream("llm", [Server(NAMED), Server(OTHER, 50, down=True), Server(A, 20)])],
        {NAMED: "10.1.0.1:8000", OTHER: "[fd00::1]:8000"},
    ),
    "ipv6": ([Upstream("llm", [Server("[2001:db8::1]:8000"), Server("[::1]:9", 7)])], {}),
    "down-and-limited": (
        [
            Upstream(
                "llm", [Server(A, 100, max_conns=16), Server(B, 50, down=True, max_conns=1)], SHED
            )
        ],
        {},
    ),
    "spilling": (
        [
            Upstream(
                "llm",
                [
                    Server(A, 100, max_conns=16),
                    Server(B, 50, down=True, max_conns=8),
                    Server(C, 25),
                    Server(NAMED, 60, max_conns=12),
                ],
            ),
            Upstream("later", []),
        ],
        {NAMED: "10.1.0.1:8000"},
    ),
    "empty-pool": ([Upstream("llm", [Server(A)]), Upstream("later", [])], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_what_it_always_was(name: str) -> None:
    """The rendered text is, to the letter, the one in the golden file."""
    assert render(*CASES[name]).text == (GOLDEN / f"{name}.conf").read_text()


def test_every_golden_file_has_a_case() -> None:
    """No golden file is left over."""
    assert {path.stem for path in GOLDEN.glob("*.conf")} == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_read_back(name: str) -> None:
    """Reading a rendered file gives its generation, its servers and the endpoints of its names."""
    upstreams, endpoints = CASES[name]
    rendered = render(upstreams, endpoints)
    found = parse(rendered.text)
    assert found is not None
    assert found.generation == rendered.generation
    assert found.pools == {
        each.name: tuple(sorted(each.servers, key=lambda server: server.address))
        for each in upstreams
    }
    assert found.endpoints == endpoints


def server_lines(servers: Sequence[Server], options: UpstreamOptions | None = None) -> list[str]:
    """The server lines of a pool, without what is the same in all."""
    text = render([Upstream("llm", servers, options or UpstreamOptions())]).text
    return [
        line.removeprefix("    server ").replace(" max_fails=2 fail_timeout=30s", "")
        for line in text.splitlines()
        if line.startswith("    server ")
    ]


LIMITED = [Server(A, 100, max_conns=16), Server(B, 50)]


def test_a_pool_that_spills_has_its_live_servers_again_as_backups() -> None:
    """With one limit in it all live servers are backups, too, unlimited and at their weight."""
    assert server_lines([*LIMITED, Server(C, 9, down=True, max_conns=4)]) == [
        f"{A} weight=100 max_conns=16;",
        f"{B} weight=50;",
        f"{C} weight=9 max_conns=4 down;",
        f"{A} weight=100 backup;",
        f"{B} weight=50 backup;",
    ]


def test_a_pool_that_sheds_has_no_backups() -> None:
    """Beyond the limits there is nobody, so that Nginx answers itself."""
    assert server_lines(LIMITED, SHED) == [f"{A} weight=100 max_conns=16;", f"{B} weight=50;"]


def test_a_pool_that_ignores_slots_has_no_limits() -> None:
    """The file is the one of servers without limits, to the letter."""
    bare = [Server(each.address, each.weight) for each in LIMITED]
    assert render([Upstream("llm", LIMITED, IGNORE)]) == render([Upstream("llm", bare)])


@pytest.mark.parametrize("servers", [[Server(A)], [Server(A), Server(B, down=True, max_conns=9)]])
def test_without_a_live_limit_there_are_no_backups(servers: list[Server]) -> None:
    """Where no live server can be full, what happens when all are full changes nothing."""
    assert server_lines(servers) == server_lines(servers, SHED)


def test_backups_count_for_the_zone() -> None:
    """A zone that just holds the servers grows when they stand in the upstream twice."""
    servers = [Server(f"10.0.1.{number}:80", max_conns=8) for number in range(128)]
    assert "zone llm 256k;" in render([Upstream("llm", servers, SHED)]).text
    assert "zone llm 384k;" in render([Upstream("llm", servers)]).text


def test_the_generation_stands_in_the_file() -> None:
    """The generation is 16 hexadecimal digits that Nginx answers with."""
    rendered = render(*CASES["one-pool"])
    assert f'default "{rendered.generation}";' in rendered.text
    assert len(rendered.generation) == 16


def test_order_does_not_matter() -> None:
    """The same pools and servers in another order are the same file."""
    upstreams, endpoints = CASES["several-pools"]
    turned = [Upstream(u.name, list(u.servers)[::-1], u.options) for u in upstreams][::-1]
    assert render(turned, endpoints) == render(upstreams, endpoints)


@pytest.mark.parametrize(
    ("changed", "endpoint"),
    [
        (Upstream("llm", [Server(NAMED, 99)]), "10.1.0.1:8000"),
        (Upstream("llm", [Server(NAMED, max_conns=9)]), "10.1.0.1:8000"),
        (Upstream("llm", [Server(NAMED, max_conns=9)], SHED), "10.1.0.1:8000"),
        (Upstream("llm", [Server(NAMED)], UpstreamOptions(keepalive=65)), "10.1.0.1:8000"),
        (Upstream("llm", [Server(NAMED)], UpstreamOptions(max_fails=3)), "10.1.0.1:8000"),
        (Upstream("llm", [Server(NAMED)], UpstreamOptions(fail_timeout_s=9)), "10.1.0.1:8000"),
        (Upstream("llm2", [Server(NAMED)]), "10.1.0.1:8000"),
        (Upstream("llm", [Server(OTHER)]), "10.1.0.1:8000"),
        (Upstream("llm", [Server(NAMED)]), "10.1.0.2:8000"),
    ],
)
def test_every_change_is_another_generation(changed: Upstream, endpoint: str) -> None:
    """Whatever differs in a file gives it another generation."""
    before = render([Upstream("llm", [Server(NAMED)])], {NAMED: "10.1.0.1:8000"})
    endpoints = dict.fromkeys((NAMED, OTHER), endpoint)
    assert render([changed], endpoints).generation != before.generation


@pytest.mark.parametrize(
    ("servers", "complaint"),
    [
        ([Server("10.0.0.1:80\n")], "a port"),
        ([Server("10.0.0.1:80;\ninclude /etc/passwd")], "a port"),
        ([Server("a b:80")], "a host name"),
        ([Server(A), Server(A, 50)], "twice"),
        ([Server(A), Server(A, max_conns=5)], "twice"),
        ([Server(A, 0)], "weight 0, expected 1..100"),
        ([Server(A, 101)], "weight 101, expected 1..100"),
        ([Server(A, -1)], "weight -1, expected 1..100"),
        ([Server(A, max_conns=0)], "max_conns 0, expected at least 1"),
        ([Server(A, down=True), Server(B, down=True)], "no live server"),
    ],
)
def test_what_nginx_must_never_see_is_refused(servers: list[Server], complaint: str) -> None:
    """Unsafe addresses, duplicates, weights out of range and dead pools are not rendered."""
    with pytest.raises(ValueError, match=complaint):
        render([Upstream("llm", servers)])


@pytest.mark.parametrize("endpoint", ["10.0.0.1", "10.0.0.1:80 down", "x;y:80", "[fe80::1%e]:80"])
def test_an_unsafe_endpoint_is_refused(endpoint: str) -> None:
    """What a name resolves to has to be an address as well."""
    with pytest.raises(ValueError, match="expected"):
        render([Upstream("llm", [Server(NAMED)])], {NAMED: endpoint})


@pytest.mark.parametrize("name", ["", "a b", "1a", "x{", "a\n"])
def test_an_unsafe_pool_name_is_refused(name: str) -> None:
    """A pool name is safe to stand in the file."""
    with pytest.raises(ValueError, match="not a name"):
        render([Upstream(name, [Server(A)])])


@pytest.mark.parametrize("other", ["llm", "LLM"])
def test_two_pools_of_one_name_are_refused(other: str) -> None:
    """Names that Nginx takes for one, it compares them without regard to case, are refused."""
    with pytest.raises(ValueError, match="two pools of one name"):
        render([Upstream("llm", [Server(A)]), Upstream(other, [Server(B)])])


@pytest.mark.parametrize(
    ("servers", "kib"), [(0, 256), (1, 256), (128, 256), (129, 384), (1000, 1152), (10000, 10240)]
)
def test_a_zone_holds_its_servers(servers: int, kib: int) -> None:
    """The zone grows with the servers, beyond what was measured to be enough."""
    assert zone_kib(servers) == kib


@pytest.mark.parametrize(
    ("wanted", "zone"), [(None, "256k"), (32, "256k"), (256, "256k"), (4096, "4096k")]
)
def test_a_zone_that_is_too_small_grows(wanted: int | None, zone: str) -> None:
    """The configured size is the least one: a pool that outgrew it must not stop the controller."""
    text = render([Upstream("llm", [Server(A)], UpstreamOptions(zone_kib=wanted))]).text
    assert f"zone llm {zone};" in text


def test_an_empty_pool_refuses_connections() -> None:
    """A pool without servers has the placeholder, which is read back as no server."""
    rendered = render([Upstream("llm", [])])
    assert f"server {PLACEHOLDER.address} " in rendered.text
    found = parse(rendered.text)
    assert found is not None
    assert found.pools == {"llm": ()}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "upstream llm {\n    server 10.0.0.1:80;\n}\n",
        render(*CASES["one-pool"]).text[:-1],
        render(*CASES["one-pool"]).text + "\n",
        render(*CASES["one-pool"]).text.replace("weight=60", "weight=61"),
        render(*CASES["one-pool"]).text.partition("upstream")[0],
        f"    server {A} weight={'9' * 5000} max_fails=1 fail_timeout=1s;\n",
    ],
    ids=["empty", "foreign", "cut", "longer", "edited", "head only", "absurd"],
)
def test_a_file_that_is_not_ours_or_not_whole_is_not_read(text: str) -> None:
    """Only a file whose content has the generation that stands in it is believed."""
    assert parse(text) is None


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.text() | st.text('{}\n "0123456789abcdefserver weight=_map;#'))
def test_reading_any_text_is_safe(text: str) -> None:
    """Whatever a file holds, reading it finds that it is not ours."""
    assert parse(text) is None


def servers() -> st.SearchStrategy[tuple[Server, ...]]:
    """Servers of which the first one is live, sorted."""
    addresses = st.sampled_from([f"10.4.0.{n}:80" for n in range(9)] + [NAMED, OTHER, "[::2]:80"])
    server = st.builds(
        Server,
        addresses,
        st.integers(1, 100),
        st.booleans(),
        st.none() | st.integers(1, 10**6),
    )
    live = Server("10.5.0.1:80")
    return st.lists(server, max_size=6, unique_by=lambda each: each.address).map(
        lambda found: tuple(sorted([*found, live], key=lambda each: each.address))
    )


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_.-]{0,9}", fullmatch=True), servers()),
    st.sampled_from([{}, {NAMED: "10.6.0.1:80"}, {NAMED: "[::6]:80", OTHER: "10.6.0.2:81"}]),
    st.sampled_from([UpstreamOptions(), SHED]),
)
def test_whatever_is_rendered_is_read_back(
    pools: dict[str, tuple[Server, ...]], endpoints: dict[str, str], options: UpstreamOptions
) -> None:
    """Reading a file that was just rendered gives exactly what was rendered."""
    rendered = render([Upstream(name, found, options) for name, found in pools.items()], endpoints)
    found = parse(rendered.text)
    assert found is not None
    assert (found.generation, found.pools) == (rendered.generation, pools)
    used = {server.address for lines in pools.values() for server in lines}
    assert found.endpoints == {name: to for name, to in endpoints.items() if name in used}
