"""The data plane under test and the scripted providers behind it, as real processes.

It must never point a client anywhere by argument: SDKs find the data plane as in production, by their environment alone.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

SUITE = Path(__file__).resolve().parent.parent
TARGETS_PER_DIALECT = 120

# Asks a provider by its address alone, whatever the environment says of proxies.
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def binary() -> str:
    """The program under test: the one that automation built, or the usual place."""
    return os.environ.get("OUTRIGGER_BIN") or str(SUITE.parent.parent / "target" / "debug" / "outrigger")


class Process:
    """A command that says in a file on which ports it listens."""

    def __init__(self, folder: Path, name: str, *arguments: str):
        ports = folder / f"{name}-ports.json"
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            command = [binary(), name, *arguments, "--ports-file", str(ports)]
            try:
                self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            except FileNotFoundError as missing:
                raise RuntimeError(f"{binary()} is not there: `cargo build` makes it") from missing
        try:
            self.ports = self._read(ports, name)
        except BaseException:
            self.stop()
            raise

    def _read(self, ports: Path, name: str) -> dict:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                return json.loads(ports.read_text())
            except (OSError, ValueError):
                pass
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"`outrigger {name}` did not come up:\n{self.log()}")

    def log(self) -> str:
        """What it wrote so far."""
        return self._log.read_text(errors="replace")

    def stop(self) -> None:
        """Asks it to end, and makes it."""
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Target:
    """One scripted provider with a route of its own: nothing that another test taught the data plane is about it."""

    def __init__(self, mock: str, name: str):
        self._mock = mock
        self.name = name

    @property
    def model(self) -> str:
        """What clients ask for."""
        return self.name

    @property
    def upstream_model(self) -> str:
        """What the provider is asked for, and names in its answers."""
        return f"{self.name}-upstream"

    def script(self, **behaviour) -> "Target":
        """Says how the provider behaves from now on."""
        self._control("PUT", f"behaviour/{self.name}", behaviour)
        return self

    def calls(self, **wait: int) -> list[dict]:
        """The calls so far; with `count=n` or `aborted=n`, once so many arrived or were given up."""
        query = "?" + urllib.parse.urlencode(wait) if wait else ""
        return json.loads(self._control("GET", f"calls/{self.name}{query}"))

    def _control(self, method: str, path: str, body: dict | None = None) -> bytes:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"http://{self._mock}/_mock/{path}", data=data, method=method)
        try:
            with _direct.open(request, timeout=30) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise AssertionError(f"the mock refuses the script: {error.read().decode()}") from error


class Gateway:
    """`outrigger mock` and `outrigger dev` on ports of the system's choice."""

    def __init__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="outrigger-sdk-")
        folder = Path(self._folder.name)
        names = {dialect: [f"{dialect}-{number}" for number in range(TARGETS_PER_DIALECT)] for dialect in ("openai", "anthropic")}
        self._fresh = {dialect: iter(all) for dialect, all in names.items()}
        self._mock = Process(folder, "mock", "--listen", "127.0.0.1:0")
        try:
            self.mock = f"127.0.0.1:{self._mock.ports['data']}"
            config = folder / "config"
            config.mkdir()
            (config / "passthrough.yaml").write_text((SUITE / "passthrough.yaml").read_text().replace("MOCK", self.mock))
            template = (SUITE / "target.yaml").read_text().replace("MOCK", self.mock)
            for dialect, all in names.items():
                for name in all:
                    (config / f"{name}.yaml").write_text(template.replace("NAME", name).replace("DIALECT", dialect))
            self._dev = Process(folder, "dev", "-f", str(config), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        except BaseException:
            self._mock.stop()
            raise
        self.url = f"http://127.0.0.1:{self._dev.ports['data']}"

    def target(self, dialect: str) -> Target:
        """A provider of this dialect that no test has used yet."""
        return Target(self.mock, next(self._fresh[dialect]))

    def opaque(self) -> Target:
        """The provider behind the pass-through: one for all tests."""
        return Target(self.mock, "opaque")

    def log(self) -> str:
        """What the data plane wrote."""
        return self._dev.log()

    def stop(self) -> None:
        """Ends both processes."""
        self._dev.stop()
        self._mock.stop()
        self._folder.cleanup()


class Witness:
    """Stands where the environment says that a proxy is: it serves nobody and counts who asks."""

    def __init__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.asked = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.asked += 1
            connection.close()

    def close(self) -> None:
        """Ends the listening."""
        self._socket.close()


def environment(gateway: Gateway, witness: Witness) -> dict[str, str]:
    """What an application in a pod is given, in a company with a proxy."""
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy"), witness.url)
    loopback = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")
    openai = {"OPENAI_BASE_URL": f"{gateway.url}/v1", "OPENAI_API_KEY": "sk-outrigger"}
    anthropic = {"ANTHROPIC_BASE_URL": gateway.url, "ANTHROPIC_API_KEY": "sk-outrigger"}
    return {**proxies, **loopback, **openai, **anthropic}


def foreign(name: str) -> bool:
    """Whether a variable of the caller's environment would change what is tested."""
    upper = name.upper()
    return upper.startswith(("OPENAI_", "ANTHROPIC_", "LANGCHAIN_", "LANGSMITH_")) or upper.endswith("_PROXY")
