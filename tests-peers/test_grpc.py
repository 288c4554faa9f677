"""Open Inference over gRPC: MLServer behind mainstay, called by Triton's own client; and grpcio's server and client where a test decides."""

import base64
import concurrent.futures
import contextlib
import threading
import time

import grpc
import numpy
import pytest
import tritonclient.grpc
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as rpc

from harness import Gateway, call, eventually
from test_mlserver import ROWS, ModelServer, model  # noqa: F401 (a fixture)

SERVICE = "/inference.GRPCInferenceService"


class Servicer(rpc.GRPCInferenceServiceServicer):
    """Answers as `infer(request, context)` and `stream(requests, context)` say; all that came is kept as it came."""

    def __init__(self, infer, stream):
        self.infer, self.stream = infer, stream
        self.requests, self.metadata, self.left = [], [], []

    def ModelInfer(self, request, context):
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.left.append(context.time_remaining())
        return self.infer(request, context)

    def ModelStreamInfer(self, requests, context):
        yield from self.stream(requests, context)

    def ServerLive(self, request, context):
        return pb.ServerLiveResponse(live=True)

    def ServerReady(self, request, context):
        return pb.ServerReadyResponse(ready=True)

    def ModelReady(self, request, context):
        return pb.ModelReadyResponse(ready=(request.name, request.version) == ("cancer", "7"))


@contextlib.contextmanager
def served(infer=None, stream=None):
    """A grpcio server on a free port; yields its servicer, with `url`."""
    servicer = Servicer(infer or echo, stream or echo_stream)
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
    rpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    servicer.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    servicer.stop = lambda: server.stop(0).wait()
    server.start()
    try:
        yield servicer
    finally:
        servicer.stop()


def echo(request, context):
    """The first input comes back as it was."""
    context.send_initial_metadata((("x-served-by", "echo"),))
    context.set_trailing_metadata((("x-late", "word"), ("x-late-bin", b"\x00\xff")))
    answer = pb.ModelInferResponse(model_name=request.model_name, model_version=request.model_version, id=request.id)
    answer.outputs.add(name="y", datatype="FP32", shape=[2])
    answer.raw_output_contents.extend(request.raw_input_contents)
    return answer


def echo_stream(requests, context):
    for request in requests:
        yield pb.ModelStreamInferResponse(infer_response=pb.ModelInferResponse(id=request.id))


def config(url: str, more: str = "", entry: str = "timeout: 2s", route: str = "") -> str:
    return f"""
    service: cancer
    trust: {{ from: [127.0.0.0/8], headers: [x-user-tier] }}
    backends:
      primary: {{ url: {url}, protocol: open-inference-grpc {more} }}
    routes:
      - name: score
        path: {SERVICE}/*
        deadline: 5s
        {route}
        ladder:
          - {{ level: 0, backend: primary, {entry} }}
          - level: 3
            rules: [{{ when: 'header("x-user-tier") == "premium"', respond: {{ outputs: [{{ name: p, value: 0.75 }}] }} }}]
          - {{ level: 4, respond: {{ outputs: [{{ name: decision, value: review }}] }} }}
    """


@contextlib.contextmanager
def called(gateway):
    """A stub for the gateway."""
    with grpc.insecure_channel(gateway.url.removeprefix("http://")) as channel:
        yield rpc.GRPCInferenceServiceStub(channel)


def request(name="r-1", model="cancer", raw=b"\x00\x00\x80?\x00\x00\x00@", rows=1) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest(model_name=model, id=name)
    made.inputs.add(name="x", datatype="FP32", shape=[rows, 2])
    made.raw_input_contents.append(raw)
    return made


def ask(stub, sent, metadata=(), timeout=20):
    """The answer, and what came before and after it."""
    answer, call = stub.ModelInfer.with_call(sent, metadata=metadata, timeout=timeout)
    return answer, dict(call.initial_metadata()), dict(call.trailing_metadata())


def refusal(stub, sent, metadata=(), timeout=20) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as raised:
        stub.ModelInfer(sent, metadata=metadata, timeout=timeout)
    return raised.value


