"""The checks of the blocks find what they are for."""

from pathlib import Path

import pytest

from scripts import check_docs
from tests.unit.docs.kinds import CHECKS, NEEDS_SERVERS
from tests.unit.docs.pages import blocks_of, words_of

KUBERNETES = "apiVersion: v1\nkind: Service\nmetadata: {}\n"
KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
WRONG = [
    ("sh", "if true; then\n", "sh -n"),
    ("sh", "frobnicate --all\n", "frobnicate"),
    ("sh", "echo $(frobnicate)\n", "frobnicate"),
    ("sh", "deploy/nginx/gone.sh > f\n", "deploy/nginx/gone.sh"),
    ("sh", "deploy/nginx/render.sh --frobnicate\n", "--frobnicate"),
    ("sh", "sudo -u nobody vllm-nginx-lb once --dryrun\n", "--dryrun"),
    ("sh", "/opt/vllm-nginx-lb/bin/vllm-nginx-lb explain\n", "explain"),
    ("sh", "python -m controller frobnicate\n", "frobnicate"),
    ("sh", "sh -c 'make gold'\n", "make gold"),
    ("sh", "make test GOLD=1\n", "GOLD"),
    ("sh", ".venv/bin/python -m bench.gone\n", "bench.gone"),
    ("sh", "python -m bench.suite --frobnicate\n", "--frobnicate"),
    ("sh", "python -m scripts.inventory --frobnicate\n", "--frobnicate"),
    ("sh", "promtool check rules rules/gone.yml\n", "rules/gone.yml"),
    ("sh", "docker compose --profile demo exec -T gone true\n", "gone"),
    ("sh", "docker compose exec controller frobnicate\n", "frobnicate"),
    ("sh", "docker compose run --rm controller gone\n", "gone"),
    ("sh", "kubectl apply -k deploy/gone\n", "deploy/gone"),
    ("sh", "kubectl kustomize deploy/gone\n", "deploy/gone"),
    ("sh", "install -m 644 x deploy/gone/y\n", "deploy/gone"),
    ("sh", "docker compose logs --tail 50 gone\n", "gone"),
    ("sh", "kubectl exec deploy/x -c y -- vllm-nginx-lb gone\n", "gone"),
    ("sh", "docker frobnicate\n", "frobnicate"),
    ("sh", "docker image frobnicate\n", "docker image has no subcommand frobnicate"),
    ("sh", "docker build -t vllm-nginx-lb/gone:0.1.0 .\n", "vllm-nginx-lb/gone"),
    ("sh", "docker pull vllm-nginx-lb/nginx:9.9.9\n", "vllm-nginx-lb/nginx:9.9.9"),
    ("sh", "docker compose frobnicate\n", "frobnicate"),
    ("sh", "docker-compose frobnicate\n", "frobnicate"),
    ("sh", "docker compose --profile gone up -d\n", "no profile gone"),
    ("sh", "docker compose --profile=gone up -d\n", "no profile gone"),
    ("sh", "docker compose up -d contoller\n", "no service contoller"),
    ("sh", "docker compose up -d --scale gone=2\n", "no service gone"),
    ("sh", "docker compose build --build-arg A=b gone\n", "no service gone"),
    ("sh", "docker compose ps gone\n", "no service gone"),
    ("sh", "docker compose cp gone:/etc/x .\n", "no service gone"),
    ("sh", "docker compose port gone 80\n", "no service gone"),
    ("sh", "systemctl frobnicate nginx\n", "frobnicate"),
    ("sh", "systemctl restart vllm-nginx-lb-gone\n", "vllm-nginx-lb-gone"),
    ("sh", "systemctl status nginx.timer\n", "nginx.timer"),
    ("sh", "systemctl kill --signal STOP gone\n", "gone"),
    ("sh", "journalctl -u vllm-nginx-lbb\n", "vllm-nginx-lbb"),
    ("sh", "journalctl -n 20 --unit=gone\n", "gone"),
    ("sh", "kubectl frobnicate\n", "frobnicate"),
    ("sh", "kubectl rollout frobnicate deployment/vllm-nginx-lb\n", "frobnicate"),
    ("sh", "kubectl rollout status deployment/gone\n", "deployment/gone"),
    ("sh", "kubectl -n inference get svc gone -o yaml\n", "svc/gone"),
    ("sh", "kubectl logs -f deploy/gone\n", "deploy/gone"),
    ("sh", "kubectl -n gone get pods\n", "no namespace"),
    ("sh", "kubectl logs deploy/vllm-nginx-lb -c gone\n", "no container gone"),
    ("sh", "kubectl create secret generic gone --from-file=token=x\n", "secret/gone"),
    ("sh", "promtool frobnicate\n", "frobnicate"),
    ("sh", "promtool check frobnicate\n", "promtool check has no subcommand frobnicate"),
    ("sh", "amtool --alertmanager.url http://a:9093 alert frobnicate\n", "frobnicate"),
    ("sh", "amtool config routes frobnicate\n", "amtool config routes"),
    ("sh", "pytest --frobnicate\n", "--frobnicate"),
    ("sh", ".venv/bin/python -m pytest tests/gone.py\n", "tests/gone.py"),
    ("sh", "make test PYTEST_ARGS=--frobnicate\n", "--frobnicate"),
    ("sh", "make bench-real REAL_ARGS='--quick --frobnicate'\n", "--frobnicate"),
    ("sh", "runuser -u nobody -- vllm-nginx-lb gone\n", "gone"),
    ("sh", "deploy/images/build.sh gone\n", "gone: expected"),
    ("sh", "deploy/images/fetch.sh controller\n", "takes no controller"),
    ("sh", "deploy/alertmanager/render.sh\n", "takes one word"),
    ("sh", "scripts/docker-engine.sh sotp\n", "sotp: expected start, stop"),
    ("sh", "scripts/docker-engine.sh start stop\n", "at most"),
    ("sh", "scripts/system-packages.sh nginx gone\n", "gone: expected"),
    ("console", "only output\n", "nobody types"),
    ("console", "$ frobnicate\n", "frobnicate"),
    ("yaml", "a: [\n", "not YAML"),
    ("yaml", "frobnicate: 1\n", "of no known file"),
    ("yaml", "control: {intervall: 10s}\n", "control.intervall"),
    ("yaml", "pools: [{name: llm, polcy: {}}]\n", "polcy"),
    ("yaml", "policy: {name: ladder, frobnicate: 1}\n", "frobnicate"),
    ("yaml", "scrape_configs: [{job_name: a, frobnicate: 1}]\n", "frobnicate"),
    ("yaml", "metric_relabel_configs: [{regex: '('}]\n", "missing closing"),
    ("yaml", "groups: [{name: a, rules: [{record: b, expr: 'sum('}]}]\n", "promtool"),
    ("yaml", "route: {receiver: gone}\nreceivers: [{name: a}]\n", "gone"),
    ("yaml", "services: {gone: {environment: {A: b}}}\n", "gone"),
    ("yaml", f"{KUSTOMIZATION}frobnicate: 1\n", "frobnicate"),
    ("yaml", KUBERNETES, "metadata has no name"),
    ("nginx", "server { listen 80; frobnicate on; }\n", "frobnicate"),
    ("nginx", "location / { proxy_pass http://a b; }\n", "proxy_pass"),
    ("promql", "sum(\n", "sum("),
    ("promql", "vllm_nginx_lb_gone\n", "vllm_nginx_lb_gone"),
    ("python", "def f(:\n", "invalid syntax"),
    ("json", "{'a': 1}", "property name"),
    ("toml", "a = \n", "value"),
    ("ini", "a = 1\n", "section"),
    ("env", "not a variable\n", "expected NAME=value"),
    ("dockerfile", "FRO debian:12\n", "FRO"),
    ("dockerfile", "COPY deploy/gone /\n", "deploy/gone"),
    ("logrotate", "/var/log/x { frobnicate\n}\n", "frobnicate"),
    ("http", "200 OK\n", "first line"),
]

