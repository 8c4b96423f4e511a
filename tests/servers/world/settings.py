"""What a world is asked to be: the JSON that the tests hand over, parsed once."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

ACCOUNT = "123456789012"


@dataclass
class Pace:
    """How long things take, in seconds. A world that is too kind proves nothing."""

    launch: float = 3.0  # from the launch of an instance to InService
    terminate: float = 2.0  # from shutting-down to terminated
    healthy: float = 3.0  # from registration at a target group to healthy
    drain: float = 3.0  # from deregistration to gone
    vanish: float = 2.0  # from the end of an instance to the end of its Node
    etcd: float = 4.0  # from the start of an etcd member to its Ready
    attach: float = 1.0  # from a VolumeAttachment to attached
    rebalance: float = 8.0  # how long zones may be uneven before the group evens them
    retry: float = 4.0  # between two launches that fail


@dataclass
class Pool:
    """A group of workers."""

    name: str
    zones: list[str]
    min: int
    max: int
    desired: int
    instance_type: str = "m6i.xlarge"
    labels: dict[str, str] = field(default_factory=dict)


@dataclass
class Binaries:
    """Where the servers are. `apiservers` is by minor version, `1.36`."""

    etcd: str
    kwok: str
    controller_manager: str
    scheduler: str
    apiservers: dict[str, str]


@dataclass
class Settings:
    """One cluster and its account."""

    name: str
    version: str
    region: str
    control_plane: bool
    zones: list[str]
    pools: list[Pool]
    fixtures: list[str]
    versions: list[str]
    data: Path
    binaries: Binaries
    pace: Pace
    keep: bool  # what the servers wrote, when they have ended


def parse(raw: dict[str, Any]) -> Settings:
    raw = dict(raw)
    raw["pools"] = [Pool(**pool) for pool in raw["pools"]]
    raw["binaries"] = Binaries(**raw["binaries"])
    raw["pace"] = Pace(**raw["pace"])
    raw["data"] = Path(raw["data"])
    unknown = raw.keys() - {each.name for each in fields(Settings)}
    if unknown:
        raise ValueError(f"settings that nothing knows: {sorted(unknown)}")
    return Settings(**raw)


def image_name(version: str) -> str:
    return f"k8s-{version}-x86_64-20261001"


def version_of_image(name: str) -> str:
    """The Kubernetes version in an image's name, `k8s-1.36.3-x86_64-20261001`."""
    found = re.search(r"\b(\d+\.\d+\.\d+)\b", name)
    if not found:
        raise ValueError(f"no version in the image name {name!r}")
    return found.group(1)


def minor_of(version: str) -> str:
    return ".".join(version.split(".")[:2])
