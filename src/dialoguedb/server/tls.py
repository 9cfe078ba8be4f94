"""A certificate of the server's own, for where there is none: kept beside the database."""

import datetime
import ipaddress
import os
import socket
import ssl
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dialoguedb.errors import AdminError

_VALID = datetime.timedelta(days=3650)


class Pair(NamedTuple):
    """A certificate and its key, as PEM files."""

    cert: Path
    key: Path


def given(cert: str, key: str) -> Pair:
    """Take a certificate and a key that there are.

    Raises:
        AdminError: one of them cannot be read, or they do not belong together.
    """
    pair = Pair(Path(cert), Path(key))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair.cert, pair.key)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or error.reason if isinstance(error, ssl.SSLError) else error
        raise AdminError(
            f"the certificate {cert} and the key {key} cannot be used: {reason}"
        ) from None
    return pair


def self_signed(beside: Path, host: str, now_ms: int) -> Pair:
    """Make a self-signed certificate beside a database, or give the one that is there.

    One that does not name the host or an address of this machine is made anew.

    Clients that are told to trust it (Node: `NODE_EXTRA_CA_CERTS`) go on trusting it after a
    restart.

    Args:
        beside: the database's file.
        host: the address that the server listens on; named in the certificate.
        now_ms: the clock.
    """
    pair = Pair(
        beside.with_name(beside.name + ".cert.pem"), beside.with_name(beside.name + ".key.pem")
    )
    names = _names(host)
    now = datetime.datetime.fromtimestamp(now_ms / 1000, datetime.UTC)
    if _serves(pair, names, now):
        return pair
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "DialogueDB self-signed")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pair.key.unlink(missing_ok=True)  # its mode would stay
    with os.fdopen(os.open(pair.key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secret)
    pair.cert.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return pair


def _serves(pair: Pair, names: list[x509.GeneralName], now: datetime.datetime) -> bool:
    """Tell whether a pair of ours is there, whole, valid, and names all these."""
    try:
        there = x509.load_pem_x509_certificate(pair.cert.read_bytes())
        stated = there.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(pair.cert, pair.key)
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    return set(names) <= set(stated) and there.not_valid_after_utc > now


def _names(host: str) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    wanted = ("localhost", "127.0.0.1", "::1", socket.gethostname(), host, *_addresses())
    for text in dict.fromkeys(wanted):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            names.append(x509.DNSName(text))
    return names


def _addresses() -> list[str]:
    """Give this machine's own addresses, as far as its name leads to them."""
    try:
        found = socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return sorted({str(address[0]).partition("%")[0] for *_, address in found})
