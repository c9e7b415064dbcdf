"""One target that speaks for a whole fleet: `python -m bench.fleet_exporter PORT BACKENDS`.

Prometheus scrapes it with `honor_labels`, so that thousands of instances cost one connection.
Counters grow with time, each backend at its own rate, so that rates are real fractions.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_GAUGES = {
    "vllm:num_requests_running": "7",
    "vllm:num_requests_waiting": "0",
    "vllm:kv_cache_usage_perc": "0.4218750000000001",
    "up": "1",
}
_COUNTERS = {
    "vllm:num_preemptions_total": 0.013,
    "vllm:prompt_tokens_total": 913.7,
    "vllm:generation_tokens_total": 388.3,
    "vllm:inter_token_latency_seconds_sum": 7.31,
    "vllm:inter_token_latency_seconds_count": 371.9,
    "vllm:iteration_tokens_total_count": 48.1,
}
_LABELLED = {
    "vllm:request_success_total": ('finished_reason="stop"', 1.7),
    "http_requests_total": ('handler="/v1/completions",method="POST",status="2xx"', 1.8),
    "vllm:prompt_tokens_by_source_total": ('source="local_compute"', 871.3),
    "vllm:engine_sleep_state": ('sleep_state="awake"', 0.0),
}


def instance(index: int) -> str:
    """The address of a backend of the fleet; none of them exists."""
    return f"10.{index // 65025}.{index // 255 % 255}.{index % 255 + 1}:8000"


def exposition(backends: int, age_s: float) -> str:
    """The metrics of the fleet, `age_s` seconds after its start."""
    lines = []
    for index in range(backends):
        label = f'instance="{instance(index)}"'
        model = f'{label},engine="0",model_name="m"'
        share = age_s * (1 + index % 7 / 10)
        lines += [
            f"{name}{{{label if name == 'up' else model}}} {value}"
            for name, value in _GAUGES.items()
        ]
        lines += [f"{name}{{{model}}} {rate * share!r}" for name, rate in _COUNTERS.items()]
        lines += [
            f"{name}{{{model},{more}}} {rate * share or 1!r}"
            for name, (more, rate) in _LABELLED.items()
        ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Serve until killed."""
    port, backends = int(sys.argv[1]), int(sys.argv[2])
    started_s = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = exposition(backends, time.monotonic() - started_s).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
