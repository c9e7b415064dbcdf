"""The dashboards as code, and what is needed to read them back."""
