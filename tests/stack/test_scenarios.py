"""One list of scenarios, on native processes and in containers."""

import concurrent.futures
from collections.abc import Iterator

import pytest

from lab.processes import NotReadyError
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
FAST, MEDIUM, OTHER_FAST, SLOW = BACKENDS
# Twice the interval between two changes of weights.
REST_S = 8.0
# Shorter than the read timeout of the stack in containers, and much longer than an answer.
STILL_S = 8.0
# Shorter than the time after which a silent watcher counts as dead.
UNHEARD_S = 5.0
AWAY_S = 15.0


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
    shared.mend()
    shared.until(lambda: unlike(shared), "the weights are learned")
    shared.until_settled()
    shared.until(lambda: rests(shared), f"nothing was changed for {REST_S:g} s")
    return shared


def rests(stack: Stand) -> bool:
    """Whether the controller wants nothing else, and has not for some time."""
    said = stack.status()
    if not said:
        return False
    generation = said["generation"]
    wanted = generation["desired"] == generation["applied"] or said["reason"] == "within_deadband"
    return bool(wanted and said["at"] - (said["applied_at"] or 0) > REST_S)


def unlike(stack: Stand) -> bool:
    """Whether the slowest backend has less weight than the fast ones, which it starts with."""
    weights = named(stack)
    least = min(weights.get(FAST, 0), weights.get(OTHER_FAST, 0))
    return len(weights) == len(BACKENDS) and weights[SLOW] < least


def in_order(stack: Stand) -> bool:
    """Whether backends have the more weight the faster they are."""
    weights = named(stack)
    return len(weights) == len(BACKENDS) and weights[FAST] > weights[MEDIUM] > weights[SLOW]


def slowed(stack: Stand) -> bool:
    """Whether a fast backend that was slowed has much less weight than the other fast one."""
    weights = named(stack)
    return len(weights) == len(BACKENDS) and weights[FAST] <= 0.6 * weights[OTHER_FAST]


def named(stack: Stand, nginx: str = NGINX) -> dict[str, int]:
    """The weights by the names of the backends."""
    rows = stack.weights(nginx)
    return {stack.name_of(address): weight for address, weight in rows.items()}


def inside(stack: Stand, backend: str) -> float:
    """How many requests a backend runs."""
    page = stack.answer(backend, "/metrics") or ""
    lines = [line for line in page.splitlines() if line.startswith("vllm:num_requests_running{")]
    return sum(float(line.split()[-1]) for line in lines)


def may(stack: Stand, disturbance: str) -> None:
    """Skip, with the reason, what the stand cannot cause."""
    if disturbance in stack.lacks:
        pytest.skip(stack.lacks[disturbance])


def test_weights_are_learned_and_confirmed(stack: Stand) -> None:
    """Nginx serves unlike weights for unlike backends, and says their generation."""
    stack.until(lambda: in_order(stack), "the faster, the more weight")
    stack.until_settled()


def test_a_request_streams_through(stack: Stand) -> None:
    """A streamed completion comes token by token, and ends as it should."""
    found = stream(stack.url, tokens=24)
    assert found.is_whole
    assert len(found.events) >= 24
    # Each takes a step of 20 ms at least.
    assert found.lasted_s > 0.2


@pytest.mark.parametrize("way", ["stop", "kill", "cut"])
def test_a_backend_that_is_gone_costs_no_later_request(stack: Stand, way: str) -> None:
    """Requests that come afterwards are answered by others; once it is back it serves again."""
    may(stack, way)
    getattr(stack, way)(MEDIUM)
    try:
        assert all(answered(stack.url, 12))
    finally:
        (stack.join if way == "cut" else stack.start)(MEDIUM)
    stack.until(lambda: inside(stack, MEDIUM) > 0, f"{MEDIUM} serves again")


def test_a_backend_that_stands_still_loses_no_request(stack: Stand) -> None:
    """What it holds is answered when it goes on; what others hold is answered meanwhile."""
    with concurrent.futures.ThreadPoolExecutor(24) as clients:
        sent = [clients.submit(stream, stack.url, 48) for _ in range(24)]
        stack.until(lambda: inside(stack, SLOW) > 1, f"{SLOW} has requests")
        stack.pause(SLOW)
        try:
            ended, _ = concurrent.futures.wait(sent, STILL_S)
        finally:
            stack.resume(SLOW)
        assert len(ended) >= 12
        assert all(each.result().is_whole for each in sent)


