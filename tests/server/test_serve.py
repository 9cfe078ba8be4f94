"""`dialoguedb serve`: starting, stopping, refusing, logs, TLS, encryption and CORS."""

import datetime
import ipaddress
import json
import os
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cli.programs import in_process
from harness import DIALOGUEDB, KEY, TLS, Database, Server

Serve = Callable[..., Server]
KEY_FORM = r"skv1_[A-Za-z0-9_-]{43}"


def until(true: Callable[[], Any], what: str, seconds: float = 10) -> Any:
    """Wait until a condition holds, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (given := true()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)
    return given


def refused(db: Path, *flags: str, wrapper: tuple[str, ...] = (), port: str = "0") -> str:
    """Start a server that must refuse: exit code 1 and a message, which is returned."""
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
    command = [*wrapper, str(DIALOGUEDB), "serve", "--db", str(db), "--port", port, *flags]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=20,
        env=surroundings | {"DIALOGUEDB_API_KEY": KEY},
        check=False,
    )
    printed = (done.stdout + done.stderr).strip()
    assert done.returncode == 1, printed
    assert "Traceback" not in printed
    assert 0 < len(printed.splitlines()) <= 6, printed
    return printed


def filled(serve: Serve, *flags: str) -> Database:
    """A store with a dialogue in it, whose server has ended."""
    running = serve(*flags)
    with running.client() as client:
        body = {"id": "d-1", "message": {"role": "user", "content": "qqCONTENTqq"}}
        client.post("/dialogue", json=body).raise_for_status()
    assert running.stop() == 0
    return running.db


# The first start


@pytest.fixture
def fresh(new_db: Callable[..., Database]) -> Iterator[Callable[[], Server]]:
    """Start servers without a key in the environment; stopped afterwards."""
    started: list[Server] = []
    db = new_db("bare")

    def start() -> Server:
        started.append(Server(db, key=None))
        return started[-1]

    yield start
    for running in started:
        running.stop()


def key_of(running: Server) -> str:
    return until(lambda: re.search(KEY_FORM, running.output()), "a key is printed").group()


def curl_line(running: Server) -> str:
    """The command that the server printed for pasting, with its continuation lines."""
    found = until(
        lambda: re.search(r"curl (?:[^\n]*\\\n)*[^\n]*\n", running.output()), "a curl line"
    )
    return found.group()


def test_the_first_start_prints_a_key_that_works(fresh: Callable[[], Server]) -> None:
    """Contract 2: an empty store gets a project and a key, which is shown once."""
    running = fresh()
    with running.client(key_of(running)) as client:
        assert client.get("/dialogue").status_code == 200


def test_the_first_start_prints_one_key(fresh: Callable[[], Server]) -> None:
    """Contract 2: there is one default project with one key."""
    running = fresh()
    curl_line(running)
    assert len(set(re.findall(KEY_FORM, running.output()))) == 1


def test_the_printed_curl_line_works_when_pasted(fresh: Callable[[], Server]) -> None:
    """Contract 17: the first answer is one paste away."""
    running = fresh()
    surroundings = {k: v for k, v in os.environ.items() if not k.startswith("DIALOGUEDB_")}
    done = subprocess.run(
        ["bash", "-c", curl_line(running)],
        capture_output=True,
        text=True,
        timeout=30,
        env=surroundings,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert "error" not in answer
    assert "id" in answer or "items" in answer


def test_the_second_start_prints_no_key(fresh: Callable[[], Server]) -> None:
    """Contract 2: keys are shown once, and only a hash is stored."""
    first = fresh()
    key = key_of(first)
    first.stop()
    second = fresh()
    with second.client(key) as client:
        assert client.get("/dialogue").status_code == 200
    second.stop()
    assert "skv1_" not in second.output()


def test_with_a_key_of_ones_own_no_key_is_printed(serve: Serve) -> None:
    """Contract 2: a key from the environment is known already."""
    running = serve()
    with running.client() as client:
        assert client.get("/dialogue").status_code == 200
    running.stop()
    assert "skv1_" not in running.output()


def test_the_data_is_there_after_a_restart(serve: Serve) -> None:
    """Design 7: an answered write is on disk."""
    filled(serve)
    with serve().client() as client:
        assert client.get("/dialogue/d-1").json()["messages"][0]["content"] == "qqCONTENTqq"


def test_the_data_is_there_after_a_kill(serve: Serve) -> None:
    """Design 7: an answered write is on disk, whatever happens to the process."""
    running = serve()
    with running.client() as client:
        ids = [client.post("/dialogue", json={}).json()["id"] for _ in range(20)]
    running.kill()
    with serve().client() as client:
        assert [client.get(f"/dialogue/{one}").status_code for one in ids] == [200] * 20


# The end


def test_a_signal_ends_the_server_with_success(serve: Serve) -> None:
    """SIGTERM is the way to stop, so the exit code is 0."""
    assert serve().stop() == 0


def test_an_idle_connection_does_not_hold_up_the_end(serve: Serve) -> None:
    """A client that keeps its connection open cannot keep the server from ending."""
    running = serve()
    with running.client() as client:
        client.get("/dialogue").raise_for_status()
        begun = time.monotonic()
        assert running.stop() == 0
        assert time.monotonic() - begun < 10


def test_a_request_in_flight_is_finished(serve: Serve) -> None:
    """SIGTERM lets a request that was begun end, and its write is stored."""
    running = serve()
    address = httpx.URL(running.url)
    body = json.dumps({"id": "last", "value": "just in time"}).encode()
    head = (
        "POST /memory HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        f"Authorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port), timeout=20) as connection:
        connection.sendall(head.encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 100")  # it has begun
        running.process.terminate()
        until(lambda: not accepts(address), "no new connections")
        connection.sendall(body)
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200")
    assert running.stop() == 0
    with serve().client() as client:
        assert client.get("/memory/last").json()["value"] == "just in time"


def accepts(address: httpx.URL) -> bool:
    try:
        socket.create_connection((address.host, address.port), timeout=1).close()
    except OSError:
        return False
    return True


# Logs

SENTINELS = {
    "content": ("POST", "/dialogue", {"message": {"role": "user", "content": "qqSENTINELqq"}}),
    "state": ("POST", "/dialogue", {"state": {"secret": "qqSENTINELqq"}}),
    "metadata": ("POST", "/dialogue", {"metadata": {"secret": "qqSENTINELqq"}}),
    "label": ("POST", "/dialogue", {"label": "qqSENTINELqq"}),
    "value": ("POST", "/memory", {"value": "qqSENTINELqq"}),
    "refused content": ("POST", "/dialogue", {"message": {"content": "qqSENTINELqq"}}),
    "refused block": ("POST", "/dialogue", {"message": {"role": "u", "content": ["qqSENTINELqq"]}}),
    "unknown dialogue": ("POST", "/message?dialogueId=x", {"role": "u", "content": "qqSENTINELqq"}),
}


@pytest.mark.parametrize(("method", "path", "body"), SENTINELS.values(), ids=SENTINELS)
def test_the_log_never_holds_what_people_wrote(
    serve: Serve, method: str, path: str, body: Any
) -> None:
    """Contract 2, 10.1: content, state, metadata, labels and values stay out of the log."""
    running = serve()
    with running.client() as client:
        client.request(method, path, json=body)
        client.request(method, path, content=json.dumps(body)[:-1])  # cut off: invalid JSON
    running.stop()
    assert "qqSENTINELqq" not in running.output()


@pytest.mark.parametrize("key", [KEY, "skv1_qqWRONGqq"], ids=["right", "wrong"])
def test_the_log_never_holds_a_key(serve: Serve, key: str) -> None:
    """Contract 2: keys are never logged, neither right nor wrong ones."""
    running = serve()
    with running.client(key) as client:
        client.get("/dialogue")
        client.get("/nowhere")
    running.stop()
    assert key not in running.output()


@pytest.mark.parametrize("path", ["/dialogue", "/dialogue/none", "/dialogue?limit=0", "/nowhere"])
def test_the_log_holds_the_request_id(serve: Serve, path: str) -> None:
    """Contract 1.4: the id that the caller was told is found in the log."""
    running = serve()
    with running.client() as client:
        request_id = client.get(path).headers["X-Request-Id"]
    running.stop()
    assert request_id in running.output()


# Addresses and TLS


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_beyond_loopback_plain_http_is_refused(tmp_path: Path, host: str) -> None:
    """Design 3: binding to another address without TLS needs an explicit flag."""
    printed = refused(tmp_path / "chat.db", "--host", host)
    assert "--insecure-no-tls" in printed


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_on_loopback_plain_http_is_fine(serve: Serve, host: str) -> None:
    """Design 3: plain HTTP on loopback is the default."""
    with serve("--host", host).client() as client:
        assert client.get("/dialogue").status_code == 200


def test_beyond_loopback_plain_http_can_be_insisted_on(serve: Serve) -> None:
    """Design 3: the flag says what it does."""
    running = serve("--host", "0.0.0.0", "--insecure-no-tls")
    port = httpx.URL(running.url).port
    headers = {"Authorization": f"Bearer {KEY}"}
    assert (
        httpx.get(f"http://127.0.0.1:{port}/dialogue", headers=headers, verify=TLS).status_code
        == 200
    )


def test_beyond_loopback_tls_needs_no_flag(serve: Serve) -> None:
    """Design 3: with TLS any address may be bound."""
    running = serve("--host", "0.0.0.0", "--tls-self-signed")
    port = httpx.URL(running.url).port
    assert httpx.get(f"https://127.0.0.1:{port}/health", verify=False).status_code == 200


def test_self_signed_serves_tls(serve: Serve) -> None:
    """Contract 1.2: the server makes a certificate and serves TLS itself."""
    running = serve("--tls-self-signed")
    assert running.url.startswith("https://")
    with running.client(verify=False) as client:
        assert client.post("/dialogue", json={}).status_code == 200


def test_a_tls_port_speaks_no_plain_http(serve: Serve) -> None:
    """Contract 2: with TLS on, plain HTTP is refused."""
    running = serve("--tls-self-signed")
    with pytest.raises(httpx.TransportError):
        httpx.get(running.url.replace("https:", "http:") + "/health", verify=TLS)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key, as files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


def test_a_certificate_of_ones_own_is_served(serve: Serve, certificate: tuple[Path, Path]) -> None:
    """Contract 1.2: certificate and key are options; the client verifies them."""
    running = serve("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]))
    trust = ssl.create_default_context(cafile=str(certificate[0]))
    port = httpx.URL(running.url).port
    assert httpx.get(f"https://127.0.0.1:{port}/health", verify=trust).status_code == 200


@pytest.mark.parametrize("given", ["--tls-cert", "--tls-key"])
def test_half_a_certificate_is_refused(
    tmp_path: Path, certificate: tuple[Path, Path], given: str
) -> None:
    """Contract 1.2: certificate and key belong together."""
    file = certificate[given == "--tls-key"]
    printed = refused(tmp_path / "chat.db", given, str(file))
    assert {"--tls-cert": "--tls-key", "--tls-key": "--tls-cert"}[given] in printed


def test_a_missing_certificate_is_refused(tmp_path: Path) -> None:
    """Contract 1.2: the message names the file."""
    flags = ("--tls-cert", str(tmp_path / "no.pem"), "--tls-key", str(tmp_path / "no.pem"))
    assert "no.pem" in refused(tmp_path / "chat.db", *flags)


def test_a_port_in_use_is_refused(serve: Serve, tmp_path: Path) -> None:
    """One clear message names the port."""
    port = str(httpx.URL(serve().url).port)
    assert port in refused(tmp_path / "other.db", port=port)


# Files that are refused


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """Design 4: one message, and the file stays as it is."""
    file = tmp_path / "letter.txt"
    file.write_bytes(b"Dear Sir or Madam, " * 500)
    before = file.read_bytes()
    assert "letter.txt" in refused(file)
    assert file.read_bytes() == before


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """Design 4: a directory is no database either."""
    assert str(tmp_path) in refused(tmp_path)


@pytest.mark.sqlite("changes the file")
def test_a_newer_schema_is_refused(serve: Serve) -> None:
    """A store of a later version is not opened, and not changed."""
    db = filled(serve)
    connection = sqlite3.connect(db)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = db.read_bytes()
    assert "newer" in refused(db).lower()
    assert db.read_bytes() == before


@pytest.mark.sqlite("changes the file")
def test_a_read_only_file_is_refused(serve: Serve) -> None:
    """A store that cannot be written is refused at the start, not at the first write."""
    db = filled(serve)
    wrapper: tuple[str, ...] = ()
    if os.geteuid() == 0:  # root writes everywhere, so take that power away
        if not shutil.which("setpriv"):
            pytest.skip("root without setpriv")
        powers = "-dac_override,-dac_read_search,-fowner"
        wrapper = ("setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}")
    db.chmod(0o444)
    before = db.read_bytes()
    assert db.name in refused(db, wrapper=wrapper)
    assert db.read_bytes() == before


# Encryption


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with 32 raw bytes."""
    file = tmp_path / "store.key"
    file.write_bytes(bytes(range(7, 39)))
    return file


