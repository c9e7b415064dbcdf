"""What happens when: the incidents that tests and pictures look for."""

from dataclasses import dataclass

# 2026-11-20 08:00 UTC: on a border of Prometheus's two-hour blocks, so that all fits into one.
START_S = 1_795_161_600
MINUTES = 120
# Time for the fleet to fill and for the controller to learn, before anything is recorded.
WARM_UP_MINUTES = 15
SCRAPE_S = 15


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that goes wrong, and is put right.

    Attributes:
        name: A short name.
        pool: The pool it happens to; "" for all.
        backend: The server it happens to; "" for a whole pool.
        start_min: When it begins, in minutes from the start.
        end_min: When the cause is gone.
        says: What happens, for a person.
    """

    name: str
    pool: str
    backend: str
    start_min: float
    end_min: float
    says: str

    def start_s(self, origin_s: float = START_S) -> float:
        """When it begins, as Unix time."""
        return origin_s + 60 * self.start_min

    def end_s(self, origin_s: float = START_S) -> float:
        """When its cause is gone, as Unix time."""
        return origin_s + 60 * self.end_min


INCIDENTS = {
    incident.name: incident
    for incident in (
        Incident(
            *("throttle", "llm", "10.0.0.12:8000", 8, 18),
            says="A GPU is throttled to 40 % of its clock: each step takes two and a half times "
            "as long, and its weight follows.",
        ),
        Incident(
            *("kv-full", "llm", "10.0.0.13:8000", 23, 40),
            says="Somebody's long documents, sent past Nginx, hold most of one KV cache: requests "
            "are preempted and queue.",
        ),
        Incident(
            *("stalled", "llm", "10.0.0.11:8000", 44, 51),
            says="An engine dies behind an API that goes on to accept requests; its gauges "
            "freeze. It is restarted at the end.",
        ),
        Incident(
            *("black-hole", "llm", "10.0.0.14:8000", 55, 62),
            says="A server answers every request with a 500 at once, so it looks idle and "
            "least_conn sends it more than its share.",
        ),
        Incident(
            *("down", "llm", "10.0.0.12:8000", 66, 74),
            says="A server is gone: it refuses connections and scrapes. It comes back with all "
            "its counters at 0.",
        ),
        Incident(
            *("blind", "", "", 78, 86),
            says="Prometheus answers the controller too late, so it holds all weights.",
        ),
        Incident(
            *("refused", "llm", "10.0.0.13:8000", 88, 95),
            says="Somebody broke nginx.conf just as a GPU is throttled: Nginx refuses every new "
            "file until the configuration is mended.",
        ),
        Incident(
            *("drift", "", "", 97, 104),
            says="Nginx was started anew from an old file and loads no other: what it serves is "
            "not what was confirmed.",
        ),
        Incident(
            *("overload", "llm", "", 105, 120),
            says="Twice the usual requests, more than all servers carry: what is too much is "
            "turned away.",
        ),
        Incident(
            *("burn", "qwen", "", 5, 33),
            says="More requests than three servers carry, in a pool that queues rather than "
            "sheds: most first tokens are late, and the objective burns.",
        ),
        Incident(
            *("slow-sglang", "qwen", "sglang-1:30000", 58, 78),
            says="One SGLang server is two and a half times as slow as its neighbours.",
        ),
    )
}
