"""How much more the fleet could take."""

from grafana.looks import IDLE
from grafana.panels import DASHED, NO_FILL, STEPS, Ask, Words, coloured
from grafana.promql import POOLS
from grafana.sdk import dashboard as sdk
from grafana.shapes import graph

_MISSING = "Nothing known of capacity: needs the controller and rules/autoscaling.yml"


def utilisation() -> sdk.Panel:
    """How full the pools are."""
    said = Words(
        title="Utilisation of each pool",
        about="pool:utilisation:ratio: what is asked of a pool over what it can carry as learned."
        " Dashed: pool:utilisation_target:ratio, which autoscaling aims at. Normal: around the"
        " target. Above 1 requests queue.",
        missing=_MISSING,
    )
    target = Ask(
        f"pool:utilisation_target:ratio{{{POOLS}}}",
        "{{pool}} target",
        (DASHED, NO_FILL, coloured(IDLE)),
    )
    asked = Ask(f"pool:utilisation:ratio{{{POOLS}}}", "{{pool}}", (NO_FILL,))
    return graph(said, asked, target, unit="percentunit")


def needed() -> sdk.Panel:
    """How many backends the load needs."""
    said = Words(
        title="Backends needed and serving",
        about="pool:backends_needed:count for the target utilisation (dashed), and those that"
        " serve, pool:backends_serving:count. Normal: at least as many serve as are needed.",
        missing=_MISSING,
    )
    return graph(
        said,
        Ask(f"pool:backends_needed:count{{{POOLS}}}", "{{pool}} needed", (DASHED, NO_FILL, STEPS)),
        Ask(f"pool:backends_serving:count{{{POOLS}}}", "{{pool}} serving", (NO_FILL, STEPS)),
        unit="none",
    )
