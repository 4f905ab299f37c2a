"""The numbers over HTTP."""

from __future__ import annotations

import http.client
import json
import socket

import pytest

from keenframe.errors import OutputError
from keenframe.live.metrics import MetricsServer
from keenframe.live.stats import Stats


def get(port: int, path: str, name: str = "127.0.0.1") -> tuple[int, str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path, headers={"Host": name})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.getheader("Content-Type") or "", text


def test_metrics_and_json_and_nothing_else() -> None:
    stats = Stats()
    sinks = {'a "b"': {"state": "running", "written": 3, "dropped": 1, "failures": 0}}
    with MetricsServer(lambda: stats.snapshot() | {"sinks": sinks}) as server:
        status, kind, text = get(server.port, "/metrics")
        assert status == 200 and kind.startswith("text/plain; version=0.0.4")
        assert "keenframe_frames_in_total 0\n" in text
        assert 'keenframe_sink_written_total{sink="a \\"b\\""} 3\n' in text
        status, kind, text = get(server.port, "/stats.json")
        assert status == 200 and json.loads(text)["sinks"] == sinks
        assert get(server.port, "/etc/passwd")[0] == 404
    with pytest.raises(OSError):
        get(server.port, "/metrics")


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:1234", "127.0.0.1", "127.0.0.1:9"])
def test_it_goes_by_this_machines_names(name: str) -> None:
    with MetricsServer(dict) as server:
        assert get(server.port, "/stats.json", name)[0] == 200


@pytest.mark.parametrize(
    "name", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil", ""]
)
def test_a_page_elsewhere_cannot_read_it_by_a_name_of_its_own(name: str) -> None:
    with MetricsServer(lambda: pytest.fail("asked for its numbers")) as server:
        status, _, text = get(server.port, "/stats.json", name)
        assert status == 421 and "127.0.0.1" in text


def test_it_listens_on_this_machine_only() -> None:
    with MetricsServer(dict) as server:
        assert server._server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_said_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(OutputError, match=r"cannot be listened on: .* — choose another one"):
            MetricsServer(dict, taken.getsockname()[1])
