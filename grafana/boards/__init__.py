"""What each dashboard shows; one module per part of one."""
