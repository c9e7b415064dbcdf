"""The receivers of the laboratory keep what came, as it came."""

import smtplib
import urllib.error
import urllib.request
from email.message import EmailMessage
from http import HTTPStatus

import pytest

from lab.receivers import mail_server, webhook_receiver


def mail() -> EmailMessage:
    """A mail in two forms, with a subject that has to be encoded."""
    message = EmailMessage()
    message["Subject"] = "zwölf · 12"
    message["From"] = "a@example.com"
    message["To"] = "b@example.com"
    message.set_content("plain ü\n")
    message.add_alternative("<p>rich ü</p>\n", subtype="html")
    return message


def test_mail_is_kept_decoded() -> None:
    """Subject, plain text and HTML come out as they were written."""
    with mail_server() as server:
        with smtplib.SMTP("127.0.0.1", server.port) as client:
            client.send_message(mail())
        (kept,) = server.mails
    assert kept.recipients == ("b@example.com",)
    assert (kept.subject, kept.text.rstrip(), kept.html.rstrip()) == (
        "zwölf · 12",
        "plain ü",
        "<p>rich ü</p>",
    )


def test_mail_server_with_a_login_takes_mail_from_nobody_else() -> None:
    """Without the password, and with a wrong one, nothing is kept; with it, the mail is."""
    with mail_server(login=("me", "s3cret")) as server:
        with smtplib.SMTP("127.0.0.1", server.port) as client:
            with pytest.raises(smtplib.SMTPDataError):
                client.send_message(mail())
            with pytest.raises(smtplib.SMTPAuthenticationError):
                client.login("me", "wrong")
            assert server.mails == []
            client.login("me", "s3cret")
            client.send_message(mail())
        assert len(server.mails) == 1


def test_webhook_answers_what_it_is_told_to() -> None:
    """A call that was refused is noted, and is not among those that were taken."""
    with webhook_receiver() as receiver:
        receiver.status = HTTPStatus.INTERNAL_SERVER_ERROR
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(f"{receiver.url}/x", b'{"n": 1}', timeout=5)
        refusal.value.close()
        receiver.status = HTTPStatus.OK
        with urllib.request.urlopen(f"{receiver.url}/x", b'{"n": 2}', timeout=5):
            pass
        assert [each.answered for each in receiver.deliveries] == [500, 200]
        assert receiver.to("/x") == [{"n": 2}]
        assert receiver.to("/y") == []
