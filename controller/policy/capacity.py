"""Weights in proportion to what each backend can carry, learned from the engines' own counters.

An engine works in steps; every running sequence gets one token per step, so the inter-token latency
T is the length of a step. A step reads the model's weights once, and for every sequence its KV
cache; prompts that are computed in the same step make it longer:

    T = s (1 + n / h + p / g)

    T  inter-token latency: itl_seconds_rate / itl_count_rate
    n  sequences decoding: itl_seconds_rate (seconds of latency per second is their mean number)
    p  prompt tokens computed per step: prefill_rate / engine_step_rate
    s  length of an empty step in seconds: how slow this backend is
    h  sequences that double a step, g  prompt tokens that do: two numbers for the pool

`h` is the cost of reading the weights over that of reading one sequence's KV. Both are bound by the
same memory bandwidth, so it belongs to the model and its contexts more than to the device; `g` is
the same of arithmetic. They are learned from all backends together, from how T moves with n and p
within each, so that a difference between backends cannot be taken for one of load. `s` is what is
left.

A backend holds N sequences at once, its slots: what its KV cache holds, or the engine's own limit.
What it can carry is what it emits when all of them are taken, with r prompt tokens per token:

    C = N / (s (1 + N / h + r N / g))    tokens per second

Neither `s` nor `N` depends on the share of the traffic that a backend is given, so neither does C.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import ClassVar

from controller.core.model import Signal
from controller.core.policy import WEIGHT_MAX, Carries, PolicyMemory, Targets

# An engine's KV cache is never quite full: vLLM stops admitting, and preempts, below 100 %.
_KV_REACHED = 0.9
# Below this share of the cache, what sequences hold cannot be told from rounding.
_KV_MIN = 0.005
# A cache that is this full and holds fewer sequences than was learned, by so much in ln and by the
# scatter of the contexts of one sequence, has a tenant; one that holds so many more lost it.
_KV_CROWDED = 0.5
_KV_CHANGED = 0.5
_KV_SCATTER = 1.5
# So many running sequences, summed over ticks, tell what fits; and at least so many at once that
# it fits more than was learned.
_KV_TOLD = 10.0
_KV_MANY = 8
# Where it is that full, waiting requests may wait for the cache rather than for a sequence.
_KV_WAITED_FOR = 0.85

# Fewer inter-token gaps per second say nothing of a step.
_FLOW_MIN = 1.0
# More than any engine computes in a second.
_PROMPTS_MOST = 1e9
# Faster or slower than any engine's steps, in seconds, is a series that is no latency.
_STEP_S = (1e-5, 1e3)
# Slower than any engine at work, so that steps are not counted.
_STEPS_MIN = 0.01

# What a sequence can add to a step, in empty steps: h within 2..2000.
_PER_SEQUENCE = (1 / 2000, 1 / 2)
# The factors change little from the first round on.
_ROUNDS = 6

# An observation of ln s scatters by 0.05 on steady traffic; by 0.15 is believed before it is known.
_NOISE_FIRST = 0.15
_NOISE_CALM = 0.08
# How many times the scatter a change must be to count as one.
_DEVIATIONS = 4
# Share of a new observation in slow averages.
_SLOW = 0.1
_HALF = 0.5
# One glance at a pool that was just started sees a few seconds of it.
_TICKS_MIN = 2
# An engine whose limit was never seen: vLLM's default of max_num_seqs on most devices.
_SLOTS_ASSUMED = 256.0
# While the limit is unknown, nobody is given more sequences than the next power of two before the
# others: that is what people set (--max-num-seqs 16), and beyond it a burst may queue while slower
# servers have room. Not where so many run already, for a limit above that is seldom met unseen.
_TRIED_LEAST, _TRIED_MOST = 8.0, 64.0
# So many ticks nearly at it with nobody waiting, ten minutes by default, and it is doubled: a fast
# server beside slow ones that have room is never sent more by itself.
_TRIED_TICKS = 60.0
# A tick with somebody waiting takes back so many, for it may have been for another reason.
_TRIED_BACK = 5.0
# With so many prompt tokens per generated one steps are made of prompts, and how many sequences run
# says little of how many an engine takes. A limit that is tried already is given up at twice that,
# or it would come and go with the mix of requests.
_PROMPTS_RULE, _PROMPTS_RULE_KEPT = 16.0, 32.0
# Full enough that the next burst fills it.
_NEARLY = 0.8
# How often in a row fewer than the most may have run while requests waited before the most is
# forgotten; and only where it was far fewer, for some short answers are always just done when an
# engine is looked at, and a limit that is lost and found again is two reloads.
_UNSEEN_MOST = 40
# Sightings beyond this count half, so that an engine that was reconfigured is believed.
_SIGHTINGS_MOST = 20
# A limit is believed at the second sighting of the pool when most sightings agree, and at the third
# of one backend that nearly always agrees with itself.
_SIGHTINGS_POOL, _AGREEMENT_POOL = 2, 0.6
# Nobody runs an engine with fewer sequences, and small numbers meet by chance.
_LIMIT_LEAST = 4
# Computed tokens of a prompt; engines take 2,048 in a step by default at least.
_PROMPT_SHORT = 256
_SIGHTINGS_OWN, _MISSES_OWN = 3, 3

_LIMIT = "the engine's limit"
_SEEN = "more than the limit of others"
_KV = "KV cache"
_ASSUMED = "assumed"


@dataclass(slots=True)
class _Learned:
    """What is remembered of one backend; the fields are the names in the memory.

    Attributes:
        ticks: ticks with traffic; 0 while nothing is known of its steps.
        sequences_now: n of late.
        prompts_now: p of late.
        log_time_now: ln T of late.
        since_jump: ticks since the step was last seen to change at once.
        noise: variance of single observations of ln s.
        busy: mean number of sequences that decode.
        weight: number of observations in the sums below, old ones counted less.
        sequences: mean of n.
        prefill: mean of p.
        time: mean of T.
        nn: sum of squares of n about its mean.
        np: sum of products of n and p about their means.
        pp: sum of squares of p about its mean.
        nt: sum of products of n and T about their means.
        pt: the same of p and T.
        prompts: prompt tokens, old ones counted less.
        tokens: generated tokens, in the same way.
        kv_running: running sequences, summed over ticks, old ones counted less.
        kv_used: share of the cache in use, in the same way.
        kv_changed: ticks in a row in which the cache held far fewer or more than learned.
        most: most sequences that were seen to run.
        hits: ticks in which requests waited while so many ran.
        misses: ticks in which requests waited while fewer ran.
        unseen: those of them since so many ran last.
        lately: most that ran in these.
        limit: the engine's own limit of sequences; 0 while unknown.
        full: 1 once its slots were nearly all taken.
        limited: 1 once its slots were wanted as a limit, for more than a trial.
        tried: sequences that it was given for a trial, or more than that once it has ended; 0
            where there was none.
        quiet: ticks in which nearly so many ran and no request waited, less those in which one did.
    """

    ticks: float = 0.0
    sequences_now: float = 0.0
    prompts_now: float = 0.0
    log_time_now: float = 0.0
    since_jump: float = 0.0
    noise: float = 0.0
    busy: float = 0.0
    weight: float = 0.0
    sequences: float = 0.0
    prefill: float = 0.0
    time: float = 0.0
    nn: float = 0.0
    np: float = 0.0
    pp: float = 0.0
    nt: float = 0.0
    pt: float = 0.0
    prompts: float = 0.0
    tokens: float = 0.0
    kv_running: float = 0.0
    kv_used: float = 0.0
    kv_changed: float = 0.0
    most: float = 0.0
    hits: float = 0.0
    misses: float = 0.0
    unseen: float = 0.0
    lately: float = 0.0
    limit: float = 0.0
    full: float = 0.0
    limited: float = 0.0
    tried: float = 0.0
    quiet: float = 0.0

    def numbers(self) -> dict[str, float]:
        """The fields by name, as they are remembered."""
        # dataclasses.asdict copies deeply, which takes longer than all the rest of a tick.
        return dict(zip(_NAMES, _numbers(self), strict=True))

    def log_step(self, line: "_Line") -> float:
        """Ln s."""
        return self.log_time_now - math.log(line.factor(self.sequences_now, self.prompts_now))


@dataclass(frozen=True, slots=True)
class _Line:
    """How a step grows: 1 / h per sequence, 1 / g per prompt token."""

    per_sequence: float
    per_prompt_token: float

    def factor(self, sequences: float, prompts: float) -> float:
        """How many times longer than an empty step."""
        return 1 + sequences * self.per_sequence + prompts * self.per_prompt_token


_NAMES = tuple(field.name for field in fields(_Learned))
_numbers = attrgetter(*_NAMES)
# Logarithms and products about means; nothing else that is remembered can be below zero.
_SIGNED = frozenset({"log_time_now", "np", "nt", "pt"})
# Numbers that are learned stay far within these.
_NUMBER_LEAST, _NUMBER_MOST, _LOG_MOST = 1e-9, 1e30, 50.0


@dataclass(frozen=True, slots=True)
class _Carried:
    """What backends of one kind can carry.

    Attributes:
        tokens_per_s: C.
        slots: N.
        admitted: sequences within the latency objective, where it can be kept at all.
        step_s: s.
        bound: what limits the slots, for a person.
    """

    tokens_per_s: float
    slots: float
    admitted: float
    step_s: float
    bound: str


@dataclass(frozen=True, slots=True)
class Capacity:
    """The policy with its parameters.

    Attributes:
        itl_limit_s: inter-token latency in seconds that admission keeps.
        admit_share: share of the sequences that would just keep it which are admitted, since load
            and prompts come in bursts.
        max_num_seqs: the engines' own limit of sequences, where it is known and the same for all;
            without it, it is found out.
        sequences_double: sequences that double a step (h), as long as nothing is learned; 40 to 90
            for 8-billion-parameter models.
        prompts_double: prompt tokens that do (g), in the same way; 100 to 250 on present devices.
        gain: share of a new observation in the estimate of a step.
        jump: least change of a step, as a logarithm, that is believed at once.
        alike: logarithm of the ratio of steps up to which backends count as equally fast: to treat
            equals as equals costs less than a weight that is wrong by the noise.
        alike_slots: the same for slots; contexts differ more than steps.
        memory: share of the older observations that each tick keeps.
    """

    name: ClassVar[str] = "capacity"
    needs: ClassVar[frozenset[Signal]] = frozenset(
        {Signal.RUNNING, Signal.WAITING, Signal.ITL_SECONDS_RATE, Signal.ITL_COUNT_RATE}
    )

    itl_limit_s: float = 0.1
    admit_share: float = 0.7
    max_num_seqs: int | None = None
    sequences_double: float = 60.0
    prompts_double: float = 120.0
    gain: float = 0.25
    jump: float = 0.25
    alike: float = 0.25
    alike_slots: float = 0.7
    memory: float = 0.97

    def __post_init__(self) -> None:
        """Refuse parameters that make no estimator.

        Raises:
            ValueError: Each fault in a sentence.
        """
        ranges: Sequence[tuple[str, float, float, str]] = (
            ("itl_limit_s", 1e-3, 60.0, "seconds in 0.001..60"),
            ("admit_share", 0.01, 1.0, "a share in 0.01..1"),
            ("max_num_seqs", 1, 1e6, "a number in 1..1000000"),
            ("sequences_double", 2.0, 2000.0, "a number in 2..2000"),
            ("prompts_double", 2.0, 1e6, "a number in 2..1000000"),
            ("gain", 0.01, 1.0, "a share in 0.01..1"),
            ("jump", 0.01, 10.0, "a number in 0.01..10"),
            ("alike", 0.0, 10.0, "a number in 0..10"),
            ("alike_slots", 0.0, 10.0, "a number in 0..10"),
            ("memory", 0.5, 0.999, "a share in 0.5..0.999"),
        )
        faults = [
            f"{name}: expected {words}, got {getattr(self, name)}"
            for name, least, most, words in ranges
            if getattr(self, name) is not None and not least <= getattr(self, name) <= most
        ]
        if faults:
            raise ValueError("; ".join(faults))

    def step(
        self, signals: Mapping[str, Mapping[str, float]], memory: PolicyMemory
    ) -> tuple[Targets, PolicyMemory]:
        """Learn from this tick, and weigh every backend by what it carries."""
        known = _remembered(memory)
        line = self._line(known)
        for address in sorted(signals):
            learned = known.setdefault(address, _Learned())
            self._see_slots(learned, signals[address])
            self._see_step(learned, signals[address], line)
        _find_limits([known[address] for address in sorted(signals)])
        carried = self._carried(known)
        for address in signals.keys() & carried.keys():
            if known[address].most >= _NEARLY * carried[address].slots:
                known[address].full = 1.0
        tried = self._tried(known.values())
        targets = self._targets(list(signals), known, carried, tried)
        for address in targets.max_conns.keys() - targets.tried:
            known[address].limited = 1.0
        for address in signals:
            if known[address].tried or address in targets.tried:
                _try(known[address], tried, signals[address])
        later = dict(memory) | {address: known[address].numbers() for address in signals}
        return targets, later

    def neutral(self, backends: Sequence[str], memory: PolicyMemory) -> Mapping[str, float]:
        """What was learned, and the median for a backend of which nothing was."""
        return _weights(backends, self._carried(_remembered(memory)))

    def _see_slots(self, learned: _Learned, signals: Mapping[str, float]) -> None:
        """Learn how many sequences fit into the cache, and how many the engine runs at most."""
        running = signals[Signal.RUNNING]
        used = signals.get(Signal.KV_USAGE, 0.0)
        if _KV_MIN < used <= 1 and running >= 1:
            # Sums, so that a tick counts by the number of sequences it tells of.
            fits, fitted = running / used, _ratio(learned.kv_running, learned.kv_used)
            # A few long contexts fill a small cache, too.
            far = math.exp(_KV_CHANGED + _KV_SCATTER / math.sqrt(running))
            shrunk = used > _KV_CROWDED and fits * far < fitted
            freed = running >= _KV_MANY and 0 < fitted * far < fits
            learned.kv_changed = learned.kv_changed + 1 if shrunk or freed else 0.0
            if learned.kv_changed > 1:
                learned.kv_running = learned.kv_used = learned.kv_changed = 0.0
            learned.kv_running = self.memory * learned.kv_running + running
            learned.kv_used = self.memory * learned.kv_used + used
        _see_limit(learned, signals)

    def _see_step(self, learned: _Learned, signals: Mapping[str, float], line: _Line) -> None:
        """Learn the length of an empty step, and how load makes steps longer."""
        decoding, flow = signals[Signal.ITL_SECONDS_RATE], signals[Signal.ITL_COUNT_RATE]
        if flow < _FLOW_MIN or not _STEP_S[0] <= decoding / flow <= _STEP_S[1]:
            return
        prompts = _prompts(signals)
        learned.prompts = self.memory * learned.prompts + prompts
        # There are at least as many tokens as gaps between them.
        generated = max(flow, signals.get(Signal.GENERATION_RATE, 0.0))
        learned.tokens = self.memory * learned.tokens + generated
        sequences, prefill, time = _point(signals)
        if not learned.ticks:
            learned.ticks = learned.weight = learned.since_jump = 1.0
            learned.noise, learned.busy = _NOISE_FIRST**2, decoding
            learned.sequences = learned.sequences_now = sequences
            learned.prefill = learned.prompts_now = prefill
            learned.time, learned.log_time_now = time, math.log(time)
            return
        learned.ticks += 1
        learned.since_jump += 1
        # A tick with little traffic says little; it is counted by sequences, for of tokens a server
        # that is throttled has few just then.
        weight = min(1.0, decoding / learned.busy)
        learned.busy += _SLOW * (decoding - learned.busy)
        off = math.log(time / line.factor(sequences, prefill)) - learned.log_step(line)
        limit = max(self.jump, _DEVIATIONS * math.sqrt(learned.noise))
        gain = 1.0
        if abs(off) > limit and weight >= _HALF:
            learned.since_jump = 1.0
            # The level changed, not the slope.
            learned.time *= math.exp(off)
            learned.nt *= math.exp(off)
            learned.pt *= math.exp(off)
        else:
            calm = _NOISE_CALM / max(_NOISE_CALM, math.sqrt(learned.noise))
            gain = weight * max(self.gain * calm, 1 / learned.since_jump)
            # What is far off in a tick with little traffic may be a change, and is no scatter yet.
            if abs(off) <= limit:
                learned.noise += _SLOW * (off * off - learned.noise)
        learned.sequences_now += gain * (sequences - learned.sequences_now)
        learned.prompts_now += gain * (prefill - learned.prompts_now)
        learned.log_time_now += gain * (math.log(time) - learned.log_time_now)
        _regress(learned, (sequences, prefill, time), self.memory)

    def _line(self, known: Mapping[str, _Learned]) -> _Line:
        """The line that fits how T moves within all backends best, in the mean of squares.

        Relative to its mean, T moves by ((n - mean n) / h + (p - mean p) / g) / F, where F is the
        factor at the means. F follows from h and g in turn, so a few rounds are made. The
        parameters count like one observation at twice the usual load.
        """
        first = _Line(1 / self.sequences_double, 1 / self.prompts_double)
        seen = [learned for _, learned in sorted(known.items()) if learned.ticks]
        if not seen:
            return first
        usual = [
            math.fsum(each.sequences for each in seen) / len(seen),
            math.fsum(each.prefill for each in seen) / len(seen),
        ]
        line = first
        for _ in range(_ROUNDS):
            factor = line.factor(usual[0], usual[1])
            squares = [(usual[0] / factor) ** 2, (usual[1] / factor) ** 2]
            nn, np, pp = [squares[0]], [0.0], [squares[1]]
            nt, pt = [squares[0] * first.per_sequence], [squares[1] * first.per_prompt_token]
            for each in seen:
                factor = line.factor(each.sequences, each.prefill)
                nn.append(each.nn / factor**2)
                np.append(each.np / factor**2)
                pp.append(each.pp / factor**2)
                nt.append(each.nt / (each.time * factor))
                pt.append(each.pt / (each.time * factor))
            line = _solved(
                math.fsum(nn), math.fsum(np), math.fsum(pp), math.fsum(nt), math.fsum(pt)
            )
        return line

    def _carried(self, known: Mapping[str, _Learned]) -> dict[str, _Carried]:
        """What each backend carries; nothing until there is more than a first glance."""
        seen = {address: each for address, each in sorted(known.items()) if each.ticks}
        longest = max((each.ticks for each in seen.values()), default=0.0)
        if longest < _TICKS_MIN:
            return {}
        line = self._line(known)
        prompts = math.fsum(each.prompts for each in seen.values())
        tokens = math.fsum(each.tokens for each in seen.values())
        per_slot = line.factor(1, _ratio(prompts, tokens)) - 1
        # Engines of a pool mostly have the same limit.
        limit = float(self.max_num_seqs or max(each.limit for each in seen.values()))
        noises = sorted(math.sqrt(each.noise) for each in seen.values())
        alike = max(self.alike, 1 / longest, 2 * noises[len(noises) // 2])
        carried: dict[str, _Carried] = {}
        steps = {address: each.log_step(line) for address, each in seen.items()}
        for kind in _clusters(steps, alike):
            step_s = math.exp(math.fsum(steps[address] for address in kind) / len(kind))
            within = self.admit_share * (self.itl_limit_s / step_s - 1) / per_slot
            caches = _alike_caches({a: seen[a] for a in kind}, self.alike_slots)
            for same in (part for cache in caches for part in _alike_limits(cache, seen)):
                members = [seen[address] for address in same]
                slots, bound = _slots(members, limit)
                rate = slots / (step_s * (1 + slots * per_slot))
                room = self._room(members)
                # Where one sequence is too slow already, turning others away helps nobody.
                admitted = min(room, within) if within >= 1 else room
                one = _Carried(rate, slots, admitted, step_s, bound)
                carried |= dict.fromkeys(same, one)
        return carried

    def _room(self, same: Sequence[_Learned]) -> float:
        """How many sequences are known to fit, for admission.

        A limit that was found is left out: while requests are turned away at it none would wait,
        so a wrong one could never be seen to be wrong.
        """
        return min(_kv_slots(same) or math.inf, float(self.max_num_seqs or _SLOTS_ASSUMED))

    def _tried(self, pool: Collection[_Learned]) -> float:
        """How many sequences a server is given before others, lest a limit be met unknown."""
        before = max((each.tried for each in pool), default=0.0)
        rule = _PROMPTS_RULE_KEPT if before else _PROMPTS_RULE
        prompts = math.fsum(each.prompts for each in pool)
        known = self.max_num_seqs or any(each.limit for each in pool)
        if known or prompts > rule * math.fsum(each.tokens for each in pool):
            return 0.0
        if any(each.tried == before and each.quiet >= _TRIED_TICKS for each in pool):
            before *= 2
        most = max((each.most for each in pool), default=0.0)
        return max(before, 2.0 ** math.ceil(math.log2(max(most, _TRIED_LEAST))))

    def _targets(
        self,
        backends: Sequence[str],
        known: Mapping[str, _Learned],
        carried: Mapping[str, _Carried],
        tried: float,
    ) -> Targets:
        weights = _weights(backends, carried)
        details = {
            address: f"carries {one.tokens_per_s:.0f} tokens/s: {1e3 * one.step_s:.1f} ms a step,"
            f" {one.slots:.0f} slots ({one.bound})"
            for address, one in carried.items()
            if address in weights
        }
        unknown = frozenset(weights.keys() - carried.keys())
        details |= dict.fromkeys(unknown, "no traffic to learn from yet")
        mine = {address: one for address, one in carried.items() if address in weights}
        slots, counted, on_trial = _limits(mine, known, carried, tried)
        admitted = {address: max(1, round(one.admitted)) for address, one in mine.items()}
        carries = {
            address: Carries(one.tokens_per_s, None if one.bound == _ASSUMED else one.slots)
            for address, one in carried.items()
        }
        return Targets(weights, details, slots, admitted, unknown, carries, counted, on_trial)


def _limits(
    mine: Mapping[str, _Carried],
    known: Mapping[str, _Learned],
    carried: Mapping[str, _Carried],
    tried: float,
) -> tuple[dict[str, int], frozenset[str], frozenset[str]]:
    """Who gets slots for a limit, and how many; whose are a count; and whose are a trial.

    Among equals the least loaded has a free slot as long as anyone has one, and a limit would only
    cost a reload. So would a limit that is never reached; and it would keep out who waits for a
    prompt to be computed rather than for a slot. One that was wanted once stays, lest it comes and
    goes with the noise.

    Args:
        mine: What those carry that are judged in this tick.
        known: What is remembered of all.
        carried: What all carry.
        tried: The sequences that are tried; 0 for no trial.
    """
    unlike = len(set(carried.values())) > 1
    crowded = {one for address, one in carried.items() if known[address].full}
    kept = {one for address, one in carried.items() if known[address].limited}
    began = {address for address in carried if known[address].tried}
    limited = {
        address
        for address, one in mine.items()
        if one.bound != _ASSUMED
        and (one in kept or (unlike and (one.bound == _LIMIT or one in crowded)))
    }
    most, on_trial = math.inf, frozenset[str]()
    if 0 < tried <= _TRIED_MOST and (unlike or began):
        # A file is wanted for the trial, so those that hold less get their limits with it.
        most, limited = tried, set(mine)
        on_trial = frozenset(address for address, one in mine.items() if tried < one.slots)
    slots = {address: max(1, round(min(mine[address].slots, most))) for address in limited}
    alone = len({each.limit for each in known.values() if each.limit}) <= 1
    # One of several limits is another one when a server that did not show it is taken for another
    # kind, so it counts where it was seen.
    counted = {
        address
        for address in limited
        if mine[address].bound == _LIMIT and (alone or known[address].limit == mine[address].slots)
    }
    # To have none is known where a trial has ended.
    ended = {address for address in began if known[address].tried > _TRIED_MOST}
    return slots, frozenset(counted | on_trial | (ended & mine.keys()) - limited), on_trial


def _remembered(memory: PolicyMemory) -> dict[str, _Learned]:
    """The memory with its types; what cannot have been learned is begun anew."""
    return {address: _learned(numbers) for address, numbers in memory.items()}


def _learned(numbers: Mapping[str, float]) -> _Learned:
    """A backend's memory; that of another version, or a damaged one, is as good as none."""
    values = [numbers.get(name, math.nan) for name in _NAMES]
    if not all(
        abs(value) < _NUMBER_MOST and (value >= 0 or name in _SIGNED)
        for name, value in zip(_NAMES, values, strict=True)
    ):
        return _Learned()
    learned = _Learned(*values)
    divisors = (learned.busy, learned.time, learned.weight, learned.since_jump)
    sound = min(divisors) > _NUMBER_LEAST and abs(learned.log_time_now) < _LOG_MOST
    return learned if not learned.ticks or sound else _Learned()


