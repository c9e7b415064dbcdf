"""The two PromQL queries of a tick, for any number of pools; pure text.

Every series of an answer carries the label `lb_signal`, which says the pool and the quantity, and
the instance label. `or` joins them as a balanced tree: each `or` copies what it has, so that a
left-deep chain would cost the square of its length.
"""

from collections.abc import Sequence

from controller.adapters.prometheus.pools import PoolQuery
from controller.adapters.prometheus.recipes import Recipe, Series

TAG = "lb_signal"

UP = "up"
AGE = "age"
FOREIGN = "foreign"
_STALE = "stale"
_SOURCE = "source"


def value_tag(pool: int, signal: str) -> str:
    """The tag of a signal's value."""
    return f"{pool}:{signal}"


def state_tag(pool: int, what: str) -> str:
    """The tag of UP, AGE or FOREIGN in the freshness query."""
    return f"{pool}:{what}"


def stale_tag(pool: int, signal: str) -> str:
    """The tag of a signal's age where it exceeds what is allowed."""
    return f"{pool}:{_STALE}:{signal}"


def value_query(pools: Sequence[PoolQuery]) -> str:
    """One series per pool, backend and signal: its value. Empty when nothing is asked."""
    return _union(
        [
            _tagged(signal_expression(pool, signal), value_tag(index, signal))
            for index, pool in enumerate(pools)
            for signal in (*pool.profiled(), *pool.own())
        ]
    )


def freshness_query(pools: Sequence[PoolQuery]) -> str:
    """Per backend `up`, the age of its oldest sample and too great ages by signal.

    Per pool also the number of instances whose metrics lost the colon in their names.
    """
    return _union(
        [expression for index, pool in enumerate(pools) for expression in _freshness(index, pool)]
    )


def signal_expression(pool: PoolQuery, signal: str) -> str:
    """The value of one signal, one series per backend of the pool."""
    by = pool.instance_label
    if signal in pool.extra:
        own = matchers(pool)
        expression = pool.extra[signal].replace("{window}", duration(pool.window_s))
        expression = expression.replace("{selector}", f"{{{own}}}")
        expression = expression.replace("{selector,", f"{{{own}," if own else "{")
        # On lines of its own: a comment at its end must not swallow the bracket.
        return f"sum by ({by}) (\n{expression}\n)"
    return _value(pool, pool.engine().recipes[signal])


def selected(pool: PoolQuery, series: Series) -> str:
    """The selector of a series within the pool."""
    model = f"model_name={quoted(pool.model_name)}" if series.has_model and pool.model_name else ""
    parts = [part for part in (series.matchers, matchers(pool), model) if part]
    return f"{series.name}{{{','.join(parts)}}}"


def landmark_without_colon(series: Series) -> Series:
    """The same series as a scrape stores it that lost the colon."""
    return Series(series.name.replace(":", "_"), series.matchers, series.has_model)


def matchers(pool: PoolQuery) -> str:
    """The pool's label matchers, without braces and outer commas."""
    return pool.selector.strip().removeprefix("{").removesuffix("}").strip().strip(",").strip()


def duration(seconds: float) -> str:
    """A time in PromQL, exact to the millisecond."""
    milliseconds = max(1, round(seconds * 1000))
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"


def quoted(text: str) -> str:
    """A PromQL string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _value(pool: PoolQuery, recipe: Recipe) -> str:
    by = pool.instance_label
    if recipe.plus or recipe.zero_with:
        parts = [_quantity(pool, series, recipe) for series in (*recipe.any_of, *recipe.plus)]
        if recipe.zero_with:
            parts.append(f"0 * {selected(pool, recipe.zero_with)}")
        return f"{recipe.aggregate} by ({by}) ({' or '.join(parts)})"
    return " or ".join(
        f"{recipe.aggregate} by ({by}) ({_quantity(pool, series, recipe)})"
        for series in recipe.any_of
    )


def _quantity(pool: PoolQuery, series: Series, recipe: Recipe) -> str:
    selector = selected(pool, series)
    quantity = selector
    if recipe.rate:
        # rate() goes on for a window after a series ended; `and` ends it with the series.
        quantity = f"(rate({selector}[{duration(pool.window_s)}]) and {selector})"
    if series.distinct_by is not None:
        labels = ", ".join((pool.instance_label, *series.distinct_by))
        quantity = f"max by ({labels}) ({quantity})"
    return quantity


def _freshness(index: int, pool: PoolQuery) -> list[str]:
    by = pool.instance_label
    up = Series(UP, has_model=False)
    dates = {
        signal: _dates(pool, pool.engine().recipes[signal].dated_by()) for signal in pool.profiled()
    }
    # A user's PromQL cannot be dated; without any dated series the scrape itself dates a backend.
    sources = dict.fromkeys(dates.values()) or {_dates(pool, (up,)): None}
    together = _union(
        [
            _tagged(f"min by ({by}) ({date})", f"{_SOURCE}{number}")
            for number, date in enumerate(sources)
        ]
    )
    expressions = [
        _tagged(f"max by ({by}) ({selected(pool, up)})", state_tag(index, UP)),
        _tagged(f"time() - min by ({by}) ({together})", state_tag(index, AGE)),
    ]
    # Compared before anything else is done to them: in a healthy fleet nothing is left to do.
    expressions += [
        _tagged(
            f"time() - min by ({by}) ({date} < (time() - {pool.max_age_s:g}))",
            stale_tag(index, signal),
        )
        for signal, date in dates.items()
    ]
    landmark = pool.engine().landmark
    if landmark is not None:
        named, lost = selected(pool, landmark), selected(pool, landmark_without_colon(landmark))
        expressions.append(
            _tagged(f"count({lost} unless on ({by}) {named})", state_tag(index, FOREIGN))
        )
    return expressions


def _dates(pool: PoolQuery, series: Sequence[Series]) -> str:
    """When the samples of a signal were taken, as Unix time."""
    dates = [f"timestamp({selected(pool, each)})" for each in series]
    return dates[0] if len(dates) == 1 else f"({' or '.join(dates)})"


def _tagged(expression: str, tag: str) -> str:
    return f'label_replace({expression}, "{TAG}", "{tag}", "", "")'


def _union(expressions: Sequence[str]) -> str:
    """Join with `or` as a balanced tree."""
    if len(expressions) <= 1:
        return "".join(expressions)
    middle = len(expressions) // 2
    return f"({_union(expressions[:middle])} or {_union(expressions[middle:])})"
