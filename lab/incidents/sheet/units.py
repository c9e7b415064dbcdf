"""Numbers as a dashboard shows them."""

_MINUTE, _HOUR = 60, 3600
_THOUSAND = 1000
_SUFFIX = {"reqps": " req/s", "cps": " /s", "si:tok/s": " tok/s", "si:tok": " tok"}


def shown(value: float, unit: str, *, now_s: float = 0.0) -> str:
    """A number with its unit.

    Args:
        value: The number.
        unit: Grafana's id of the unit.
        now_s: Unix time, for units that tell how long ago something was.
    """
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit == "s":
        return _seconds(value)
    if unit.startswith("dateTime"):
        return f"{_seconds(now_s - value / _THOUSAND)} ago"
    if unit.startswith("si:") and abs(value) >= _THOUSAND:
        return f"{value / _THOUSAND:.3g} k{_SUFFIX[unit].strip()}"
    plain = f"{value:.0f}" if abs(value) >= _THOUSAND else f"{value:.3g}"
    return plain + _SUFFIX.get(unit, "")


def _seconds(value: float) -> str:
    size = abs(value)
    if size >= _HOUR:
        return f"{value / _HOUR:.3g} h"
    if size >= _MINUTE:
        return f"{value / _MINUTE:.3g} min"
    return f"{1000 * value:.3g} ms" if 0 < size < 1 else f"{value:.3g} s"
