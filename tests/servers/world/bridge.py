"""Between the account and the cluster: what an instance becomes in Kubernetes, and what ends.

Level-triggered: each look compares the instances in service with the Nodes that are there. What is
played here, because no machine runs: the kubelet's registration and its mirror pods, the cloud's
node controller, the attacher of volumes, and etcd's members (there is one etcd; each instance of
the control plane has a pod that stands for its member).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from .account import Account
from .cluster import Cluster
from .groups import Member
from .kube import MERGE_PATCH, Kube, Object
from .settings import Pool, Settings, version_of_image

MIRROR = "kubernetes.io/config.mirror"
CONTROL_PLANE = "node-role.kubernetes.io/control-plane"
NEVER_READY = "refit.test/never-ready"
PODS = "/api/v1/namespaces/kube-system/pods"


@dataclass
class Machine:
    """An instance in service, as the cluster knows it."""

    instance: str
    zone: str
    address: str
    version: str
    instance_type: str
    pool: Pool | None  # none: the control plane
    never_ready: bool

    @property
    def name(self) -> str:
        return self.instance


@dataclass
class Wishes:
    """What tests want to go wrong."""

    nodes_never_ready: set[str] = field(default_factory=set)  # pools, or `*`
    etcd_stays_down: bool = False
    apiserver_stays_down: bool = False


class Bridge:
    """Looks a few times a second."""

    def __init__(self, settings: Settings, account: Account, cluster: Cluster) -> None:
        self._settings = settings
        self._account = account
        self._cluster = cluster
        self._kube: Kube = cluster.kube("bridge")
        self._machines: dict[str, Machine] = {}
        self._ended: dict[str, float] = {}
        self._etcd_ready_at: dict[str, float] = {}
        self._attached: dict[str, float] = {}
        self.wishes = Wishes()
        if settings.control_plane:
            cluster.takes_connections = self._is_healthy_target

    def _is_healthy_target(self, instance: str) -> bool:
        return self._account.target_state(instance) == "healthy"

    def look(self) -> None:
        """Instances and apiservers. Needs no Kubernetes."""
        with self._account.lock:
            running = {
                member.instance.id: (group.name, member)
                for group in self._account.groups()
                for member in group.instance_states
                if member.instance.state == "running"
                and (member.lifecycle_state == "InService" or member.instance.id in self._machines)
            }
            new = {
                instance: self._machine(group, member)
                for instance, (group, member) in running.items()
                if instance not in self._machines
            }
        for instance in [each for each in self._machines if each not in running]:
            self._end(self._machines.pop(instance))
        for instance, machine in new.items():
            self._machines[instance] = machine
            if machine.pool is None:
                self._start_apiserver(machine)

    def _machine(self, group: str, member: Member) -> Machine:
        pools = {self._account.worker_group(pool.name): pool for pool in self._settings.pools}
        pool = pools.get(group)
        wishes = self.wishes.nodes_never_ready
        instance = member.instance
        return Machine(
            instance=instance.id,
            zone=member.zone,
            address=instance.private_ip,
            version=version_of_image(self._account.image_name(instance.image_id)),
            instance_type=instance.instance_type,
            pool=pool,
            never_ready="*" in wishes or (pool is not None and pool.name in wishes),
        )

    def _start_apiserver(self, machine: Machine) -> None:
        name = machine.name
        self._account.targets.probes[name] = lambda: (
            name in self._cluster.apiservers and self._cluster.apiservers[name].ready
        )
        if not self.wishes.apiserver_stays_down:
            self._cluster.start_apiserver(name, machine.version, machine.address)

    def start_apiserver_of(self, instance: str) -> None:
        """Starts the apiserver of an instance again."""
        machine = self._machines[instance]
        self._cluster.start_apiserver(machine.name, machine.version, machine.address)

    def _end(self, machine: Machine) -> None:
        self._ended[machine.name] = time.monotonic()
        if machine.pool is None:
            self._cluster.stop_apiserver(machine.name)
            self._etcd_ready_at.pop(machine.name, None)

    # What Kubernetes sees of it.

    def reflect(self) -> None:
        """Nodes and mirror pods."""
        nodes = {
            node["metadata"]["name"]: node
            for node in self._kube.list("/api/v1/nodes")
            if node["spec"].get("providerID", "").startswith("aws:///")
        }
        machines = {machine.name: machine for machine in list(self._machines.values())}
        for name, machine in machines.items():
            # A kubelet of the control plane talks to its own apiserver.
            if name not in nodes and (machine.pool or self._api_is_ready(name)):
                nodes[name] = self._kube.create("/api/v1/nodes", self._node(machine)) or {}
        for name in nodes.keys() - machines.keys():
            ended = self._ended.setdefault(name, time.monotonic())
            if time.monotonic() - ended >= self._settings.pace.vanish:
                self._kube.delete(f"/api/v1/nodes/{name}")
        self._reflect_pods({name: node for name, node in nodes.items() if node}, machines)

    def _api_is_ready(self, name: str) -> bool:
        server = self._cluster.apiservers.get(name)
        return server is not None and server.ready

    def _reflect_pods(self, nodes: dict[str, Object], machines: dict[str, Machine]) -> None:
        pods = {
            pod["metadata"]["name"]: pod
            for pod in self._kube.list(PODS)
            if MIRROR in pod["metadata"].get("annotations", {})
        }
        for name, node in nodes.items():
            machine = machines.get(name)
            for component, image in _components(machine, self._settings.version).items():
                pod = f"{component}-{name}"
                if pod not in pods and machine is not None:
                    wanted = _mirror_pod(component, image, node)
                    pods[pod] = self._kube.create(PODS, wanted) or {}
                if pods.get(pod):
                    self._set_ready(pods[pod], component, name, machine is not None)

    def _set_ready(self, pod: Object, component: str, node: str, runs: bool) -> None:
        """Writes the status of a mirror pod, when it is another than what the pod has."""
        ready = runs
        if component == "etcd":
            ready = runs and self._etcd_is_ready(node)
        elif component == "kube-apiserver":
            ready = runs and self._api_is_ready(node)
        if _is_ready(pod) != ready:
            status = _status(pod, ready)
            path = f"{PODS}/{pod['metadata']['name']}/status"
            self._kube.do("PATCH", path, {"status": status}, MERGE_PATCH)

    def _etcd_is_ready(self, node: str) -> bool:
        """A member comes back some seconds after its volume has a new machine, or never."""
        if node not in self._etcd_ready_at and not self.wishes.etcd_stays_down:
            self._etcd_ready_at[node] = time.monotonic() + self._settings.pace.etcd
        return time.monotonic() >= self._etcd_ready_at.get(node, float("inf"))

    def attach(self) -> None:
        """The attacher of the volumes' driver: attached after a second, detached when asked."""
        path = "/apis/storage.k8s.io/v1/volumeattachments"
        now = time.monotonic()
        for each in self._kube.list(path):
            name = each["metadata"]["name"]
            if each["metadata"].get("deletionTimestamp"):
                if each["metadata"].get("finalizers"):
                    none = {"metadata": {"finalizers": None}}
                    self._kube.call("PATCH", f"{path}/{name}", none, MERGE_PATCH)
            elif each.get("status", {}).get("attached"):
                continue
            elif now - self._attached.setdefault(name, now) >= self._settings.pace.attach:
                done = {"status": {"attached": True}}
                self._kube.do("PATCH", f"{path}/{name}/status", done, MERGE_PATCH)

    def _node(self, machine: Machine) -> Object:
        region = self._settings.region
        labels = {
            "kubernetes.io/hostname": machine.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": "amd64",
            "node.kubernetes.io/instance-type": machine.instance_type,
            "topology.kubernetes.io/region": region,
            "topology.kubernetes.io/zone": machine.zone,
            "kwok.x-k8s.io/node": "fake",
        }
        taints = []
        if machine.pool is None:
            labels |= {CONTROL_PLANE: ""}
            taints.append({"key": CONTROL_PLANE, "effect": "NoSchedule"})
        else:
            labels |= {"node-role.kubernetes.io/node": "", "refit.test/pool": machine.pool.name}
            labels |= machine.pool.labels
        if machine.never_ready:
            labels[NEVER_READY] = "true"
        room = {"cpu": "4", "memory": "16Gi", "ephemeral-storage": "100Gi", "pods": "58"}
        return {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": machine.name,
                "labels": labels,
                "annotations": {"volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            },
            "spec": {"providerID": f"aws:///{machine.zone}/{machine.instance}", "taints": taints},
            "status": {
                "capacity": room,
                "allocatable": room,
                "addresses": [
                    {"type": "InternalIP", "address": machine.address},
                    {"type": "Hostname", "address": machine.name},
                ],
                "nodeInfo": _node_info(machine),
            },
        }


def _node_info(machine: Machine) -> dict[str, str]:
    # kubeProxyVersion is empty since 1.33.
    return {
        "architecture": "amd64",
        "bootID": machine.instance,
        "containerRuntimeVersion": "containerd://2.1.4",
        "kernelVersion": "6.8.0-1040-aws",
        "kubeProxyVersion": "",
        "kubeletVersion": f"v{machine.version}",
        "machineID": machine.instance,
        "operatingSystem": "linux",
        "osImage": "Ubuntu 24.04.3 LTS",
        "systemUUID": machine.instance,
    }


def _components(machine: Machine | None, version: str) -> dict[str, str]:
    """The static pods of a machine and their images. Of one that has ended, the names matter."""
    version = machine.version if machine else version
    registry = "registry.k8s.io"
    components = {"kube-proxy": f"{registry}/kube-proxy:v{version}"}
    if machine is None or machine.pool is None:
        for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
            components[name] = f"{registry}/{name}:v{version}"
        components["etcd"] = f"{registry}/etcd:3.6.5-0"
    return components


def _mirror_pod(component: str, image: str, node: Object) -> Object:
    name, uid = node["metadata"]["name"], node["metadata"]["uid"]
    tier = "node" if component == "kube-proxy" else "control-plane"
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{component}-{name}",
            "namespace": "kube-system",
            "labels": {"component": component, "k8s-app": component, "tier": tier},
            "annotations": {
                MIRROR: f"mirror-of-{component}",
                "kubernetes.io/config.hash": f"mirror-of-{component}",
                "kubernetes.io/config.source": "file",
            },
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Node", "name": name, "uid": uid, "controller": True}
            ],
        },
        "spec": {
            "nodeName": name,
            "hostNetwork": True,
            "priorityClassName": "system-node-critical",
            "tolerations": [{"operator": "Exists", "effect": "NoExecute"}],
            "containers": [{"name": component, "image": image}],
        },
    }


def _is_ready(pod: Object) -> bool | None:
    for condition in pod.get("status", {}).get("conditions", []):
        if condition["type"] == "Ready":
            return bool(condition["status"] == "True")
    return None


def _status(pod: Object, ready: bool) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    word = str(ready)
    return {
        "phase": "Running",
        "startTime": pod["status"].get("startTime", now),
        "conditions": [
            {
                "type": kind,
                "status": "True" if kind in _SETTLED else word,
                "lastTransitionTime": now,
            }
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "containerStatuses": [
            {
                "name": container["name"],
                "image": container["image"],
                "imageID": container["image"],
                "ready": ready,
                "restartCount": 0,
                "started": ready,
                "state": {"running": {"startedAt": pod["status"].get("startTime", now)}},
            }
            for container in pod["spec"]["containers"]
        ],
    }


_SETTLED = ("PodScheduled", "Initialized")