def test_tritons_client_gets_mlservers_own_answer(model, tmp_path):  # noqa: F811
    (tmp_path / "m").mkdir()
    with ModelServer(tmp_path / "m", model) as server:
        url = f"http://127.0.0.1:{server.grpc_port}"
        with Gateway(tmp_path, config(url, ", model: cancer")) as gateway:
            client = tritonclient.grpc.InferenceServerClient(gateway.url.removeprefix("http://"))
            assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("cancer")
            assert client.get_model_metadata("cancer").name == "cancer"
            tensor = tritonclient.grpc.InferInput("x", [5, 30], "FP64")
            tensor.set_data_from_numpy(ROWS[:5])
            wanted = tritonclient.grpc.InferRequestedOutput("predict_proba")
            # The caller's name of the model is not the backend's.
            result = client.infer("breast", [tensor], request_id="triton-7", outputs=[wanted])
            numpy.testing.assert_allclose(result.as_numpy("predict_proba"), model.predict_proba(ROWS[:5]), rtol=1e-9)
            assert result.get_response().id == "triton-7"
            assert result.get_response().model_name == "cancer"

            server.process.kill()
            degraded = client.infer("breast", [tensor], request_id="triton-8", headers={"x-user-tier": "premium"})
            assert degraded.as_numpy("p").tolist() == [0.75] * 5
            assert (degraded.get_response().id, degraded.get_response().model_name) == ("triton-8", "breast")
            last = client.infer("breast", [tensor])
            assert last.as_numpy("decision").tolist() == [b"review"] * 5
            client.close()


def test_messages_headers_and_trailers_pass_as_they_are(tmp_path):
    with served() as primary, Gateway(tmp_path, config(primary.url)) as gateway, called(gateway) as stub:
        raw = bytes(range(256)) * 4096  # 1 MiB: many frames
        sent = request(raw=raw)
        sent.parameters["note"].string_param = "kept"
        answer, before, after = ask(stub, sent, (("x-own", "1"), ("x-own-bin", b"\x01\xfe")))
        assert primary.requests == [sent]
        assert primary.metadata[0]["x-own"] == "1" and primary.metadata[0]["x-own-bin"] == b"\x01\xfe"
        assert answer.raw_output_contents[0] == raw and answer.id == "r-1"
        assert before["x-served-by"] == "echo"
        assert (before["x-mainstay-level"], before["x-mainstay-degraded"]) == ("0", "false")
        assert before["x-mainstay-backend"] == "primary"
        assert after["x-late"] == "word" and after["x-late-bin"] == b"\x00\xff"


def test_a_request_is_put_to_the_backends_model_and_every_other_byte_stays(tmp_path):
    with served() as primary, Gateway(tmp_path, config(primary.url, ', model: fraud, version: "7"')) as gateway:
        with called(gateway) as stub:
            sent = request(model="other", raw=bytes(range(256)))
            sent.model_version = "1"
            answer, *_ = ask(stub, sent)
            sent.model_name, sent.model_version = "fraud", "7"
            assert primary.requests == [sent]
            assert (answer.model_name, answer.model_version) == ("fraud", "7")

            def other_version(asked, context):
                return pb.ModelInferResponse(model_name="fraud", model_version="6")

            primary.infer = other_version
            _, before, _ = ask(stub, request())
            assert (before["x-mainstay-level"], before["x-mainstay-reason"]) == ("4", "wrong_version")


MISTAKES = [
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.OUT_OF_RANGE,
]
FAILURES = [
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DATA_LOSS,
]


