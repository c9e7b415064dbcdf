"""The laboratory: real Prometheus, Nginx and simulated backends as child processes of this machine.

The demo, the tests and the benchmarks stand on it. Everything it starts listens on loopback, on a
free port, works in a directory it is given, and ends with the context that started it.
"""
