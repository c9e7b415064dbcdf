"""Ideas that were tried in the simulated fleet, whichever way they fell; docs/research.md tells."""
