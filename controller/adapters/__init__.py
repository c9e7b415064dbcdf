"""I/O at the edges: Prometheus, Nginx, names and the state file, unaware of each other."""
