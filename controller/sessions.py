"""HTTP sessions that keep the deadline of a whole call: shared by the adapters that call with requests."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies

from controller import wire

ONCE = urllib3.Retry(total=0, redirect=0, raise_on_status=False, respect_retry_after_header=False)


class Paced(HTTPAdapter):
    """Makes connections whose every read ends with the deadline of `wire.deadline`."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = dict(wire.POOLS)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(*args, **kwargs)
        manager.pool_classes_by_scheme = dict(wire.POOLS)
        return manager


def paced_session(url: str, *, verify: bool | str) -> requests.Session:
    """A session for one address and one thread: no cookies, no .netrc, no retries; proxies of the environment."""
    found = requests.Session()
    found.trust_env = False  # a .netrc would replace our Authorization, or add one
    found.proxies = get_environ_proxies(url)
    found.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    found.verify = verify
    for scheme in ("http://", "https://"):
        found.mount(scheme, Paced(max_retries=ONCE))
    return found
