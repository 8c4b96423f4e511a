"""As much of a Kubernetes client as the bridge and the tests need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import urllib3

Object = dict[str, Any]

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class KubeError(Exception):
    """An answer that is no success."""

    def __init__(self, method: str, path: str, status: int, body: Any) -> None:
        message = body.get("message") if isinstance(body, dict) else body
        super().__init__(f"{method} {path}: {status} {message}")
        self.status = status


# A kept connection may have ended meanwhile: what only reads is asked once more, over a new one.
_AGAIN = urllib3.Retry(
    total=1,
    connect=0,
    status=0,
    redirect=0,
    allowed_methods=["GET"],
    respect_retry_after_header=False,
)


class Kube:
    """Talks to one address as one user, over connections that are kept: a handshake for each
    request would be most of what a world does. Any thread may use it."""

    def __init__(self, server: str, token: str, ca: Path) -> None:
        self.server = server
        self._headers = {"Authorization": f"Bearer {token}"}
        self._pool = urllib3.PoolManager(
            ca_certs=str(ca), maxsize=4, retries=_AGAIN, timeout=urllib3.Timeout(15)
        )
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}

    def call(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        """One request, whatever the answer: its status and body."""
        headers = dict(self._headers)
        data = None
        if body is not None:
            headers["Content-Type"] = content_type
            data = json.dumps(body).encode()
        response = self._pool.request(method, self.server + path, body=data, headers=headers)
        try:
            return response.status, json.loads(response.data)
        except ValueError:
            return response.status, response.data.decode(errors="replace")

    def do(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> Any:
        """One request that has to succeed."""
        status, answer = self.call(method, path, body, content_type)
        if status >= 300:
            raise KubeError(method, path, status, answer)
        return answer

    def list(self, path: str) -> list[Object]:
        items: list[Object] = self.do("GET", path)["items"]
        return items

    def create(self, path: str, body: Object) -> Object | None:
        """What was created; none when it is there already."""
        status, answer = self.call("POST", path, body)
        if status == 409:
            return None
        if status >= 300:
            raise KubeError("POST", path, status, answer)
        created: Object = answer
        return created

    def delete(self, path: str) -> None:
        """Gone at once, without grace; gone already is fine."""
        status, answer = self.call("DELETE", path, {"gracePeriodSeconds": 0})
        if status >= 300 and status != 404:
            raise KubeError("DELETE", path, status, answer)

    def ready(self) -> bool:
        """What /readyz says; a server that does not answer is not ready."""
        try:
            return self.call("GET", "/readyz")[0] == 200
        except urllib3.exceptions.HTTPError:
            return False

    def path_of(self, thing: Object) -> str:
        """Where an object lives, by discovery."""
        version, kind = thing["apiVersion"], thing["kind"]
        prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if (version, kind) not in self._kinds:
            for resource in self.do("GET", prefix)["resources"]:
                if "/" not in resource["name"]:
                    found = (resource["name"], resource["namespaced"])
                    self._kinds[version, resource["kind"]] = found
        if (version, kind) not in self._kinds:
            raise ValueError(f"the cluster knows no {kind} in {version}")
        plural, namespaced = self._kinds[version, kind]
        if namespaced:
            prefix += f"/namespaces/{thing['metadata'].get('namespace', 'default')}"
        return f"{prefix}/{plural}/{thing['metadata']['name']}"

    def apply(self, thing: Object, manager: str) -> Object:
        """Server-side apply."""
        path = f"{self.path_of(thing)}?fieldManager={manager}&force=true"
        applied: Object = self.do("PATCH", path, thing, APPLY_PATCH)
        return applied
