"""Illness that load hides: engines that fail fast, freeze behind a live API, or sleep.

Such backends look idle, so anything that balances load sends them more. A failed scrape is no
illness: what cannot be seen is left to Nginx's own passive checks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from controller.core.memory import HealthMemory
from controller.core.model import Signal
from controller.core.reasons import BackendReason
from controller.core.settings import HealthSettings

HEALTH_SIGNALS = frozenset(
    {
        Signal.RUNNING,
        Signal.WAITING,
        Signal.PROGRESS_RATE,
        Signal.FINISHED_RATE,
        Signal.FAILED_RATE,
        Signal.AWAKE,
    }
)
"""Signals that are asked for when ejections are on; a missing one only hides its symptom."""

_HEALTHY = HealthMemory()


def examine(
    members: Sequence[str],
    signals: Mapping[str, Mapping[str, float]],
    records: Mapping[str, HealthMemory],
    now_s: float,
    settings: HealthSettings,
) -> dict[str, HealthMemory]:
    """Advance the medical records of the members; healthy ones without a past have none."""
    if not settings.enabled:
        return {}
    advanced: dict[str, HealthMemory] = {}
    for address in members:
        known = signals.get(address)
        record = records.get(address, _HEALTHY)
        found = None if known is None else symptom(known, settings)
        if known is None or (found is None and not _would_show(record.ejected, known)):
            after = _unknown(record, now_s)
        else:
            after = _advance(record, found, now_s, settings)
        if after != _HEALTHY:
            advanced[address] = after
    return advanced


def symptom(signals: Mapping[str, float], settings: HealthSettings) -> BackendReason | None:
    """What the signals of one tick show; None for nothing."""
    if signals.get(Signal.AWAKE) == 0:
        return BackendReason.EJECTED_ASLEEP
    failed = signals.get(Signal.FAILED_RATE, 0.0)
    if failed > settings.failing_rate and failed > signals.get(Signal.FINISHED_RATE, 0.0):
        return BackendReason.EJECTED_FAILING
    # Without the signal nothing is known of the engine's progress, which is no sign of illness.
    if _has_work(signals) and signals.get(Signal.PROGRESS_RATE) == 0:
        return BackendReason.EJECTED_STALLED
    return None


def _would_show(illness: BackendReason | None, signals: Mapping[str, float]) -> bool:
    """Whether the signals would tell if the illness were still there: silence is no recovery."""
    if illness == BackendReason.EJECTED_ASLEEP:
        return Signal.AWAKE in signals
    if illness == BackendReason.EJECTED_FAILING:
        return Signal.FAILED_RATE in signals
    if illness == BackendReason.EJECTED_STALLED:
        return {Signal.PROGRESS_RATE, Signal.RUNNING} <= signals.keys()
    return True


def _has_work(signals: Mapping[str, float]) -> bool:
    return signals.get(Signal.RUNNING, 0.0) + signals.get(Signal.WAITING, 0.0) > 0


def _unknown(record: HealthMemory, now_s: float) -> HealthMemory:
    if record.ejected is None or now_s < max(record.until_s, record.expires_s):
        return record
    return HealthMemory(hold_s=record.hold_s, returned_s=now_s)


def _advance(
    record: HealthMemory,
    found: BackendReason | None,
    now_s: float,
    settings: HealthSettings,
) -> HealthMemory:
    if found is None:
        return _well(record, now_s, settings)
    if record.ejected is not None:
        return HealthMemory(
            strikes=record.strikes,
            symptom=found,
            # Until its hold is over it is out for the first illness, whatever it has caught since.
            ejected=record.ejected if now_s < record.until_s else found,
            until_s=record.until_s,
            expires_s=now_s + settings.expiry_s,
            hold_s=record.hold_s,
            returned_s=record.returned_s,
        )
    strikes = record.strikes + 1 if found == record.symptom else 1
    asleep = found == BackendReason.EJECTED_ASLEEP
    if strikes < settings.strikes and not asleep:
        return HealthMemory(
            strikes=strikes, symptom=found, hold_s=record.hold_s, returned_s=record.returned_s
        )
    # Sleep is announced by the engine itself: it neither needs a second look nor a time out.
    hold_s = 0.0 if asleep else min(max(settings.hold_s, 2 * record.hold_s), settings.hold_max_s)
    return HealthMemory(
        strikes=strikes,
        symptom=found,
        ejected=found,
        until_s=now_s + hold_s,
        expires_s=now_s + settings.expiry_s,
        hold_s=hold_s,
        returned_s=record.returned_s,
    )


def _well(record: HealthMemory, now_s: float, settings: HealthSettings) -> HealthMemory:
    if record.ejected is not None:
        if now_s < record.until_s:
            return replace(record, symptom=None)
        return HealthMemory(hold_s=record.hold_s, returned_s=now_s)
    if now_s - record.returned_s > settings.hold_max_s:
        return _HEALTHY
    return HealthMemory(hold_s=record.hold_s, returned_s=record.returned_s)
