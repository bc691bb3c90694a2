"""Certificates for servers on this machine, and an authority of their own to check them by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
DAYS = 30


@dataclass(frozen=True)
class Certificate:
    """Files in PEM. The authority's key is in none: it signs once."""

    ca_file: Path
    certificate_file: Path
    key_file: Path


def make_certificate(folder: Path, names: tuple[str, ...] = LOCAL_NAMES, days: int = DAYS) -> Certificate:
    """A new authority and a certificate for names and addresses, in a folder; expired where `days` are negative."""
    ca_key, key = generate_private_key(SECP256R1()), generate_private_key(SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Connect Inbox local authority")])
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    ca = builder(ca_name, ca_name, ca_key, ca_key, True, DAYS).sign(ca_key, hashes.SHA256())
    alternatives = x509.SubjectAlternativeName([alternative(name) for name in names])
    certificate = builder(own_name, ca_name, key, ca_key, False, days).add_extension(alternatives, critical=False)
    files = Certificate(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    files.ca_file.write_bytes(ca.public_bytes(Encoding.PEM))
    files.certificate_file.write_bytes(certificate.sign(ca_key, hashes.SHA256()).public_bytes(Encoding.PEM))
    files.key_file.touch(mode=0o600)
    files.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return files


def builder(
    name: x509.Name,
    issuer: x509.Name,
    key: EllipticCurvePrivateKey,
    ca_key: EllipticCurvePrivateKey,
    is_ca: bool,
    days: int,
) -> x509.CertificateBuilder:
    """A certificate, not signed yet, with all that strict checking asks for."""
    now = datetime.now(UTC)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=is_ca, crl_sign=is_ca, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder(issuer, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2 * DAYS))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
    )


def alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
