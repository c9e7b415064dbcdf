"""Pure decisions: from a snapshot and a memory to the upstream file that should be served."""
