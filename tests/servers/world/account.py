"""The account: moto's server with our extensions, and what it holds at the start."""

from __future__ import annotations

import datetime
import threading
from pathlib import Path
from typing import Any

import boto3
from moto.ec2 import ec2_backends
from moto.ec2.models.amis import Ami
from moto.ec2.utils import random_ami_id
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from . import groups, templates
from .front import HARNESS, Front
from .groups import Group
from .processes import free_port
from .settings import ACCOUNT, Pool, Settings, image_name
from .targets import Targets


class Account:
    """EC2, Auto Scaling, load balancing and STS of one account, at `endpoint`."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings = settings
        self.lock = threading.RLock()
        self.targets = Targets(settings.pace)
        groups.install(settings.pace)
        templates.install()
        self.targets.install()
        self.front = Front(DomainDispatcherApplication(create_backend_app), self.lock, log)
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        server = make_server(
            "127.0.0.1", port, self.front, threaded=True, request_handler=_QuietHandler
        )
        threading.Thread(target=server.serve_forever, name="moto", daemon=True).start()
        self._clients: dict[tuple[str, str], Any] = {}
        self._making_clients = threading.Lock()
        self._ec2 = self.client("ec2")
        self.api_targets: str | None = None

    def client(self, service: str, key: str = HARNESS) -> Any:
        """Kept: to make one takes longer than most calls."""
        with self._making_clients:
            if (service, key) not in self._clients:
                self._clients[service, key] = boto3.client(
                    service,
                    region_name=self.settings.region,
                    endpoint_url=self.endpoint,
                    aws_access_key_id=key,
                    aws_secret_access_key=key,
                    config=boto3.session.Config(retries={"total_max_attempts": 1}),
                )
            return self._clients[service, key]

    # What is there at the start.

    def furnish(self) -> None:
        """Images, and with a control plane its target group and its groups of one."""
        for version in self.settings.versions:
            self.register_image(image_name(version))
        vpc = self._ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        if self.settings.control_plane:
            created = self.client("elbv2").create_target_group(
                Name=f"api-{self.settings.name}"[:32].rstrip("-"),
                Protocol="TCP",
                Port=443,
                VpcId=vpc,
                HealthCheckProtocol="HTTPS",
                HealthCheckPath="/readyz",
                TargetType="instance",
            )
            self.api_targets = created["TargetGroups"][0]["TargetGroupArn"]
            for zone in self.settings.zones:
                name = self.control_plane_group(zone)
                self._group(Pool(name, [zone], 1, 1, 1), name, [self.api_targets], "control-plane")
        for pool in self.settings.pools:
            self._group(pool, self.worker_group(pool.name), [], "node")

    def control_plane_group(self, zone: str) -> str:
        return f"control-plane-{zone}.{self.settings.name}"

    def worker_group(self, pool: str) -> str:
        return f"{pool}.{self.settings.name}"

    def _group(self, pool: Pool, name: str, target_groups: list[str], role: str) -> None:
        template = self._ec2.create_launch_template(
            LaunchTemplateName=name,
            LaunchTemplateData={
                "ImageId": self.image_id(image_name(self.settings.version)),
                "InstanceType": pool.instance_type,
                "TagSpecifications": [
                    {
                        "ResourceType": "instance",
                        "Tags": [{"Key": "Name", "Value": name}],
                    }
                ],
            },
        )["LaunchTemplate"]["LaunchTemplateId"]
        cluster = self.settings.name
        tags = {f"kubernetes.io/cluster/{cluster}": "owned", "refit.test/role": role}
        self.client("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
            MinSize=pool.min,
            MaxSize=pool.max,
            DesiredCapacity=pool.desired,
            VPCZoneIdentifier=",".join(self._subnets(pool.zones)),
            TargetGroupARNs=target_groups,
            Tags=[
                {
                    "ResourceId": name,
                    "ResourceType": "auto-scaling-group",
                    "Key": key,
                    "Value": value,
                    "PropagateAtLaunch": True,
                }
                for key, value in tags.items()
            ],
        )

    def _subnets(self, zones: list[str]) -> list[str]:
        subnets = self._ec2.describe_subnets()["Subnets"]
        by_zone = {each["AvailabilityZone"]: each["SubnetId"] for each in subnets}
        return [by_zone[zone] for zone in zones]

    def register_image(
        self, name: str, architecture: str = "x86_64", created: str = "2026-10-01T12:00:00Z"
    ) -> str:
        """An image of our own. moto's RegisterImage cannot say when it was made."""
        with self.lock:
            backend = ec2_backends[ACCOUNT][self.settings.region]
            image = Ami(
                backend,
                random_ami_id(),
                name=name,
                architecture=architecture,
                virtualization_type="hvm",
                root_device_type="ebs",
                hypervisor="xen",
                image_location=f"{ACCOUNT}/{name}",
                creation_date=datetime.datetime.fromisoformat(created.replace("Z", "+00:00")),
                region_name=self.settings.zones[0],
            )
            backend.amis[image.id] = image
            identity: str = image.id
            return identity

    def image_id(self, name: str) -> str:
        [image] = [each for each in self._images().values() if each.name == name]
        identity: str = image.id
        return identity

    def image_name(self, identity: str) -> str:
        name: str = self._images()[identity].name
        return name

    def _images(self) -> dict[str, Ami]:
        images: dict[str, Ami] = ec2_backends[ACCOUNT][self.settings.region].amis
        return images

    # What the bridge and the clock of the world look at.

    def groups(self) -> list[Group]:
        return list(groups.all_groups(ACCOUNT, self.settings.region))

    def tick(self, now: float) -> None:
        with self.lock:
            for group in self.groups():
                group.tick(now)

    def target_state(self, instance: str) -> str | None:
        """How the API's target group sees an instance; none when it is not registered."""
        with self.lock:
            group = groups.models.elbv2_backends[ACCOUNT][self.settings.region].target_groups[
                self.api_targets
            ]
            registered = instance in group.targets
            return self.targets.state(group.arn, instance) if registered else None


class _QuietHandler(MotoRequestHandler):
    """The log of requests is the front's; a connection that a fault has cut is no news."""

    def log_request(self, *_: Any) -> None:
        pass

    def connection_dropped(self, *_: Any) -> None:
        pass

    def log_error(self, *_: Any) -> None:
        pass
