"""Beyond the sixteen faults of `mainstay wall`: more requests than a backend takes, a backend that becomes slow, keys that are at their limit together,
streams that become too slow, callers that leave.

Once each here; `cargo xtask soak` plays `MAINSTAY_WALL_ROUNDS` of each and prints how the figures are distributed.
"""

import concurrent.futures
import http.client
import json
import os
import random
import socket
import time
import urllib.parse

import pytest

from harness import Gateway, call, eventually
from test_wall import ASK, Wall, ask, canonical

ROUNDS = int(os.environ.get("MAINSTAY_WALL_ROUNDS", "1"))
PATH = "/v1/chat/completions"
LATER = "Later."


class Figures:
    """What the rounds of a test saw, by name, and its distribution."""

    def __init__(self, title: str):
        self.title, self.values = title, {}

    def add(self, **figures: float):
        for name, value in figures.items():
            self.values.setdefault(name, []).append(value)

    def print(self, capsys):
        with capsys.disabled():
            print(f"\n| {self.title} | n | min | p50 | p90 | p99 | max |\n|---|---|---|---|---|---|---|")
            for name, values in self.values.items():
                values = sorted(values)
                ranks = [values[min(len(values) - 1, int(share * len(values)))] for share in (0.0, 0.5, 0.9, 0.99)] + [values[-1]]
                print(f"| {name} | {len(values)} | {' | '.join(f'{value:.3f}' for value in ranks)} |")


@pytest.fixture(scope="module")
def wall(tmp_path_factory):
    with Wall(tmp_path_factory.mktemp("beyond")) as wall:
        yield wall


def tell(wall: Wall, model: str, factor: float):
    """Makes every service of a model take so many times as long."""
    assert call(f"{wall.url}/wall/factor", {"model": model, "factor": factor}).status == 200


def said(answer) -> str:
    return answer.json()["choices"][0]["message"]["content"]


def timed(url: str, headers=None):
    """An answer to a whole request, and the seconds that it took."""
    began = time.monotonic()
    answer = call(url, {"model": "any", "messages": ASK}, headers)
    return answer, time.monotonic() - began


def open_loop(rate: float, seconds: float, send):
    """`send(n)` at a constant rate, whatever becomes of it; its results in order."""
    began = time.monotonic()

    def at(n):
        time.sleep(max(0.0, began + n / rate - time.monotonic()))
        return send(n)

    with concurrent.futures.ThreadPoolExecutor(256) as pool:
        return list(pool.map(at, range(int(rate * seconds))))


