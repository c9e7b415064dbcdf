"""What goes wrong for readers of docs/troubleshooting.md, caused for real.

Each trouble is a function that breaks something, asks what the page tells to ask, and returns what
was said, with the addresses and paths of the page in it.
"""