@pytest.mark.parametrize("early", [True, False], ids=["without headers", "after headers"])
def test_the_callers_mistakes_go_back_and_the_backends_failures_down_the_ladder(early, tmp_path):
    code = None

    def fail(asked, context):
        if not early:
            context.send_initial_metadata((("x-served-by", "fail"),))
        context.set_trailing_metadata((("x-why", "told"),))
        context.abort(code, "größer als 50%")

    more = ", breaker: { consecutive: 1000, min_calls: 10000 }, retry: { attempts: 1 }"
    with served(fail) as primary, Gateway(tmp_path, config(primary.url, more)) as gateway, called(gateway) as stub:
        for code in MISTAKES:
            error = refusal(stub, request())
            assert (error.code(), error.details()) == (code, "größer als 50%")
            assert dict(error.trailing_metadata())["x-why"] == "told"
        for code in FAILURES:
            answer, before, _ = ask(stub, request("r-9"))
            assert (before["x-mainstay-level"], before["x-mainstay-degraded"]) == ("4", "true")
            throttled = code == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert before["x-mainstay-reason"] == ("throttled" if throttled else "backend_error")
            assert (answer.id, answer.raw_output_contents[0]) == ("r-9", b"\x06\x00\x00\x00review")
        assert len(primary.requests) == len(MISTAKES) + len(FAILURES)
        plain = request("r-10")
        del plain.raw_input_contents[:]
        plain.inputs[0].contents.fp32_contents.extend([1, 2])
        answer, *_ = ask(stub, plain)
        assert list(answer.outputs[0].contents.bytes_contents) == [b"review"] and not answer.raw_output_contents


def test_a_shed_caller_is_told_when_to_come_back_and_does(tmp_path):
    held, release = threading.Event(), threading.Event()

    def hold(asked, context):
        held.set()
        release.wait(20)
        return echo(asked, context)

    route = "shed_before: 3\n        queue: { max: 1, wait: 10ms }"
    text = config(
        "URL", ", limit: { fixed: { max: 1 } }, retry: { attempts: 1 }", route=route, entry="timeout: 4s"
    )
    with served(hold) as primary, Gateway(tmp_path, text.replace("URL", primary.url)) as gateway:
        with called(gateway) as stub, concurrent.futures.ThreadPoolExecutor(2) as others:
            first = others.submit(ask, stub, request("first"))
            assert held.wait(20)
            error = refusal(stub, request("second"))
            assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
            told = dict(error.trailing_metadata())
            assert told["x-should-retry"] in ("true", "false")
            pushback = int(told["grpc-retry-pushback-ms"])
            assert 500 <= pushback <= 1500 if told["x-should-retry"] == "true" else pushback == -1

            # A client with a retry policy obeys what it is told: it comes back after the pushback, or not at all.
            policy = '{"methodConfig":[{"name":[{}],"retryPolicy":{"maxAttempts":3,"initialBackoff":"0.01s","maxBackoff":"0.01s","backoffMultiplier":1,"retryableStatusCodes":["RESOURCE_EXHAUSTED"]}}]}'
            shed = gateway.metric("mainstay_shed_total")
            with grpc.insecure_channel(gateway.url.removeprefix("http://"), [("grpc.service_config", policy)]) as channel:
                began = time.monotonic()
                with pytest.raises(grpc.RpcError) as raised:
                    rpc.GRPCInferenceServiceStub(channel).ModelInfer(request("third"), timeout=20)
                took = time.monotonic() - began
            attempts = eventually(lambda: gateway.metric("mainstay_shed_total") - shed)
            assert took >= 0.5 * (attempts - 1), f"{attempts} attempts within {took} s"
            release.set()
            assert first.result(20)[1]["x-mainstay-level"] == "0"


def test_the_callers_deadline_is_read_passed_on_and_kept(tmp_path):
    def slow(asked, context):
        time.sleep(3)
        return echo(asked, context)

    with served() as primary, Gateway(tmp_path, config(primary.url)) as gateway, called(gateway) as stub:
        ask(stub, request(), timeout=1)
        assert 0 < primary.left[-1] <= 1
        ask(stub, request(), timeout=60)
        assert 0 < primary.left[-1] <= 2, "a level's own timeout is shorter"
        primary.infer = slow
        began = time.monotonic()
        with contextlib.suppress(grpc.RpcError):
            # The local level may still answer in time; if it does not, it was the deadline.
            _, before, _ = ask(stub, request(), timeout=0.3)
            assert before["x-mainstay-level"] == "4"
        assert time.monotonic() - began < 2.5


