"""Ladders that mix OpenAI's and Anthropic's protocols, and several keys of one backend: the providers' own SDKs against `mainstay wall`."""

import openai
import pytest

from harness import Gateway
from test_wall import ASK, DIALECTS, Wall, ask, canonical, client

OTHER = {"openai": "anthropic", "anthropic": "openai"}
FAULTS = {"s04": False, "s08": True, "s07": True, "healthy": True}
"""What the backend of the caller's own dialect does, and whether a stream is asked for. `healthy` is of the other dialect alone."""


def config(wall: str) -> str:
    backends, routes = [], []
    for dialect in DIALECTS:
        path = "chat/completions" if dialect == "openai" else "messages"
        for fault in FAULTS:
            common = f"url: '{wall}', limit: none, retry: {{ attempts: 1 }}"
            first = OTHER[dialect] if fault == "healthy" else dialect
            backends.append(f"  {fault}-{dialect}: {{ {common}, protocol: {first}, model: {fault}/mixed-{dialect} }}")
            backends.append(
                f"  {fault}-{dialect}-other: {{ {common}, protocol: {OTHER[dialect]}, model: fallback/mixed-{fault}-{dialect}, prefill: true }}"
            )
            routes.append(
                f"""  - name: {fault}-{dialect}
    path: /{fault}/v1/{path}
    deadline: 60s
    stream: {{ first_token: 2s, gap: 5s, after_commit: continue }}
    ladder:
      - {{ level: 0, backend: {fault}-{dialect} }}
      - {{ level: 2, backend: {fault}-{dialect}-other }}
      - {{ level: 4, respond: {{ text: Later. }} }}"""
            )
    return "service: mixed\nbackends:\n" + "\n".join(backends) + "\nroutes:\n" + "\n".join(routes) + "\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("mixed")
    with Wall(directory) as wall, Gateway(directory, config(wall.url)) as gateway:
        yield wall, gateway


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_other_provider_answers_in_the_callers_dialect(place, dialect, fault):
    wall, gateway = place
    seen = ask(dialect, f"{gateway.url}/{fault}", FAULTS[fault])
    assert seen.error is None, repr(seen.error)
    assert seen.text == canonical(wall)
    assert seen.finish in ("stop", "end_turn")
    assert seen.usage
    other = wall.attempts(f"fallback/mixed-{fault}-{dialect}")
    assert len(other) == (0 if fault == "healthy" else 1)
    if fault == "s08":
        assert other[0]["prefill"], "it goes on from what the caller has"


def test_models_are_listed_for_both_sdks(place):
    _, gateway = place
    listed = [model.id for model in client("openai", f"{gateway.url}/s04").models.list()]
    assert listed == ["s04/mixed-openai", "fallback/mixed-s04-openai", "s04/mixed-anthropic", "fallback/mixed-s04-anthropic"]
    assert [model.id for model in client("anthropic", f"{gateway.url}/s04").models.list()] == listed


def test_one_key_of_three_is_good_and_every_request_is_answered(tmp_path_factory, monkeypatch):
    for name in ("ONE", "TWO", "THREE"):
        monkeypatch.setenv(f"MIXED_KEY_{name}", f"key-{name.lower()}")
    directory = tmp_path_factory.mktemp("keys")
    with Wall(directory) as wall:
        text = f"""
            service: keys
            backends:
              chat: {{ url: '{wall.url}', protocol: openai, keys: [env:MIXED_KEY_ONE, env:MIXED_KEY_TWO, env:MIXED_KEY_THREE], model: 'keyed,good=key-three', limit: none, retry: {{ attempts: 1 }} }}
            routes:
              - name: chat
                path: /v1/chat/completions
                deadline: 10s
                ladder: [{{ level: 0, backend: chat }}, {{ level: 4, respond: {{ text: Later. }} }}]
            """
        with Gateway(directory, text) as gateway:
            sdk = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="k")
            for _ in range(5):
                answer = sdk.chat.completions.create(model="any", messages=ASK)
                assert answer.choices[0].message.content == canonical(wall)
            attempts = wall.attempts("keyed,good=key-three")
            assert [it["status"] for it in attempts].count(200) == 5
            assert len(attempts) <= 5 + 4, "keys that ask too often rest"
            assert gateway.metric("mainstay_key_faults_total") == len(attempts) - 5
