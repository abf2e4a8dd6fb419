"""Certificates are judged before anything uses them."""

from datetime import UTC, datetime, timedelta
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from pinfold.certs.bundle import BundleError, parse_bundle

NOW = datetime(2026, 11, 23, tzinfo=UTC)
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@cache
def curve_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def certificate(key: Key, *, days: int = 90, names: tuple[str, ...] = ("Cloud.example.org", "*.example.org")) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud")])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    end = NOW + timedelta(days=days)
    builder = builder.serial_number(1).not_valid_before(end - timedelta(days=30)).not_valid_after(end)
    if names:
        found = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
        builder = builder.add_extension(found, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def key_pem(key: Key, encryption: KeySerializationEncryption | None = None) -> str:
    form = Encoding.PEM, PrivateFormat.PKCS8
    return key.private_bytes(*form, encryption or NoEncryption()).decode()


@pytest.mark.parametrize("key_first", [True, False])
def test_key_and_chain_may_come_in_any_order(key_first: bool) -> None:
    parts = [key_pem(curve_key()), certificate(curve_key(), days=10)]
    bundle = parse_bundle("pound", "".join(parts if key_first else reversed(parts)), NOW)
    assert bundle.server_names == ("cloud.example.org", "*.example.org")
    assert "PRIVATE" not in bundle.chain_pem
    assert "PRIVATE" not in repr(bundle)


def test_what_cannot_be_used_is_named_with_the_mend() -> None:
    key, weak = curve_key(), rsa.generate_private_key(65537, 1024)
    cases = [
        ("", "no certificate", "PEM"),
        (certificate(key), "0 private keys", "append"),
        (key_pem(key, BestAvailableEncryption(b"x")) + certificate(key, days=10), "encrypted", "openssl pkey"),
        (key_pem(weak) + certificate(weak, days=10), "1024 bits, too weak", "openssl req"),
        (key_pem(key) + certificate(key, days=-1), "expired on 2026-11-22", "renew"),
        (key_pem(key) + certificate(key, days=90), "not valid before 2027-01-22", "clock"),
        (key_pem(ec.generate_private_key(ec.SECP256R1())) + certificate(key, days=10), "does not match", "leaf"),
        (key_pem(key) + certificate(key, days=10, names=()), "names no server", "names"),
        (key_pem(key) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read", "PEM"),
    ]
    for pem, what, mend in cases:
        with pytest.raises(BundleError, match=what) as refused:
            parse_bundle("pound", pem, NOW)
        assert mend in refused.value.hint
