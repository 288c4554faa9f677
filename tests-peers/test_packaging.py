"""What `packaging/` holds: Kubernetes' own schemas, systemd's own checker, and the commands that a container runs."""

import os
import pathlib
import re
import shlex
import signal
import subprocess

import kubernetes_validate
import pytest
import yaml

from harness import Gateway, Process, call, free_port

ROOT = pathlib.Path(__file__).resolve().parent.parent
PACKAGING = ROOT / "packaging"
BINARY = os.environ["MAINSTAY_BIN"]
VERSIONS = ["1.29", "1.33", kubernetes_validate.latest_version()]

CONFIG = """
service: packed
routes:
  - { name: r, path: /x, deadline: 1s, ladder: [{ level: 4, respond: { body: { a: 1 } } }] }
"""


def manifests() -> list[dict]:
    files = sorted((PACKAGING / "kubernetes").glob("*.yaml"))
    assert files
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def one(kind: str) -> dict:
    (found,) = [document for document in manifests() if document["kind"] == kind]
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_are_what_kubernetes_describes(version):
    for document in manifests():
        kubernetes_validate.validate(document, version, strict=True)
    wrong = one("StatefulSet")
    wrong["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_manifests_fit_together(tmp_path):
    template = one("StatefulSet")["spec"]["template"]
    labels = template["metadata"]["labels"].items()
    for document in manifests():
        selector = document.get("spec", {}).get("selector", {})
        assert (selector.get("matchLabels") or selector).items() <= labels, document["metadata"]["name"]
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    services = {document["metadata"]["name"]: document for document in manifests() if document["kind"] == "Service"}
    assert {port["targetPort"] for service in services.values() for port in service["spec"]["ports"]} == set(ports)
    assert one("StatefulSet")["spec"]["serviceName"] in services
    probes = {name: container[name]["httpGet"] for name in ("livenessProbe", "readinessProbe", "startupProbe")}
    assert {probe["port"] for probe in probes.values()} == {"admin"} and probes["readinessProbe"]["path"] == "/readyz"
    # The config that is mounted is right, listens where the ports are, and keeps its store on the volume.
    (name,) = container["args"][-1:]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert pathlib.Path(name).parent == pathlib.Path(mounts["config"])
    config = tmp_path / "mainstay.yaml"
    config.write_text(one("ConfigMap")["data"][pathlib.Path(name).name])
    checked = subprocess.run([BINARY, "check", str(config)], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    read = yaml.safe_load(config.read_text())
    assert (read["listen"], read["admin"]["listen"]) == (f"0.0.0.0:{ports['http']}", f"0.0.0.0:{ports['admin']}")
    assert read["store"].startswith(f"sqlite:{mounts['data']}/")
    tokens = [token if isinstance(token, str) else token["token"] for token in read["admin"]["tokens"]]
    assert all(token.startswith(f"file:{mounts['tokens']}/") for token in tokens)
    claimed = {claim["metadata"]["name"] for claim in one("StatefulSet")["spec"]["volumeClaimTemplates"]}
    assert set(mounts) == claimed | {volume["name"] for volume in template["spec"]["volumes"]}


def test_what_runs_in_a_pod_may_do_little():
    spec = one("StatefulSet")["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] and spec["securityContext"]["runAsUser"] > 0
    (container,) = spec["containers"]
    security = container["securityContext"]
    assert security["readOnlyRootFilesystem"] and not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}


def test_systemd_understands_the_unit(tmp_path):
    text = (PACKAGING / "systemd/mainstay.service").read_text()
    # The checker wants to see the program that is started.
    unit = tmp_path / "mainstay.service"
    unit.write_text(text.replace("/usr/local/bin/mainstay", BINARY))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=120)
    assert verified.returncode == 0 and not verified.stderr.strip(), verified.stderr
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystemm=strict"))
    refused = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=120)
    assert "ProtectSystemm" in refused.stderr, refused.stderr
    # Exposure from 0 to 10, of what is written alone.
    secure = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(PACKAGING / "systemd/mainstay.service")]
    judged = subprocess.run(secure, capture_output=True, text=True, timeout=120)
    assert judged.returncode == 0, judged.stdout[-500:]


def instructions() -> list[tuple[str, str]]:
    """The container file's last stage."""
    text = (PACKAGING / "container/Containerfile").read_text()
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    pairs = [tuple(re.split(r"\s+", line, maxsplit=1)) for line in lines]
    last = max(at for at, (word, _) in enumerate(pairs) if word == "FROM")
    return pairs[last:]


def test_the_container_runs_as_nobody_and_its_commands_exist(tmp_path):
    stage = dict(instructions())
    assert stage["FROM"] == "scratch" and re.fullmatch(r"[1-9]\d*:[1-9]\d*", stage["USER"])
    # What the health check and the start run, with this binary in the image's place.
    as_here = lambda words: [BINARY if word == "/mainstay" else word for word in words]  # noqa: E731
    check = as_here(yaml.safe_load(stage["HEALTHCHECK"].split("CMD", 1)[1].strip()))
    serve = yaml.safe_load(stage["ENTRYPOINT"]) + yaml.safe_load(stage["CMD"])
    assert serve[:2] == ["/mainstay", "serve"] and check[0] == BINARY
    assert set(stage["EXPOSE"].split()) == {"8080", "8090"}
    with Gateway(tmp_path, CONFIG) as gateway:
        ask = [*check, "--url", gateway.admin]
        well = subprocess.run(ask, capture_output=True, text=True, timeout=60)
        assert (well.returncode, well.stdout) == (0, "ready\n"), well
        gateway.child.send_signal(signal.SIGSTOP)
        hung = subprocess.run(ask, capture_output=True, text=True, timeout=60)
        gateway.child.send_signal(signal.SIGCONT)
        assert hung.returncode == 3, hung
    gone = subprocess.run([*check, "--url", f"http://127.0.0.1:{free_port()}"], capture_output=True, timeout=60)
    assert gone.returncode == 3


def test_the_documented_lines_name_what_is_there():
    page = (ROOT / "docs/packaging.md").read_text()
    named = set(re.findall(r"packaging/[\w./-]+", page))
    assert named and all((ROOT / name).exists() for name in named), named
    for line in re.findall(r"^mainstay .*$", page, flags=re.MULTILINE):
        words = shlex.split(line, comments=True)[1:]
        asked = subprocess.run([BINARY, *[word for word in words if not word.startswith("-")][:1], "--help"], capture_output=True, timeout=60)
        assert asked.returncode == 0, line


def test_probes_need_no_token(tmp_path):
    listen, admin = free_port(), free_port()
    path = tmp_path / "mainstay.yaml"
    path.write_text(
        f"listen: 127.0.0.1:{listen}\nadmin: {{ listen: 127.0.0.1:{admin}, tokens: [env:MAINSTAY_TEST_TOKEN] }}\n"
        f"store: sqlite:{tmp_path}/mainstay.db\n{CONFIG}"
    )
    env = {"MAINSTAY_TEST_TOKEN": "a-token-of-a-test"}
    with Process([BINARY, "serve", "--config", path], tmp_path / "log", cwd=tmp_path, env=env) as served:
        served.wait_until(f"http://127.0.0.1:{admin}/readyz")
        assert call(f"http://127.0.0.1:{admin}/api/v1/status").status == 401
        for probe in ("/healthz", "/readyz"):
            assert call(f"http://127.0.0.1:{admin}{probe}").status == 200
        ready = [BINARY, "status", "--ready", "--url", f"http://127.0.0.1:{admin}"]
        assert subprocess.run(ready, capture_output=True, timeout=60).returncode == 0
