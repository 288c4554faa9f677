"""Sixteen faults of language models, and a few more: `mainstay wall` plays them, the providers' own SDKs meet them through the gateway.

The referee sees what the client and the wall saw, and nothing of the gateway's inside. A scenario is `pass` where its whole answer came (or, where that is
right, a clean refusal), `safe` where the client was told that it did not, and `fail` where it was told something that is not so, or nothing.
"""

import concurrent.futures
import dataclasses
import json
import os
import subprocess
import time

import anthropic
import openai
import pytest

from harness import Gateway, Process, call, eventually

ASK = [{"role": "user", "content": "Say it."}]
DIALECTS = ("openai", "anthropic")
STREAMED = {"s07", "s08", "s09", "s10", "s11", "s14"}
SCENARIOS = [f"s{n:02}" for n in range(1, 17)]
REQUESTS_S15 = 20
PAUSE_S15 = 5.0


@dataclasses.dataclass
class Seen:
    """What a client saw of one call."""

    text: str = ""
    model: str = ""
    finish: str | None = None
    usage: bool = False
    error: Exception | None = None
    took: float = 0.0


class Wall(Process):
    def __init__(self, directory):
        super().__init__([os.environ["MAINSTAY_BIN"], "wall", "--format", "json"], directory / "wall.log", cwd=directory)
        line = eventually(lambda: self.log.read_text().strip() or None)
        self.url = "http://" + json.loads(line.splitlines()[0])["listen"][0]

    def attempts(self, model: str) -> list:
        """The attempts at one model, in the order in which they came."""
        return [it for it in call(f"{self.url}/wall/attempts").json()["attempts"] if it["model"] == model]


def config(wall: str) -> str:
    backends, routes = [], []
    for dialect in DIALECTS:
        path = "chat/completions" if dialect == "openai" else "messages"
        for name in SCENARIOS:
            fallback = "fallback-noprefill" if name == "s14" else "fallback"
            prefill = "false" if name == "s14" else "true"
            after = "atomic" if name == "s14" else "continue"
            common = f"url: '{wall}', protocol: {dialect}, limit: none, retry: {{ attempts: 2 }}"
            backends.append(f"  {name}-{dialect}: {{ {common}, model: {name}/{dialect}, context: 8000 }}")
            backends.append(
                f"  {name}-{dialect}-fallback: {{ {common}, model: {fallback}/{name}-{dialect}, context: 32000, prefill: {prefill} }}"
            )
            routes.append(
                f"""  - name: {name}-{dialect}
    path: /{name}/v1/{path}
    deadline: 60s
    hysteresis: {{ up: 5s }}
    stream: {{ headers: 10s, first_token: 10s, gap: 5s, after_commit: {after} }}
    ladder:
      - {{ level: 0, backend: {name}-{dialect}, timeout: 20s }}
      - {{ level: 2, backend: {name}-{dialect}-fallback }}
      - {{ level: 4, respond: {{ text: Later. }} }}"""
            )
    return "service: wall\nbackends:\n" + "\n".join(backends) + "\nroutes:\n" + "\n".join(routes) + "\n"


def client(dialect: str, base: str):
    """The SDK as it comes: two retries, ten minutes."""
    if dialect == "openai":
        return openai.OpenAI(base_url=f"{base}/v1", api_key="k")
    return anthropic.Anthropic(base_url=base, api_key="k")


def ask(dialect: str, base: str, stream: bool) -> Seen:
    seen, began = Seen(), time.monotonic()
    try:
        (ask_openai if dialect == "openai" else ask_anthropic)(client(dialect, base), stream, seen)
    except (openai.OpenAIError, anthropic.AnthropicError) as error:
        seen.error = error
    seen.took = time.monotonic() - began
    return seen


