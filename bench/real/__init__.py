"""How the controller compares with other routers in front of real vLLM servers on one machine.

The servers are vLLM's own, built for CPUs, with a tiny random model; only the duration of their
engine steps is modelled. docs/bench-real.md says how to run it and how to read what it writes.
"""
