"""The real servers of a cluster: etcd, apiservers behind a balancer, controllers, scheduler, kwok.

All apiservers share one etcd, one certificate authority and the keys of service accounts, whatever
their minors are. Everybody talks to the balancer; only probes and `versions` ask one apiserver.
"""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .balancer import Balancer
from .kube import Kube
from .pki import Authority
from .processes import Processes, every, free_port, wait_for
from .settings import Settings, minor_of

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"

# Who may talk to the cluster, by token. `refit` has no right but what a test grants it.
USERS = {
    "admin": ["system:masters"],
    "bridge": ["system:masters"],
    "kwok": ["system:masters"],
    "system:kube-controller-manager": [],
    "system:kube-scheduler": [],
    "refit": [],
}

# The label of nodes whose kubelet kwok plays.
KWOK_LABEL = "kwok.x-k8s.io/node=fake"


def _static_pod(apiserver: str) -> str:
    return f"kube-apiserver-{apiserver}"


@dataclass
class ApiServer:
    """A kube-apiserver that runs."""

    name: str
    version: str
    port: int
    audit_log: Path
    kube: Kube  # itself, not through the balancer
    ready: bool = False


class Cluster:
    """The servers, by name."""

    def __init__(self, settings: Settings, processes: Processes, stop: threading.Event) -> None:
        self.settings = settings
        self._processes = processes
        self._data = settings.data
        self.apiservers: dict[str, ApiServer] = {}
        # Which of them take new connections; the bridge knows better, through the target group.
        self.takes_connections = lambda name: True
        self._pki = Authority(self._data / "pki")
        self._certificate, self._key = self._pki.server("kube-apiserver")
        self._front_proxy = self._pki.client("front-proxy-client", [], days=365)
        self.tokens = {user: f"token-of-{user.replace(':', '-')}" for user in USERS}
        self.audit_logs: list[Path] = []
        self.balancer = Balancer(self._healthy)
        self.address = f"https://127.0.0.1:{self.balancer.port}"
        self._etcd = ""
        self._lock = threading.Lock()
        self._kubes: dict[str, Kube] = {}
        self._others: list[subprocess.Popen[bytes]] = []
        every(0.3, "readyz", self._probe, stop)

    def start_etcd(self) -> None:
        client, peer = free_port(), free_port()
        self._etcd = f"http://127.0.0.1:{client}"
        self._processes.start(
            "etcd",
            [
                self.settings.binaries.etcd,
                f"--data-dir={self._data / 'etcd'}",
                f"--listen-client-urls={self._etcd}",
                f"--advertise-client-urls={self._etcd}",
                f"--listen-peer-urls=http://127.0.0.1:{peer}",
                "--unsafe-no-fsync",
                "--log-level=warn",
            ],
        )
        wait_for("etcd", self._etcd_is_well, 30)

    def _etcd_is_well(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._etcd}/health", timeout=2) as answer:
                return bool(json.load(answer)["health"] == "true")
        except OSError:
            return False

    def stored(self, key: str) -> str | None:
        """What stands in etcd under a key."""
        asked = json.dumps({"key": base64.b64encode(key.encode()).decode()}).encode()
        with urllib.request.urlopen(f"{self._etcd}/v3/kv/range", asked, timeout=10) as answer:
            found = json.load(answer).get("kvs", [])
        return base64.b64decode(found[0]["value"]).decode() if found else None

    def start_apiserver(self, name: str, version: str, address: str) -> ApiServer:
        """An apiserver of that version's minor. It advertises the address of its instance, on
        which nothing listens; what listens is loopback."""
        binary = self.settings.binaries.apiservers.get(minor_of(version))
        if binary is None:
            raise ValueError(f"there is no kube-apiserver of {version}")
        port = free_port()
        audit_log = self._data / f"audit-{name}.jsonl"
        key = self._pki.service_account_key
        proxy_certificate, proxy_key = self._front_proxy
        self._processes.start_static_pod(
            _static_pod(name),
            [
                binary,
                f"--etcd-servers={self._etcd}",
                "--bind-address=127.0.0.1",
                f"--secure-port={port}",
                f"--advertise-address={address}",
                f"--tls-cert-file={self._certificate}",
                f"--tls-private-key-file={self._key}",
                f"--client-ca-file={self._pki.ca}",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                f"--requestheader-client-ca-file={self._pki.ca}",
                "--requestheader-allowed-names=front-proxy-client",
                "--requestheader-username-headers=X-Remote-User",
                "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-",
                f"--proxy-client-cert-file={proxy_certificate}",
                f"--proxy-client-key-file={proxy_key}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--token-auth-file={self._token_file()}",
                "--authorization-mode=Node,RBAC",
                "--service-cluster-ip-range=10.96.0.0/16",
                "--allow-privileged",
                f"--audit-policy-file={FIXTURES / 'audit-policy.yaml'}",
                f"--audit-log-path={audit_log}",
                "--profiling=false",
            ],
        )
        kube = Kube(f"https://127.0.0.1:{port}", self.tokens["bridge"], self._pki.ca)
        server = ApiServer(name, version, port, audit_log, kube)
        self.apiservers[name] = server
        self.audit_logs.append(audit_log)
        return server

    def stop_apiserver(self, name: str) -> None:
        if server := self.apiservers.pop(name, None):
            self.balancer.drop(name)
            self._processes.stop_static_pod(_static_pod(server.name))

    def start_others(self) -> None:
        """The clients of the balancer: one controller manager, one scheduler, one kwok."""
        key = self._pki.service_account_key
        binaries = self.settings.binaries
        controllers = self.kubeconfig("system:kube-controller-manager")
        scheduler = self.kubeconfig("system:kube-scheduler")

        def start(name: str, command: list[str]) -> None:
            self._others.append(self._processes.start(name, command))

        start(
            "kube-controller-manager",
            [
                binaries.controller_manager,
                f"--kubeconfig={controllers}",
                f"--authentication-kubeconfig={controllers}",
                f"--authorization-kubeconfig={controllers}",
                "--bind-address=127.0.0.1",
                f"--secure-port={free_port()}",
                f"--service-account-private-key-file={key}",
                f"--root-ca-file={self._pki.ca}",
                "--use-service-account-credentials",
                "--leader-elect=false",
            ],
        )
        start(
            "kube-scheduler",
            [
                binaries.scheduler,
                f"--kubeconfig={scheduler}",
                f"--authentication-kubeconfig={scheduler}",
                f"--authorization-kubeconfig={scheduler}",
                "--bind-address=127.0.0.1",
                f"--secure-port={free_port()}",
                "--leader-elect=false",
            ],
        )
        start(
            "kwok",
            [
                binaries.kwok,
                f"--config={FIXTURES / 'kwok.yaml'}",
                f"--kubeconfig={self.kubeconfig('kwok')}",
                "--manage-all-nodes=false",
                f"--manage-nodes-with-label-selector={KWOK_LABEL}",
                "--node-lease-duration-seconds=40",
                f"--server-address=127.0.0.1:{free_port()}",
                "--cidr=10.128.0.0/12",
                "--node-ip=",
            ],
        )

    def stop_others(self) -> None:
        """From now on nobody writes but who is told to."""
        while self._others:
            self._processes.stop(self._others.pop())

    @property
    def authority(self) -> Path:
        """The certificate that its servers are trusted by."""
        return self._pki.ca

    def kube(self, user: str) -> Kube:
        """All servers, through the balancer."""
        with self._lock:
            if user not in self._kubes:
                self._kubes[user] = Kube(self.address, self.tokens[user], self._pki.ca)
            return self._kubes[user]

    def kubeconfig(self, user: str) -> Path:
        """A kubeconfig with a token, whose context is called as the cluster."""
        return self._kubeconfig(user, {"token": self.tokens[user]})

    def kubeconfig_by_certificate(self, user: str, groups: list[str], days: float) -> Path:
        """The same by certificate, which may have expired."""
        certificate, key = self._pki.client(user, groups, days)
        login = {"client-certificate": str(certificate), "client-key": str(key)}
        return self._kubeconfig(certificate.stem, login)

    def _kubeconfig(self, file: str, login: dict[str, str]) -> Path:
        name = self.settings.name
        path = self._data / f"kubeconfig-{file.replace(':', '-')}"
        user = f"{name}-{file.replace(':', '-')}"
        cluster = {"server": self.address, "certificate-authority": str(self._pki.ca)}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": user, "user": login}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
            "current-context": name,
        }
        path.write_text(json.dumps(content, indent=2))
        return path

    def versions(self) -> dict[str, Any]:
        """What each apiserver says that it is, now."""
        return {
            name: server.kube.do("GET", "/version")["gitVersion"]
            for name, server in list(self.apiservers.items())
        }

    def _token_file(self) -> Path:
        path = self._data / "tokens.csv"
        lines = [
            f'{self.tokens[user]},{user},{user},"{",".join(groups)}"\n'
            for user, groups in USERS.items()
        ]
        path.write_text("".join(lines))
        return path

    def _probe(self) -> None:
        for server in list(self.apiservers.values()):
            runs = self._processes.restart_ended(_static_pod(server.name))
            server.ready = runs and server.kube.ready()

    def _healthy(self) -> list[tuple[str, int]]:
        return [
            (server.name, server.port)
            for server in list(self.apiservers.values())
            if server.ready and self.takes_connections(server.name)
        ]
