"""The demo: three routers, one after the other, under the same load, on this machine.

`python -m lab.demo` starts simulated backends of unlike speed, Prometheus and Nginx, and sends the
same streaming requests through plain round robin, least_conn and least_conn with the controller.
"""