def _point(signals: Mapping[str, float]) -> tuple[float, float, float]:
    """A tick's n, p and T.

    Where steps are counted, n and p are means over steps, and so is T, as near as it can be told: a
    mean over gaps counts a step by its sequences, so it is too long when prompts come in bursts,
    and steps follow each other, so one lasts 1 / steps at most. Where they are not counted, steps
    are taken to follow each other while there is anything to decode, and a gap is seen by a
    sequence that has n others beside it, as when arrivals are independent.
    """
    decoding, flow = signals[Signal.ITL_SECONDS_RATE], signals[Signal.ITL_COUNT_RATE]
    prompts, gap_s = _prompts(signals), decoding / flow
    steps = signals.get(Signal.ENGINE_STEP_RATE, 0.0)
    if steps < _STEPS_MIN:
        return decoding + 1, -prompts * gap_s / math.expm1(-decoding), gap_s
    return flow / steps, prompts / steps, min(gap_s, 1 / steps)


def _prompts(signals: Mapping[str, float]) -> float:
    """Prompt tokens computed per second; a user's own PromQL can give anything."""
    return min(max(0.0, signals.get(Signal.PREFILL_RATE, 0.0)), _PROMPTS_MOST)


def _short_prompts(signals: Mapping[str, float]) -> bool:
    """Whether prompts are so short that nobody waits for those before him to be computed.

    Then a request that waits beside a cache with room waits for a sequence, even when so many run
    for the first time.
    """
    prompt = _ratio(_prompts(signals), signals.get(Signal.FINISHED_RATE, 0.0))
    return 0 < prompt <= _PROMPT_SHORT


