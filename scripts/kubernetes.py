"""Write what deploy/kubernetes takes over from elsewhere, or say which of it is stale.

python -m scripts.kubernetes            writes rules, dashboards and the draining patch
python -m scripts.kubernetes --check    writes nothing; exits 1 and names what is stale

Kustomize reads no file from outside the directory of a kustomization, hence copies.
"""

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

from scripts.generated import Generated

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


def _made(root: Path, source: Path, head: str, indent: int) -> str:
    body = textwrap.indent(source.read_text(encoding="utf-8"), " " * indent)
    return head.format(source=source.relative_to(root), name=source.stem) + body


GENERATED = Generated(
    "scripts.kubernetes", texts, owned=(f"{RULES}/*.yaml", f"{DASHBOARDS}/*.yaml")
)

if __name__ == "__main__":
    sys.exit(GENERATED.main())
