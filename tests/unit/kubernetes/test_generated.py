"""What deploy/kubernetes holds of other directories is what stands there."""

import shutil
from pathlib import Path

import pytest
import yaml

from scripts import kubernetes
from tests.unit.kubernetes.built import KUBERNETES, ROOT

FROM = ("rules", "grafana/dashboards", "deploy/autoscaling", "deploy/kubernetes")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The parts of the project that are read and written, to be changed."""
    for name in FROM:
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


def test_a_copied_rule_file_is_the_spec_of_its_object() -> None:
    """Indented below its head, a rule file is read as it was, to the last character."""
    for source in (ROOT / "rules").glob("*.yml"):
        made = yaml.safe_load((ROOT / kubernetes.RULES / f"{source.stem}.yaml").read_text())
        assert made["spec"] == yaml.safe_load(source.read_text())


def test_every_copy_is_applied() -> None:
    """The component for monitoring names each file that is written for it."""
    component = KUBERNETES / "components/monitoring"
    listed = yaml.safe_load((component / "kustomization.yaml").read_text())["resources"]
    made = [path for path in kubernetes.texts(ROOT) if "components" in path.parts]
    names = {str((ROOT / path).relative_to(component)) for path in made}
    assert names == {each for each in listed if "/" in each}


def test_a_changed_source_makes_its_copy_stale(copy: Path) -> None:
    """A rule, a dashboard or a hook that changes is named."""
    for source in ("rules/recording.yml", "grafana/dashboards/fleet.json"):
        (copy / source).write_text((copy / source).read_text() + "\n")
    draining = copy / "deploy/autoscaling/vllm-draining-patch.yaml"
    draining.write_text(draining.read_text().replace("990", "991"))
    assert [fault.split()[0].rpartition("/")[2] for fault in kubernetes.GENERATED.stale(copy)] == [
        "recording.yaml",
        "fleet.yaml",
        "vllm-draining-patch.yaml",
    ]
