"""Two hours of a small fleet with scripted incidents, as Prometheus would have recorded them."""
