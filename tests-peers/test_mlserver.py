"""MLServer with a scikit-learn model behind mainstay, called by Triton's own client and by a plain one."""

import json
import pathlib
import sys

import joblib
import numpy
import pytest
import tritonclient.http
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from harness import Gateway, Process, StandIn, call, eventually, free_port

ROWS, LABELS = load_breast_cancer(return_X_y=True)
INFER = "/v2/models/cancer/infer"

SLOW_RUNTIME = """
import asyncio, pathlib
from mlserver_sklearn import SKLearnModel

class HeldModel(SKLearnModel):
    async def load(self):
        while not pathlib.Path("release").exists():
            await asyncio.sleep(0.05)
        return await super().load()
"""


class ModelServer:
    """MLServer in `directory`; with `held` it reports "not ready yet" until `release()`."""

    def __init__(self, directory, model, held=False):
        port = free_port()
        self.directory = directory
        self.url = f"http://127.0.0.1:{port}"
        joblib.dump(model, directory / "model.joblib")
        (directory / "held.py").write_text(SLOW_RUNTIME)
        settings = {"host": "127.0.0.1", "http_port": port, "parallel_workers": 0}
        self.grpc_port = free_port()
        settings |= {"grpc_port": self.grpc_port, "metrics_port": free_port()}
        runtime = "held.HeldModel" if held else "mlserver_sklearn.SKLearnModel"
        parameters = {"uri": "./model.joblib", "version": "1"}
        described = {"name": "cancer", "implementation": runtime, "parameters": parameters}
        (directory / "settings.json").write_text(json.dumps(settings))
        (directory / "model-settings.json").write_text(json.dumps(described))
        command = [pathlib.Path(sys.executable).parent / "mlserver", "start", "."]
        env = {"PYTHONPATH": str(directory), "DO_NOT_TRACK": "1"}
        self.process = Process(command, directory / "mlserver.log", cwd=directory, env=env)
        self.process.wait_until(f"{self.url}/v2/health/{'live' if held else 'ready'}")

    def release(self):
        (self.directory / "release").touch()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()


@pytest.fixture(scope="module")
def model():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(ROWS, LABELS)


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    with ModelServer(tmp_path_factory.mktemp("mlserver"), model) as server:
        yield server


def simple_model(handler):
    """The simpler model: one constant, and its name, so that a test sees who answered."""
    output = {"name": "predict", "shape": [1], "datatype": "FP64", "data": [0.25]}
    handler.reply(200, {"model_name": "simple", "id": handler.document.get("id"), "outputs": [output]})


def config(primary: str, small: str) -> str:
    return f"""
    service: cancer
    trust: {{ from: [127.0.0.0/8], headers: [x-user-tier] }}
    backends:
      primary:
        url: {primary}
        protocol: open-inference
        model: cancer
        health: {{ path: /v2/health/live, every: 500ms, timeout: 400ms }}
      small: {{ url: {small}, protocol: open-inference, model: simple }}
    routes:
      - name: score
        path: {INFER}
        deadline: 5s
        hysteresis: {{ window: 1s, down: 2, up: 1s }}
        ladder:
          - {{ level: 0, backend: primary, timeout: 2s }}
          - {{ level: 2, backend: small, timeout: 1s }}
          - level: 3
            rules:
              - when: 'header("x-user-tier") == "premium"'
                respond: {{ outputs: [{{ name: p, value: 0.75 }}] }}
          - {{ level: 4, respond: {{ outputs: [{{ name: decision, value: review }}] }} }}
    """


def request(rows, name="r-1") -> dict:
    data = numpy.asarray(rows, dtype=float)
    tensor = {"name": "x", "shape": list(data.shape), "datatype": "FP64", "data": data.ravel().tolist()}
    return {"id": name, "inputs": [tensor], "outputs": [{"name": "predict_proba"}]}


