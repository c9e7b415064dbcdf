"""What Grafana loads at its start fits the dashboards and the settings that go with it."""

import re
from pathlib import Path
from typing import Any

import yaml

import grafana

_HOME = Path(grafana.__file__).parent
_PROVISIONING = _HOME / "provisioning"


def _settings() -> dict[str, str]:
    lines = (_HOME / "grafana.env").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def _read(path: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((_PROVISIONING / path).read_text(encoding="utf-8"))
    return content


def test_data_sources_have_the_uids_that_others_name() -> None:
    """The dashboards' default and the link from Prometheus to Alertmanager resolve."""
    sources = {each["uid"]: each for each in _read("datasources/datasources.yml")["datasources"]}
    assert set(sources) == {"prometheus", "alertmanager"}
    assert sources["prometheus"]["jsonData"]["alertmanagerUid"] in sources
    fleet = yaml.safe_load((_HOME / "dashboards" / "fleet.json").read_text(encoding="utf-8"))
    chosen = fleet["templating"]["list"][0]
    assert chosen["current"]["value"] in sources
    assert chosen["query"] == sources[chosen["current"]["value"]]["type"]


def test_every_variable_of_the_files_has_a_default() -> None:
    """Grafana puts nothing in the place of one that is not set."""
    texts = [path.read_text(encoding="utf-8") for path in _PROVISIONING.rglob("*.yml")]
    bare = [
        line for text in texts for line in text.splitlines() if not line.lstrip().startswith("#")
    ]
    asked = set(re.findall(r"\$\{(\w+)\}", "\n".join(bare)))
    assert asked == {"PROMETHEUS_URL", "ALERTMANAGER_URL", "DASHBOARDS_PATH"}
    assert asked <= set(_settings())


def test_the_home_dashboard_is_one_of_those_provided() -> None:
    """Under the directory that is provisioned, in a folder, with a name that exists."""
    home = Path(_settings()["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent.parent == Path(_settings()["DASHBOARDS_PATH"])
    assert (_HOME / "dashboards" / home.name).exists()


def test_strangers_may_only_look() -> None:
    """Whoever is not logged in is a viewer, and no dashboard can be edited in the browser."""
    assert _settings()["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert [each["allowUiUpdates"] for each in _read("dashboards/dashboards.yml")["providers"]] == [
        False
    ]
