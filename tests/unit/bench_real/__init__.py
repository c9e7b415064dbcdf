"""Tests of the bench on real vLLM: what it computes, without any server."""