def test_tritons_client_gets_the_models_own_answer(server, model, tmp_path):
    with StandIn(simple_model) as small, Gateway(tmp_path, config(server.url, small.url)) as gateway:
        client = tritonclient.http.InferenceServerClient(gateway.url.removeprefix("http://"))
        tensor = tritonclient.http.InferInput("x", [5, 30], "FP64")
        # MLServer refuses Triton's binary tensors, so both directions are JSON.
        tensor.set_data_from_numpy(ROWS[:5], binary_data=False)
        wanted = tritonclient.http.InferRequestedOutput("predict_proba", binary_data=False)
        result = client.infer("cancer", [tensor], request_id="triton-7", outputs=[wanted])
        client.close()
        numpy.testing.assert_allclose(result.as_numpy("predict_proba"), model.predict_proba(ROWS[:5]), rtol=1e-9)
        assert result.get_response()["id"] == "triton-7"
        assert result.get_response()["model_name"] == "cancer"
        assert small.calls == []


def test_an_undisturbed_answer_says_so_in_its_headers(server, tmp_path):
    with StandIn(simple_model) as small, Gateway(tmp_path, config(server.url, small.url)) as gateway:
        answer = call(gateway.url + INFER, request(ROWS[:1]), {"x-request-id": "seen-before"})
        assert (answer.status, answer.level, answer.json()["id"]) == (200, 0, "r-1")
        assert answer.headers["x-mainstay-degraded"] == "false"
        assert answer.headers["x-mainstay-attempts"] == "1"
        assert answer.headers["x-mainstay-backend"] == "primary"
        assert answer.headers["x-request-id"] == "seen-before"
        assert "x-mainstay-reason" not in answer.headers


def test_the_callers_own_mistake_is_passed_back_and_degrades_nothing(server, tmp_path):
    with StandIn(simple_model) as small, Gateway(tmp_path, config(server.url, small.url)) as gateway:
        mistake = {"id": "m", "inputs": [{"name": "x", "shape": "wide", "datatype": "FP64", "data": [1.0]}]}
        direct = call(server.url + INFER, mistake)
        assert 400 <= direct.status < 500
        for _ in range(10):  # twice what trips the breaker
            assert call(gateway.url + INFER, mistake).status == direct.status
        assert call(gateway.url + INFER, request(ROWS[:1])).level == 0
        assert small.calls == []


def test_a_killed_model_is_replaced_level_by_level(model, tmp_path):
    (tmp_path / "m").mkdir()
    with ModelServer(tmp_path / "m", model) as primary, StandIn(simple_model) as small:
        with Gateway(tmp_path, config(primary.url, small.url)) as gateway:
            assert call(gateway.url + INFER, request(ROWS[:1])).level == 0
            primary.process.kill()
            answer = call(gateway.url + INFER, request(ROWS[:1], "r-2"))
            assert (answer.status, answer.level, answer.json()["id"]) == (200, 2, "r-2")
            assert answer.json()["outputs"][0]["data"] == [0.25]
            assert answer.headers["x-mainstay-degraded"] == "true"
            assert answer.headers["x-mainstay-reason"]

            small.stop()
            rule = call(gateway.url + INFER, request(ROWS[:1], "r-3"), {"x-user-tier": "premium"})
            assert (rule.status, rule.level, rule.json()["id"]) == (200, 3, "r-3")
            assert (rule.json()["outputs"][0]["name"], rule.json()["outputs"][0]["data"]) == ("p", [0.75])
            last = call(gateway.url + INFER, request(ROWS[:1], "r-4"))
            assert (last.status, last.level, last.json()["id"]) == (200, 4, "r-4")
            assert last.json()["outputs"][0]["data"] == ["review"]


def test_a_model_that_is_not_ready_yet_is_a_passing_fault_not_the_callers(model, tmp_path):
    (tmp_path / "m").mkdir()
    with ModelServer(tmp_path / "m", model, held=True) as primary, StandIn(simple_model) as small:
        loading = call(primary.url + INFER, request(ROWS[:1]))
        assert loading.status == 400
        assert "is not ready yet" in loading.json()["error"]
        with Gateway(tmp_path, config(primary.url, small.url)) as gateway:
            meanwhile = call(gateway.url + INFER, request(ROWS[:1]))
            assert (meanwhile.status, meanwhile.level) == (200, 2)
            primary.release()
            eventually(lambda: call(gateway.url + INFER, request(ROWS[:1])).level == 0, limit_s=30, every_s=0.2)