# google.rpc.Status: RESOURCE_EXHAUSTED, "slow down", an ErrorInfo, and a RetryInfo of 2.5 s.
RETRY_INFO = base64.b64decode(
    "CAgSCXNsb3cgZG93bhoyCih0eXBlLmdvb2dsZWFwaXMuY29tL2dvb2dsZS5ycGMuRXJyb3JJbmZvEgYKBFJBVEUa"
    "NgoodHlwZS5nb29nbGVhcGlzLmNvbS9nb29nbGUucnBjLlJldHJ5SW5mbxIKCggIAhCAyrXuAQ=="
)


@pytest.mark.parametrize(("details", "wait"), [(RETRY_INFO, 2.5), (RETRY_INFO[:40], None)])
def test_a_backend_is_left_alone_for_as_long_as_its_status_details_ask(tmp_path, details, wait):
    refuses = threading.Event()
    refuses.set()

    def busy(asked, context):
        if refuses.is_set():
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "slow down")
        return echo(asked, context)

    with served(busy) as primary, Gateway(tmp_path, config(primary.url, ", retry: { attempts: 1 }")) as gateway:
        with called(gateway) as stub:
            began = time.monotonic()
            assert ask(stub, request())[1]["x-mainstay-level"] == "4"
            refuses.clear()
            if wait is None:
                assert ask(stub, request())[1]["x-mainstay-level"] == "0", "details that cannot be read say nothing"
                return
            _, before, _ = ask(stub, request())
            assert (before["x-mainstay-level"], before["x-mainstay-reason"]) == ("4", "breaker_open")
            assert eventually(lambda: ask(stub, request())[1]["x-mainstay-level"] == "0")
            assert wait <= time.monotonic() - began < wait + 5


def test_a_backend_that_gives_up_in_time_is_a_timeout(tmp_path):
    def late(asked, context):
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "too slow")

    with served(late) as primary, Gateway(tmp_path, config(primary.url, ", retry: { attempts: 1 }")) as gateway:
        with called(gateway) as stub:
            _, before, _ = ask(stub, request())
            assert (before["x-mainstay-level"], before["x-mainstay-reason"]) == ("4", "backend_error")


def test_a_stream_goes_both_ways_by_turns(tmp_path):
    with served() as primary, Gateway(tmp_path, config(primary.url)) as gateway, called(gateway) as stub:
        turn = threading.Semaphore(1)

        def requests():
            for number in range(5):
                assert turn.acquire(timeout=20)
                yield request(f"s-{number}", raw=bytes([number]) * 100_000)

        stream = stub.ModelStreamInfer(requests(), timeout=20)
        came = []
        for answer in stream:
            came.append(answer.infer_response.id)
            turn.release()
        assert came == [f"s-{number}" for number in range(5)]
        assert stream.code() == grpc.StatusCode.OK
        assert dict(stream.initial_metadata())["x-mainstay-level"] == "0"


def test_a_streams_end_is_told_however_it_ends(tmp_path):
    def breaks(requests, context):
        yield pb.ModelStreamInferResponse(infer_response=pb.ModelInferResponse(id="only"))
        how = next(requests).id
        if how == "status":
            context.abort(grpc.StatusCode.DATA_LOSS, "half of it")
        if how == "silence":
            time.sleep(8)

    def refuses(requests, context):
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no streams")
        yield

    def drive(stub, how):
        stream = stub.ModelStreamInfer(iter([request(how)]), timeout=20)
        came = []
        with pytest.raises(grpc.RpcError) as raised:
            came.extend(answer.infer_response.id for answer in stream)
        return raised.value

    text = config("URL", ", retry: { attempts: 1 }").replace("deadline: 5s", "deadline: 3s")
    with served(stream=breaks) as primary, Gateway(tmp_path, text.replace("URL", primary.url)) as gateway:
        with called(gateway) as stub:
            error = drive(stub, "status")
            assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "half of it")
            error = drive(stub, "silence")
            assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
            primary.stream = refuses
            error = drive(stub, "first")
            assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "no streams")
            primary.stop()
            assert drive(stub, "gone").code() == grpc.StatusCode.UNAVAILABLE


