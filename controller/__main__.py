"""`python -m controller` is the command `vllm-nginx-lb`."""

from controller.app.cli import main

main()