def test_nginx_comes_back_with_what_it_served(stack: Stand) -> None:
    """Killed and started again, with no controller, it serves the file that was confirmed last."""
    stack.stop(CONTROLLER)
    stack.until(lambda: not stack.is_asked(), "no change is under way")
    before = stack.upstream()
    stack.kill(NGINX)
    stack.start(NGINX)
    stack.until(stack.serves_its_file, "Nginx serves")
    assert stack.upstream() == before
    assert all(answered(stack.url, 4))


def test_a_controller_killed_in_the_middle_of_a_change_goes_on(stack: Stand) -> None:
    """Nginx serves a whole file meanwhile, and the next controller brings the change about."""
    before = stack.generation()
    try:
        kill_while_it_asks(stack)
        stack.until(stack.serves_its_file, "Nginx serves a whole file")
        assert all(answered(stack.url, 4))
        stack.start(CONTROLLER)
        stack.until(lambda: slowed(stack), "the change is made")
        stack.until_settled()
        assert stack.generation() != before
    finally:
        stack.change(FAST, speed=1.0)


def kill_while_it_asks(stack: Stand) -> None:
    """Slow a backend, and kill the controller while it waits for the watcher to change the weights.

    The watcher stands still for short times.
    """
    # So much that no dead-band hides it.
    stack.change(FAST, speed=0.05)
    for _ in range(40):
        stack.signal_watcher("STOP")
        try:
            stack.until(stack.is_asked, "a change is asked for", timeout_s=UNHEARD_S)
        except NotReadyError:
            pass
        else:
            stack.kill(CONTROLLER)
            return
        finally:
            stack.signal_watcher("CONT")
        if slowed(stack):
            # It was asked for, and made, between two of these times: so once more from the start.
            stack.change(FAST, speed=1.0)
            stack.until(lambda: not slowed(stack), "the change is taken back")
            stack.change(FAST, speed=0.05)
    pytest.fail(f"no change was asked for\n{stack.told()}")


def test_without_prometheus_weights_are_held(stack: Stand) -> None:
    """Nobody is ejected and nothing changes while Prometheus is away, and then all goes on."""
    stack.kill(PROMETHEUS)
    stack.until(lambda: blind(stack), "the controller says that it is blind")
    before, began = stack.upstream(), at(stack)
    assert began > 0
    stack.until(lambda: at(stack) > began + AWAY_S, f"{AWAY_S:g} s pass")
    assert blind(stack)
    assert stack.upstream() == before
    assert all(answered(stack.url, 6))
    stack.start(PROMETHEUS)
    stack.until(lambda: not blind(stack), "the controller sees again")
    assert named(stack).keys() == set(BACKENDS)


def at(stack: Stand) -> float:
    """When the last tick was; 0 where the controller does not answer."""
    return float(stack.status().get("at", 0.0))


def blind(stack: Stand) -> bool:
    """Whether the controller says that it cannot ask Prometheus, and that it holds its weights."""
    said = stack.status()
    return bool(
        said and said["prometheus"]["error"] and all(pool["blind"] for pool in said["pools"])
    )


@pytest.mark.parametrize("volume", ["req", "live"])
def test_a_full_volume_changes_nothing_and_is_told(stack: Stand, volume: str) -> None:
    """What cannot be written whole is not written; with room again the change is made."""
    may(stack, "fill")
    stack.fill(volume)
    try:
        before = stack.upstream()
        # So much that no dead-band hides it.
        stack.change(FAST, speed=0.05)
        stack.until(lambda: bool(stack.status().get("error")), "the controller says why")
        assert stack.upstream() == before
        assert stack.serves_its_file()
        assert all(answered(stack.url, 4))
        stack.free(volume)
        stack.until(lambda: slowed(stack), "the change is made")
    finally:
        stack.free(volume)
        stack.change(FAST, speed=1.0)


def test_two_nginx_with_a_controller_each_agree(stack: Stand) -> None:
    """Each asks the same Prometheus and decides for itself; what they decide is alike."""
    stack.until_settled(SECOND_CONTROLLER, SECOND_NGINX)
    stack.until(lambda: named(stack).keys() == named(stack, SECOND_NGINX).keys(), "both know all")

    def agree() -> bool:
        # What is live may lag behind by the dead-band, in either.
        one, other = wanted(stack, CONTROLLER), wanted(stack, SECOND_CONTROLLER)
        return one.keys() == other.keys() == set(BACKENDS) and all(
            max(one[name], other[name]) <= 1.6 * min(one[name], other[name]) for name in one
        )

    stack.until(agree, "both want like weights for the same backends")


def wanted(stack: Stand, controller: str) -> dict[str, int]:
    """The weights that a controller would give now, by the names of the backends."""
    rows = [row for pool in stack.status(controller).get("pools", []) for row in pool["backends"]]
    return {stack.name_of(row["address"]): row["weight_desired"] or 0 for row in rows}
