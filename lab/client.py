"""The real server in a child process, and a client that speaks to it as the graph editor does.

    with Server() as server:
        outcome = server.queue(graph)      # API prompt; waits on the websocket
        pictures = server.images(outcome.prompt_id)
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from events import Event, Listener

ROOT = Path(__file__).resolve().parent.parent
NAME = "attention-director"
STATUS = "attention_director.status"
NOT_THE_PACK = (".git", "runs", "node_modules", "__pycache__", ".pytest_cache", ".ruff_cache")

Graph = dict[str, dict[str, Any]]


class ServerError(RuntimeError):
    """The server did not start, died, or took too long; the message ends with its log."""


class Refused(RuntimeError):
    """The server refused a graph before running it. ``answer``: what it said, as parsed JSON."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        super().__init__(json.dumps(answer, indent=1)[:4000])


@dataclass(frozen=True)
class Picture:
    """A picture a run left: encoded bytes, the node that showed it, "output" or "temp"."""

    node: str
    kind: str
    data: bytes


@dataclass(frozen=True)
class Outcome:
    """What became of a queued graph. error: the failing node's message, "" when there is none."""

    prompt_id: str
    seconds: float
    error: str
    interrupted: bool
    outputs: dict[str, Any]
    events: tuple[Event, ...]

    @property
    def statuses(self) -> dict[str, str]:
        """Node id -> the line it shows after the run."""
        return {e.data["node"]: e.data["text"] for e in self.events if e.kind == STATUS}

    @property
    def sampled(self) -> bool:
        """False when every sampler's output came from the host's cache."""
        return any(e.kind == "progress" for e in self.events)