RIGHT = [
    "docker --context other ps -a",
    "docker run --rm -p 8080:8080 vllm-nginx-lb/nginx:0.1.0",
    "docker kill --signal=USR1 NAME",
    "docker compose",
    "docker compose --env-file deploy/compose/vllm.env --profile vllm up -d --wait nginx",
    "docker compose logs -f --tail 50 --since 10m controller",
    "docker compose up -d --scale vllm-1=2 -t 5",
    "docker compose exec -u root nginx nginx -s reload",
    "docker compose exec -T $service true",
    "docker compose run --rm controller config",
    "docker compose cp nginx:/etc/nginx/nginx.conf x",
    "docker-compose down -v -t 5",
    "systemctl daemon-reload",
    "systemctl list-timers",
    "systemctl kill --signal=STOP mtail || :",
    "systemctl status 'vllm-nginx-lb*' UNIT",
    "journalctl -u vllm-nginx-lb -u nginx.service -n 20 --since today",
    "kubectl -n monitoring get deployment/prometheus-adapter",
    "kubectl -n inference get pods -l app.kubernetes.io/name=vllm-nginx-lb",
    "kubectl -n inference scale deployment vllm-qwen --replicas 2",
    "kubectl logs POD -c nginx",
    "kubectl logs -f deploy/vllm-nginx-lb",
    "kubectl logs deploy/vllm-nginx-lb -c mtail",
    "kubectl apply -k deploy/kubernetes/overlays/example",
    "promtool query instant http://127.0.0.1:9090 up",
    "amtool --alertmanager.url=http://a:9093 silence add instance=a --duration=2h",
    "pytest -q --maxfail=1 tests/unit/docs",
    'make test PYTEST_ARGS="-k render"',
    "deploy/images/build.sh controller nginx --build-arg PIP_INDEX_URL=URL",
    "deploy/images/build.sh",
    "deploy/alertmanager/render.sh /etc/prometheus/notify",
    "scripts/docker-engine.sh stop",
]


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        pytest.param(*each, marks=[pytest.mark.integration] if each[0] in NEEDS_SERVERS else [])
        for each in WRONG
    ],
)
def test_a_wrong_block_is_told(kind: str, text: str, told: str, tmp_path: Path) -> None:
    """A block that nobody could use is a fault, and the fault names what is wrong."""
    faults = list(CHECKS[kind](text, tmp_path))
    assert told in "\n".join(faults)