def _regress(learned: _Learned, seen: tuple[float, float, float], keep: float) -> None:
    """Add a point to the sums, the older ones counted less (Welford's update)."""
    before = keep * learned.weight
    learned.weight = before + 1
    share = before / learned.weight
    by_n = seen[0] - learned.sequences
    by_p = seen[1] - learned.prefill
    by_t = seen[2] - learned.time
    learned.nn = keep * learned.nn + share * by_n * by_n
    learned.np = keep * learned.np + share * by_n * by_p
    learned.pp = keep * learned.pp + share * by_p * by_p
    learned.nt = keep * learned.nt + share * by_n * by_t
    learned.pt = keep * learned.pt + share * by_p * by_t
    learned.sequences += by_n / learned.weight
    learned.prefill += by_p / learned.weight
    learned.time += by_t / learned.weight


def _solved(nn: float, np: float, pp: float, nt: float, pt: float) -> _Line:
    """The least squares, where a sequence costs something and a prompt nothing at least."""
    least, most = _PER_SEQUENCE
    by_both = nn * pp - np * np
    per_prompt = (nn * pt - np * nt) / by_both if by_both > 0 else 0.0
    per_prompt = min(most, max(0.0, per_prompt))
    per_sequence = min(most, max(least, (nt - np * per_prompt) / nn))
    if pp > 0:
        per_prompt = min(most, max(0.0, (pt - np * per_sequence) / pp))
    return _Line(per_sequence, per_prompt)