@pytest.mark.sqlite("encryption is of files")
def test_a_key_file_encrypts(serve: Serve, key_file: Path) -> None:
    """Design 4: the header is not SQLite's, and no content can be read."""
    db = filled(serve, "--db-key-file", str(key_file))
    assert not db.read_bytes().startswith(b"SQLite format 3")
    stored = b"".join(file.read_bytes() for file in db.parent.glob(db.name + "*"))
    assert b"qqCONTENTqq" not in stored


@pytest.mark.sqlite("encryption is of files")
def test_a_running_server_writes_nothing_readable(serve: Serve, key_file: Path) -> None:
    """Design 4: the write-ahead log is encrypted like the file."""
    running = serve("--db-key-file", str(key_file))
    with running.client() as client:
        client.post("/memory", json={"value": "qqCONTENTqq"}).raise_for_status()
        files = list(running.db.parent.glob(running.db.name + "*"))
        assert not [file.name for file in files if b"qqCONTENTqq" in file.read_bytes()]


@pytest.mark.sqlite("encryption is of files")
@pytest.mark.parametrize("form", ["raw", "hex", "hex with newline"])
def test_an_encrypted_store_opens_with_its_key(serve: Serve, key_file: Path, form: str) -> None:
    """Design 4: 32 raw bytes, or the same as 64 hex digits."""
    filled(serve, "--db-key-file", str(key_file))
    if form != "raw":
        text = key_file.read_bytes().hex() + ("\n" if "newline" in form else "")
        key_file.write_text(text)
    with serve("--db-key-file", str(key_file)).client() as client:
        assert client.get("/dialogue/d-1").status_code == 200