def test_equal_requests_are_answered_from_the_cache_under_their_own_ids(tmp_path):
    text = config("URL", ", retry: { attempts: 1 }")
    text = text.replace("          - level: 3", "          - { level: 1, cache: { max_age: 1h } }\n          - level: 3", 1)
    with served() as primary, Gateway(tmp_path, text.replace("URL", primary.url)) as gateway:
        with called(gateway) as stub:
            first, *_ = ask(stub, request("one"))
            primary.stop()
            second, before, _ = ask(stub, request("two"))
            assert (before["x-mainstay-level"], second.id) == ("1", "two")
            first.id = "two"
            assert second == first
            _, before, _ = ask(stub, request("three", raw=b"\x00" * 8))
            assert before["x-mainstay-level"] == "4"


def test_a_late_call_is_beaten_by_one_elsewhere_and_cancelled(tmp_path):
    """`hedge: true` over gRPC: the second call is made once the first is late, and the one that loses is cancelled at its server."""
    late, cancelled = threading.Event(), threading.Event()

    def infer(sent, context):
        if late.is_set():
            ended = threading.Event()
            context.add_callback(ended.set)
            if ended.wait(10) and context.time_remaining() is not None:
                cancelled.set()
        return echo(sent, context)

    with served(infer) as one, served() as two:
        text = f"""
        service: hedged
        trust: {{ from: [127.0.0.0/8], headers: [] }}
        backends:
          one: {{ url: {one.url}, protocol: open-inference-grpc, limit: none }}
          two: {{ url: {two.url}, protocol: open-inference-grpc, limit: none }}
        routes:
          - name: score
            path: {SERVICE}/ModelInfer
            deadline: 20s
            hedge: true
            ladder:
              - {{ level: 0, backend: one }}
              - {{ level: 0, backend: two }}
              - {{ level: 4, respond: {{ outputs: [{{ name: decision, value: review }}] }} }}
        """
        with Gateway(tmp_path, text) as gateway, called(gateway) as stub:
            for turn in range(200):
                ask(stub, request(f"r-{turn}"))
            assert len(two.requests) <= 10, "hardly any of them was late"
            before = len(two.requests)
            late.set()
            began = time.monotonic()
            answer, head, _ = ask(stub, request("late"))
            took = time.monotonic() - began
            assert (answer.id, head["x-mainstay-level"], head["x-mainstay-backend"]) == ("late", "0", "two")
            assert head["x-mainstay-attempts"] == "2" and took < 5, took
            assert len(two.requests) == before + 1
            assert cancelled.wait(5), "the call that lost goes on"
            late.clear()
            eventually(lambda: gateway.metric("mainstay_hedges_total") >= 1)


def test_health_is_asked_over_grpc(tmp_path):
    health = f', model: cancer, version: "7", health: {{ path: {SERVICE}/ModelReady, every: 100ms, timeout: 2s }}'
    with served() as primary, Gateway(tmp_path, config(primary.url, health)) as gateway:
        eventually(lambda: is_healthy(gateway) is True)
        primary.stop()
        eventually(lambda: is_healthy(gateway) is False)


def is_healthy(gateway):
    """What the last check of the backend said."""
    (primary,) = call(f"{gateway.admin}/api/v1/status").json()["backends"]
    return primary["healthy"]


def test_who_does_not_speak_grpc_is_told_by_http(tmp_path):
    with served() as primary, Gateway(tmp_path, config(primary.url)) as gateway:
        answer = call(f"{gateway.url}{SERVICE}/ModelInfer", {})
        assert (answer.status, answer.json()["code"]) == (415, "not_grpc")
        with grpc.insecure_channel(gateway.url.removeprefix("http://")) as channel:
            unknown = channel.unary_unary("/other.Service/Method")
            with pytest.raises(grpc.RpcError) as raised:
                unknown(b"", timeout=20)
            assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED
