"""Write what deploy/kubernetes takes over from elsewhere, or say which of it is stale.

python -m scripts.kubernetes            writes rules, dashboards and the draining patch
python -m scripts.kubernetes --check    writes nothing; exits 1 and names what is stale

Kustomize reads no file from outside the directory of a kustomization, hence copies.
"""

import argparse
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KUBERNETES = Path("deploy/kubernetes")
RULES = KUBERNETES / "components/monitoring/rules"
DASHBOARDS = KUBERNETES / "components/monitoring/dashboards"
DRAINING = "vllm-draining-patch.yaml"

RULE = """\
# Written by `python -m scripts.kubernetes` from {source}; change that file instead.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: vllm-nginx-lb-{name}
  labels:
    app.kubernetes.io/name: vllm-nginx-lb
spec:
"""

# Grafana's sidecar loads each ConfigMap with the label.
DASHBOARD = """\
# Written by `python -m scripts.kubernetes` from {source}; change that file instead.
apiVersion: v1
kind: ConfigMap
metadata:
  name: vllm-nginx-lb-dashboard-{name}
  labels:
    app.kubernetes.io/name: vllm-nginx-lb
    grafana_dashboard: "1"
data:
  vllm-nginx-lb-{name}.json: |
"""

COPY = "# Written by `python -m scripts.kubernetes` from {source}; change that file instead.\n"


def texts(root: Path) -> Mapping[Path, str]:
    """The text of every file that is made from another, by its path below the root.

    The source is indented, not parsed, so that its comments and its order stay.
    """
    made: dict[Path, str] = {}
    for source in sorted((root / "rules").glob("*.yml")):
        made[RULES / f"{source.stem}.yaml"] = _made(root, source, RULE, indent=2)
    for source in sorted((root / "grafana/dashboards").glob("*.json")):
        made[DASHBOARDS / f"{source.stem}.yaml"] = _made(root, source, DASHBOARD, indent=4)
    draining = root / "deploy/autoscaling" / DRAINING
    made[KUBERNETES / "overlays/example" / DRAINING] = _made(root, draining, COPY, indent=0)
    return made


def stale(root: Path) -> list[str]:
    """What differs from what its source makes, one sentence per file."""
    made = texts(root)
    faults = []
    for path, text in made.items():
        if not (root / path).exists():
            faults.append(f"{path} is missing")
        elif (root / path).read_text(encoding="utf-8") != text:
            faults.append(f"{path} is not what its source makes now")
    return faults + [f"{path} is made from nothing" for path in _strangers(root, made)]


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 when `--check` found a stale file."""
    parser = argparse.ArgumentParser(prog="python -m scripts.kubernetes", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 when stale")
    parser.add_argument("--root", type=Path, default=ROOT, help="where the project stands")
    options = parser.parse_args(arguments)
    if options.check:
        faults = stale(options.root)
        for fault in faults:
            sys.stderr.write(f"{fault}; run python -m scripts.kubernetes\n")
        return 1 if faults else 0
    made = texts(options.root)
    for path in _strangers(options.root, made):
        (options.root / path).unlink()
    for path, text in made.items():
        (options.root / path).parent.mkdir(parents=True, exist_ok=True)
        (options.root / path).write_text(text, encoding="utf-8")
    return 0


def _made(root: Path, source: Path, head: str, indent: int) -> str:
    body = textwrap.indent(source.read_text(encoding="utf-8"), " " * indent)
    return head.format(source=source.relative_to(root), name=source.stem) + body


def _strangers(root: Path, made: Mapping[Path, str]) -> list[Path]:
    """Files in the directories of made ones whose source is gone."""
    present = [
        path.relative_to(root)
        for directory in (RULES, DASHBOARDS)
        for path in sorted((root / directory).glob("*.yaml"))
    ]
    return [path for path in present if path not in made]


if __name__ == "__main__":
    sys.exit(main())
