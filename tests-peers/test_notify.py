"""Alertmanager, a mail server and the reference library of Standard Webhooks: notices reach them as they should."""

import datetime
import email
import email.policy
import json
import os
import pathlib
import ssl
import subprocess
import time

import pytest
import standardwebhooks
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from harness import Process, StandIn, call, eventually, free_port

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH")

SECOND = 1_000_000_000

HOSTILE = "kept <b>\u001b[31m @everyone \u202e {{ $x }} \"}\r\nBcc: evil@example.org"


def written(nanos: int) -> str:
    return datetime.datetime.fromtimestamp(nanos / SECOND, datetime.UTC).isoformat().replace("+00:00", "Z")


def nanos(text: str) -> float:
    return instant(text).timestamp() * SECOND


def notice(purpose: str = "page", **more) -> dict:
    """A notice of an incident that was found a minute ago."""
    detected = time.time_ns() // SECOND * SECOND - 60 * SECOND
    told = {
        "purpose": purpose, "incident": "i-42", "service": "fraud", "environment": "production", "type": "latency",
        "severity": "sev2", "status": "detected", "title": "p99 is 3 times its target", "summary": "first\nsecond",
        "signals": ["latency burns"], "actions": ["pin score"], "route": "score", "detected": written(detected),
        "link": "https://mainstay.example/incidents/i-42",
    }
    return {**told, **more}


def notices(*arguments, told) -> dict:
    body = told if isinstance(told, bytes) else json.dumps(told).encode()
    command = [os.environ["NOTICES_BIN"], *arguments]
    return json.loads(subprocess.run(command, input=body, check=True, stdout=subprocess.PIPE, timeout=60).stdout)


def send(channel: dict, told: dict, delivery: str = "d-1") -> dict:
    return notices("send", json.dumps(channel), delivery, told=told)


class Alertmanager(Process):
    """An Alertmanager on a free loopback port that tells `webhook` of every group at once."""

    def __init__(self, directory: pathlib.Path, webhook: str):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        config = {
            "route": {"receiver": "team", "group_by": ["incident"], "group_wait": "0s", "group_interval": "1s"},
            "receivers": [{"name": "team", "webhook_configs": [{"url": webhook, "send_resolved": True}]}],
        }
        file = directory / "alertmanager.yml"
        # JSON is YAML.
        file.write_text(json.dumps(config))
        command = ["prometheus-alertmanager", f"--config.file={file}", f"--storage.path={directory / 'data'}",
                   f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
        super().__init__(command, directory / "alertmanager.log", cwd=directory)
        self.wait_until(f"{self.url}/-/ready")

    def alerts(self) -> list:
        return call(f"{self.url}/api/v2/alerts").json()


def taken(handler):
    handler.reply(200, {})


def instant(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def test_alertmanager_fires_and_ends_and_its_webhook_is_read(tmp_path):
    with StandIn(taken) as heard, Alertmanager(tmp_path, f"{heard.url}/alerts") as alertmanager:
        channel = {"alertmanager": alertmanager.url}
        found = notice(title=HOSTILE)
        assert send(channel, found) == {"outcome": "delivered", "provider": None}
        [alert] = eventually(alertmanager.alerts)
        labels = {"alertname": "MainstayIncident", "service": "fraud", "incident": "i-42", "severity": "sev2",
                  "route": "score"}
        assert alert["labels"] == labels
        assert alert["annotations"]["description"] == "first\nsecond"
        assert alert["annotations"]["summary"] == '[SEV2] fraud: kept <b> @everyone {{ $x }} "} Bcc: evil@example.org'
        assert alert["annotations"]["type"] == "latency"
        assert nanos(alert["startsAt"]) == pytest.approx(nanos(found["detected"]), abs=1000)
        # It goes on firing where nobody repeats it.
        assert instant(alert["endsAt"]) > datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=23)

        body = eventually(lambda: heard.calls and heard.calls[0][2])
        told = notices("alerts", told=body)
        assert told["firing"] and told["receiver"] == "team" and told["group_key"] == '{}:{incident="i-42"}'
        [read] = told["alerts"]
        assert read["labels"] == labels and read["annotations"] == alert["annotations"]
        assert read["firing"] and read["ends_at"] is None and read["fingerprint"] == alert["fingerprint"]
        assert read["generator"] == found["link"]
        assert instant(read["starts_at"]) == instant(alert["startsAt"])
        # Where it is not said, the fingerprint is computed as Alertmanager does.
        del body["alerts"][0]["fingerprint"]
        assert notices("alerts", told=body)["alerts"] == [read]

        # Sent twice, it is the same alert; somebody who has it does not end it.
        send(channel, found)
        send(channel, {**found, "purpose": "acknowledged", "status": "investigating"})
        [again] = alertmanager.alerts()
        assert again["fingerprint"] == alert["fingerprint"]

        # It became worse meanwhile, which is another alert to Alertmanager: its end is the end of both.
        send(channel, {**found, "severity": "sev1"})
        assert eventually(lambda: len(alertmanager.alerts()) == 2)
        ended = nanos(found["detected"]) + 30 * SECOND
        resolved = {**found, "purpose": "resolved", "status": "resolved", "severity": "sev1", "resolved": written(ended)}
        assert send(channel, resolved)["outcome"] == "delivered"
        assert eventually(lambda: alertmanager.alerts() == [])
        body = eventually(lambda: next((it for _, _, it in heard.calls if it["status"] == "resolved"), None))
        told = notices("alerts", told=body)
        [read] = [it for it in told["alerts"] if it["fingerprint"] == alert["fingerprint"]]
        assert not told["firing"] and not read["firing"]
        assert instant(read["ends_at"]).timestamp() * SECOND == pytest.approx(ended, abs=1000)


def test_what_alertmanager_does_not_know_is_refused(tmp_path):
    with StandIn(taken) as heard, Alertmanager(tmp_path, heard.url) as alertmanager:
        answer = send({"alertmanager": f"{alertmanager.url}/elsewhere"}, notice())
        assert answer["outcome"] == "refused" and "404" in answer["why"]
    assert send({"alertmanager": alertmanager.url}, notice())["outcome"] == "later"


class Mailbox:
    """Keeps what it gets; refuses some."""

    def __init__(self):
        self.mails = []
        self.refused = {}

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((session, envelope, mail))
        return "250 OK"


def authenticated(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"ann", b"plugh"), handled=False)