@pytest.mark.sqlite("encryption is of files")
@pytest.mark.parametrize("fault", ["wrong", "none", "no file", "short", "no hex"])
def test_without_its_key_a_store_is_refused(serve: Serve, key_file: Path, fault: str) -> None:
    """Design 4: a wrong or missing key gets one message, and the file stays as it is."""
    db = filled(serve, "--db-key-file", str(key_file))
    before = db.read_bytes()
    flags = ["--db-key-file", str(key_file)]
    if fault == "wrong":
        key_file.write_bytes(bytes(32))
    elif fault == "none":
        flags = []
    elif fault == "no file":
        flags[1] += ".missing"
    elif fault == "short":
        key_file.write_bytes(b"short")
    else:
        key_file.write_text("z" * 64)
    assert "key" in refused(db, *flags)
    assert db.read_bytes() == before


@pytest.mark.sqlite("encryption is of files")
def test_a_plain_store_is_refused_with_a_key(serve: Serve, key_file: Path) -> None:
    """Design 4: a key does not silently encrypt, nor harm, what is plain."""
    db = filled(serve)
    before = db.read_bytes()
    assert "key" in refused(db, "--db-key-file", str(key_file))
    assert db.read_bytes() == before


# Metrics and CORS


def test_metrics_answer_on_loopback(serve: Serve) -> None:
    """Contract 5.15: Prometheus text, without a key."""
    answer = httpx.get(serve().url + "/metrics", verify=TLS)
    assert answer.status_code == 200
    assert re.search(r"^# (HELP|TYPE) ", answer.text, re.M)


