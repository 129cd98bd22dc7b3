"""TLS with mutual authentication, from PEM files, and a development authority that makes them."""

import datetime as dt
import ipaddress
import ssl
from collections.abc import Sequence
from pathlib import Path

from quorate.kernel.errors import ConfigError, UsageError


def _load(context: ssl.SSLContext, certificate: str, key: str, authority: str) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(authority)
    except (OSError, ssl.SSLError) as cause:
        raise ConfigError(f"tls: {certificate}, {key}, {authority}: {cause}") from cause
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def server_context(certificate: str, key: str, authority: str) -> ssl.SSLContext:
    """Return a context for listening: clients must show a certificate of the authority."""
    return _load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), certificate, key, authority)


def client_context(certificate: str, key: str, authority: str) -> ssl.SSLContext:
    """Return a context for dialling: servers must show a certificate of the authority for the name dialled."""
    return _load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate, key, authority)


def make_certificates(
    directory: Path, names: Sequence[str], *, hosts: Sequence[str] = ("127.0.0.1", "localhost")
) -> None:
    """Write ca.pem, and NAME.pem with NAME.key for each name: for development, not for production.

    Raises:
        UsageError: a file exists already, a name is none of a file, or the `cryptography` package is not installed.
    """
    for name in names:
        if not name or "/" in name or name.startswith("."):
            raise UsageError(f"{name!r} cannot be the name of a certificate: its files are NAME.pem and NAME.key")
    try:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID
    except ImportError as cause:
        raise UsageError("certificates need the package cryptography: pip install 'quorate[tls]'") from cause
    directory.mkdir(parents=True, exist_ok=True)
    targets = [directory / "ca.pem", *(directory / f"{name}.pem" for name in names)]
    for target in targets:
        if target.exists():
            raise UsageError(f"{target} exists; nothing was written")
    begin = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)  # noqa: TID251  (certificates know no other time)
    end = begin + dt.timedelta(days=825)

    def named(name: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = named("Quorate development authority")
    base = x509.CertificateBuilder().issuer_name(authority).not_valid_before(begin).not_valid_after(end)
    certificate = (
        base.subject_name(authority)
        .public_key(authority_key.public_key())
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    alternatives = x509.SubjectAlternativeName(
        [x509.IPAddress(ipaddress.ip_address(host)) if host[:1].isdigit() else x509.DNSName(host) for host in hosts]
    )
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            base.subject_name(named(name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .add_extension(alternatives, critical=False)
            .sign(authority_key, hashes.SHA256())
        )
        (directory / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        path = directory / f"{name}.key"
        path.touch(mode=0o600)
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
