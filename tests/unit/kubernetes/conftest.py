"""Each directory that can be applied, built once."""

from pathlib import Path

import pytest
import yaml

from tests.unit.kubernetes.built import DIRECTORIES, KUBERNETES, Built, build


@pytest.fixture(scope="session", params=DIRECTORIES)
def built(request: pytest.FixtureRequest) -> Built:
    """The objects of one directory after the other."""
    return Built(request.param, build(KUBERNETES / request.param))


@pytest.fixture(scope="session")
def example() -> Built:
    """The objects of the whole example."""
    return Built("overlays/example", build(KUBERNETES / "overlays/example"))


@pytest.fixture(params=["monitoring", "nginx-metrics"])
def with_one_component(request: pytest.FixtureRequest, tmp_path: Path) -> Built:
    """The base with one component and without the others, as an overlay of somebody else."""
    up = Path(*[".."] * len(tmp_path.resolve().relative_to("/").parts))
    kubernetes = up / KUBERNETES.relative_to("/")
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "llm",
        "resources": [str(kubernetes / "base")],
        "components": [str(kubernetes / "components" / request.param)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return Built(f"base with {request.param}", build(tmp_path))