def test_metrics_count_requests(serve: Serve) -> None:
    """Contract 5.15: the numbers move when the server works."""
    running = serve()
    with running.client() as client:
        before = client.get("/metrics").text
        for _ in range(3):
            client.get("/dialogue")
        assert client.get("/metrics").text != before


ORIGIN = "https://app.example"
ALLOW = "Access-Control-Allow-Origin"


@pytest.fixture(scope="module")
def shared(new_db: Callable[..., Database]) -> Iterator[Server]:
    """A server that allows one origin."""
    running = Server(new_db(), "--cors-origin", ORIGIN)
    yield running
    running.stop()


def preflight(running: Server, origin: str, method: str = "PUT") -> httpx.Response:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    return httpx.options(running.url + "/dialogue/x", headers=headers, verify=TLS)


def test_cors_is_off_by_default(server: Server) -> None:
    """Contract 1.4: no answer allows another origin."""
    with server.client() as client:
        answer = client.get("/dialogue", headers={"Origin": ORIGIN})
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_without_cors_a_preflight_is_a_wrong_method(server: Server) -> None:
    """Contract 1.4, 10.3: `OPTIONS` is answered 204 only when CORS is on."""
    answer = preflight(server, ORIGIN)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")


def test_an_allowed_origin_may_read(shared: Server) -> None:
    """Contract 1.4: the configured origin is allowed."""
    with shared.client() as client:
        assert client.get("/dialogue", headers={"Origin": ORIGIN}).headers[ALLOW] == ORIGIN


