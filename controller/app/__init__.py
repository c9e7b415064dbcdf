"""The shell: configuration, loop, telemetry, HTTP interface, service and commands."""
