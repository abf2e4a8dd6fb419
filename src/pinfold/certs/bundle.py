"""A certificate chain with its private key, taken from PEM text and judged. Pure: text and time come in."""

import ipaddress
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

__all__ = ["Bundle", "BundleError", "names_of", "parse_bundle"]

RSA_BITS_LEAST: Final = 2048
_BLOCK: Final = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)


class BundleError(ValueError):
    """PEM text that is no usable certificate; `hint` is the mend."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Bundle:
    """A chain, the end entity first, with its key."""

    name: str
    server_names: tuple[str, ...]
    not_after: datetime
    chain_pem: str
    key_pem: str = field(repr=False)


def parse_bundle(name: str, pem: str, now: datetime) -> Bundle:
    """The bundle in PEM text that holds key and chain in any order.

    Raises:
        BundleError: a part is missing, encrypted, too weak, out of date or does not match.
    """
    blocks = [(found.group(1), found.group(0)) for found in _BLOCK.finditer(pem)]
    keys = [text for kind, text in blocks if kind.endswith("PRIVATE KEY")]
    chain = [text for kind, text in blocks if kind == "CERTIFICATE"]
    if not chain:
        raise BundleError("has no certificate", "put the certificate chain and its key into the file, as PEM")
    if len(keys) != 1:
        raise BundleError(f"has {len(keys)} private keys, wanted one", "append the private key, as PEM, to the file")
    try:
        leaf = x509.load_pem_x509_certificate(chain[0].encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(f"has a certificate that cannot be read: {error}", "make it anew, as PEM") from None
    if not names_of(leaf):
        raise BundleError("names no server (no subjectAltName)", "make it anew with the names clients use")
    _judge_key(keys[0], leaf)
    _judge_dates(leaf, now)
    return Bundle(
        name=name,
        server_names=names_of(leaf),
        not_after=leaf.not_valid_after_utc,
        chain_pem="\n".join(chain) + "\n",
        key_pem=keys[0] + "\n",
    )


def _judge_key(pem: str, leaf: x509.Certificate) -> None:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except TypeError:
        raise BundleError("has an encrypted private key", "remove it: openssl pkey -in KEY -out KEY") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise BundleError(f"has a private key that cannot be read: {error}", "make it anew, as PEM") from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size < RSA_BITS_LEAST:
        raise BundleError(
            f"has an RSA key of {key.key_size} bits, too weak; the least is {RSA_BITS_LEAST}",
            "make a new one: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
        )
    if not _served(key):
        raise BundleError("has a key of a kind that clients do not take", "use ECDSA P-256, P-384, Ed25519 or RSA")
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise BundleError("has a private key that does not match its certificate", "put the leaf first in the chain")


def _served(key: PrivateKeyTypes) -> bool:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1)
    return isinstance(key, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey)


def _judge_dates(leaf: x509.Certificate, now: datetime) -> None:
    if now >= leaf.not_valid_after_utc:
        raise BundleError(f"expired on {leaf.not_valid_after_utc:%Y-%m-%d}", "renew it")
    if now < leaf.not_valid_before_utc:
        raise BundleError(f"is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC", "check the clock")


def names_of(leaf: x509.Certificate) -> tuple[str, ...]:
    """The names a certificate is for, each once; clients look at nothing else. None of them if it has none."""
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    names = [str(name).lower() for name in found.get_values_for_type(x509.DNSName)]
    addresses: list[ipaddress.IPv4Address | ipaddress.IPv6Address] = [
        address
        for address in found.get_values_for_type(x509.IPAddress)
        if isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address)
    ]
    return tuple(dict.fromkeys([*names, *map(str, addresses)]))
