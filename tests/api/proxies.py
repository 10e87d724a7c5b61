"""A real HTTP proxy with tunnels, a server behind TLS, and a certificate authority that both can be trusted by."""

from __future__ import annotations

import datetime
import ipaddress
import json
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

POLL_TIMEOUT = 10.0


class Certificates:
    """
    A self-signed certificate for ``seeany.test`` and ``127.0.0.1``, as a bundle to trust and a context to serve with.

    :param folder: where its files are made.
    """

    def __init__(self, folder: Path) -> None:
        self.bundle = folder / "bundle.pem"
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "made for a test")])
        now = datetime.datetime.now(datetime.UTC)
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(
                x509.SubjectAlternativeName(
                    [x509.DNSName("seeany.test"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
                ),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(x509.KeyUsage(True, *[False] * 4, True, *[False] * 3), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (folder / "key.pem").write_bytes(private)
        self.server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.server.load_cert_chain(self.bundle, folder / "key.pem")


class TaskServer(ThreadingHTTPServer):
    """
    Responds to every GET with a running task ``x``, and to no POST: it hangs up. Keeps the headers that it got.

    :param tls: what it encrypts with, if it does.
    """

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port = self.server_address[1]
        self.tls = tls
        self.seen: list[tuple[str, dict[str, str]]] = []

    def finish_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        """Encrypt in the connection's own thread."""
        with suppress(OSError):
            wrapped = self.tls.wrap_socket(request, server_side=True) if self.tls else request
            super().finish_request(wrapped, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, TaskServer)
        self.server.seen.append((self.path, dict(self.headers.items())))
        body = json.dumps({"id": "x", "status": "processing"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        assert isinstance(self.server, TaskServer)
        self.server.seen.append((self.path, dict(self.headers.items())))
        self.close_connection = True
        if isinstance(self.connection, ssl.SSLSocket):
            with suppress(OSError):
                self.connection.unwrap()

    def log_message(self, *_: object) -> None:
        pass


class Proxy:
    """
    Passes bytes on to one server, whatever host is requested, and keeps all that it was sent.

    :param port: where that server is.
    :param tls: what the proxy itself encrypts with, if it does.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.seen = b""
        self.heads: list[str] = []
        self._to = port
        self._tls = tls
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listening.getsockname()[1]}"

    def serve(self) -> None:
        """Accept until closed."""
        with suppress(OSError):
            while True:
                caller, _ = self._listening.accept()
                threading.Thread(target=self._handle, args=(caller,), daemon=True).start()

    def close(self) -> None:
        """Stop."""
        self._listening.close()

    def _handle(self, caller: socket.socket) -> None:
        with suppress(OSError):
            if self._tls:
                caller = self._tls.wrap_socket(caller, server_side=True)
            caller.settimeout(POLL_TIMEOUT)
            head = b""
            while b"\r\n\r\n" not in head:
                head += (got := caller.recv(65_536))
                if not got:
                    return
            self.seen += head
            self.heads.append(head.decode("latin-1"))
            server = socket.create_connection(("127.0.0.1", self._to), POLL_TIMEOUT)
            if head.startswith(b"CONNECT "):
                caller.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 Connection established\r\n\r\n")
            else:
                server.sendall(head)
            self._pass_on(caller, server)

    def _pass_on(self, caller: socket.socket, server: socket.socket) -> None:
        """Pass bytes on in both directions, in one thread: a TLS socket is not safe for two."""
        other = {caller: server, server: caller}
        is_open = True
        with suppress(OSError):
            while is_open:
                is_buffered = isinstance(caller, ssl.SSLSocket) and caller.pending()
                ready = [caller] if is_buffered else select.select([caller, server], [], [], POLL_TIMEOUT)[0]
                is_open = bool(ready)
                for each in ready:
                    self.seen += (got := each.recv(65_536))
                    other[each].sendall(got)
                    is_open = is_open and bool(got)
        for each in other:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(server: TaskServer | Proxy) -> Iterator[None]:
    """Serve in a thread of its own."""
    thread = threading.Thread(
        target=server.serve_forever if isinstance(server, TaskServer) else server.serve, daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        if isinstance(server, TaskServer):
            server.shutdown()
            server.server_close()
        else:
            server.close()
