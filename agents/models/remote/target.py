"""Where a server is: its URL, and the proxy, the certificates and the key that the environment has for it.

`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` (or the system's settings on macOS and Windows), `SSL_CERT_FILE` and `SSL_CERT_DIR` are obeyed.
"""

from __future__ import annotations

import os
import ssl
import urllib.request
from dataclasses import dataclass, field
from functools import cache
from urllib.parse import urlsplit

from ....graph.errors import UserError

_SCHEMES = ("http", "https")


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go, and by which way."""

    url: str
    """The base URL, without a slash at its end."""
    host: str
    secure: bool
    """Whether by TLS."""
    proxy: str | None = field(default=None, repr=False)
    """URL of the proxy, with its login."""


def read_target(base_url: str) -> Target:
    """Return the target of a base URL.

    Raises:
        UserError: if it is no http or https URL, has a login in it, or its proxy is of another kind.
    """
    url = base_url.rstrip("/")
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.query or parts.fragment:
        raise UserError(f"base_url {base_url!r} is no address; write one such as http://localhost:8000/v1")
    if "@" in parts.netloc:
        raise UserError(f"the base_url of {parts.hostname} has a login in it; give a key by the environment")
    return Target(url, parts.hostname, parts.scheme == "https", _proxy(parts.scheme, parts.netloc))


def read_key(variable: str) -> str:
    """Return the key in an environment variable, "" if there is none.

    Raises:
        UserError: if it cannot be one.
    """
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"the key in {variable} has characters that no key has; set it anew")
    return key


def _proxy(scheme: str, authority: str) -> str | None:
    proxies = urllib.request.getproxies()
    named = proxies.get(scheme) or proxies.get("all")
    if not named or urllib.request.proxy_bypass(authority):
        return None
    url = named if "://" in named else f"http://{named}"
    proxy = urlsplit(url)
    if proxy.scheme not in _SCHEMES or not proxy.hostname:
        raise UserError(
            f"the proxy for {authority} is of the kind {proxy.scheme!r}; name an http:// one in {scheme.upper()}_PROXY, or the host in NO_PROXY"
        )
    return url


@cache
def tls_context() -> ssl.SSLContext:
    """Return what servers' certificates are checked against; read once a process."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    places = ssl.get_default_verify_paths()
    if not (places.cafile or places.capath):  # some builds of Python come without certificates
        try:
            import certifi
        except ImportError:
            pass
        else:
            context.load_verify_locations(certifi.where())
    return context
