"""A fleet in virtual time: engines, Nginx, Prometheus and the controller's own tick."""
