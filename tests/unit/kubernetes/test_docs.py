"""docs/kubernetes.md shows commands and files that are there."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # it ships none
import pytest
import yaml
from typer.main import get_command

from controller.app.cli import app
from controller.app.config import DiscoveryConfig
from scripts import kubernetes
from tests.unit.kubernetes.built import KUBERNETES, ROOT, Built, build

PAGE = (ROOT / "docs/kubernetes.md").read_text()
COMMANDS = [
    line.strip()
    for block in re.findall(r"^ *```sh\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]


def example_of(start: str) -> Any:  # noqa: ANN401  # whatever the page shows
    """The example in YAML that begins so."""
    blocks = re.findall(r"^( *)```yaml\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
    (found,) = [text for _, text in blocks if start in text]
    return yaml.safe_load(found)


def test_commands_apply_directories_that_build(tmp_path: Path) -> None:
    """The copies that commands make are kustomizations, and it is they that commands apply."""
    shutil.copytree(KUBERNETES, tmp_path / "deploy/kubernetes")
    copies = [each for each in COMMANDS if each.startswith("cp ")]
    for each in copies:
        subprocess.run(each.split(), check=True, cwd=tmp_path)
    applied = [found[1] for each in COMMANDS if (found := re.search(r" -k (\S+)", each))]
    shown = [
        found[1] for each in COMMANDS if (found := re.search(r"kubectl kustomize (\S+)", each))
    ]
    assert applied == [each.split()[-1] for each in copies]
    assert set(shown) <= set(applied)
    for each in applied:
        assert build(tmp_path / each)


def test_a_command_that_does_not_end_is_the_last_of_its_block() -> None:
    """Who pastes a block gets to its end."""
    blocks = re.findall(r"^ *```sh\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    ends = ("port-forward", "tail ")
    endless = [each for each in blocks if any(end in each for end in ends)]
    assert len(endless) == 2
    for each in endless:
        *before, last = each.strip().splitlines()
        assert any(end in last for end in ends)
        assert not any(end in line for end in ends for line in before)


def test_commands_name_objects_that_are_applied(example: Built) -> None:
    """Deployment, Service, container and namespace in a command exist, and so does what is run."""
    names = {(each["kind"], each["metadata"]["name"]) for each in example.objects}
    kinds = {"deploy": "Deployment", "deployment": "Deployment", "service": "Service"}
    commands = get_command(app).commands  # type: ignore[attr-defined]  # it is a group
    objects = 0
    for each in COMMANDS:
        for kind, name in re.findall(r"\b(deploy|deployment|service)/(\S+)", each):
            if kind != "deploy" or not each.startswith(
                ("cp ", "kubectl apply", "kubectl kustomize")
            ):
                assert (kinds[kind], name) in names, each
                objects += 1
        for container in re.findall(r" -c (\S+)", each):
            assert example.container(container)
        for namespace in re.findall(r" -n (\S+)", each):
            assert namespace == "inference"
        for command in re.findall(r"-- vllm-nginx-lb (\S+)", each):
            assert command in commands
    assert objects >= 4


def test_the_secret_of_the_page_is_the_one_that_is_mounted() -> None:
    """The command for Mimir makes the Secret and the key that the overlay reads."""
    (command,) = [each for each in COMMANDS if "create secret generic" in each]
    mimir = Built("overlays/mimir", build(KUBERNETES / "overlays/mimir"))
    (secret,) = [each["secret"] for each in mimir.pod["volumes"] if "secret" in each]
    (key,) = re.findall(r"--from-file=(\w+)=", command)
    assert f" {secret['secretName']} " in command
    assert f"/{key}\n" in mimir.configuration.replace("  # read anew for every request", "")


def test_the_overlay_of_the_page_builds(tmp_path: Path) -> None:
    """The overlay of two files, as shown, is one once its config.yaml is there."""
    shown = example_of("apiVersion: kustomize")
    up = Path(*[".."] * len(tmp_path.resolve().relative_to("/").parts))
    assert shown["resources"] == ["../../base"]
    shown["resources"] = [str(up / KUBERNETES.relative_to("/") / "base")]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(shown))
    (tmp_path / "config.yaml").write_text("pools: []\n")
    built = Built("of the page", build(tmp_path))
    assert built.configuration == "pools: []\n"


def test_the_parts_of_overlays_that_are_shown_are_taken(tmp_path: Path) -> None:
    """Images and labels, as shown, do what the page says."""
    up = Path(*[".."] * len(tmp_path.resolve().relative_to("/").parts))
    whole = {
        "resources": [str(up / KUBERNETES.relative_to("/") / "base")],
        **example_of("images:"),
        **example_of("labels:"),
        **example_of("patches:"),
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(whole))
    built = Built("of the page", build(tmp_path))
    assert built.container("nginx")["image"] == "images.example.net/vllm-nginx-lb/nginx:0.1.0"
    assert all(each["metadata"]["labels"]["release"] for each in built.objects)
    account = built.one("ServiceAccount", built.pod["serviceAccountName"])
    assert account["imagePullSecrets"] == [{"name": "images"}]
    (command,) = [each for each in COMMANDS if "create secret docker-registry" in each]
    assert " docker-registry images " in command


@pytest.mark.parametrize("name", ["namespace: monitoring", "name: vllm-nginx-lb-names"])
def test_policies_that_are_shown_are_taken(example: Built, name: str) -> None:
    """Each policy is one to an API server, and is about the pods of the balancer."""
    policy = example_of(name)
    kubernetes_validate.validate(policy, "1.37", strict=True)
    labels = example.balancer["spec"]["template"]["metadata"]["labels"]
    ours = [policy["spec"]["podSelector"]["matchLabels"]]
    ours += [
        peer["podSelector"]["matchLabels"]
        for rule in policy["spec"].get("ingress", ())
        for peer in rule["from"]
    ]
    assert any(each.items() <= labels.items() for each in ours)


def test_the_discovery_that_is_shown_is_one() -> None:
    """The lines on discovery are taken by the controller."""
    assert DiscoveryConfig.model_validate(example_of("discovery:")["discovery"])


def test_the_generator_of_the_page_exists() -> None:
    """The command that writes rules and dashboards is the generator's module."""
    assert f"python -m {kubernetes.__name__}" in PAGE


@pytest.mark.parametrize("text", ["LB_BACKENDS", "LB_POOLS", "LB_LISTEN"])
def test_variables_of_the_page_exist(text: str) -> None:
    """Each variable is documented by a script of deploy/nginx."""
    scripts = (ROOT / "deploy/nginx").glob("*.sh")
    assert text in PAGE
    assert any(f"{text}=" in script.read_text() for script in scripts)