def ask_openai(sdk, stream: bool, seen: Seen):
    if not stream:
        answer = sdk.chat.completions.create(model="any", messages=ASK)
        seen.text, seen.model, seen.usage = answer.choices[0].message.content, answer.model, answer.usage is not None
        seen.finish = answer.choices[0].finish_reason
        return
    for chunk in sdk.chat.completions.create(model="any", messages=ASK, stream=True, stream_options={"include_usage": True}):
        seen.model = chunk.model or seen.model
        seen.usage |= chunk.usage is not None
        for choice in chunk.choices:
            seen.text += choice.delta.content or ""
            seen.finish = choice.finish_reason or seen.finish


def ask_anthropic(sdk, stream: bool, seen: Seen):
    if not stream:
        answer = sdk.messages.create(model="any", max_tokens=500, messages=ASK)
        seen.text, seen.model, seen.usage = answer.content[0].text, answer.model, answer.usage.output_tokens > 0
        seen.finish = answer.stop_reason
        return
    with sdk.messages.stream(model="any", max_tokens=500, messages=ASK) as events:
        for event in events:
            if event.type == "text":
                seen.text += event.text
        whole = events.get_final_message()
        seen.model, seen.finish, seen.usage = whole.model, whole.stop_reason, whole.usage.output_tokens > 0


class Referee:
    """Scores one scenario in one dialect."""

    def __init__(self, wall: Wall, gateway: str, canonical: str, dialect: str):
        self.wall, self.gateway, self.canonical, self.dialect = wall, gateway, canonical, dialect

    def score(self, name: str) -> tuple[str, str]:
        if name == "s15":
            return self.comes_back()
        seen = ask(self.dialect, f"{self.gateway}/{name}", name in STREAMED)
        primary = self.wall.attempts(f"{name}/{self.dialect}")
        fallback = self.wall.attempts(f"{'fallback-noprefill' if name == 's14' else 'fallback'}/{name}-{self.dialect}")
        told = f"{seen.took:.1f} s, {len(primary)} + {len(fallback)} attempts"
        if name == "s13":
            refused = isinstance(seen.error, (openai.BadRequestError, anthropic.BadRequestError))
            return ("pass" if refused and len(primary) == 1 and not fallback else "fail"), f"{told}, {seen.error!r:.80}"
        whole = seen.error is None and seen.text == self.canonical and seen.finish is not None
        if not whole:
            truncated = seen.error is None
            return ("fail" if truncated else "safe"), f"{told}, {seen.error!r:.120}, {len(seen.text.split())} words"
        wrong = [what for what, holds in self.checks(name, seen, primary, fallback).items() if not holds]
        return ("fail" if wrong else "pass"), f"{told}{', not: ' + ', '.join(wrong) if wrong else ''}"

    def checks(self, name: str, seen: Seen, primary: list, fallback: list) -> dict:
        starts = [it["at"] for it in primary]
        by_fallback = seen.model.startswith("fallback")
        return {
            "s01": lambda: {
                "waits for two seconds": len(starts) == 2 and starts[1] - starts[0] >= 1.8,
                "answered by the same": not by_fallback,
            },
            "s02": lambda: {
                "at most 4 in 3 s": sum(at - starts[0] < 3 for at in starts) <= 4,
                "at most 6": len(starts) <= 6,
                "names the fallback": by_fallback,
            },
            "s03": lambda: {"asks the same again": len(starts) >= 2 and not by_fallback},
            "s04": lambda: {"at most 6": len(starts) <= 6, "names the fallback": by_fallback, "usage": seen.usage},
            "s05": lambda: {"answered": True},
            "s06": lambda: {"in 100 s": seen.took <= 100, "one attempt": len(starts) == 1},
            "s07": lambda: {"in 15 s": seen.took <= 15, "names the fallback": by_fallback},
            "s08": lambda: {"one attempt": len(starts) == 1},
            "s09": lambda: {"in 45 s": seen.took <= 45},
            "s10": lambda: {"by the same": not by_fallback and not fallback},
            "s11": lambda: {"in 8 s": seen.took <= 8, "usage": seen.usage, "by the same": not fallback},
            "s12": lambda: {"one attempt": len(starts) == 1, "names the fallback": by_fallback},
            "s14": lambda: {"no prefill": not any(it["prefill"] for it in fallback)},
            "s16": lambda: {"names the fallback": by_fallback, "usage": seen.usage},
        }[name]()

    def comes_back(self) -> tuple[str, str]:
        """Twenty requests over a minute and a half: down for the first minute."""
        began, answers = time.monotonic(), []
        for turn in range(REQUESTS_S15):
            time.sleep(max(0.0, began + turn * PAUSE_S15 - time.monotonic()))
            answers.append((time.monotonic() - began, ask(self.dialect, f"{self.gateway}/s15", False)))
        attempts = self.wall.attempts(f"s15/{self.dialect}")
        unanswered = sum(it.error is not None or it.text != self.canonical for _, it in answers)
        back = next((at - 60 for at, it in answers if at > 60 and it.model.startswith("s15")), None)
        stays = answers[-1][1].model.startswith("s15")
        down = sum(it["status"] != 200 for it in attempts)
        told = f"{unanswered} unanswered, back after {back if back is None else round(back, 1)} s, {down} attempts while down"
        return ("pass" if unanswered == 0 and back is not None and back <= 30 and stays else "fail"), told


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    directory = tmp_path_factory.mktemp("wall")
    with Wall(directory) as wall, Gateway(directory, config(wall.url)) as gateway:
        yield wall, gateway


