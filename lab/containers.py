"""Containers of a Compose project, through the `docker` command."""

import subprocess


def docker(*arguments: str) -> str:
    """What a docker command says.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    command = ["docker", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def container(project: str, service: str) -> str:
    """The container of a service, running or not; empty where there is none."""
    labels = (
        f"label=com.docker.compose.project={project}",
        f"label=com.docker.compose.service={service}",
    )
    filters = [word for label in labels for word in ("--filter", label)]
    return docker("ps", "--all", "--quiet", *filters).strip()