def free_port(wanted: int = 0) -> int:
    """The wanted port when it is free, else any."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def place_pack(pack: Path, base: Path) -> None:
    """Link the pack into a base folder; copy it where links are not allowed (Windows)."""
    for name in ("custom_nodes", "input", "output"):  # the host lists these before it makes them
        (base / name).mkdir(parents=True, exist_ok=True)
    target = base / "custom_nodes" / NAME
    if target.is_symlink():
        target.unlink()
    elif target.exists():
        shutil.rmtree(target)
    try:
        target.symlink_to(pack, target_is_directory=True)
    except OSError:
        shutil.copytree(pack, target, ignore=shutil.ignore_patterns(*NOT_THE_PACK))


class Server:
    """A context manager; a base folder that is given is kept, one of its own is removed."""

    def __init__(self, pack: Path = ROOT, arguments: tuple[str, ...] = (), base: Path | None = None, port: int = 0,
                 start_seconds: float = 300, echo: bool = False) -> None:
        self.pack, self.arguments, self.start_seconds, self.echo = pack, arguments, start_seconds, echo
        self.base = base or Path(tempfile.mkdtemp(prefix="attention-director-"))
        self.temporary = base is None
        self.address = f"127.0.0.1:{free_port(port)}"
        self.client_id = uuid.uuid4().hex
        self.log: deque[str] = deque(maxlen=3000)

    def __enter__(self) -> Server:
        try:
            self._start()
            self._wait_until_ready()
            self._check_import()
            self.listener = Listener(f"ws://{self.address}/ws?clientId={self.client_id}")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.listener.close()
        finally:
            self._stop()

    def _start(self) -> None:
        place_pack(self.pack, self.base)
        command = [sys.executable, str(Path(__file__).with_name("launch.py")), "--with-parent",
                   "--base-directory", str(self.base), "--listen", "127.0.0.1", "--port", self.address.split(":")[1],
                   "--database-url", "sqlite:///:memory:", "--disable-api-nodes", "--disable-auto-launch",
                   *self.arguments]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
                                        env={**os.environ, "PYTHONUNBUFFERED": "1"})
        self.reader = threading.Thread(target=self._read_log, daemon=True)
        self.reader.start()

    def _read_log(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.log.append(line.rstrip("\n"))
            if self.echo:
                print(line, end="", flush=True)

    def tail(self, lines: int = 40) -> str:
        return "\n".join(list(self.log)[-lines:])

    def _lost(self, what: str) -> ServerError:
        gone = self.process.poll()
        return ServerError(f"{what if gone is None else f'the server stopped with code {gone}'}:\n{self.tail()}")

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                self.reader.join(5)
                break
            with contextlib.suppress(OSError):
                self.get("/system_stats")
                return
            time.sleep(0.2)
        raise self._lost(f"the server was not ready after {self.start_seconds:.0f} s")

    def _check_import(self) -> None:
        """The host goes on without a pack that fails; we do not."""
        if any("IMPORT FAILED" in line and NAME in line for line in self.log):
            raise ServerError(f"the host could not import the pack:\n{self.tail(80)}")

    def _stop(self) -> None:
        process = getattr(self, "process", None)
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self.reader.join(5)
            process.stdin.close()
        if self.temporary:
            shutil.rmtree(self.base, ignore_errors=True)

    def fetch(self, path: str, data: bytes | None = None, kind: str = "application/json") -> bytes:
        request = urllib.request.Request(f"http://{self.address}{path}", data, {"Content-Type": kind})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as answer:
            return answer.read()

    def get(self, path: str) -> Any:
        return json.loads(self.fetch(path))

    def post(self, path: str, value: Any) -> Any:
        return json.loads(self.fetch(path, json.dumps(value).encode()) or b"null")

    def object_info(self, node: str = "") -> dict[str, Any]:
        """The host's description of one node, or of all; empty for a node it does not know."""
        return self.get(f"/object_info/{urllib.parse.quote(node)}" if node else "/object_info")

    def submit(self, graph: Graph) -> str:
        """Queue a graph and do not wait. Returns its prompt id; raises Refused."""
        try:
            answer = self.post("/prompt", {"prompt": graph, "client_id": self.client_id})
        except urllib.error.HTTPError as error:
            raise Refused(json.loads(error.read())) from None
        if answer.get("node_errors"):
            raise Refused(answer)
        return answer["prompt_id"]

    def wait(self, prompt_id: str, timeout: float = 300) -> Outcome:
        """Until the websocket says that the run has ended."""
        begun = time.monotonic()
        done = self.listener.wait(lambda e: e.kind == "executing" and e.data.get("node") is None
                                  and e.data.get("prompt_id") == prompt_id, timeout)
        if done is None:
            raise self._lost(f"the run did not end in {timeout:.0f} s")
        entry = self.get(f"/history/{prompt_id}")[prompt_id]
        messages = {kind: data for kind, data in entry["status"]["messages"]}
        started = messages.get("execution_start", {}).get("timestamp", 0)
        ended = max(data.get("timestamp", 0) for data in messages.values())
        seconds = (ended - started) / 1000 if started else time.monotonic() - begun
        return Outcome(prompt_id, seconds, messages.get("execution_error", {}).get("exception_message", "").strip(),
                       "execution_interrupted" in messages, entry["outputs"], self.listener.during(prompt_id))

    def queue(self, graph: Graph, timeout: float = 300) -> Outcome:
        return self.wait(self.submit(graph), timeout)

    def wait_for_step(self, prompt_id: str, step: int, timeout: float = 120) -> None:
        """Until a run's sampler has done so many steps."""
        if self.listener.wait(lambda e: e.kind == "progress" and e.data.get("prompt_id") == prompt_id
                              and e.data["value"] >= step, timeout) is None:
            raise self._lost(f"the run did not reach step {step} in {timeout:.0f} s")

    def interrupt(self) -> None:
        self.fetch("/interrupt", b"{}")

    def images(self, prompt_id: str) -> list[Picture]:
        """The pictures of a run, as the editor would show them."""
        outputs = self.get(f"/history/{prompt_id}")[prompt_id]["outputs"]
        return [Picture(node, image["type"], self.fetch("/view?" + urllib.parse.urlencode(image)))
                for node, output in outputs.items() for image in output.get("images", ())]

    def upload(self, data: bytes, filename: str) -> str:
        """Put a picture into the host's input folder; returns the name LoadImage knows it by."""
        edge = uuid.uuid4().hex
        head = f'--{edge}\r\nContent-Disposition: form-data; name="image"; filename="{filename}"\r\n\r\n'
        body = head.encode() + data + f"\r\n--{edge}--\r\n".encode()
        return json.loads(self.fetch("/upload/image", body, f"multipart/form-data; boundary={edge}"))["name"]
