"""A certificate as people read it. Pure."""

from datetime import datetime

from pinfold.certs.report import CertificateReport

__all__ = ["render_certificate"]


def render_certificate(found: CertificateReport, now: datetime) -> str:
    """A certificate, line by line, and what is wrong with it."""
    left = (found.not_after - now).days
    lines = [
        f"names        {', '.join(found.names) or '-'}",
        f"good         {found.not_before:%Y-%m-%d} to {found.not_after:%Y-%m-%d} ({left} days left)",
        f"key          {found.key}",
        f"subject      {found.subject}",
        f"issued by    {found.issuer}" + (f", chain of {found.chain_length}" if found.chain_length > 1 else ""),
        f"SHA-256      {found.sha256[:47]}\n             {found.sha256[48:]}",
        *(f"! {problem}" for problem in found.problems),
    ]
    return "\n".join(lines) + "\n"