def canonical(wall: Wall) -> str:
    answer = call(f"{wall.url}/v1/chat/completions", {"model": "fallback/plain", "messages": ASK}).json()
    return answer["choices"][0]["message"]["content"]


def test_all_sixteen_pass_with_both_sdks(place, capsys):
    wall, gateway = place
    text = canonical(wall)
    assert len(text.split()) == 60
    referees = {dialect: Referee(wall, gateway.url, text, dialect) for dialect in DIALECTS}
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        asked = {(name, dialect): pool.submit(referees[dialect].score, name) for name in SCENARIOS for dialect in DIALECTS}
        card = {key: it.result() for key, it in asked.items()}
    with capsys.disabled():
        print("\n| scenario | openai | anthropic | seen |\n|---|---|---|---|")
        for name in SCENARIOS:
            scores = [card[name, dialect] for dialect in DIALECTS]
            print(f"| {name.upper()} | {' | '.join(score for score, _ in scores)} | {'; '.join(told for _, told in scores)} |")
        for dialect in DIALECTS:
            print(f"{dialect}: {sum(card[name, dialect][0] == 'pass' for name in SCENARIOS)} of 16")
    assert {key: it for key, it in card.items() if it[0] != "pass"} == {}


def test_a_refused_start_never_shows(tmp_path_factory):
    """A config that says `prefill: true` of a model that refuses started answers: its 400 is not the caller's to read."""
    directory = tmp_path_factory.mktemp("declared")
    with Wall(directory) as wall:
        text = canonical(wall)
        lines = ["service: declared", "backends:"]
        for dialect in DIALECTS:
            for name, model in (("cut", "s14"), ("refuses", "fallback-noprefill"), ("goes-on", "fallback")):
                lines.append(f"  {name}-{dialect}: {{ url: '{wall.url}', protocol: {dialect}, model: {model}/{dialect}-declared, limit: none, prefill: true }}")
        lines.append("routes:")
        for dialect, path in zip(DIALECTS, ("chat/completions", "messages")):
            for route, last in (("alone", ""), ("both", f", {{ level: 3, backend: goes-on-{dialect} }}")):
                lines += [
                    f"  - name: {route}-{dialect}",
                    f"    path: /{route}/v1/{path}",
                    "    deadline: 30s",
                    "    stream: { after_commit: continue }",
                    f"    ladder: [{{ level: 0, backend: cut-{dialect} }}, {{ level: 2, backend: refuses-{dialect} }}{last}, {{ level: 4, respond: {{ text: Later. }} }}]",
                ]
        with Gateway(directory, "\n".join(lines) + "\n") as gateway:
            for dialect in DIALECTS:
                whole = ask(dialect, f"{gateway.url}/both", True)
                assert whole.error is None and whole.text == text, f"{dialect}: {whole}"
                # Nobody else goes on: the caller is told that it was cut, and of nothing else.
                told = ask(dialect, f"{gateway.url}/alone", True)
                assert told.error is not None and "prefill" not in str(told.error), f"{dialect}: {told}"
                assert text.startswith(told.text) and len(told.text.split()) >= 30
                refused = wall.attempts(f"fallback-noprefill/{dialect}-declared")
                assert refused and all(it["prefill"] and it["status"] == 400 for it in refused)


