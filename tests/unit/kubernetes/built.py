"""What kustomize makes of the directories of deploy/kubernetes."""

import functools
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
DIRECTORIES = ("base", "overlays/example", "overlays/mimir")
# What docs/kubernetes.md asks for.
OLDEST = (5, 0)

Manifest = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Built:
    """The objects of one directory.

    Attributes:
        name: The directory below deploy/kubernetes, or what else names it.
        objects: All of them.
    """

    name: str
    objects: Sequence[Manifest]

    def of_kind(self, kind: str) -> list[Manifest]:
        """All objects of a kind."""
        return [each for each in self.objects if each["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest:
        """The object with a name; an error unless there is exactly one."""
        (found,) = [each for each in self.of_kind(kind) if each["metadata"]["name"] == name]
        return found

    @property
    def balancer(self) -> Manifest:
        """The Deployment of Nginx and the controller."""
        return self.one("Deployment", "vllm-nginx-lb")

    @property
    def pod(self) -> Manifest:
        """The pod of the balancer."""
        spec: Manifest = self.balancer["spec"]["template"]["spec"]
        return spec

    def container(self, name: str) -> Manifest:
        """A container of that pod."""
        named: dict[str, Manifest] = {each["name"]: each for each in self.pod["containers"]}
        return named[name]

    @property
    def configuration(self) -> str:
        """The text of config.yaml that the pod mounts."""
        (name,) = [
            volume["configMap"]["name"] for volume in self.pod["volumes"] if "configMap" in volume
        ]
        text: str = self.one("ConfigMap", name)["data"]["config.yaml"]
        return text


def containers(pod: Manifest) -> Iterator[Manifest]:
    """All containers of a pod, those that run first included."""
    yield from pod.get("initContainers", ())
    yield from pod["containers"]


def environment(container: Manifest) -> dict[str, str]:
    """The variables of a container."""
    return {each["name"]: each["value"] for each in container.get("env", ())}


def mounts(container: Manifest) -> dict[str, bool]:
    """Whether it may write, by the path of each mount."""
    return {
        each["mountPath"]: not each.get("readOnly", False) for each in container["volumeMounts"]
    }


def build(directory: Path) -> list[Manifest]:
    """All objects that the kustomization in a directory makes.

    Where there is no kustomize the test is skipped: Debian's is too old for components.
    """
    command = _command()
    if command is None:
        pytest.skip("neither kubectl (1.27 or newer) nor kustomize (5 or newer) is on the PATH")
    done = subprocess.run([*command, directory], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, f"kustomize warns: {done.stderr}"
    return list(yaml.safe_load_all(done.stdout))


@functools.cache
def _command() -> tuple[str, ...] | None:
    ways = (
        (("kustomize", "version"), ("kustomize", "build")),
        (("kubectl", "version", "--client", "--output=json"), ("kubectl", "kustomize")),
    )
    for ask, command in ways:
        if shutil.which(ask[0]) is None:
            continue
        said = subprocess.run(ask, check=False, capture_output=True, text=True).stdout
        if ask[0] == "kubectl":
            said = str(json.loads(said).get("kustomizeVersion", "")) if said else ""
        found = re.search(r"v?(\d+)\.(\d+)\.\d+", said)
        if found and (int(found[1]), int(found[2])) >= OLDEST:
            return command
    return None
