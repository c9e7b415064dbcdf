"""Set-up and checks of the project itself."""
