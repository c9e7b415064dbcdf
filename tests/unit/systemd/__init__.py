"""Plain hosts: services, their user and their directories, and the way from the script."""