def percentile(values: list, share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def test_overload_serves_the_better_classes_first(wall, tmp_path, capsys):
    """Three times of what the backend takes, a sixth of it of the best class: that one hardly notices, and the backend stays busy."""
    model, capacity, factor, seconds = "capacity,slots=4,service=100ms/overload", 40, 3, 3
    text = f"""
        service: overload
        trust: {{ from: [127.0.0.0/8], headers: [x-class] }}
        backends:
          small: {{ url: '{wall.url}', protocol: openai, model: "{model}", limit: {{ fixed: {{ max: 4 }} }}, retry: {{ attempts: 1 }} }}
        routes:
          - name: chat
            path: {PATH}
            deadline: 10s
            priority:
              - {{ class: 0, when: 'header("x-class") == "0"' }}
            queue: {{ max: 16, wait: 2s }}
            ladder: [{{ level: 0, backend: small }}, {{ level: 4, respond: {{ text: {LATER} }} }}]
        """
    figures = Figures("overload with priorities")
    with Gateway(tmp_path, text) as gateway:

        def send(n):
            best = n % (2 * factor) == 0
            return best, *timed(gateway.url + PATH, {"x-class": "0" if best else "3"})

        for _ in range(ROUNDS):
            seen = open_loop(factor * capacity, seconds, send)
            assert all(answer.status == 200 for _, answer, _ in seen), "there is an answer for everybody"
            served = [answer.level == 0 for _, answer, _ in seen]
            best = [(answer, took) for best, answer, took in seen if best]
            share = sum(answer.level == 0 for answer, _ in best) / len(best)
            others = [answer.level == 0 for best, answer, _ in seen if not best]
            used = sum(served) / (capacity * seconds)
            slow = percentile([took for _, took in best], 0.99)
            figures.add(**{
                "best class served": share,
                "others served": sum(others) / len(others),
                "of what the backend takes": used,
                "best class, p99 s": slow,
                "best class, p50 s": percentile([took for _, took in best], 0.5),
            })
            assert share >= 0.98, f"of the best class {share:.0%} were served"
            assert slow <= 1.5, f"the best class waited for up to {slow:.2f} s"
            assert used >= 0.7, f"only {used:.0%} of what the backend takes was used"
            eventually(lambda: gateway_idle(gateway))
    figures.print(capsys)


def gateway_idle(gateway: Gateway) -> bool:
    return all(backend["in_flight"] == 0 for backend in call(f"{gateway.admin}/api/v1/status").json()["backends"])


def test_a_brown_out_is_gone_round_and_left_again(wall, tmp_path, capsys):
    """A backend takes twenty times as long: everybody is answered in time by the fallback, and soon after it is well again it serves."""
    model = "capacity,slots=64,service=50ms/brownout"
    text = f"""
        service: brownout
        backends:
          first: {{ url: '{wall.url}', protocol: openai, model: "{model}", limit: none, retry: {{ attempts: 1 }}, breaker: {{ consecutive: 5, open: 500ms, open_max: 1s, successes: 2 }} }}
          other: {{ url: '{wall.url}', protocol: openai, model: fallback/brownout, limit: none }}
        routes:
          - name: chat
            path: {PATH}
            deadline: 5s
            hysteresis: {{ window: 1s, up: 1s }}
            ladder: [{{ level: 0, backend: first, timeout: 300ms }}, {{ level: 2, backend: other }}, {{ level: 4, respond: {{ text: {LATER} }} }}]
        """
    figures, words = Figures("brown-out"), canonical(wall)
    with Gateway(tmp_path, text) as gateway:
        url = gateway.url + PATH
        for _ in range(ROUNDS):
            tell(wall, model, 1)
            eventually(lambda: timed(url)[0].level == 0)
            tell(wall, model, 20)
            before = len(wall.attempts(model))
            seen = open_loop(40, 3, lambda _: timed(url))
            assert all(said(answer) == words for answer, _ in seen), "every answer is whole, and a model's"
            slow = percentile([took for _, took in seen], 0.99)
            asked = (len(wall.attempts(model)) - before) / len(seen)
            tell(wall, model, 1)
            well = time.monotonic()
            eventually(lambda: timed(url)[0].level == 0, 15)
            back = time.monotonic() - well
            figures.add(**{"p50 s": percentile([took for _, took in seen], 0.5), "p99 s": slow, "asked while slow": asked, "back after s": back})
            assert slow <= 1.0, f"somebody waited for {slow:.2f} s"
            assert asked <= 0.5, f"{asked:.0%} of the requests still went to the slow one"
            assert back <= 10, f"back after {back:.1f} s"
    figures.print(capsys)


def test_keys_that_are_at_their_limit_together(wall, tmp_path, capsys):
    """Three keys of four are at their limit: the fourth serves. All of them are: the fallback serves, and the provider is hardly asked."""
    keys = {f"KEY_{n}": f"wall-key-{n}" for n in range(4)}
    listed = ", ".join(f"env:{name}" for name in keys)
    kinds = {"some": "keyed,good=wall-key-3", "all": "keyed,good=nobody"}
    text = "service: keys\nbackends:\n"
    for name, model in kinds.items():
        for n in range(ROUNDS):
            text += f"  {name}-{n}: {{ url: '{wall.url}', protocol: openai, model: \"{model}/{n}\", keys: [{listed}], limit: none, retry: {{ attempts: 2 }} }}\n"
    text += f"  other: {{ url: '{wall.url}', protocol: openai, model: fallback/keys, limit: none }}\nroutes:\n"
    for name in kinds:
        for n in range(ROUNDS):
            ladder = f"[{{ level: 0, backend: {name}-{n} }}, {{ level: 2, backend: other }}, {{ level: 4, respond: {{ text: {LATER} }} }}]"
            text += f"  - {{ name: {name}-{n}, path: /{name}-{n}{PATH}, deadline: 20s, hysteresis: {{ up: 1s }}, ladder: {ladder} }}\n"
    figures, words, calls = Figures("correlated keys"), canonical(wall), 60
    with Gateway(tmp_path, text, env=keys) as gateway:
        for n in range(ROUNDS):
            for name, model in kinds.items():
                seen = open_loop(40, calls / 40, lambda _, name=name, n=n: timed(f"{gateway.url}/{name}-{n}{PATH}"))
                assert all(said(answer) == words for answer, _ in seen), "every answer is whole, and a model's"
                first = sum(answer.level == 0 for answer, _ in seen) / calls
                asked = len(wall.attempts(f"{model}/{n}")) / calls
                figures.add(**{f"{name} at their limit: level 0": first, f"{name}: attempts per call": asked})
                assert first >= 0.9 if name == "some" else first == 0, f"{name}: {first:.0%} from level 0"
                assert asked <= (1.3 if name == "some" else 0.5), f"{name}: {asked:.2f} attempts per call"
    figures.print(capsys)


def test_a_stream_that_becomes_too_slow_is_taken_over(wall, tmp_path, capsys):
    """Two tokens a second where five are asked for: judged after five seconds, and somebody else says the rest."""
    rounds = [f"slow,rate=2/{n}" for n in range(ROUNDS)]
    backends = [f"  slow-{n}: {{ url: '{wall.url}', protocol: openai, model: \"{model}\", limit: none, retry: {{ attempts: 1 }} }}" for n, model in enumerate(rounds)]
    routes = [
        f"""  - name: slow-{n}
    path: /{n}{PATH}
    deadline: 60s
    stream: {{ buffer: {{ tokens: 1 }}, gap: 5s, min_tokens: 5/s, after_commit: continue }}
    ladder: [{{ level: 0, backend: slow-{n} }}, {{ level: 2, backend: other }}, {{ level: 4, respond: {{ text: {LATER} }} }}]"""
        for n in range(ROUNDS)
    ]
    other = f"  other: {{ url: '{wall.url}', protocol: openai, model: fallback/slow, prefill: true, limit: none }}"
    text = "service: slow\nbackends:\n" + "\n".join([*backends, other]) + "\nroutes:\n" + "\n".join(routes) + "\n"
    figures, words = Figures("slow stream"), canonical(wall)
    with Gateway(tmp_path, text) as gateway, concurrent.futures.ThreadPoolExecutor(16) as pool:
        for n, seen in enumerate(pool.map(lambda n: ask("openai", f"{gateway.url}/{n}", True), range(ROUNDS))):
            attempts = wall.attempts(rounds[n])
            figures.add(**{"all of it after s": seen.took, "tokens of the slow one": attempts[0]["steps"] - 1})
            assert seen.error is None and seen.text == words, f"{seen.error!r}: {seen.text}"
            assert seen.model.startswith("fallback") and len(attempts) == 1
            assert 5 <= seen.took <= 10, seen.took
    figures.print(capsys)


def leave(gateway: Gateway, path: str, after) -> float:
    """Asks, and closes the connection once `after` returns; when that was, by the wall's clock."""
    address = urllib.parse.urlsplit(gateway.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    body = json.dumps({"model": "any", "stream": True, "messages": ASK})
    connection.request("POST", path, body, {"content-type": "application/json"})
    try:
        after(connection)
    finally:
        left = time.time()
        # A response that is not read to its end keeps its socket open: closing alone says nothing to the other side.
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
    return left


def test_callers_that_leave_end_the_call_wherever_it_stands(wall, tmp_path, capsys):
    """Before the head, in the middle of the answer, and while somebody else is asked: the upstream sees it within 100 ms."""
    silent, slow, cut, late = "s06/leave", "slow,rate=50,tokens=4000/leave", "s08/leave", "s06/leave-rescue"
    stream = "stream: { buffer: { tokens: 1 }, headers: 50s, first_token: 50s, gap: 20s, after_commit: continue }"
    # Who fails in every round would soon be left alone, and nobody be rescued.
    patient = "breaker: { consecutive: 10000, min_calls: 1000000 }"
    backend = lambda name, model: f"  {name}: {{ url: '{wall.url}', protocol: openai, model: \"{model}\", prefill: true, limit: none, retry: {{ attempts: 2 }}, {patient} }}"  # noqa: E731
    route = lambda name, ladder: f"  - {{ name: {name}, path: /{name}{PATH}, deadline: 60s, {stream}, ladder: [{ladder}, {{ level: 4, respond: {{ text: {LATER} }} }}] }}"  # noqa: E731
    text = "\n".join([
        "service: leave", "backends:",
        backend("silent", silent), backend("slow", slow), backend("cut", cut), backend("late", late), backend("other", "fallback/leave"),
        "routes:",
        route("silent", "{ level: 0, backend: silent }, { level: 2, backend: other }"),
        route("slow", "{ level: 0, backend: slow }, { level: 2, backend: other }"),
        route("cut", "{ level: 0, backend: cut }, { level: 2, backend: late }, { level: 3, backend: other }"),
        "",
    ])  # fmt: skip
    figures = Figures("client abandon: seen by the upstream after s")

    def asked(model, count):
        return eventually(lambda: len(it := wall.attempts(model)) == count and it[-1])

    def ended(model, count):
        return eventually(lambda: (it := asked(model, count))["ending"] and it)

    with Gateway(tmp_path, text) as gateway:
        chance = random.Random(7)
        for count in range(1, ROUNDS + 1):

            def some(connection):
                connection.getresponse().read1(chance.randrange(200, 4000))

            def rescued(connection):
                answer = connection.getresponse()
                answer.read1(200)
                asked(late, count)

            for name, path, model, after in (
                ("before the head", "silent", silent, lambda _: asked(silent, count)),
                ("in the middle", "slow", slow, some),
                ("during a rescue", "cut", late, rescued),
            ):
                left = leave(gateway, f"/{path}{PATH}", after)
                attempt = ended(model, count)
                took = max(0.0, attempt["ended_at"] - left)
                figures.add(**{name: took})
                assert attempt["ending"] == "left" and took <= 0.1, f"{name}: {took:.3f} s, {attempt}"
        eventually(lambda: gateway_idle(gateway))
        assert not wall.attempts("fallback/leave"), "nobody else was asked"
    figures.print(capsys)
