"""What a real Alertmanager holds back, and what it never does."""

from collections.abc import Callable, Iterator

import pytest

from lab.alertmanager import RunningAlertmanager, alertmanager
from lab.processes import NotReadyError, await_true
from tests.integration.notified import alert, until
from tests.unit.alertmanager.configuration import SHIPPED, alert_rules

pytestmark = pytest.mark.integration
SEVERITIES = {rule["alert"]: rule["labels"]["severity"] for rule in alert_rules()}
ENGINE = {"job": "vllm", "instance": "a:1", "model_name": "m"}
OTHER = {"job": "vllm", "instance": "b:1", "model_name": "m"}
MODEL = {"job": "vllm", "model_name": "m"}
OTHER_MODEL = {"job": "vllm", "model_name": "n"}
POOL = {"pool": "llm"}
UPSTREAM = {"pool": "llm", "upstream": "a:1", "instance": "a:1"}
BACKEND = {"pool": "llm", "backend": "a:1", "instance": "a:1"}
CONTROLLER = {"job": "vllm-nginx-lb", "instance": "c:9808"}
OTHER_CONTROLLER = {"job": "vllm-nginx-lb", "instance": "d:9808"}
NGINX = {"job": "nginx", "instance": "c:9113"}
OTHER_NGINX = {"job": "nginx", "instance": "d:9113"}
Alert = tuple[str, dict[str, str]]
WARNING, CRITICAL = {"severity": "warning"}, {"severity": "critical"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningAlertmanager]:
    """Alertmanager with the committed configuration."""
    directory = tmp_path_factory.mktemp("inhibitions")
    with alertmanager(directory, SHIPPED / "alertmanager.yml") as started:
        yield started


def held_back(
    running: RunningAlertmanager, cause: Alert, effect: Alert, within_s: float = 10.0
) -> bool:
    """Whether Alertmanager holds the second alert back while the first fires.

    It looks for causes in the background, so that takes a moment after it has both.
    """
    both = [
        {"alertname": name, "severity": SEVERITIES[name], "team": "serving", **labels}
        for name, labels in (cause, effect)
    ]
    running.post([alert(**labels) for labels in both])
    try:
        until(lambda: len(running.alerts()) == len(both))
        return comes_true(lambda: inhibited(running, both[1]), within_s)
    finally:
        # An alert that has ended holds nothing back, and the next pair begins without it.
        running.post([alert(lasts_s=-1, **labels) for labels in both])
        until(lambda: not running.alerts())


def comes_true(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether it holds within so many seconds."""
    try:
        await_true(condition, within_s, "it holds", poll_s=0.1)
    except NotReadyError:
        return False
    return True


def inhibited(running: RunningAlertmanager, labels: dict[str, str]) -> bool:
    """Whether an alert is held back by another now."""
    (state,) = [each["status"] for each in running.alerts() if each["labels"] == labels]
    return bool(state["inhibitedBy"])


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        (("AllBackendsDown", MODEL), ("BackendDown", ENGINE)),
        (("AllBackendsDown", POOL), ("BackendDown", BACKEND)),
        (("AllBackendsDown", MODEL), ("TtftBurnFast", MODEL)),
        (("AllBackendsDown", POOL), ("NginxErrorRatio", POOL)),
        (("BackendDown", ENGINE), ("BackendMetricsMissing", ENGINE)),
        (("BackendDown", ENGINE), ("BackendStalled", {**ENGINE, **WARNING})),
        (("BackendDown", ENGINE), ("BackendErrorRatio", UPSTREAM)),
        (("BackendDown", BACKEND), ("BackendMetricsMissing", BACKEND)),
        (("BackendStalled", ENGINE), ("QueueTimeHigh", ENGINE)),
        (("BlackHole", UPSTREAM), ("BackendErrorRatio", UPSTREAM)),
        (("BackendStalled", {**ENGINE, **CRITICAL}), ("BackendStalled", {**ENGINE, **WARNING})),
        (("ModelCapacityExhausted", MODEL), ("KvSaturated", ENGINE)),
        (("TtftBurnFast", MODEL), ("TtftBurnSlow", MODEL)),
        (("ControllerAbsent", {}), ("ControllerFailSafe", POOL)),
        (("ControllerAbsent", CONTROLLER), ("ConfigDrift", CONTROLLER)),
        (("ControllerStale", CONTROLLER), ("NginxReloadFailing", CONTROLLER)),
        (("NginxDown", {**NGINX, **CRITICAL}), ("NginxDroppedConnections", NGINX)),
        (("NginxDown", {**NGINX, **CRITICAL}), ("NginxReloadFailing", CONTROLLER)),
    ],
)
def test_consequence_is_held_back(
    running: RunningAlertmanager, cause: Alert, effect: Alert
) -> None:
    """What only follows from another alert is told to nobody."""
    assert held_back(running, cause, effect)


@pytest.mark.parametrize(
    ("cause", "effect"),
    [
        (("AllBackendsDown", MODEL), ("BackendDown", {**ENGINE, **OTHER_MODEL})),
        (("AllBackendsDown", OTHER_MODEL), ("TtftBurnFast", MODEL)),
        (("AllBackendsDown", MODEL), ("NginxErrorRatio", POOL)),
        (("AllBackendsDown", {"pool": "b"}), ("NginxErrorRatio", POOL)),
        (("BackendDown", ENGINE), ("BackendMetricsMissing", OTHER)),
        (("BackendDown", ENGINE), ("BackendStalled", {**ENGINE, **CRITICAL})),
        (("BackendDown", ENGINE), ("BlackHole", UPSTREAM)),
        (("BackendDown", ENGINE), ("AllBackendsDown", MODEL)),
        (("BackendStalled", OTHER), ("QueueTimeHigh", ENGINE)),
        (("ControllerAbsent", OTHER_CONTROLLER), ("ConfigDrift", CONTROLLER)),
        (("ControllerAbsent", OTHER_CONTROLLER), ("ControllerFailSafe", POOL)),
        (("ControllerAbsent", {}), ("PoolPanic", POOL)),
        (("MetricNamesWithoutColon", {"job": "vllm"}), ("BackendMetricsMissing", ENGINE)),
        (("NginxDown", {**NGINX, **CRITICAL}), ("NginxErrorRatio", POOL)),
        (("NginxDown", {**NGINX, **CRITICAL}), ("RequestsShed", POOL)),
        (("NginxDown", {**NGINX, **CRITICAL}), ("BackendDown", ENGINE)),
        (("NginxDown", {**OTHER_NGINX, **CRITICAL}), ("NginxDroppedConnections", NGINX)),
        (("NginxDown", {**NGINX, **WARNING}), ("NginxDroppedConnections", NGINX)),
        (("NginxDown", {**NGINX, **WARNING}), ("NginxReloadFailing", {**CONTROLLER, **WARNING})),
    ],
)
def test_trouble_of_its_own_is_told(
    running: RunningAlertmanager, cause: Alert, effect: Alert
) -> None:
    """Another backend, model or controller, and what is graver than its cause, is told."""
    assert not held_back(running, cause, effect, within_s=0.3)
