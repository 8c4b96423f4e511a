"""A crowd: as many nodes and pods as a large cluster has, whose kubelets nobody plays.

For measuring what looking at such a cluster costs. What would keep writing to it is stopped first,
so that a measurement measures nothing else.
"""

from __future__ import annotations

import http.client
import json
import queue
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from .cluster import Cluster

# More only wait for each other on two cores.
WRITERS = 12
PODS_A_WORKLOAD = 25
PAGE = 500

Request = tuple[str, str, dict[str, Any]]


class Crowd:
    """Writes to one cluster as its administrator, over connections that stay open."""

    def __init__(self, cluster: Cluster) -> None:
        address = urlsplit(cluster.address)
        self._host, self._port = address.hostname or "", address.port or 0
        self._trust = ssl.create_default_context(cafile=str(cluster.authority))
        self._headers = {
            "Authorization": f"Bearer {cluster.tokens['admin']}",
            "Content-Type": "application/json",
        }
        self._version = cluster.settings.version

    def fill(self, nodes: int, pods: int) -> float:
        """Creates them, each Ready; the seconds that it took."""
        begun = time.monotonic()
        namespaces = max(1, pods // 500)
        everything = [
            [("POST", "/api/v1/namespaces", _named(f"crowd-{at:03}")) for at in range(namespaces)],
            _service_accounts(namespaces),
            self._nodes(nodes),
            _workloads(pods, namespaces),
            _pods(nodes, pods, namespaces),
        ]
        for requests in everything:
            self._send(iter(requests))
        return time.monotonic() - begun

    def pass_over(self, path: str) -> tuple[float, int]:
        """Reads a list by pages and keeps nothing: the seconds, and the bytes of the answers."""
        begun, size, token = time.monotonic(), 0, ""
        connection = self._connect()
        while True:
            connection.request("GET", f"{path}?limit={PAGE}{token}", headers=self._headers)
            body = connection.getresponse().read()
            size += len(body)
            # The token stands in the list's own metadata, before the items.
            head, _, _ = body[:4096].partition(b'"items"')
            _, found, rest = head.partition(b'"continue":"')
            if not found:
                return time.monotonic() - begun, size
            token = "&continue=" + rest.split(b'"', 1)[0].decode()

    def _connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection(
            self._host, self._port, context=self._trust, timeout=120
        )

    def _send(self, requests: Iterator[Request]) -> None:
        waiting: queue.Queue[Request | None] = queue.Queue(maxsize=1000)
        failed: list[str] = []

        def write() -> None:
            connection = self._connect()
            while (request := waiting.get()) is not None:
                method, path, body = request
                connection.request(method, path, json.dumps(body), self._headers)
                answer = connection.getresponse()
                said = answer.read()
                if answer.status >= 300 and len(failed) < 5:
                    failed.append(f"{method} {path}: {said.decode()[:300]}")

        writers = [threading.Thread(target=write, daemon=True) for _ in range(WRITERS)]
        for writer in writers:
            writer.start()
        for request in requests:
            waiting.put(request)
        for _ in writers:
            waiting.put(None)
        for writer in writers:
            writer.join()
        if failed:
            raise ValueError("; ".join(failed))

    def _nodes(self, count: int) -> Iterator[Request]:
        for at in range(count):
            node = {
                "metadata": {
                    "name": f"crowd-{at:05}",
                    "labels": {
                        "kubernetes.io/hostname": f"crowd-{at:05}",
                        "kubernetes.io/os": "linux",
                        "node.kubernetes.io/instance-type": "m6i.2xlarge",
                        "topology.kubernetes.io/zone": f"eu-central-1{'abc'[at % 3]}",
                    },
                },
                "spec": {"providerID": f"aws:///eu-central-1{'abc'[at % 3]}/i-{at:017x}"},
                "status": {
                    "conditions": [_condition("Ready"), _condition("MemoryPressure", "False")],
                    "nodeInfo": _node_info(f"v{self._version}"),
                    "images": [
                        {"names": [f"registry.example/team-{n}/app-{n}:1.{n}"], "sizeBytes": n}
                        for n in range(20)
                    ],
                },
            }
            yield "POST", "/api/v1/nodes", node


def _named(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name}}


def _service_accounts(namespaces: int) -> Iterator[Request]:
    """Pods are refused where there is none; a controller would have made them."""
    for at in range(namespaces):
        yield "POST", f"/api/v1/namespaces/crowd-{at:03}/serviceaccounts", _named("default")


def _workloads(pods: int, namespaces: int) -> Iterator[Request]:
    for at in range(pods // PODS_A_WORKLOAD):
        namespace, labels = f"crowd-{at % namespaces:03}", {"app": f"app-{at}"}
        meta = {"name": f"app-{at}", "namespace": namespace}
        deployment = {
            "metadata": meta,
            "spec": {
                "replicas": PODS_A_WORKLOAD,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": _pod_spec(at)},
            },
        }
        yield "POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment
        budget = {
            "metadata": meta,
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}},
        }
        path = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"
        yield "POST", path, budget


def _pods(nodes: int, pods: int, namespaces: int) -> Iterator[Request]:
    for at in range(pods):
        workload = at // PODS_A_WORKLOAD
        namespace, name = f"crowd-{workload % namespaces:03}", f"app-{workload}-6c9f8-{at:05}"
        path = f"/api/v1/namespaces/{namespace}/pods"
        pod = {
            "metadata": {
                "name": name,
                "labels": {"app": f"app-{workload}", "pod-template-hash": "6c9f8"},
                "annotations": {"checksum/config": "0123456789abcdef" * 8},
                "ownerReferences": [
                    {
                        "apiVersion": "apps/v1",
                        "kind": "ReplicaSet",
                        "name": f"app-{workload}-6c9f8",
                        "uid": f"00000000-0000-0000-0000-{workload:012}",
                        "controller": True,
                    }
                ],
            },
            "spec": {**_pod_spec(workload), "nodeName": f"crowd-{at % nodes:05}"},
        }
        yield "POST", path, pod


def _pod_spec(at: int) -> dict[str, Any]:
    """Two containers with what such containers have: some 4 kB as an answer."""

    def container(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "image": f"registry.example/team-{at % 40}/{name}:1.{at % 17}.0",
            "env": [{"name": f"SETTING_{n}", "value": f"value-{n}-of-{name}"} for n in range(12)],
            "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}],
        }

    return {
        "containers": [container("app"), container("proxy")],
        "volumes": [{"name": "config", "emptyDir": {}}],
        "automountServiceAccountToken": False,
    }


def _condition(kind: str, status: str = "True") -> dict[str, Any]:
    now = "2026-01-01T00:00:00Z"
    return {
        "type": kind,
        "status": status,
        "reason": f"Kubelet{kind}",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }


def _node_info(version: str) -> dict[str, str]:
    return {
        "architecture": "amd64",
        "bootID": "b",
        "containerRuntimeVersion": "containerd://2.2.0",
        "kernelVersion": "6.12.0",
        "kubeProxyVersion": "",
        "kubeletVersion": version,
        "machineID": "m",
        "operatingSystem": "linux",
        "osImage": "Linux",
        "systemUUID": "s",
    }
