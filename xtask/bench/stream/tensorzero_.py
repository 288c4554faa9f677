"""TensorZero's gateway inside this process, on a port of its own choice: its Python package has no server to start."""

import signal
import sys

from tensorzero.tensorzero import _start_http_gateway

gateway = _start_http_gateway(
    config_file=sys.argv[1], clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False
)
print(f"listens {gateway.base_url}", flush=True)
signal.sigwait({signal.SIGTERM, signal.SIGINT})
