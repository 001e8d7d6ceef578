"""Certificates of an authority that nobody knows, and of a server on loopback that it vouches for."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def signed(
    subject: str, key: ec.EllipticCurvePrivateKey, by: tuple[str, ec.EllipticCurvePrivateKey]
) -> bytes:
    """A certificate for `key`, of the address 127.0.0.1 unless it is its own signer's."""
    name, signer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (subject, by[0]))
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    return (
        x509.CertificateBuilder(signer, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=key is by[1], path_length=None), critical=True)
        .sign(by[1], hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def certificates(folder: Path) -> tuple[Path, Path]:
    """Files of a new authority's certificate, and of a server's key and certificate, which the authority signed."""
    authority, server = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "own.pem").write_bytes(signed("authority", authority, ("authority", authority)))
    (folder / "server.pem").write_bytes(
        server.private_bytes(pem, form, serialization.NoEncryption())
        + signed("server", server, ("authority", authority))
    )
    return folder / "own.pem", folder / "server.pem"