@pytest.mark.parametrize("command", RIGHT)
def test_a_right_command_is_no_fault(command: str, tmp_path: Path) -> None:
    """Values of options, placeholders and what is not ours are not taken for our names."""
    assert list(CHECKS["sh"](command, tmp_path)) == []


def test_every_kind_but_mere_text_has_a_wrong_example() -> None:
    """A check that never failed is none."""
    assert {kind for kind, _, _ in WRONG} | {"diff", "mermaid", "text"} == CHECKS.keys()


def test_blocks_are_found_wherever_they_stand() -> None:
    """A block in a list has its kind, its place and its text without the list's indentation."""
    page = "# A\n\n1. One:\n\n   ```sh\n   make test\n   ```\n\n~~~\nx\n~~~\n"
    found = [(block.place, block.kind, block.text) for block in blocks_of("p.md", page)]
    assert found == [("p.md:6", "sh", "make test\n"), ("p.md:10", "", "x\n")]


def test_words_are_found_in_sentences_and_tables() -> None:
    """Code within a sentence or a table is found; that in a block is not."""
    page = "A `b` c.\n\n| d | `e` |\n|---|---|\n| `f` | g |\n\n```sh\n`h`\n```\n"
    assert [word.text for word in words_of("p.md", page)] == ["b", "e", "f"]


def test_a_block_without_a_known_kind_is_a_fault(tmp_path: Path) -> None:
    """`make docs` names the line of a block that no check knows."""
    page = tmp_path / "page.md"
    page.write_text("# A\n\n```\nx\n```\n\n```frob\n```\n\n```sh\n```\n")
    told = [fault.split(":")[0] for fault in check_docs.faults(page, set())]
    assert told == ["3", "7"]
