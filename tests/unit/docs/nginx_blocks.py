"""What Nginx has against a piece of its configuration, wherever in a configuration it belongs."""

import itertools
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from controller.core.model import Server
from controller.core.render import Upstream, render
from lab.nginx import render_conf

_NAMED_POOL = re.compile(r"proxy_pass\s+https?://([A-Za-z_]\w*)\b(?!\.)")
_OWN_POOL = re.compile(r"^\s*upstream\s+(\S+)", re.MULTILINE)
_UPSTREAM_FILE = re.compile(r"\S*/upstream\.conf")
_LISTEN = re.compile(r"(?<=\blisten )[^\s;]+")


def faults_of(text: str, directory: Path) -> Iterator[str]:
    """What `nginx -t` says of a block of the file, of `http`, or of the server of deploy/nginx."""
    numbers = itertools.count()
    # A test opens what is listened on; a socket in a directory of our own is always free.
    text = _LISTEN.sub(lambda _: f"unix:{directory}/{next(numbers)}.sock", text)
    names = {"llm", *_NAMED_POOL.findall(text)} - set(_OWN_POOL.findall(text))
    pools = [Upstream(name, [Server("127.0.0.1:9")]) for name in sorted(names)]
    upstream = directory / "upstream.conf"
    upstream.write_text(render(pools).text)
    text = _UPSTREAM_FILE.sub(str(upstream), text)
    if re.match(r"\s*location\b", text):
        conf = _in_the_server_of_deploy(text, directory, upstream)
    elif re.search(r"^\s*http \{", text, re.MULTILINE):
        conf = text
    else:
        if str(upstream) not in text:
            text = f"include {upstream};\n{text}"
        conf = f"pid {directory}/nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{text}\n}}\n"
    file = directory / "nginx.conf"
    file.write_text(conf)
    done = subprocess.run(
        ["nginx", "-t", "-c", file, "-g", f"error_log {directory}/error.log;"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        yield done.stderr


def _in_the_server_of_deploy(text: str, directory: Path, upstream: Path) -> str:
    (directory / "locations.conf").write_text(text)
    return render_conf(
        {
            "LB_LISTEN": f"unix:{directory}/entry.sock",
            "LB_STATUS_LISTEN": f"unix:{directory}/status.sock",
            "LB_UPSTREAM_FILE": str(upstream),
            "LB_LOCATIONS": str(directory / "locations.conf"),
            "LB_RUN_DIR": str(directory),
            "LB_PID": str(directory / "nginx.pid"),
            "LB_LOG_DIR": str(directory),
            "LB_POOL": "llm",
            "LB_USER": "",
        }
    )
