"""The example `llm-chat` through OpenAI's own client: an outage walks the ladder from level 0 to 4 and back."""

import openai

from harness import eventually
from systems import System, walk

APOLOGY = "I can't answer right now. Please try again in a minute."
MODELS = {0: "large", 1: "large", 2: "small"}
SHORT_OF_CAPACITY = {"prompt_tokens_max": 130}


def test_llm_chat(tmp_path):
    with System("llm-chat", "chat", {"large": 9131, "small": 9132}, tmp_path) as system:
        client = openai.OpenAI(base_url=f"{system.url}/v1", api_key="none", max_retries=0, timeout=30)
        templates = dict(line.split("\t") for line in system.file("templates.txt").read_text().splitlines())

        def ask(judged):
            request = judged["request"]
            raw = client.chat.completions.with_raw_response.create(**request)
            answer = raw.parse()
            level = int(raw.headers["x-mainstay-level"])
            streamed = client.chat.completions.create(**request, stream=True)
            words = "".join(part.choices[0].delta.content or "" for part in streamed if part.choices)
            return level, (answer, words)

        def judge(level, judged, answer):
            answer, words = answer
            text = answer.choices[0].message.content
            assert text and words and answer.choices[0].finish_reason == "stop"
            if level in MODELS:
                assert answer.model == MODELS[level]
            if level == 1:
                whole = sum(-(-len(message["content"]) // 4) for message in judged["request"]["messages"])
                assert answer.usage.prompt_tokens < whole
            if level == 3:
                assert text in templates.values()
            if level == 4:
                assert text == APOLOGY

        # Long conversations first: a short one fits into the large model whatever its capacity.
        longest = sorted(system.judged(), key=lambda judged: -len(str(judged["request"]["messages"])))
        usual = [judged for judged in longest if judged["expected"] in templates.values()]
        remembered = [judged for judged in longest if judged not in usual]
        walk(
            usual[:3] + remembered[:3],
            [
                (lambda: None, lambda: None),
                (lambda: system.stage("large", SHORT_OF_CAPACITY), lambda: system.stage("large", {})),
                (lambda: system.kill("large"), lambda: (system.start("large"), system.stage("large", SHORT_OF_CAPACITY))),
                (lambda: system.kill("small"), lambda: system.start("small")),
                (lambda: system.pin(4), lambda: system.pin(None)),
            ],
            ask,
            judge,
        )
        last = remembered[0]
        eventually(lambda: last["expected"] in ask(last)[1][0].choices[0].message.content)
        client.close()
