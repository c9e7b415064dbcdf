"""What may stand in an upstream file: the grammar of addresses and pool names."""

import ipaddress
import string

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from controller.core.address import is_host, is_ip, is_pool_name, split_address

LONG_NAME = ".".join(["a" * 49] * 5)
SAFE = frozenset(string.ascii_letters + string.digits + "_-.:[]")
# What address-like text is made of, and what would break out of an Nginx directive.
ALPHABET = "019az_-.:[]f% \t\n\r\0;{}#\"'\\$@/\u0661\u00e9\u2028"


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("10.0.0.5:8000", "10.0.0.5", 8000),
        ("vllm-0.vllm.prod.svc.cluster.local:8000", "vllm-0.vllm.prod.svc.cluster.local", 8000),
        ("vllm_1:1", "vllm_1", 1),
        ("vllm.example.:65535", "vllm.example.", 65535),
        ("x:80", "x", 80),
        ("1e100.example:443", "1e100.example", 443),
        ("[::1]:8000", "[::1]", 8000),
        ("[2001:db8::ffff:10.0.0.1]:8000", "[2001:db8::ffff:10.0.0.1]", 8000),
        (f"{LONG_NAME}:8000", LONG_NAME, 8000),
    ],
)
def test_an_address_is_split(address: str, host: str, port: int) -> None:
    """A name, an IPv4 or a bracketed IPv6 address before a port is an address."""
    assert split_address(address) == (host, port)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("", "expected host:port"),
        ("10.0.0.5", "expected host:port"),
        (":8000", "expected host:port"),
        ("10.0.0.5:", "a port"),
        ("10.0.0.5:http", "a port"),
        ("10.0.0.5:0", "got 0"),
        ("10.0.0.5:65536", "got 65536"),
        ("10.0.0.5:100000", "a port"),
        ("10.0.0.5:-1", "a port"),
        ("10.0.0.5:+80", "a port"),
        ("10.0.0.5:8000\n", "a port"),
        ("10.0.0.5:\u0668\u0660", "a port"),
        ("10.0.0.256:80", "a host name"),
        ("10.0.0:80", "a host name"),
        ("10.0.0.1.:80", "a host name"),
        ("010.0.0.1:80", "a host name"),
        ("::1:8000", "a host name"),
        ("[::1:8000", "a host name"),
        ("[10.0.0.1]:80", "a host name"),
        ("[fe80::1%eth0]:80", "a host name"),
        ("[]:80", "a host name"),
        ("-vllm:80", "a host name"),
        ("vllm-:80", "a host name"),
        ("a..b:80", "a host name"),
        (".a:80", "a host name"),
        ("vllm 0:80", "a host name"),
        ("vllm;:80", "a host name"),
        ("a{b}:80", "a host name"),
        ("$host:80", "a host name"),
        ("http://vllm:80", "a host name"),
        ("unix:/run/x:80", "a host name"),
        ("b\u00fccher.example:80", "a host name"),
        (f"{'a' * 64}:80", "a host name"),
        (f"{LONG_NAME}.aaaaa:80", "a host name"),
    ],
)
def test_what_is_no_address_is_refused_with_the_reason(address: str, complaint: str) -> None:
    """Anything else is refused, and the message shows the text and what was expected."""
    with pytest.raises(ValueError, match=complaint) as refusal:
        split_address(address)
    assert repr(address) in str(refusal.value)


@settings(deadline=None, derandomize=True, max_examples=300)
@example("a:1\n")
@example("[::1%;]:1")
@given(
    st.one_of(
        st.text(ALPHABET, max_size=20),
        st.text(max_size=20),
        st.builds("{}:{}".format, st.text(ALPHABET, max_size=12), st.integers(0, 70000)),
        st.builds("[{}]:{}".format, st.text(ALPHABET, max_size=12), st.integers(1, 65535)),
    )
)
def test_no_accepted_text_can_leave_its_directive(text: str) -> None:
    """Whatever the grammar accepts holds nothing but letters, digits, and `_-.:[]`."""
    try:
        host, port = split_address(text)
    except ValueError:
        return
    assert set(text) <= SAFE
    assert 1 <= port <= 65535
    assert is_host(host)
    assert text.rpartition(":") == (host, ":", text.rpartition(":")[2])


@settings(deadline=None, derandomize=True, max_examples=100)
@given(st.ip_addresses(), st.integers(1, 65535))
def test_every_ip_address_is_accepted_and_needs_no_lookup(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int
) -> None:
    """All IPv4 and bracketed IPv6 addresses are addresses, and known not to be names."""
    host = f"[{ip}]" if ip.version == 6 else str(ip)
    assert split_address(f"{host}:{port}") == (host, port)
    assert is_ip(host)


def test_a_name_needs_a_lookup() -> None:
    """A host name is told from an IP address."""
    assert not is_ip("vllm-0.example")


@pytest.mark.parametrize("name", ["llm", "_x", "Qwen2.5-7B", "a" * 63])
def test_a_pool_name_that_nginx_takes(name: str) -> None:
    """Letters, digits, `_`, `.` and `-` after a letter or `_` are the name of an upstream."""
    assert is_pool_name(name)


@pytest.mark.parametrize(
    "name", ["", "1a", "-a", ".a", "a b", "a;", "a\n", "a{", "$a", "a/b", "\u00e4", "a" * 64]
)
def test_a_pool_name_that_would_break_the_file(name: str) -> None:
    """Anything else is not."""
    assert not is_pool_name(name)
