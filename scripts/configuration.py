"""Write docs/configuration.md from the models of the configuration, or say that it is stale.

python -m scripts.configuration            writes the page
python -m scripts.configuration --check    writes nothing; exits 1 where the page is another
"""

import inspect
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from controller.app.environment import DEFAULT_FILE, SWITCH, TENANT, VARIABLES, Variable
from controller.app.values import UNIT_S
from controller.core.policy import Policy
from controller.policy.registry import REGISTRY
from scripts.configuration_example import example
from scripts.configuration_keys import Key, Mapped, parameters, paths_of, sections, syntax
from scripts.generated import Generated

PAGE = Path("docs/configuration.md")

_HEAD = f"""\
# Configuration

<!-- Written by `python -m scripts.configuration` from the models; change those. -->

The controller reads one YAML file, `{DEFAULT_FILE}` unless `--config` or the variable \
`VLLM_NGINX_LB_CONFIG` names another.
Where that file does not exist and none is named, [environment variables](#environment-variables) \
take its place.

```console
$ vllm-nginx-lb config        # the configuration with all defaults, or all its faults at once
$ vllm-nginx-lb check         # tries Prometheus and Nginx with it as well, and touches nothing
```

An unknown key is a fault, and so is a number where a duration with its unit is expected.
Each fault names its line, what was expected and what was found; the exit code is 2.
The file is read once, at the start: restart the controller after a change.

A token or a password for Prometheus stands in a file or variable that the configuration names, \
and is read anew for each request.
Only `prometheus.headers` takes values as they are: whoever writes `Authorization` there has a \
secret in the file, and lets only root and the controller read it.
`config` shows of the headers only `{TENANT}`, and no query of a URL; paths of URLs it does show, \
so a secret must not be in one.
A fault repeats no header, and of a refused `prometheus.url` only scheme, host and port.
"""
_SYNTAX = """\
## How values are written

| Kind | Expected |
|---|---|
"""
_UNITS = """
A duration is a number and its unit, or several that add up, as in `1m30s`; the units are {units}.
"""
_POLICIES = """\
## Policies

A policy is named by `name`, and its parameters stand beside it:

```yaml
policy:
  name: ladder
  busy_running: 8
```
"""
_ENVIRONMENT = f"""\
## Environment variables

They are for a container with one kind of engine, and stand for keys of the file.
They are read where `{SWITCH}` is set, no file is named and `{DEFAULT_FILE}` does not exist; \
a file always wins, and is never mixed with them.
An empty variable counts as one that is not set.
What has no variable takes a file.

```console
$ {SWITCH}=http://prometheus:9090 LB_BACKENDS="10.0.0.11:8000 10.0.0.12:8000" vllm-nginx-lb config
```

The variables of the scripts beside Nginx begin with `LB_` as well; they stand at the head of \
[render.sh](../deploy/nginx/render.sh), [watcher.sh](../deploy/nginx/watcher.sh) and \
[40-vllm-nginx-lb.sh](../deploy/nginx/40-vllm-nginx-lb.sh), and the controller leaves them alone.

| Variable | Key | Default | Meaning |
|---|---|---|---|
"""
_EXAMPLE = """\
## A complete file

Every key with its default.
Behind a `#` stand keys that have none, with an example, and those that another one excludes.

```yaml
"""


def page() -> str:
    """The whole page; the same each time.

    Raises:
        ValueError: A key, a parameter or a policy is not described.
    """
    parts = [_HEAD, *map(_section, sections()), _syntax(), _policies(), _environment()]
    return "\n".join([*parts, f"{_EXAMPLE}{example()}```\n"])


def _section(section: Mapped) -> str:
    title = f"{'#' * (2 + section.path.count('.'))} {_title(section.path)}"
    rows = [
        (f"`{key.name}`", _value(key, section.path), _default(key), key.bounds, key.description)
        for key in section.keys
    ]
    table = _table(("Key", "Value", "Default", "Bounds", "Meaning"), rows)
    return f"{title}\n\n{section.sentence}\n\n{table}"


def _title(path: str) -> str:
    if not path:
        return "Sections"
    # The words for a variant, such as "with mode: local", are no part of the key.
    key, space, variant = path.partition(" ")
    return f"`{key}`{space}{variant}"


def _anchor(title: str) -> str:
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _value(key: Key, path: str) -> str:
    """The type of a key's value, with links to the sections that say what is in it."""
    if key.name == "policy":
        return f"[{key.words}](#policies)"
    links = [f"#{_anchor(_title(each))}" for each in paths_of(key.name, key.field, path)]
    return ", or ".join(f"[{key.words}]({link})" for link in links) or key.words


def _default(key: Key) -> str:
    if key.default is None:
        return "required"
    return f"`{key.default}`" if key.default else ""


def _syntax() -> str:
    rows = "".join(f"| {kind} | {_cell(text)} |\n" for kind, text in syntax().items())
    *most, last = [f"`{unit}`" for unit in UNIT_S]
    return _SYNTAX + rows + _UNITS.format(units=f"{', '.join(most)} and {last}")


def _policies() -> str:
    return "\n".join([_POLICIES, *(_policy(name, kind) for name, kind in REGISTRY.items())])


def _policy(name: str, kind: type[Policy]) -> str:
    module = inspect.getdoc(inspect.getmodule(kind)) or ""
    sentence = " ".join(re.split(r"\n\n", module)[0].split())
    head = (
        f"### `{name}`\n\n{sentence}\n[The page of the policy](policies/{name}.md) has the rest.\n"
    )
    rows = [
        (f"`{each.name}`", each.words, f"`{_plain(each.default)}`", each.bounds, each.description)
        for each in parameters(kind)
    ]
    if not rows:
        return f"{head}It has no parameters.\n"
    return f"{head}\n{_table(('Parameter', 'Value', 'Default', 'Expected', 'Meaning'), rows)}"


def _plain(default: object) -> object:
    if isinstance(default, tuple):
        return list(default)
    return "null" if default is None else default


def _environment() -> str:
    found = {section.path: section for section in sections()}
    return _ENVIRONMENT + "".join(_variable(each, found) for each in VARIABLES)


def _variable(variable: Variable, found: dict[str, Mapped]) -> str:
    key = _key_of(variable, found)
    named = variable.default or (key.default if key else "")
    default = f"`{named}`" if named else ""
    if variable.name == SWITCH:
        default = "required"
    meaning = f"{key.description} {variable.note}" if key else variable.note
    return f"| `{variable.name}` | `{dotted(variable)}` | {default} | {_cell(meaning.strip())} |\n"


def dotted(variable: Variable) -> str:
    """The key of a variable as the headings of the page write it."""
    first, *rest = variable.key
    return ".".join(["pools[]" if first == "pools" else first, *rest])


def _key_of(variable: Variable, found: dict[str, Mapped]) -> Key | None:
    """The key that a variable stands for; None where it is an entry of a mapping."""
    path, _, name = dotted(variable).rpartition(".")
    in_section = [
        found[each] for each in (path, f"{path} with mode: shared_volume") if each in found
    ]
    return next((key for each in in_section for key in each.keys if key.name == name), None)


def _table(head: tuple[str, ...], rows: Iterable[Iterable[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    lines += [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


GENERATED = Generated("scripts.configuration", lambda _: {PAGE: page()})

if __name__ == "__main__":
    sys.exit(GENERATED.main())
