"""On the PYTHONPATH of the vLLM servers: what importlib finds there are a plugin and a name."""
