"""What a PEM file holds, for people: names, dates, key, fingerprint, and what is wrong with it. Pure."""

from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from pinfold.certs.bundle import BundleError, names_of, parse_bundle

__all__ = ["CertificateReport", "report"]


@dataclass(frozen=True, slots=True)
class CertificateReport:
    """The first certificate of a file; each problem with its mend behind a semicolon."""

    names: tuple[str, ...]
    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    key: str
    sha256: str
    chain_length: int
    problems: tuple[str, ...]


def report(pem: str, now: datetime) -> CertificateReport:
    """The report about PEM text.

    Raises:
        ValueError: it holds no certificate that can be read.
    """
    chain = x509.load_pem_x509_certificates(pem.encode())
    leaf = chain[0]
    try:
        parse_bundle("", pem, now)
        problems: tuple[str, ...] = ()
    except BundleError as error:
        problems = (f"it {error}; {error.hint}",)
    return CertificateReport(
        names=names_of(leaf),
        subject=leaf.subject.rfc4514_string(),
        issuer="itself" if leaf.issuer == leaf.subject else leaf.issuer.rfc4514_string(),
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        key=_key(leaf),
        sha256=leaf.fingerprint(hashes.SHA256()).hex(":").upper(),
        chain_length=len(chain),
        problems=problems,
    )


def _key(leaf: x509.Certificate) -> str:
    match leaf.public_key():
        case ec.EllipticCurvePublicKey() as key:
            return {"secp256r1": "ECDSA P-256", "secp384r1": "ECDSA P-384"}.get(key.curve.name, key.curve.name)
        case rsa.RSAPublicKey() as key:
            return f"RSA {key.key_size}"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
        case other:
            return type(other).__name__