QUIRKS = {"bom": True, "crlf": True, "split": True, "long": True, "comments": True, "gzip": False, "html": False, "html-stream": False, "empty": False}
"""What a backend may do to a stream, and whether its own answer survives that; otherwise the fallback's comes."""


def test_unusual_streams_are_read_or_named(tmp_path_factory):
    directory = tmp_path_factory.mktemp("quirks")
    with Wall(directory) as wall:
        text = canonical(wall)
        lines = ["service: quirks", "backends:"]
        for quirk in QUIRKS:
            lines.append(f"  {quirk}: {{ url: '{wall.url}', protocol: openai, model: {quirk}/q, limit: none, retry: {{ attempts: 1 }} }}")
        lines.append(f"  other: {{ url: '{wall.url}', protocol: openai, model: fallback/q, limit: none }}")
        lines.append("routes:")
        for quirk in QUIRKS:
            lines += [
                f"  - name: {quirk}",
                f"    path: /{quirk}/v1/chat/completions",
                "    deadline: 30s",
                f"    ladder: [{{ level: 0, backend: {quirk} }}, {{ level: 2, backend: other }}, {{ level: 4, respond: {{ text: Later. }} }}]",
            ]
        with Gateway(directory, "\n".join(lines) + "\n") as gateway:
            for quirk, survives in QUIRKS.items():
                seen = ask("openai", f"{gateway.url}/{quirk}", True)
                assert seen.error is None, f"{quirk}: {seen.error!r}"
                assert seen.model.startswith(quirk if survives else "fallback"), f"{quirk}: {seen.model}"
                if quirk != "long":  # that one says more than the answer
                    assert seen.text.endswith(text), f"{quirk}: {seen.text[:200]}"


def test_a_dead_upstream_is_not_stormed(tmp_path_factory):
    """SDK and gateway retry each other's failures: the upstream must hardly notice."""
    directory = tmp_path_factory.mktemp("storm")
    with Wall(directory) as wall:
        text = f"""
            service: storm
            backends:
              down: {{ url: '{wall.url}', protocol: openai, model: down/storm, limit: none, retry: {{ attempts: 3 }} }}
            routes:
              - name: chat
                path: /v1/chat/completions
                deadline: 10s
                shed_before: 3
                ladder: [{{ level: 0, backend: down }}, {{ level: 4, respond: {{ text: Later. }} }}]
            """
        with Gateway(directory, text) as gateway:
            calls = 200
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                seen = list(pool.map(lambda _: ask("openai", gateway.url, False), range(calls)))
            assert all(it.error is None and it.text == "Later." for it in seen)
            amplified = len(wall.attempts("down/storm")) / calls
            print(f"upstream attempts per call: {amplified:.3f}")
            assert amplified <= 1.1


