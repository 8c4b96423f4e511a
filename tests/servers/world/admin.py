"""How tests talk to the world: one JSON object a POST, `{"do": what, ...}`, one JSON object back.

An operation that fails answers 400 and `{"error": text}`. Each operation is a method of `Admin`
whose name is public; its arguments are the keys.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.exceptions
import yaml
from botocore import xform_name

from . import groups
from .account import Account
from .bridge import Bridge
from .cluster import FIXTURES, Cluster
from .crowd import Crowd
from .front import HARNESS
from .processes import free_port


class Admin:
    """The operations."""

    def __init__(self, account: Account, cluster: Cluster, bridge: Bridge) -> None:
        self._account = account
        self._cluster = cluster
        self._bridge = bridge

    # Kubernetes.

    def kube(
        self,
        method: str,
        path: str,
        body: Any = None,
        user: str = "admin",
        content_type: str = "application/json",
    ) -> Any:
        """One request to the balancer, whatever the answer."""
        status, answer = self._cluster.kube(user).call(method, path, body, content_type)
        return {"status": status, "body": answer}

    def apply(self, objects: list[Any], manager: str = "kubectl") -> Any:
        """Server-side apply, as kubectl would."""
        kube = self._cluster.kube("admin")
        return [kube.apply(each, manager) for each in objects]

    def fixture(self, name: str) -> Any:
        """Applies a file of `tests/servers/fixtures`."""
        with open(FIXTURES / f"{name}.yaml", encoding="utf-8") as file:
            objects = [each for each in yaml.safe_load_all(file) if each]
        zones = self._cluster.settings.zones
        text = json.dumps(objects)
        for index, zone in enumerate(zones):
            text = text.replace(f"ZONE-{index}", zone)
        return self.apply(json.loads(text))

    def api_server_versions(self) -> Any:
        """By instance, what each apiserver says that it is."""
        return self._cluster.versions()

    def stored(self, key: str) -> Any:
        """What etcd has under a key, as text; none: nothing."""
        return self._cluster.stored(key)

    def audit_logs(self) -> Any:
        """Of all apiservers that ever ran."""
        return [str(path) for path in self._cluster.audit_logs]

    def kubeconfig(self, user: str) -> Any:
        return str(self._cluster.kubeconfig(user))

    def kubeconfig_by_certificate(self, user: str, groups: list[str], days: float) -> Any:
        return str(self._cluster.kubeconfig_by_certificate(user, groups, days))

    def stop_apiserver(self, instance: str) -> Any:
        """Its process ends, the instance stays."""
        self._cluster.stop_apiserver(instance)

    def start_apiserver(self, instance: str) -> Any:
        self._bridge.start_apiserver_of(instance)

    def crowd(self, nodes: int, pods: int) -> Any:
        """Fills the cluster; controllers, scheduler and kubelets end before. The seconds."""
        self._cluster.stop_others()
        return Crowd(self._cluster).fill(nodes, pods)

    def pass_over(self, path: str) -> Any:
        """Reads a list by pages and keeps nothing: seconds, and bytes."""
        return Crowd(self._cluster).pass_over(path)

    # AWS.

    def aws(self, service: str, action: str, parameters: Any = None, key: str = HARNESS) -> Any:
        """One call through the front, without retries: `{"ok": answer}`, or the error's code."""
        call = getattr(self._account.client(service, key), xform_name(action))
        try:
            answer = call(**(parameters or {}))
        except botocore.exceptions.ClientError as error:
            return {"error": error.response["Error"]}
        except botocore.exceptions.BotoCoreError as error:
            return {"error": {"Code": type(error).__name__, "Message": str(error)}}
        answer.pop("ResponseMetadata", None)
        return {"ok": json.loads(json.dumps(answer, default=str))}

    def register_image(self, name: str, **more: str) -> Any:
        return self._account.register_image(name, **more)

    # What goes wrong.

    def throttle(self, action: str, times: int) -> Any:
        """The next so many calls of an action (or `*`) are throttled."""
        self._account.front.faults.throttled[action] = times

    def lose(self, action: str, times: int) -> Any:
        """The next so many calls take effect, and their answers are lost."""
        self._account.front.faults.lost[action] = times

    def stale(self, action: str, times: int) -> Any:
        """The next so many calls get the answer that the same call got before."""
        self._account.front.faults.stale[action] = times

    def allow(self, key: str, actions: list[str] | None) -> Any:
        """All that an access key may do: patterns like `autoscaling:Describe*`."""
        allowed = self._account.front.faults.allowed
        allowed.pop(key, None)
        if actions is not None:
            allowed[key] = actions

    def capacity(self, allowed: int | None, group: str = "*", zone: str = "*") -> Any:
        """So many more launches succeed; none lifts the limit."""
        with self._account.lock:
            limits = groups.CAPACITY.allowed
            limits.pop((group, zone), None)
            if allowed is not None:
                limits[group, zone] = allowed

    def nodes_never_ready(self, pools: list[str]) -> Any:
        """Nodes of these pools (or `*`) that appear from now on do not become Ready."""
        self._bridge.wishes.nodes_never_ready = set(pools)

    def etcd_stays_down(self, down: bool) -> Any:
        """Members of etcd on instances that come from now on do not become Ready."""
        self._bridge.wishes.etcd_stays_down = down

    def apiserver_stays_down(self, down: bool) -> Any:
        """Instances of the control plane that come from now on start no apiserver."""
        self._bridge.wishes.apiserver_stays_down = down

    def pace(self, **seconds: float) -> Any:
        """How long things take from now on; see `settings.Pace`."""
        pace = self._account.settings.pace
        for name, value in seconds.items():
            if not hasattr(pace, name):
                raise ValueError(f"{name} has no pace")
            setattr(pace, name, value)


class AdminServer:
    """Serves the operations at `url`."""

    def __init__(self, admin: Admin) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                try:
                    status, answer = 200, {"ok": _call(admin, request)}
                except Exception as error:  # the test is told
                    status, answer = 400, {"error": f"{type(error).__name__}: {error}"}
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=server.serve_forever, name="admin", daemon=True).start()


def _call(admin: Admin, request: dict[str, Any]) -> Any:
    what = request.pop("do")
    if what.startswith("_"):
        raise ValueError(f"nothing is called {what}")
    return getattr(admin, what)(**request)
