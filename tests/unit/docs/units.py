"""What systemctl and journalctl are told of: units that are ours, or that a page may name."""

import fnmatch
import functools
import re
from collections.abc import Iterator, Sequence

from scripts.check_docs import ROOT
from tests.unit.docs.arguments import Tree, is_meant, parted, unknown

# Of Debian's packages, and the timer that stands for a script of the reader.
_OTHERS = frozenset(
    {
        *("alertmanager.service", "cron.service", "docker.service", "grafana-server.service"),
        *("llm-weights.service", "llm-weights.timer", "logrotate.service", "logrotate.timer"),
        *("mtail.service", "nginx.service", "prometheus.service"),
        *("prometheus-alertmanager.service", "prometheus-nginx-exporter.service"),
    }
)
_WITH_UNITS = (
    "cat disable edit enable is-active is-enabled is-failed kill list-dependencies mask reenable"
    " reload reload-or-restart reset-failed restart revert set-property show start status stop"
    " try-reload-or-restart try-restart unmask"
)
_WITHOUT_UNITS = (
    "daemon-reexec daemon-reload help list-jobs list-sockets list-timers list-unit-files list-units"
)
_SYSTEMCTL = Tree.of(f"{_WITH_UNITS} {_WITHOUT_UNITS}")
_SYSTEMCTL_VALUES = frozenset(
    {
        *("-H", "-M", "-n", "-o", "-p", "-P", "-s", "-t"),
        *("--kill-whom", "--lines", "--output", "--property", "--signal", "--state", "--type"),
    }
)
_JOURNALCTL_VALUES = frozenset(
    {
        *("-D", "-g", "-n", "-o", "-p", "-S", "-t", "-u", "-U"),
        *("--grep", "--identifier", "--lines", "--output", "--priority", "--since", "--unit"),
        "--until",
    }
)
_TYPES = re.compile(r".*\.(service|socket|target|timer|path|mount|slice)")


@functools.cache
def known_units() -> frozenset[str]:
    """The units of deploy/systemd, and the others that a page may name."""
    ours = (path.name for path in (ROOT / "deploy/systemd").iterdir() if _TYPES.match(path.name))
    return _OTHERS | frozenset(ours)


def systemctl_faults(arguments: Sequence[str]) -> Iterator[str]:
    """Subcommands that systemctl has not, and units that nobody has."""
    given = parted(arguments, _SYSTEMCTL_VALUES)
    fault = unknown("systemctl", given.words[:1], _SYSTEMCTL)
    if fault:
        yield fault
    elif given.words and given.words[0] in _WITH_UNITS.split():
        # What follows a unit here are properties.
        named = given.words[1:2] if given.words[0] == "set-property" else given.words[1:]
        yield from _unit_faults(named)


def journalctl_faults(arguments: Sequence[str]) -> Iterator[str]:
    """Units that nobody has."""
    yield from _unit_faults(parted(arguments, _JOURNALCTL_VALUES).values("-u", "--unit"))


def _unit_faults(names: Sequence[str]) -> Iterator[str]:
    for name in filter(is_meant, names):
        unit = name if _TYPES.fullmatch(name) else f"{name}.service"
        if not fnmatch.filter(known_units(), unit):
            yield f"{name}: neither a unit of deploy/systemd nor one of _OTHERS"
