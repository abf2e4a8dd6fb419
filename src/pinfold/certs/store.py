"""Certificates on disk: those the operator named are read, self-signed ones made and renewed. I/O, but for the dates.

Self-signed ones are `STATE_DIRECTORY/certificates/LISTENER.pem`, key and certificate in one file that only we may read.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from pinfold.base.errors import ConfigError, Problem
from pinfold.base.files import write_atomically
from pinfold.certs.bundle import Bundle, BundleError, parse_bundle
from pinfold.certs.self_signed import make_self_signed
from pinfold.config.model import Tls
from pinfold.config.read import LoadedConfig

__all__ = ["check_certificates", "load_certificates", "self_signed_path"]

RENEW_BEFORE: Final = timedelta(days=30)
"""A self-signed certificate that expires sooner is made anew."""
BYTES_MOST: Final = 1024 * 1024
"""No chain with its key is larger."""


def load_certificates(loaded: LoadedConfig, state_directory: Path, now: datetime) -> Mapping[str, Sequence[Bundle]]:
    """The bundles of each listener that has `tls`, in the order of the config.

    Nothing is made or renewed unless every file that the operator named is good.

    Raises:
        ConfigError: with every problem, each at its place in the config.
    """
    found, problems = _read_named(loaded, now)
    if problems:
        raise ConfigError(problems)
    for name, tls in _listeners_with_tls(loaded):
        if tls.self_signed:
            try:
                found[name] = [_kept(self_signed_path(state_directory, name), tls.self_signed, now)]
            except OSError as error:
                what = f"cannot keep the self-signed certificate in {error.filename}: {error.strerror}"
                place = loaded.positions.at(("listeners", name, "tls", "self_signed"))
                problems.append(Problem(place, what, "name another daemon.state_directory, or grant the rights"))
    if problems:
        raise ConfigError(problems)
    return found


def check_certificates(loaded: LoadedConfig, now: datetime) -> list[Problem]:
    """Every problem of the certificates the operator named; makes nothing."""
    return _read_named(loaded, now)[1]


def self_signed_path(state_directory: Path, listener: str) -> Path:
    """Where the self-signed certificate of a listener is."""
    return state_directory / "certificates" / f"{listener}.pem"


def _listeners_with_tls(loaded: LoadedConfig) -> list[tuple[str, Tls]]:
    return [(name, one.tls) for name, one in loaded.config.listeners.items() if one.tls is not None]


def _read_named(loaded: LoadedConfig, now: datetime) -> tuple[dict[str, list[Bundle]], list[Problem]]:
    found: dict[str, list[Bundle]] = {}
    problems: list[Problem] = []
    for name, tls in _listeners_with_tls(loaded):
        found[name] = []
        for index, path in enumerate(tls.certificates):
            try:
                found[name].append(_read(path, now))
            except BundleError as error:
                place = loaded.positions.at(("listeners", name, "tls", "certificates", index))
                problems.append(Problem(place, f"{path} {error}", error.hint))
    return found, problems


def _read(path: Path, now: datetime) -> Bundle:
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MOST + 1)
    except OSError as error:
        hint = "pinfold cert new NAME -o FILE makes one" if isinstance(error, FileNotFoundError) else "grant the rights"
        raise BundleError(f"cannot be read: {error.strerror}", hint) from None
    if len(content) > BYTES_MOST:
        raise BundleError("is larger than any certificate", "name a PEM file with chain and key")
    return parse_bundle(str(path), content.decode("ascii", errors="replace"), now)


def _kept(path: Path, names: Sequence[str], now: datetime) -> Bundle:
    """The self-signed bundle at `path`, made anew when it does not fit or has not long to live."""
    try:
        bundle = _read(path, now)
    except BundleError:
        bundle = None
    if bundle is not None and set(bundle.server_names) == set(names) and bundle.not_after - now >= RENEW_BEFORE:
        return bundle
    path.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    pem = make_self_signed(names, now)
    write_atomically(path, pem.encode(), 0o600)
    return parse_bundle(str(path), pem, now)
