"""Keeps the upstream weights of Nginx true to what each LLM backend can carry."""