def test_a_dead_upstream_is_not_stormed_while_its_breaker_stays_closed(tmp_path_factory):
    """Nobody answers, no breaker helps, and the SDK comes again as often as it is told to: the retry budget alone bounds what reaches the upstream."""
    directory = tmp_path_factory.mktemp("closed")
    with Wall(directory) as wall:
        text = f"""
            service: closed
            backends:
              down: {{ url: '{wall.url}', protocol: openai, model: down/closed, limit: none, retry: {{ attempts: 3 }}, breaker: {{ consecutive: 10000, min_calls: 1000000 }} }}
            routes:
              - name: chat
                path: /v1/chat/completions
                deadline: 10s
                ladder: [{{ level: 0, backend: down }}, {{ level: 4, respond: {{ text: Later. }} }}]
            """
        with Gateway(directory, text) as gateway:
            calls = 1000
            began = time.monotonic()
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                seen = list(pool.map(lambda _: ask("openai", gateway.url, False), range(calls)))
            took = time.monotonic() - began
            assert all(it.error is None and it.text == "Later." for it in seen)
            eventually(lambda: gateway.metric("mainstay_requests_total") >= calls)
            attempts = len(wall.attempts("down/closed"))
            print(f"{attempts} attempts at the upstream for {calls} calls in {took:.1f} s: {attempts / calls:.3f}")
            assert attempts >= calls, "no breaker kept them away"
            # A tenth, and the budget's floor of one each second and the ten that it begins with.
            assert attempts <= 1.1 * calls + took + 10


def test_sheds_are_not_stormed(tmp_path_factory):
    """A client that is shed comes again only as far as the retry budget goes."""
    directory = tmp_path_factory.mktemp("shed")
    with Wall(directory) as wall:
        text = f"""
            service: shed
            backends:
              small: {{ url: '{wall.url}', protocol: openai, model: "capacity,slots=2,service=200ms/shed", limit: {{ fixed: {{ max: 2 }} }} }}
            routes:
              - name: chat
                path: /v1/chat/completions
                deadline: 10s
                queue: {{ max: 2, wait: 100ms }}
                shed_before: 4
                ladder: [{{ level: 0, backend: small }}, {{ level: 4, respond: {{ text: Later. }} }}]
            """
        with Gateway(directory, text) as gateway:
            calls, sdk = 600, client("openai", gateway.url)

            def once(_):
                seen = Seen()
                try:
                    ask_openai(sdk, False, seen)
                except openai.OpenAIError as error:
                    seen.error = error
                return seen

            with concurrent.futures.ThreadPoolExecutor(24) as pool:
                seen = list(pool.map(once, range(calls)))
            shed = sum(isinstance(it.error, openai.RateLimitError) for it in seen)
            eventually(lambda: gateway.metric("mainstay_requests_total") >= calls)
            time.sleep(0.5)
            requests = gateway.metric("mainstay_requests_total") / calls
            print(f"{shed} of {calls} were shed; {requests:.3f} requests for each call")
            assert shed > calls / 3
            # A tenth of them, or the floor of ten in ten seconds where that is more: it may come once more as the window rolls.
            assert requests <= 1.1 + 10 / calls


def test_a_client_that_leaves_ends_the_call_within_100_ms(tmp_path_factory):
    directory = tmp_path_factory.mktemp("leave")
    with Wall(directory) as wall:
        text = f"""
            service: leave
            backends:
              slow: {{ url: '{wall.url}', protocol: openai, model: "slow,rate=20,tokens=400/leave", limit: none }}
            routes:
              - name: chat
                path: /v1/chat/completions
                deadline: 60s
                stream: {{ buffer: {{ tokens: 1 }} }}
                ladder: [{{ level: 0, backend: slow }}, {{ level: 4, respond: {{ text: Later. }} }}]
            """
        with Gateway(directory, text) as gateway:
            stream = client("openai", gateway.url).chat.completions.create(model="any", messages=ASK, stream=True)
            tokens = 0
            for chunk in stream:
                tokens += bool(chunk.choices and chunk.choices[0].delta.content)
                if tokens == 5:
                    break
            left = time.time()
            stream.close()
            model = "slow,rate=20,tokens=400/leave"
            attempt = eventually(lambda: (it := wall.attempts(model)) and it[0]["ending"] == "left" and it[0], 5)
            # The wall notices when it writes the next token, 50 ms later at the most.
            print(f"seen by the upstream after {(attempt['ended_at'] - left) * 1000:.0f} ms")
            assert attempt["ended_at"] - left <= 0.15, attempt["ended_at"] - left
