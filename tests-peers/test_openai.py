"""OpenAI's own Python client through mainstay: answers, streams, and errors it turns into its exceptions."""

import json
import threading

import openai
import pytest

from harness import Gateway, StandIn

WORDS = [f"word{n} " for n in range(20)]


class Provider:
    """An OpenAI-compatible upstream; `hold` keeps answers back until `release` is set, `status` makes it fail."""

    def __init__(self):
        self.status = 200
        self.release = threading.Event()
        self.hold = False
        self.entered = threading.Semaphore(0)

    def __call__(self, handler):
        self.entered.release()
        if self.hold:
            self.release.wait(20)
        if self.status != 200:
            handler.reply(self.status, {"error": {"message": "refused", "type": "t", "param": "model", "code": "c"}})
        elif handler.document.get("stream"):
            self.stream(handler)
        else:
            handler.reply(200, completion(handler.document["model"], "".join(WORDS)))

    def stream(self, handler):
        handler.send_response(200)
        handler.send_header("content-type", "text/event-stream")
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for n, word in enumerate(WORDS):
            delta = {"role": "assistant", "content": word}
            choice = {"index": 0, "delta": delta, "finish_reason": "stop" if n + 1 == len(WORDS) else None}
            chunk(handler, {**completion(handler.document["model"], ""), "object": "chat.completion.chunk", "choices": [choice]})
            if n == len(WORDS) // 2:  # the second half only after the client has read some of the first
                assert self.release.wait(20)
        chunk(handler, "[DONE]")
        handler.wfile.write(b"0\r\n\r\n")


def chunk(handler, document):
    text = document if isinstance(document, str) else json.dumps(document)
    data = f"data: {text}\n\n".encode()
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
    handler.wfile.flush()


def completion(model, text):
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": len(WORDS), "total_tokens": 3 + len(WORDS)}
    return {"id": "c-1", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": usage}


def config(big: str, small: str, more: str = "") -> str:
    return f"""
    service: assistant
    trust: {{ from: [127.0.0.0/8], headers: [x-user-tier] }}
    backends:
      chat: {{ url: {big}, protocol: openai, keys: [env:PEERS_LLM_KEY], model: big, limit: {{ fixed: {{ max: 1 }} }}, retry: {{ attempts: 1 }} }}
      small_chat: {{ url: {small}, protocol: openai, model: small, retry: {{ attempts: 1 }} }}
    routes:
      - name: chat
        path: /v1/chat/completions
        deadline: 20s
        hysteresis: {{ window: 1s, down: 2, up: 1s }}
        queue: {{ max: 1, wait: 20ms }}
        stream: {{ headers: 5s, first_token: 5s, gap: 15s, buffer: {{ tokens: 4, time: 200ms }} }}
        {more}
        ladder:
          - {{ level: 0, backend: chat }}
          - {{ level: 2, backend: small_chat, timeout: 5s }}
          - {{ level: 4, respond: {{ text: "Please try again in a minute." }} }}
    """


class Setup:
    def __init__(self, directory, more=""):
        self.big, self.small = Provider(), Provider()
        self.upstreams = [StandIn(self.big), StandIn(self.small)]
        text = config(*(upstream.url for upstream in self.upstreams), more)
        self.gateway = Gateway(directory, text, env={"PEERS_LLM_KEY": "key-of-the-provider"})
        self.client = openai.OpenAI(base_url=f"{self.gateway.url}/v1", api_key="key-of-the-caller", max_retries=0)

    def ask(self, **more):
        messages = [{"role": "user", "content": "hello"}]
        return self.client.chat.completions.with_raw_response.create(model="any", messages=messages, **more)

    def close(self):
        self.big.release.set()
        self.client.close()
        self.gateway.stop()
        for upstream in self.upstreams:
            upstream.stop()


@pytest.fixture
def setup(tmp_path):
    made = Setup(tmp_path)
    yield made
    made.close()


@pytest.fixture
def shedding(tmp_path):
    made = Setup(tmp_path, more="shed_before: 2")
    yield made
    made.close()


def test_a_chat_is_answered_by_the_configured_model_under_its_own_key(setup):
    raw = setup.ask()
    answer = raw.parse()
    assert answer.choices[0].message.content == "".join(WORDS)
    assert (answer.model, answer.usage.completion_tokens) == ("big", len(WORDS))
    assert raw.headers["x-mainstay-level"] == "0"
    path, headers, sent = setup.upstreams[0].calls[-1]
    lower = {name.lower(): value for name, value in headers.items()}
    assert (path, sent["model"]) == ("/v1/chat/completions", "big")
    assert lower["authorization"] == "Bearer key-of-the-provider"


def test_a_stream_arrives_while_it_is_being_written(setup):
    got = []
    for part in setup.ask(stream=True).parse():
        got.append(part.choices[0].delta.content)
        setup.big.release.set()
    assert "".join(got) == "".join(WORDS)


def test_a_provider_that_fails_is_replaced_then_apologised_for(setup):
    setup.big.status = 500
    raw = setup.ask()
    assert (raw.headers["x-mainstay-level"], raw.parse().model) == ("2", "small")
    setup.small.status = 503
    raw = setup.ask()
    assert raw.headers["x-mainstay-level"] == "4"
    assert raw.parse().choices[0].message.content == "Please try again in a minute."
    spoken = [part.choices[0].delta.content or "" for part in setup.ask(stream=True).parse() if part.choices]
    assert "".join(spoken) == "Please try again in a minute."


def test_the_callers_mistake_comes_back_as_the_providers_words(setup):
    setup.big.status = 400
    with pytest.raises(openai.BadRequestError) as caught:
        setup.ask()
    assert (caught.value.code, caught.value.param) == ("c", "model")
    assert setup.upstreams[1].calls == []


def test_a_shed_request_is_a_rate_limit_error_with_a_time_to_come_back(shedding):
    shedding.big.hold = True
    first = threading.Thread(target=shedding.ask)
    first.start()
    assert shedding.big.entered.acquire(timeout=10)
    with pytest.raises(openai.RateLimitError) as caught:
        shedding.ask()
    shedding.big.release.set()
    first.join(20)
    assert caught.value.status_code == 429
    assert caught.value.body["message"]
    assert caught.value.body["type"]
    headers = caught.value.response.headers
    assert float(headers["retry-after"]) >= 0
    assert float(headers["retry-after-ms"]) > 0
    assert headers["x-should-retry"] in ("true", "false")
    assert headers["x-mainstay-reason"]
    assert shedding.upstreams[1].calls == []
