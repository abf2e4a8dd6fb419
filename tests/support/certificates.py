"""Certificates made for a test, with what may be wrong with one; `pinfold.certs` is not asked, as it is under test."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

__all__ = ["Made", "make", "trusting"]

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Made:
    """A self-signed certificate and its key, as PEM."""

    chain_pem: str
    key_pem: str

    def write(self, directory: Path, name: str = "test") -> Path:
        """One file with the certificate and the key behind it, as listeners are configured with."""
        path = directory / f"{name}.crt-key"
        path.write_text(self.chain_pem + self.key_pem, encoding="ascii")
        path.chmod(0o600)
        return path


def make(*names: str, key: _Key | None = None, days: tuple[int, int] = (-1, 30)) -> Made:
    """A certificate for these names, valid between these days from now; P-256 unless a key is given."""
    own = key or ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    built = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=days[0]))
        .not_valid_after(now + dt.timedelta(days=days[1]))
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(own, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = own.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Made(built.public_bytes(encoding).decode(), private.decode())


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def trusting(*made: Made, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Settings of a client that trusts these certificates and no others; with a version, that one only."""
    settings = ssl.create_default_context(cadata="".join(one.chain_pem for one in made))
    settings.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if version is not None:
        settings.minimum_version = settings.maximum_version = version
    return settings