def _see_limit(learned: _Learned, signals: Mapping[str, float]) -> None:
    """Count how often requests wait while so many sequences run as never more."""
    running, waiting = signals[Signal.RUNNING], signals[Signal.WAITING]
    grown = running > learned.most
    if grown:
        learned.most, learned.hits, learned.misses = running, 0.0, 0.0
    if running > learned.limit:
        learned.limit = 0.0
    if running >= learned.most:
        learned.unseen = learned.lately = 0.0
    if waiting > 0 and running >= 1 and signals.get(Signal.KV_USAGE, 0.0) < _KV_WAITED_FOR:
        if running < learned.most:
            learned.misses += 1
            learned.unseen += 1
            learned.lately = max(learned.lately, running)
        elif not grown or _short_prompts(signals):
            learned.hits += 1
        if learned.unseen > _UNSEEN_MOST and learned.lately < _NEARLY * learned.most:
            # The engine has another limit than it had, or is not at its limit when it queues.
            learned.most, learned.hits, learned.misses = learned.lately, 1.0, 0.0
            learned.unseen = learned.lately = 0.0
        if learned.hits + learned.misses > _SIGHTINGS_MOST:
            learned.hits, learned.misses = learned.hits / 2, learned.misses / 2


def _find_limits(present: Sequence[_Learned]) -> None:
    """Find the engines' own limits: requests wait, again and again, while the same number run.

    Engines of a pool mostly have the same limit, so sightings of the same number are added up.
    """
    sightings: dict[float, float] = {}
    for each in present:
        if each.hits > 0:
            sightings[each.most] = sightings.get(each.most, 0.0) + each.hits
    total = math.fsum(each.hits + each.misses for each in present)
    for each in present:
        agreed = sightings.get(each.most, 0.0)
        if (
            each.hits > 0
            and each.most >= _LIMIT_LEAST
            and (
                (agreed >= _SIGHTINGS_POOL and agreed >= _AGREEMENT_POOL * total)
                or (each.hits >= _SIGHTINGS_OWN and _MISSES_OWN * each.misses <= each.hits)
            )
        ):
            each.limit = each.most


