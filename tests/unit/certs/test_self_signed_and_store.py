"""Certificates are made as clients want them, kept, renewed, and every problem of the named ones is told at once."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from pinfold.base.errors import ConfigError
from pinfold.certs.self_signed import make_self_signed
from pinfold.certs.store import check_certificates, load_certificates, self_signed_path
from pinfold.config.read import LoadedConfig, parse

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
HEAD = "[pools.a]\nendpoints = ['1.2.3.4:80']\n"


def leaf(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN CERT") :].encode())


def loaded(directory: Path, tls: str) -> LoadedConfig:
    return parse(f"{HEAD}[listeners.web]\nbind = ':8443'\ntls = {tls}\n", "p.toml", directory)


def test_an_address_is_listed_as_address_and_as_dns_name() -> None:
    names = leaf(make_self_signed(["Localhost", "127.0.0.1", "::1"], NOW)).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost", "127.0.0.1", "::1"]
    assert [str(one) for one in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def test_a_self_signed_certificate_is_a_leaf_for_one_year_on_p256() -> None:
    made = leaf(make_self_signed(["cloud.example.org"], NOW))
    assert isinstance(key := made.public_key(), ec.EllipticCurvePublicKey)
    assert isinstance(key.curve, ec.SECP256R1)
    assert made.subject.rfc4514_string() == "CN=cloud.example.org"
    assert not made.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert NOW - timedelta(days=1) < made.not_valid_before_utc < NOW
    assert timedelta(days=364) < made.not_valid_after_utc - NOW < timedelta(days=397)


@pytest.mark.parametrize(
    ("names", "days", "told"),
    [
        ([], 365, "needs a name"),
        (["a b"], 365, "neither a host name"),
        (["bücher.example"], 365, "xn--"),
        (["a"], 398, "397"),
    ],
)
def test_what_no_client_would_take_is_not_made(names: list[str], days: int, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make_self_signed(names, NOW, days)


def test_a_name_that_is_too_long_for_the_subject_stays_an_alternative_name() -> None:
    long = "a" * 60 + ".example.org"
    made = leaf(make_self_signed([long, "short.example.org"], NOW))
    assert made.subject.rfc4514_string() == "CN=short.example.org"


def test_a_client_that_trusts_the_file_accepts_it(tmp_path: Path) -> None:
    path = tmp_path / "x.pem"
    path.write_text(make_self_signed(["localhost"], datetime.now(UTC)))
    ssl.create_default_context(cafile=str(path))
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(str(path))


def test_a_self_signed_certificate_is_kept_for_us_alone(tmp_path: Path) -> None:
    config = loaded(tmp_path, '{ self_signed = ["localhost", "127.0.0.1"] }')
    (first,) = load_certificates(config, tmp_path / "state", NOW)["web"]
    path = self_signed_path(tmp_path / "state", "web")
    assert first.name == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    (second,) = load_certificates(config, tmp_path / "state", NOW + timedelta(days=300))["web"]
    assert second == first


def test_a_self_signed_certificate_is_renewed_for_other_names_or_near_its_end(tmp_path: Path) -> None:
    config = loaded(tmp_path, '{ self_signed = "localhost" }')
    (first,) = load_certificates(config, tmp_path, NOW)["web"]
    (renewed,) = load_certificates(config, tmp_path, NOW + timedelta(days=336))["web"]
    assert renewed.not_after - first.not_after == timedelta(days=336)
    (other,) = load_certificates(loaded(tmp_path, '{ self_signed = "cloud" }'), tmp_path, NOW)["web"]
    assert other.server_names == ("cloud",)


def test_a_damaged_self_signed_certificate_is_made_anew(tmp_path: Path) -> None:
    config = loaded(tmp_path, '{ self_signed = "localhost" }')
    load_certificates(config, tmp_path, NOW)
    self_signed_path(tmp_path, "web").write_bytes(b"\xff half")
    assert load_certificates(config, tmp_path, NOW)["web"][0].server_names == ("localhost",)


def test_named_files_are_read_from_the_directory_of_the_config(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_text(make_self_signed(["a"], NOW))
    bundles = load_certificates(loaded(tmp_path, '{ certificates = ["a.pem"] }'), tmp_path, NOW)
    assert [bundle.name for bundle in bundles["web"]] == [str(tmp_path / "a.pem")]


def test_every_problem_is_told_at_its_place_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "old.pem").write_text(make_self_signed(["a"], NOW - timedelta(days=500)))
    (tmp_path / "dir").mkdir()
    text = f"""{HEAD}[listeners.a]
bind = ':1'
tls = {{ certificates = ["no.pem", "old.pem", "dir"] }}
[listeners.b]
bind = ':2'
tls = {{ self_signed = "x" }}
"""
    config = parse(text, "p.toml", tmp_path)
    with pytest.raises(ConfigError) as raised:
        load_certificates(config, tmp_path / "state", NOW)
    told = [problem.render().replace(str(tmp_path), "D") for problem in raised.value.problems]
    assert [line.splitlines()[0] for line in told] == [
        "p.toml:5:25: D/no.pem cannot be read: No such file or directory",
        "p.toml:5:35: D/old.pem expired on 2026-07-11",
        "p.toml:5:46: D/dir cannot be read: Is a directory",
    ]
    assert not (tmp_path / "state").exists()
    assert check_certificates(config, NOW) == list(raised.value.problems)


def test_a_state_directory_that_cannot_be_made_is_a_problem_of_the_listener(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"p\.toml:5:9: cannot keep the self-signed certificate in .*Not a directory"):
        load_certificates(loaded(tmp_path, '{ self_signed = "x" }'), tmp_path / "file" / "state", NOW)
