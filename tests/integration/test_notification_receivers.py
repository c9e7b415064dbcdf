"""What each receiver is sent by a real Alertmanager, and what happens while it does not answer."""

from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import pytest

from lab.alertmanager import alertmanager, rendered
from lab.processes import free_port
from lab.receivers import WebhookReceiver, mail_server, webhook_receiver
from tests.integration.notified import QUICK, alert, to_mail, to_webhook, until

pytestmark = pytest.mark.integration
DOWN = alert(
    alertname="BackendDown", severity="warning", team="serving", model_name="m", instance="a:1"
)
STALLED = alert(
    alertname="BackendStalled", severity="critical", team="serving", model_name="m", instance="a:1"
)


@pytest.fixture
def webhook() -> Iterator[WebhookReceiver]:
    """A receiver of webhooks."""
    with webhook_receiver() as running:
        yield running


def test_mail_waits_for_its_server(tmp_path: Path) -> None:
    """A mail that could not be sent is sent once the mail server is back."""
    port = free_port()
    smtp = {
        "email_to": "a@example.com",
        "email_from": "b@example.com",
        "smtp": f"127.0.0.1:{port}",
        "smtp_tls": "off",
    }
    config = rendered(tmp_path / "notify", {**QUICK, **smtp})
    with alertmanager(tmp_path, config) as running:
        running.post([DOWN])
        failed = "alertmanager_notification_requests_failed_total"
        until(lambda: running.count(failed, integration="email") > 0)
        with mail_server(port=port) as server:
            until(lambda: server.mails)
        assert server.mails[0].subject.startswith("[FIRING 1] warning BackendDown: ")


def test_webhook_waits_for_its_receiver(tmp_path: Path, webhook: WebhookReceiver) -> None:
    """What was answered by a 500 is sent again until it is taken, and then no more."""
    hooks = to_webhook(tmp_path / "secrets", webhook, "webhook")
    webhook.status = HTTPStatus.INTERNAL_SERVER_ERROR
    config = rendered(tmp_path / "notify", {**QUICK, **hooks})
    with alertmanager(tmp_path, config) as running:
        running.post([DOWN])
        until(lambda: webhook.deliveries)
        assert not webhook.to("/webhook")
        webhook.status = HTTPStatus.OK
        until(lambda: webhook.to("/webhook"))
        sent = "alertmanager_notifications_total"
        until(lambda: running.count(sent, integration="webhook") > 0)
    assert len(webhook.to("/webhook")) == 1


def test_mail_server_may_ask_for_a_password(tmp_path: Path) -> None:
    """The password is read from its file, and the mail server lets nobody in without it."""
    secret = tmp_path / "password"
    secret.write_text("s3cret")
    with mail_server(login=("serving", "s3cret")) as server:
        login = {"smtp_user": "serving", "smtp_password_file": secret}
        config = rendered(tmp_path / "notify", {**QUICK, **to_mail(server), **login})
        with alertmanager(tmp_path, config) as running:
            running.post([DOWN])
            until(lambda: server.mails)


def test_each_service_gets_the_shape_it_speaks(tmp_path: Path, webhook: WebhookReceiver) -> None:
    """Slack, PagerDuty, WeCom and plain webhooks are each sent what they understand."""
    names = ("slack", "webhook", "dingtalk", "wecom_bot")
    variables = to_webhook(tmp_path / "secrets", webhook, *names)
    for name in ("key", "token"):
        (tmp_path / name).write_text(f"the-{name}\n")
    variables |= {
        "pagerduty_key_file": tmp_path / "key",
        "pagerduty_url": f"{webhook.url}/pagerduty",
        "webhook_token_file": tmp_path / "token",
        "wecom_corp_id": "ww1",
        "wecom_agent_id": "1000002",
        "wecom_secret_file": tmp_path / "key",
        "wecom_url": f"{webhook.url}/cgi-bin/",
    }
    config = rendered(tmp_path / "notify", {**QUICK, **variables})
    with alertmanager(tmp_path, config) as running:
        running.post([STALLED])
        until(lambda: len({each.path.partition("?")[0] for each in webhook.deliveries}) == 6)
    came = {each.path.partition("?")[0]: each for each in webhook.deliveries}

    (attachment,) = came["/slack"].body["attachments"]
    assert attachment["title"] == "[FIRING 1] critical BackendStalled: BackendStalled happens"
    assert attachment["color"] == "danger"
    assert "Model: m" in attachment["text"]
    assert came["/pagerduty"].body["routing_key"] == "the-key"
    assert came["/pagerduty"].body["event_action"] == "trigger"
    page = came["/pagerduty"].body["payload"]
    assert page["severity"] == "critical"
    assert page["component"] == "m"
    assert "Instance: a:1" in page["custom_details"]["firing"]
    assert came["/webhook"].headers["Authorization"] == "Bearer the-token"
    for path in ("/webhook", "/dingtalk", "/wecom_bot"):
        assert came[path].body["version"] == "4"
        assert came[path].body["receiver"] == "serving-page"
    wecom = came["/cgi-bin/message/send"].body
    assert wecom["agentid"] == "1000002"
    assert wecom["text"]["content"].startswith("[FIRING 1] critical BackendStalled")


def test_warnings_do_not_page(tmp_path: Path, webhook: WebhookReceiver) -> None:
    """PagerDuty hears of critical alerts only."""
    (tmp_path / "key").write_text("the-key\n")
    pager = {
        "pagerduty_key_file": tmp_path / "key",
        "pagerduty_url": f"{webhook.url}/pagerduty",
    }
    hooks = to_webhook(tmp_path / "secrets", webhook, "webhook")
    config = rendered(tmp_path / "notify", {**QUICK, **pager, **hooks})
    with alertmanager(tmp_path, config) as running:
        running.post([DOWN, STALLED])
        until(lambda: len(webhook.to("/webhook")) == 2)
        until(lambda: webhook.to("/pagerduty"))
    assert len(webhook.to("/pagerduty")) == 1
    assert "BackendStalled" in webhook.to("/pagerduty")[0]["payload"]["summary"]


def test_nobody_set_up_means_nobody_told_but_all_seen(tmp_path: Path) -> None:
    """Without any receiver Alertmanager starts, and its pages show the alerts."""
    with alertmanager(tmp_path, rendered(tmp_path / "notify", {})) as running:
        running.post([DOWN, STALLED])
        assert running.inhibited() == {"BackendDown": False, "BackendStalled": False}
        assert running.count("alertmanager_notifications_total") == 0
