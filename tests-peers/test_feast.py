"""A Feast feature server with its SQLite online store feeds a model through mainstay, and is then taken away."""

import datetime
import os
import pathlib
import sys

import pandas
import pytest

from harness import Gateway, Process, StandIn, call, eventually, free_port

INFER = "/v2/models/fraud/infer"
REFS = ["account:tx_count_24h", "account:amount_avg_7d"]
CALM, BUSY, OLD, UNKNOWN = 1, 2, 3, 9

STORE = """
project: peers
registry: registry.db
provider: local
online_store: { type: sqlite, path: online.db }
offline_store: { type: file }
entity_key_serialization_version: 3
"""

DEFINITIONS = """
from datetime import timedelta

from feast import Entity, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64

account = Entity(name="account", join_keys=["account_id"], value_type=ValueType.INT64)
view = FeatureView(
    name="account",
    entities=[account],
    ttl=timedelta(days=1),
    source=FileSource(path="account.parquet", timestamp_field="event_timestamp"),
    schema=[Field(name="tx_count_24h", dtype=Int64), Field(name="amount_avg_7d", dtype=Float64)],
)
"""

WRITE = """
import pandas
from feast import FeatureStore

FeatureStore(".").write_to_online_store("account", pandas.read_parquet("account.parquet"))
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory) -> pathlib.Path:
    """An applied feature repository whose online store holds three accounts, one of them five hours old."""
    here = tmp_path_factory.mktemp("feast")
    (here / "feature_store.yaml").write_text(STORE)
    (here / "definitions.py").write_text(DEFINITIONS)
    now = datetime.datetime.now(datetime.timezone.utc)
    frame = {
        "account_id": [CALM, BUSY, OLD],
        "event_timestamp": [now, now, now - datetime.timedelta(hours=5)],
        "tx_count_24h": [7, 60, 3],
        "amount_avg_7d": [12.5, 99.0, 1.0],
    }
    pandas.DataFrame(frame).to_parquet(here / "account.parquet")
    run(here, [feast(), "apply"])
    run(here, [sys.executable, "-c", WRITE])
    return here


def feast() -> str:
    return str(pathlib.Path(sys.executable).parent / "feast")


def run(here, command):
    with Process(command, here / "setup.log", cwd=here, env=quiet()) as process:
        assert process.child.wait(120) == 0, process.log_tail()


def quiet() -> dict:
    return {"FEAST_USAGE": "False", "DO_NOT_TRACK": "1", "HOME": os.environ.get("HOME", "/")}


class FeatureServer(Process):
    def __init__(self, repository):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [feast(), "serve", "-h", "127.0.0.1", "-p", port, "--no-access-log"]
        super().__init__(command, repository / "serve.log", cwd=repository, env=quiet())
        self.wait_until(f"{self.url}/health")


def model(handler):
    """Answers with the features it was given, so that a test sees exactly what reached the model."""
    given = [tensor for tensor in handler.document["inputs"] if tensor["name"] == "features"]
    data = given[0]["data"] if given else []
    output = {"name": "seen", "shape": [len(data)], "datatype": "FP64", "data": data}
    handler.reply(200, {"model_name": "fraud", "id": handler.document.get("id"), "outputs": [output]})


def config(store: str, backend: str) -> str:
    return f"""
    service: fraud
    trust: {{ from: [127.0.0.0/8], headers: [] }}
    backends:
      primary: {{ url: {backend}, protocol: open-inference, model: fraud }}
    features:
      account:
        store: {{ url: {store}, protocol: feast, timeout: 2s }}
        refs: [{", ".join(REFS)}]
        entity: {{ account_id: /parameters/account_id }}
        into: {{ input: features, datatype: FP64 }}
        max_age: 1h
        cache: {{ entries: 1000, max_age: 24h }}
        defaults: {{ "account:tx_count_24h": 0 }}
    routes:
      - name: score
        path: {INFER}
        deadline: 5s
        hysteresis: {{ window: 1s, down: 2, up: 1s }}
        ladder:
          - {{ level: 0, backend: primary, features: {{ set: account, mode: online }}, timeout: 3s }}
          - {{ level: 1, backend: primary, features: {{ set: account, mode: cached }}, timeout: 1s }}
          - level: 3
            rules:
              - when: 'feature("account:tx_count_24h", 0.0) > 50.0'
                respond: {{ outputs: [{{ name: p, value: 0.9 }}] }}
            otherwise: {{ outputs: [{{ name: p, value: 0.5 }}] }}
          - {{ level: 4, respond: {{ outputs: [{{ name: decision, value: review }}] }} }}
    """


def request(account, rows=1) -> dict:
    amount = {"name": "amount", "shape": [rows, 1], "datatype": "FP64", "data": [42.0] * rows}
    return {"id": "f-1", "parameters": {"account_id": account}, "inputs": [amount]}


@pytest.fixture(scope="module")
def store(repository):
    with FeatureServer(repository) as server:
        yield server


@pytest.fixture
def gateway(store, tmp_path):
    with StandIn(model) as backend, Gateway(tmp_path, config(store.url, backend.url)) as gateway:
        gateway.backend = backend
        yield gateway


def test_feast_answers_in_columns_and_in_an_order_of_its_own(store):
    """The peer's habits that mainstay has to allow for, seen on the peer itself."""
    body = {"features": REFS, "entities": {"account_id": [CALM, UNKNOWN]}}
    answer = call(f"{store.url}/get-online-features", body).json()
    columns = dict(zip(answer["metadata"]["feature_names"], answer["results"], strict=True))
    assert set(columns) == {"account_id", "tx_count_24h", "amount_avg_7d"}
    assert columns["tx_count_24h"]["values"] == [7, None]
    assert columns["tx_count_24h"]["statuses"] == ["PRESENT", "NOT_FOUND"]


