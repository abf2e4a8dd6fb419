"""Makes a private key and a certificate that vouches for itself. Touches no file; the time comes in."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pinfold.base.names import ip_address, parse_host_name

__all__ = ["DAYS", "DAYS_MOST", "make_self_signed"]

DAYS: Final = 365
DAYS_MOST: Final = 397
"""Clients of Apple and the CA/Browser Forum refuse certificates that live longer."""
BACKDATED: Final = timedelta(hours=1)
"""So that a client whose clock is behind takes it at once."""
SUBJECT_MOST: Final = 64
"""Characters of a common name, RFC 5280 appendix A.1."""


def make_self_signed(names: Sequence[str], now: datetime, days: int = DAYS) -> str:
    """PEM text of a P-256 key and its certificate for `names`; the first one is the common name.

    An IP address is listed as address and as DNS name, because old clients look only there.

    Raises:
        ValueError: there is no name, one is none, or `days` is out of bounds.
    """
    if not 1 <= days <= DAYS_MOST:
        raise ValueError(f"a certificate lives 1 to {DAYS_MOST} days, not {days}")
    wanted = list(dict.fromkeys(parse_host_name(name) for name in names))
    if not wanted:
        raise ValueError("a certificate needs a name")
    key = ec.generate_private_key(ec.SECP256R1())
    subject_name = next((name for name in wanted if len(name) <= SUBJECT_MOST), "pinfold")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject_name)])
    start = now.replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start - BACKDATED)
        .not_valid_after(start - BACKDATED + timedelta(days=days))
    )
    builder = _extended(builder, wanted, key.public_key())
    certificate = builder.sign(key, hashes.SHA256())
    key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return (key_pem + certificate.public_bytes(Encoding.PEM)).decode()


def _extended(
    builder: x509.CertificateBuilder, names: Sequence[str], key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    addresses = [x509.IPAddress(address) for name in names if (address := ip_address(name))]
    alternatives = x509.SubjectAlternativeName([*(x509.DNSName(name) for name in names), *addresses])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(alternatives, critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(authority, critical=False)
    )