def _try(learned: _Learned, tried: float, signals: Mapping[str, float]) -> None:
    """Count how long a trial says nothing: its limit is reached, and nobody waits."""
    if learned.tried != tried:
        learned.tried, learned.quiet = tried, 0.0
    elif signals[Signal.WAITING] > 0:
        learned.quiet = max(0.0, learned.quiet - _TRIED_BACK)
    elif signals[Signal.RUNNING] >= _NEARLY * tried > 0:
        learned.quiet += 1


def _slots(same: Sequence[_Learned], limit: float) -> tuple[float, str]:
    """How many sequences fit into each of these backends, and why no more.

    Args:
        same: Backends of one kind.
        limit: The limit of the engines of the pool; 0 when it is not known.
    """
    limit = max(each.limit for each in same) or limit
    most = max(each.most for each in same)
    slots = max(limit or _SLOTS_ASSUMED, most)
    bound = _ASSUMED
    if limit:
        bound = _LIMIT if most <= limit else _SEEN
    fits = _kv_slots(same)
    if 0 < fits < slots:
        slots, bound = fits, _KV
    return slots, bound


def _kv_slots(same: Sequence[_Learned]) -> float:
    """How many sequences the cache of each of these backends holds; 0 where it does not say."""
    running = math.fsum(each.kv_running for each in same)
    used = math.fsum(each.kv_used for each in same)
    return max(1.0, _KV_REACHED * running / used) if used > 0 else 0.0


