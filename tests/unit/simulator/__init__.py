"""Tests of the simulator without sockets, in virtual time."""