@pytest.fixture(params=["none", "start", "implicit"])
def post(request, tmp_path):
    """A mail server of each kind of TLS, with its handler and a channel that reaches it."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    handler, port, kind = Mailbox(), free_port(), request.param
    more = {
        "none": {"auth_require_tls": False},
        "start": {"tls_context": context, "require_starttls": True},
        "implicit": {"ssl_context": context, "auth_require_tls": False},
    }[kind]
    controller = Controller(handler, hostname="localhost", port=port, authenticator=authenticated, auth_required=True, **more)
    controller.start()
    channel = {"host": "localhost", "port": port, "tls": kind, "ca": str(tmp_path / "ca.pem"), "login": ["ann", "plugh"],
               "from": "mainstay <alerts@mainstay.example>", "to": ["team@example.org"]}
    yield kind, handler, channel
    controller.stop()


def test_mail_arrives_whole(post):
    kind, handler, channel = post
    assert send(channel, notice(title=f"größer: {HOSTILE}", email="bob@example.org")) == {"outcome": "delivered", "provider": None}
    assert send(channel, notice("resolved"), "d-2")["outcome"] == "delivered"
    (session, envelope, first), (_, _, second) = handler.mails
    assert (session.ssl is not None) == (kind == "start")
    assert envelope.mail_from == "alerts@mainstay.example"
    assert envelope.rcpt_tos == ["bob@example.org", "team@example.org"]
    assert first["subject"] == '[SEV2] fraud: größer: kept <b> @everyone {{ $x }} "} Bcc: evil@example.org'
    assert first["bcc"] is None and first["from"] == "mainstay <alerts@mainstay.example>"
    assert first["auto-submitted"] == "auto-generated"
    assert first["message-id"] == "<d-1@mainstay.example>" and second["message-id"] == "<d-2@mainstay.example>"
    assert first["references"] == second["references"] == first["in-reply-to"]
    text = first.get_content().replace("\r\n", "\n")
    assert "\nfirst\nsecond\n" in text and "- pin score\n" in text and "\x1b" not in text and "\u202e" not in text
    assert first.get_content_type() == "text/plain"


def test_mail_is_refused_or_comes_later(post):
    kind, handler, channel = post
    answer = send({**channel, "login": ["ann", "wrong-password"]}, notice())
    assert answer["outcome"] == "refused" and "535" in answer["why"] and "wrong-password" not in answer["why"]
    for code, outcome in [("550 no such mailbox", "refused"), ("450 greylisted", "later")]:
        handler.refused = {"team@example.org": code}
        assert send(channel, notice())["outcome"] == outcome
        # Another one takes it.
        assert send({**channel, "to": [*channel["to"], "bob@example.org"]}, notice())["outcome"] == "delivered"
    handler.refused = {}
    assert len(handler.mails) == 2
    if kind != "none":
        # A certificate that nobody vouches for.
        assert send({**channel, "ca": None}, notice())["outcome"] == "later"
        assert send({**channel, "host": "127.0.0.1"}, notice())["outcome"] == "later"
    if kind == "none":
        assert send({**channel, "tls": "start"}, notice())["outcome"] == "refused"
    assert len(handler.mails) == 2


def test_signatures_are_those_of_the_specification():
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    with StandIn(taken) as receiver:
        assert send({"webhook": f"{receiver.url}/in", "secret": secret}, notice(title="größer"))["outcome"] == "delivered"
    [(_, headers, document)] = receiver.calls
    headers = {name.lower(): value for name, value in headers.items()}
    # The body as it was written: keys in order, without spaces, characters as they are.
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=False)
    assert len(body.encode()) == int(headers["content-length"])
    told = standardwebhooks.Webhook(secret).verify(body, headers)
    assert told["title"] == "größer" and told["id"] == headers["webhook-id"] == headers["idempotency-key"] == "d-1"
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(secret).verify(body.replace("fraud", "other"), headers)
    other = standardwebhooks.Webhook("whsec_c2hhcmVkIHNlY3JldHNoYXJlZCBzZWNyZXQ=")
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        other.verify(body, headers)
