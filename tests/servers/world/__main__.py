"""`python -m world SETTINGS.json`: starts everything, says where it is, and ends with its parent.

When all is ready it prints one line of JSON: the addresses and files. It ends when its standard
input does, so also when the parent was killed; nothing that it started outlives it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from .account import Account
from .admin import Admin, AdminServer
from .bridge import Bridge
from .cluster import Cluster
from .processes import Processes, every, wait_for
from .settings import Pace, Settings, parse

# Until the first Nodes are Ready: three apiservers start at once, perhaps on a busy machine.
START_SECONDS = 180

# Of what a server said when the world could not start.
LAST_WORDS = 1000


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        settings = parse(json.load(file))
    logs = settings.data / "logs"
    logs.mkdir(parents=True)
    processes = Processes(logs)
    stop = threading.Event()
    failed = threading.Event()

    def live() -> None:
        try:
            print(json.dumps(start(settings, processes, stop)), flush=True)
        except BaseException:  # the parent is told, and all ends
            traceback.print_exc()
            for log in sorted(logs.glob("*.log")):
                said = log.read_text(errors="replace")[-LAST_WORDS:]
                print(f"{log.name} ends with:\n{said}", file=sys.stderr, flush=True)
            failed.set()
            processes.end()

    def watch_parent() -> None:
        while os.read(0, 1024):
            pass
        processes.end()

    signal.signal(signal.SIGTERM, lambda *_: processes.end())
    threading.Thread(target=live, name="start", daemon=True).start()
    threading.Thread(target=watch_parent, name="parent", daemon=True).start()
    try:
        processes.run_main_thread()
    finally:
        stop.set()
        processes.kill_all()
        if not settings.keep:
            shutil.rmtree(settings.data, ignore_errors=True)
    # Not through the interpreter's end, which would wait for threads that serve.
    os._exit(1 if failed.is_set() else 0)


def start(settings: Settings, processes: Processes, stop: threading.Event) -> dict[str, Any]:
    usual = Pace(**settings.pace.__dict__)
    settings.pace.__dict__.update(dict.fromkeys(usual.__dict__, 0.0))
    request_log = settings.data / "requests.jsonl"
    cluster = Cluster(settings, processes, stop)
    cluster.start_etcd()
    account = Account(settings, request_log)
    account.furnish()
    bridge = Bridge(settings, account, cluster)
    if not settings.control_plane:
        cluster.start_apiserver("managed", settings.version, "10.0.0.10")
    every(0.2, "groups", lambda: account.tick(time.monotonic()), stop)
    every(0.2, "instances", bridge.look, stop)
    admin = Admin(account, cluster, bridge)

    def wait(what: str, ready: Callable[[], bool]) -> None:
        def look() -> bool:
            processes.check()
            return ready()

        wait_for(what, look, START_SECONDS)

    kube = cluster.kube("bridge")
    size = len(settings.zones) if settings.control_plane else 1
    wait(
        "apiservers",
        lambda: (
            sum(server.ready for server in list(cluster.apiservers.values())) == size
            and kube.ready()
        ),
    )
    cluster.start_others()
    every(0.5, "nodes", bridge.reflect, stop)
    every(0.5, "volumes", bridge.attach, stop)
    machines = sum(pool.desired for pool in settings.pools)
    machines += len(settings.zones) if settings.control_plane else 0
    wait("nodes", lambda: _ready(kube.list("/api/v1/nodes")) == machines)
    settings.pace.__dict__.update(usual.__dict__)
    for fixture in settings.fixtures:
        admin.fixture(fixture)
    wait("workloads", lambda: _workloads_are_ready(kube))
    return {
        "admin": AdminServer(admin).url,
        "aws": account.endpoint,
        "server": cluster.address,
        "kubeconfig": str(cluster.kubeconfig("admin")),
        "kubeconfig-refit": str(cluster.kubeconfig("refit")),
        "request-log": str(request_log),
        "logs": str(settings.data / "logs"),
    }


def _ready(things: list[dict[str, Any]]) -> int:
    return sum(
        condition["type"] == "Ready" and condition["status"] == "True"
        for thing in things
        for condition in thing["status"].get("conditions", [])
    )


def _workloads_are_ready(kube: Any) -> bool:
    def done(kind: str, wanted: Any, found: str) -> bool:
        return all(
            thing["status"].get(found, 0) == wanted(thing)
            and thing["status"].get("observedGeneration") == thing["metadata"]["generation"]
            for thing in kube.list(f"/apis/apps/v1/{kind}")
        )

    def replicas(thing: dict[str, Any]) -> Any:
        return thing["spec"]["replicas"]

    return (
        done("deployments", replicas, "readyReplicas")
        and done("statefulsets", replicas, "readyReplicas")
        and done("daemonsets", lambda each: each["status"]["desiredNumberScheduled"], "numberReady")
    )


if __name__ == "__main__":
    sys.exit(main())