def _alike_caches(kind: Mapping[str, _Learned], width: float) -> list[list[str]]:
    """Put backends of one speed together by the sequences that fit into their caches.

    Those whose caches were seen with few sequences count with most of their kind.
    """
    told = {a: each for a, each in kind.items() if each.kv_used and each.kv_running >= _KV_TOLD}
    if not told:
        return [sorted(kind)]
    fits = {a: math.log(_ratio(each.kv_running, each.kv_used)) for a, each in told.items()}
    clusters = _clusters(fits, width)
    max(clusters, key=len).extend(sorted(kind.keys() - told.keys()))
    return clusters


def _alike_limits(same: Sequence[str], seen: Mapping[str, _Learned]) -> list[list[str]]:
    """Put those apart that were seen to run more than the limit that others of them have."""
    limit = max(seen[address].limit for address in same)
    parts: tuple[list[str], list[str]] = ([], [])
    for address in same:
        parts[0 < limit < seen[address].most].append(address)
    return [part for part in parts if part]


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _clusters(values: Mapping[str, float], width: float) -> list[list[str]]:
    """Put those together that differ by no more than the width, from the smallest on."""
    clusters: list[list[str]] = []
    for address in sorted(values, key=lambda each: (values[each], each)):
        if clusters and values[address] - values[clusters[-1][0]] <= width:
            clusters[-1].append(address)
        else:
            clusters.append([address])
    return clusters


def _weights(backends: Sequence[str], carried: Mapping[str, _Carried]) -> dict[str, float]:
    """Weights in proportion to what is carried; the median for who has not been seen at work."""
    rates = sorted(one.tokens_per_s for one in carried.values())
    if not rates:
        return dict.fromkeys(backends, WEIGHT_MAX)
    top, middle = rates[-1], rates[len(rates) // 2]
    shares = {
        address: (carried[address].tokens_per_s if address in carried else middle) / top
        for address in backends
    }
    return {address: max(1.0, WEIGHT_MAX * share) for address, share in shares.items()}
