"""The reference of the configuration: it says what the models say, all of it, and nothing else."""

import re
from typing import Any

import pytest
import yaml
from pydantic import Field, create_model

from controller.app.config import Config, Section
from controller.app.environment import VARIABLES
from controller.policy.registry import REGISTRY
from scripts.configuration import page
from scripts.configuration_example import example
from scripts.configuration_keys import Key, keys_of, parameters, sections

from .files import read

SCHEMA = Config.model_json_schema(mode="serialization")
KEYS = [(section.path, key) for section in sections() for key in section.keys]


def rows(text: str) -> dict[str, list[list[str]]]:
    """The cells of all tables by the heading they stand under, without heads."""
    found: dict[str, list[list[str]]] = {}
    title = ""
    for line in text.splitlines():
        if line.startswith("#"):
            title = line.lstrip("# ").replace("`", "")
        elif line.startswith("| `"):
            cells = re.split(r"(?<!\\)\|", line)[1:-1]
            found.setdefault(title, []).append([cell.strip() for cell in cells])
    return found


def test_the_page_has_every_key() -> None:
    """Each section of the schema is a table with exactly its keys, each with a meaning."""
    of_schema = sorted(
        list(each["properties"])
        for each in [SCHEMA, *SCHEMA["$defs"].values()]
        if "properties" in each
    )
    tables = rows(page())
    of_page = [
        [row[0].strip("`") for row in tables[title]]
        for title in ["Sections", *(path for path, _ in dict(KEYS).items() if path)]
    ]
    # Policies are no models; their parameters have tables of their own.
    assert sorted(of_page) == [keys for keys in of_schema if "itl_limit_s" not in keys]
    assert all(row[4].endswith(".") for title in tables for row in tables[title] if len(row) == 5)


def test_a_key_without_a_description_is_refused() -> None:
    """Whoever adds a key, or takes its description away, cannot make the page."""

    class Described(Section):
        """A section."""

        good: int = Field(default=1, description="Good.")

    class Bare(Described):
        """One more."""

        bad: int = 1

    assert [key.name for key in keys_of(Described)] == ["good"]
    with pytest.raises(ValueError, match=r"Bare\.bad: has no description"):
        keys_of(Bare)


@pytest.mark.parametrize("name", list(Config.model_fields))
def test_a_description_that_is_lost_is_missed(name: str) -> None:
    """Each key of the file itself is one that the page cannot be made without describing."""
    field = Config.model_fields[name]
    lost = create_model("Lost", __base__=Section, **{name: (field.annotation, ...)})  # type: ignore[call-overload]
    with pytest.raises(ValueError, match=rf"Lost\.{name}: has no description"):
        keys_of(lost)


def test_a_bound_is_told_with_its_unit() -> None:
    """What a value must keep stands there as one would write the value."""
    tables = rows(page())
    cells = {(title, row[0]): row for title in tables for row in tables[title]}
    interval = cells["control", "`interval`"]
    assert interval[1:4] == ["duration", "`10s`", "at least 500ms, at most 10m"]
    coverage = cells["pools[]", "`min_coverage`"]
    assert coverage[1:4] == ["percentage", "`50%`", "more than 0, at most 100%"]
    assert cells["prometheus", "`url`"][2] == "required"
    assert cells["capacity", "`admit_share`"][3] == "a share in 0.01..1"


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_parameter_is_described(name: str) -> None:
    """Each parameter of a policy has a type, the values it takes, and a meaning in a sentence."""
    tables = rows(page())
    told = parameters(REGISTRY[name])
    assert [row[0].strip("`") for row in tables.get(name, [])] == [each.name for each in told]
    for each in told:
        assert each.bounds, each.name
        assert re.fullmatch(r"[A-Z].*\.", each.description), each.name
        assert each.words != "mapping", each.name


def test_the_example_has_every_key_at_its_default() -> None:
    """The complete file loads, and says what a file with nothing but the required keys says."""
    text = example()
    config = read(text)
    pool = config.pools[0]
    least: dict[str, Any] = {
        "prometheus": {"url": config.prometheus.url},
        "pools": [
            {
                "name": pool.name,
                "selector": pool.selector,
                "backends": [{"address": each.address} for each in pool.backends or ()],
            }
        ],
        "nginx": {"mode": config.nginx.mode},
    }
    assert read(yaml.safe_dump(least)) == config
    for path, key in KEYS:
        assert re.search(rf"^[ #-]*{key.name}:", text, re.MULTILINE), (path, key.name)


def test_the_other_way_to_nginx_can_be_taken_from_the_example() -> None:
    """With the first section of Nginx removed and the second one uncovered the file loads."""
    shared = re.sub(r"^nginx:\n(?: .*\n)*", "", example(), flags=re.MULTILINE)
    before, mark, after = shared.partition("#nginx:\n")
    hidden = re.match(r"(?:#.*\n)*?(?=# Metrics)", after)
    assert mark
    assert hidden
    uncovered = re.sub(r"^#", "", hidden[0], flags=re.MULTILINE)
    config = read(f"{before}nginx:\n{uncovered}{after[hidden.end() :]}")
    assert config.nginx.mode == "shared_volume"


@pytest.mark.parametrize(
    ("path", "key"),
    [each for each in KEYS if each[1].example is not None],
    ids=lambda part: part if isinstance(part, str) else part.name,
)
def test_every_example_of_a_value_is_one(path: str, key: Key) -> None:
    """A value that the page shows is one that the key takes."""
    del path
    value: Any = (key.field.annotation, key.field)
    create_model("One", value=value).model_validate({"value": key.example})


def test_the_page_has_every_variable() -> None:
    """The table of the environment is the list that the program reads, with a meaning each."""
    table = rows(page())["Environment variables"]
    assert [row[0].strip("`") for row in table] == [each.name for each in VARIABLES]
    assert all(row[3].endswith(".") for row in table)


def test_a_variable_stands_for_a_key_that_exists() -> None:
    """The key that a variable is said to stand for is one of the page, or an entry of a mapping."""
    known = {f"{path.partition(' ')[0]}.{key.name}" for path, key in KEYS}
    for row in rows(page())["Environment variables"]:
        key = row[1].strip("`")
        assert key in known or key.rpartition(".")[0] in known, key
