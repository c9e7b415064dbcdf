"""A stand-in for vLLM servers: a pure engine model, and a real-time server around it."""