@pytest.mark.parametrize("path", ["/dialogue?limit=0", "/dialogue/none", "/nowhere"])
def test_an_allowed_origin_may_read_errors_too(shared: Server, path: str) -> None:
    """Contract 1.4: a browser can tell its user what was wrong."""
    with shared.client() as client:
        assert client.get(path, headers={"Origin": ORIGIN}).headers[ALLOW] == ORIGIN


def test_an_allowed_origin_may_read_that_its_key_is_wrong(shared: Server) -> None:
    """Contract 1.4, 2: 401 is an answer like others."""
    answer = httpx.get(shared.url + "/dialogue", headers={"Origin": ORIGIN}, verify=TLS)
    assert (answer.status_code, answer.headers[ALLOW]) == (401, ORIGIN)


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "http://app.example", f"{ORIGIN}.evil.example", "null"]
)
def test_another_origin_is_not_allowed(shared: Server, origin: str) -> None:
    """Contract 1.4: origins are compared whole."""
    with shared.client() as client:
        assert ALLOW not in client.get("/dialogue", headers={"Origin": origin}).headers
    assert ALLOW not in preflight(shared, origin).headers


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_preflight_is_answered_204(shared: Server, method: str) -> None:
    """Contract 1.4: without a key, since browsers send none."""
    answer = preflight(shared, ORIGIN, method)
    assert (answer.status_code, answer.headers[ALLOW]) == (204, ORIGIN)
    assert method in answer.headers["Access-Control-Allow-Methods"]
    allowed = answer.headers["Access-Control-Allow-Headers"].lower()
    assert {"authorization", "content-type"} <= set(re.split(r"[,\s]+", allowed))


# Help


@pytest.mark.parametrize(
    "option",
    [
        "--db", "--host", "--port", "--db-key-file", "--tls-cert", "--tls-key", "--tls-self-signed",
        "--insecure-no-tls", "--cors-origin", "--rate-limit", "--rate-burst",
    ],
)  # fmt: skip
def test_help_mentions_every_option(option: str) -> None:
    """Every option of `serve` is explained."""
    done = in_process("serve", "--help", env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
    assert done.exit_code == 0
    assert re.search(rf"{option}\b", done.stdout)
