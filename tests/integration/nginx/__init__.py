"""The two ways to Nginx, the watcher and the entry point, against a real Nginx."""