def test_the_model_gets_the_features_in_the_order_of_the_config(gateway):
    answer = call(gateway.url + INFER, request(CALM))
    assert (answer.status, answer.level, answer.json()["id"]) == (200, 0, "f-1")
    assert answer.json()["outputs"][0]["data"] == [7, 12.5]
    _, _, sent = gateway.backend.calls[-1]
    by_name = {tensor["name"]: tensor for tensor in sent["inputs"]}
    assert by_name["amount"]["data"] == [42.0]
    assert (by_name["features"]["shape"], by_name["features"]["datatype"]) == ([1, 2], "FP64")


def test_a_batch_gets_one_row_for_each_entity(gateway):
    answer = call(gateway.url + INFER, request([BUSY, CALM], rows=2))
    assert (answer.status, answer.level) == (200, 0)
    assert answer.json()["outputs"][0]["data"] == [60, 99.0, 7, 12.5]
    _, _, sent = gateway.backend.calls[-1]
    assert sent["inputs"][-1]["shape"] == [2, 2]


def test_an_entity_without_features_skips_the_model(gateway):
    answer = call(gateway.url + INFER, request(UNKNOWN))
    assert (answer.status, answer.level) == (200, 3)
    assert answer.json()["outputs"][0]["data"] == [0.5]
    assert gateway.backend.calls == []


def test_features_older_than_allowed_are_counted_as_stale(gateway):
    before = gateway.metric("mainstay_stale_features_total")
    answer = call(gateway.url + INFER, request(OLD))
    assert answer.status == 200
    # Workers add their counts up once a second.
    eventually(lambda: gateway.metric("mainstay_stale_features_total") > before)


def test_without_the_store_the_last_known_features_are_used(repository, tmp_path):
    with FeatureServer(repository) as store, StandIn(model) as backend:
        with Gateway(tmp_path, config(store.url, backend.url)) as gateway:
            assert call(gateway.url + INFER, request(CALM)).level == 0
            store.kill()
            cached = call(gateway.url + INFER, request(CALM))
            assert (cached.status, cached.level) == (200, 1)
            assert cached.json()["outputs"][0]["data"] == [7, 12.5]
            assert cached.headers["x-mainstay-degraded"] == "true"
            eventually(lambda: gateway.metric("mainstay_feature_cache_hits_total") >= 1)
            never_seen = call(gateway.url + INFER, request(BUSY))
            assert (never_seen.status, never_seen.level) == (200, 3)
