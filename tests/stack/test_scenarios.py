"""One list of scenarios, on native processes and in containers."""

import concurrent.futures
from collections.abc import Iterator

import pytest

from tests.stack.native import native
from tests.stack.stand import (
    BACKENDS,
    CONTROLLER,
    NGINX,
    PROMETHEUS,
    SECOND_CONTROLLER,
    SECOND_NGINX,
    Stand,
    answered,
    stream,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
FAST, MEDIUM, _, SLOW = BACKENDS


@pytest.fixture(scope="module", params=["native", pytest.param("compose", marks=pytest.mark.stack)])
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stand]:
    """One stack of each kind for all scenarios."""
    if request.param == "compose":
        yield request.getfixturevalue("composed_stack")
        return
    with native(tmp_path_factory.mktemp("native")) as stand:
        yield stand


@pytest.fixture
def stack(shared: Stand) -> Stand:
    """The stack with weights that were learned, at rest."""
    # Whoever came before may have left servers that come back just now.
    shared.until(lambda: unlike(shared), "the weights are learned")
    shared.until_settled()
    return shared


def unlike(stack: Stand) -> bool:
    """Whether the slowest backend has less than half the weight of a fast one."""
    weights = named(stack)
    return len(weights) == len(BACKENDS) and 2 * weights[SLOW] < weights[FAST]


def named(stack: Stand, nginx: str = NGINX) -> dict[str, int]:
    """The weights by the names of the backends."""
    rows = stack.weights(nginx)
    return {stack.name_of(address): weight for address, weight in rows.items()}


def may(stack: Stand, disturbance: str) -> None:
    """Skip, with the reason, what the stand cannot cause."""
    if disturbance in stack.lacks:
        pytest.skip(stack.lacks[disturbance])


def test_weights_are_learned_and_confirmed(stack: Stand) -> None:
    """Nginx serves unlike weights for unlike backends, and says their generation."""
    weights = named(stack)
    assert weights[FAST] > weights[MEDIUM] > weights[SLOW]
    assert stack.generation() in stack.upstream()


def test_a_request_streams_through(stack: Stand) -> None:
    """A streamed completion comes token by token, and ends as it should."""
    events = stream(stack.url, tokens=24)
    assert events[-1] == "[DONE]"
    assert len(events) >= 24


@pytest.mark.parametrize("way", ["stop", "kill"])
def test_a_backend_that_ends_costs_no_later_request(stack: Stand, way: str) -> None:
    """Requests that come after the end are answered by others; once it is back it serves again."""
    getattr(stack, way)(MEDIUM)
    try:
        assert all(answered(stack.url, 12))
    finally:
        stack.start(MEDIUM)
    stack.until(lambda: serves(stack, MEDIUM), f"{MEDIUM} serves again")


def serves(stack: Stand, backend: str) -> bool:
    """Whether a backend has requests inside."""
    page = stack.answer(backend, "/metrics") or ""
    lines = [line for line in page.splitlines() if line.startswith("vllm:num_requests_running{")]
    return sum(float(line.split()[-1]) for line in lines) > 0


def test_a_backend_that_stands_still_loses_no_request(stack: Stand) -> None:
    """What it holds is answered when it goes on; what comes meanwhile is answered by others."""
    stack.until(lambda: serves(stack, SLOW), f"{SLOW} has requests")
    stack.pause(SLOW)
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as clients:
            waiting = [clients.submit(stream, stack.url) for _ in range(16)]
            done, _ = concurrent.futures.wait(waiting, 30, concurrent.futures.FIRST_COMPLETED)
            assert done
            stack.resume(SLOW)
            assert all(each.result()[-1] == "[DONE]" for each in waiting)
    finally:
        stack.resume(SLOW)


def test_a_backend_cut_from_the_network_costs_no_later_request(stack: Stand) -> None:
    """Requests are answered by others, and it serves again once it is back."""
    may(stack, "cut")
    stack.cut(MEDIUM)
    try:
        assert all(answered(stack.url, 6))
    finally:
        stack.join(MEDIUM)
    stack.until(lambda: serves(stack, MEDIUM), f"{MEDIUM} serves again")


def test_nginx_comes_back_with_what_it_served(stack: Stand) -> None:
    """Killed and started again it serves the upstream file that was confirmed last."""
    before = stack.upstream()
    stack.kill(NGINX)
    assert stack.upstream() == before
    stack.start(NGINX)
    stack.until(lambda: stack.generation() != "", "Nginx answers")
    assert stack.generation() in stack.upstream()
    assert all(answered(stack.url, 4))


def test_a_controller_killed_in_the_middle_of_a_change_goes_on(stack: Stand) -> None:
    """Nginx serves a whole file all the time, and the next controller brings the change about."""
    before = stack.generation()
    stack.change(FAST, speed=0.2)
    try:
        # The change is under way at some moment from now on; the controller dies at ten of them.
        for _ in range(10):
            stack.until(lambda: stack.status() != {}, "the controller ticks")
            stack.kill(CONTROLLER)
            assert stack.generation() in stack.upstream()
            assert all(answered(stack.url, 1))
            stack.start(CONTROLLER)
        stack.until(lambda: not unlike(stack), "the change is made")
        stack.until_settled()
        assert stack.generation() != before
    finally:
        stack.change(FAST, speed=1.0)


def blind(stack: Stand) -> bool:
    """Whether the controller says that it cannot ask Prometheus, and that it holds its weights."""
    said = stack.status()
    return bool(said["prometheus"]["error"] and all(pool["blind"] for pool in said["pools"]))


def test_without_prometheus_weights_are_held(stack: Stand) -> None:
    """Nobody is ejected and nothing changes while Prometheus is away, and then all goes on."""
    before = stack.upstream()
    stack.kill(PROMETHEUS)
    try:
        stack.until(lambda: blind(stack), "the controller says that it is blind")
        assert all(answered(stack.url, 6))
        assert stack.upstream() == before
    finally:
        stack.start(PROMETHEUS)
    stack.until(lambda: not blind(stack), "the controller sees again")
    assert named(stack).keys() == set(BACKENDS)


def test_a_full_volume_changes_nothing_and_is_told(stack: Stand) -> None:
    """What cannot be written whole is not written; with room again the change is made."""
    may(stack, "fill")
    stack.fill()
    before = stack.upstream()
    stack.change(FAST, speed=0.2)
    try:
        stack.until(lambda: "No space" in stack.log(CONTROLLER), "the controller says why")
        assert stack.upstream() == before
        assert all(answered(stack.url, 4))
        stack.free()
        stack.until(lambda: not unlike(stack), "the change is made")
    finally:
        stack.free()
        stack.change(FAST, speed=1.0)


def test_two_nginx_with_a_controller_each_agree(stack: Stand) -> None:
    """Each asks the same Prometheus and decides for itself; what they decide is alike."""
    stack.until_settled(SECOND_CONTROLLER, SECOND_NGINX)

    def agree() -> bool:
        one, other = named(stack), named(stack, SECOND_NGINX)
        return one.keys() == other.keys() and all(
            max(one[name], other[name]) <= 1.6 * min(one[name], other[name]) for name in one
        )

    stack.until(agree, "both have the same backends and like weights")
