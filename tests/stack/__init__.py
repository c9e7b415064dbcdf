"""The whole stack in containers, and the same scenarios on native processes."""
