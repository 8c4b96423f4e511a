"""Auto Scaling groups that behave as those of AWS: moto's model, extended where it is too simple.

moto changes everything within the call. Here a call only changes what is wanted, and `tick`, a few
times a second, moves the group towards it: launches into the emptiest zone, Pending for seconds,
its own choice of victims, honouring protection and suspended processes, Terminating for seconds.
Everything runs under the lock of the world.
"""

from __future__ import annotations

import datetime
import time
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from moto.autoscaling import models
from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.ec2.models.instances import Instance

from .settings import Pace

ALIVE = ("Pending", "InService")


@dataclass
class Capacity:
    """Launches that do not come: how many more there may be, by group and zone (or `*`)."""

    allowed: dict[tuple[str, str], int] = field(default_factory=dict)

    def limit(self, group: str, zone: str) -> tuple[str, str] | None:
        keys = [(group, zone), (group, "*"), ("*", zone), ("*", "*")]
        return next((key for key in keys if key in self.allowed), None)

    def has(self, group: str, zone: str) -> bool:
        key = self.limit(group, zone)
        return key is None or self.allowed[key] > 0

    def take(self, group: str, zone: str) -> None:
        if key := self.limit(group, zone):
            self.allowed[key] -= 1


PACE = Pace()
CAPACITY = Capacity()


class Member(models.InstanceState):
    """An instance of a group, that knows the template version that it was launched from."""

    def __init__(self, instance: Instance, group: Group, template: dict[str, str]) -> None:
        protected = group.new_instances_protected_from_scale_in
        super().__init__(instance, "Pending", "Healthy", protected, group)
        self.template = template
        self.launched = time.monotonic()
        self.leaves_at: float | None = None
        self.rebalances = False

    @property
    def launch_template(self) -> dict[str, str]:
        return self.template

    @property
    def zone(self) -> str:
        return str(self.availability_zone)


class Group(models.FakeAutoScalingGroup):
    """A group with a will of its own."""

    instance_states: list[Member]

    def __init__(self, **arguments: Any) -> None:
        self.activities: list[dict[str, Any]] = []
        self.retry_at = 0.0
        self.uneven_since: float | None = None
        super().__init__(**arguments)
        self._check_size(self.desired_capacity)

    # What a call changes.

    def set_desired_capacity(self, new_capacity: int | None) -> None:
        self.desired_capacity = self.min_size if new_capacity is None else new_capacity

    def update(self, **changes: Any) -> None:
        """UpdateAutoScalingGroup: what is not named stays as it is, the policy of mixed instances
        too (moto drops it)."""
        low, high = changes.pop("min_size"), changes.pop("max_size")
        low = self.min_size if low is None else low
        high = self.max_size if high is None else high
        desired = changes.pop("desired_capacity")
        if desired is None:
            desired = min(max(self.desired_capacity, low), high)
        before = (self.min_size, self.max_size)
        self.min_size, self.max_size = low, high
        try:
            self._check_size(desired)
            template, policy = changes["launch_template"], changes["mixed_instances_policy"]
            if not policy and not template:
                changes["mixed_instances_policy"] = self.mixed_instances_policy
            self._check_template(template or _template_of(changes["mixed_instances_policy"]))
        except ServiceException:
            self.min_size, self.max_size = before
            raise
        super().update(min_size=None, max_size=None, desired_capacity=desired, **changes)

    def _check_size(self, desired: int) -> None:
        low, high = self.min_size, self.max_size
        if low > high:
            raise ValidationError(
                f"Max bound, {high}, must be greater than or equal to min bound, {low}"
            )
        if not low <= desired <= high:
            raise ValidationError(
                f"Desired capacity:{desired} must be between the specified min size:{low} "
                f"and max size:{high}"
            )

    def _check_template(self, wanted: dict[str, str] | None) -> None:
        if not wanted:
            return
        try:
            self._find_template(wanted).get_version(wanted.get("Version") or "$Default")
        except Exception as error:
            raise ValidationError(
                "You must use a valid fully-formed launch template. "
                f"{getattr(error, 'description', error)}"
            ) from error

    @property
    def launch_template(self) -> dict[str, Any] | None:
        if self.mixed_instances_policy or self.ec2_launch_template is None:
            return None
        template: dict[str, Any] = super().launch_template
        return template

    def suspended(self, process: str) -> bool:
        return any(each["ProcessName"] == process for each in self.suspended_processes)

    def alive(self) -> list[Member]:
        return [member for member in self.instance_states if member.lifecycle_state in ALIVE]

    # What time brings.

    def tick(self, now: float) -> None:
        self._forget_the_ended()
        for member in list(self.instance_states):
            self._advance(member, now)
        self._replace_unhealthy(now)
        self._scale(now)
        self._rebalance(now)

    def _forget_the_ended(self) -> None:
        """Instances that somebody terminated without asking the group."""
        for member in [
            m for m in self.alive() if m.instance.state in ("shutting-down", "terminated")
        ]:
            self._leave_target_groups(member)
            self.instance_states.remove(member)

    def _advance(self, member: Member, now: float) -> None:
        age = now - member.launched
        if member.lifecycle_state == "Pending":
            if age >= PACE.launch / 2:
                _set_state(member.instance, "running", 16)
            if age >= PACE.launch:
                member.lifecycle_state = "InService"
                member.rebalances = False
                self._join_target_groups(member)
        elif member.leaves_at is not None:
            if now >= member.leaves_at - PACE.terminate:
                _set_state(member.instance, "shutting-down", 32)
            if now >= member.leaves_at:
                self.ec2_backend.terminate_instances([member.instance.id])
                self.instance_states.remove(member)

    def _replace_unhealthy(self, now: float) -> None:
        if self.suspended("ReplaceUnhealthy") or self.suspended("Terminate"):
            return
        for member in [m for m in self.alive() if m.health_status == "Unhealthy"]:
            cause = "an instance was taken out of service in response to a health check"
            self.terminate(member, now, cause)

    def _scale(self, now: float) -> None:
        missing = self.desired_capacity - len(self.alive())
        if missing > 0 and not self.suspended("Launch") and now >= self.retry_at:
            for _ in range(missing):
                if not self._launch(now):
                    self.retry_at = now + PACE.retry
                    break
        elif missing < 0 and not self.suspended("Terminate"):
            if any(member.rebalances for member in self.alive()):
                return
            for _ in range(-missing):
                if (victim := self._victim()) is None:
                    break
                self.terminate(victim, now, "a difference between desired and actual capacity")

    def _rebalance(self, now: float) -> None:
        """Evens the zones, new instance first."""
        by_zone = self._by_zone()
        counts = [len(members) for members in by_zone.values()]
        stable = sum(counts) == self.desired_capacity and all(
            member.lifecycle_state == "InService" for member in self.alive()
        )
        if self.suspended("AZRebalance") or not stable or max(counts) - min(counts) < 2:
            self.uneven_since = None
            return
        self.uneven_since = self.uneven_since or now
        if now - self.uneven_since >= PACE.rebalance and now >= self.retry_at:
            zone = min(by_zone, key=lambda zone: len(by_zone[zone]))
            if CAPACITY.has(self.name, zone) and self._launch(now):
                self.instance_states[-1].rebalances = True
            self.retry_at = now + PACE.retry

    def _by_zone(self) -> dict[str, list[Member]]:
        by_zone: dict[str, list[Member]] = {zone: [] for zone in self.availability_zones}
        for member in self.alive():
            by_zone.setdefault(member.zone, []).append(member)
        return by_zone

    def _victim(self) -> Member | None:
        """The default policy: the fullest zone in which somebody is not protected, the oldest
        template version there, the oldest instance."""
        by_zone = self._by_zone()
        open_to_it = [m for m in self.alive() if not m.protected_from_scale_in]
        return min(
            open_to_it,
            key=lambda m: (-len(by_zone[m.zone]), int(m.template["Version"]), m.launched),
            default=None,
        )

    def _launch(self, now: float) -> bool:
        by_zone = self._by_zone()
        for zone in sorted(self.availability_zones, key=lambda zone: len(by_zone[zone])):
            if CAPACITY.has(self.name, zone):
                CAPACITY.take(self.name, zone)
                return self._launch_into(zone)
        self._note(
            "Failed",
            "Launching a new EC2 instance",
            f"We currently do not have sufficient {self.instance_type} capacity in the "
            f"Availability Zone you requested ({self.availability_zones[0]}). Launching EC2 "
            "instance failed.",
        )
        return False

    def _launch_into(self, zone: str) -> bool:
        version, instance_type = self._what_to_launch()
        if version.image_id not in self.ec2_backend.amis:
            message = f"The image id '[{version.image_id}]' does not exist."
            self._note("Failed", "Launching a new EC2 instance", message)
            return False
        subnets = self.autoscaling_backend.ec2_backend.describe_subnets(
            subnet_ids=self.vpc_zone_identifier.split(",")
        )
        subnet = next(each.id for each in subnets if each.availability_zone == zone)
        template = {
            "LaunchTemplateId": version.template.id,
            "LaunchTemplateName": version.template.name,
            "Version": str(version.number),
        }
        reservation = self.ec2_backend.run_instances(
            version.image_id,
            1,
            version.user_data,
            version.security_groups,
            instance_type=instance_type,
            tags={
                "instance": {
                    **self.get_propagated_tags(),
                    models.ASG_NAME_TAG: self.name,
                    **version.instance_tags,
                }
            },
            placement=zone,
            launch_template={k: template[k] for k in ("LaunchTemplateId", "Version")},
            is_instance_type_default=False,
            associate_public_ip=None,
            subnet_id=subnet,
        )
        [instance] = reservation.instances
        instance.autoscaling_group = self
        _set_state(instance, "pending", 0)
        self.instance_states.append(Member(instance, self, template))
        self._note("Successful", f"Launching a new EC2 instance: {instance.id}")
        return True

    def _what_to_launch(self) -> tuple[Any, str]:
        """The template version and the instance type: of mixed instances, the first override."""
        template, number = self.ec2_launch_template, self.launch_template_version
        overrides = (self.mixed_instances_policy or {}).get("LaunchTemplate", {}).get("Overrides")
        override = overrides[0] if overrides else {}
        if own := override.get("LaunchTemplateSpecification"):
            template = self._find_template(own)
            number = own.get("Version") or "$Default"
        version = template.get_version(number)
        return version, override.get("InstanceType") or version.instance_type

    def _find_template(self, wanted: dict[str, str]) -> Any:
        if identity := wanted.get("LaunchTemplateId"):
            return self.ec2_backend.get_launch_template(identity)
        return self.ec2_backend.get_launch_template_by_name(wanted["LaunchTemplateName"])

    def terminate(self, member: Member, now: float, cause: str) -> None:
        drains = any(
            member.instance.id in self.autoscaling_backend.elbv2_backend.target_groups[arn].targets
            for arn in self.target_group_arns
        )
        self._leave_target_groups(member)
        member.lifecycle_state = "Terminating"
        member.leaves_at = now + PACE.terminate + (PACE.drain if drains else 0.0)
        self._note("Successful", f"Terminating EC2 instance: {member.instance.id}", cause)

    def _join_target_groups(self, member: Member) -> None:
        if self.suspended("AddToLoadBalancer"):
            return
        for arn in self.target_group_arns:
            self.autoscaling_backend.elbv2_backend.register_targets(
                arn, [{"Id": member.instance.id}]
            )

    def _leave_target_groups(self, member: Member) -> None:
        backend = self.autoscaling_backend.elbv2_backend
        for arn in self.target_group_arns:
            if member.instance.id in backend.target_groups[arn].targets:
                backend.deregister_targets(arn, [{"Id": member.instance.id}])

    def _note(self, status: str, description: str, message: str | None = None) -> None:
        now = datetime.datetime.now(datetime.timezone.utc)
        self.activities.insert(
            0,
            {
                "ActivityId": str(uuid.uuid4()),
                "AutoScalingGroupName": self.name,
                "Description": description,
                "Cause": f"At {now:%Y-%m-%dT%H:%M:%SZ} the group looked at its capacity.",
                "StartTime": now,
                "EndTime": now,
                "StatusCode": status,
                "StatusMessage": message,
                "Progress": 100,
            },
        )
        del self.activities[100:]


class Groups(OrderedDict[str, Group]):
    """Groups by name; one that is not there is an answer and not a crash."""

    def __missing__(self, name: str) -> Group:
        raise ValidationError("AutoScalingGroup name not found - null")


def install(pace: Pace) -> None:
    """Teaches moto's Auto Scaling. Called once, before the server starts."""
    global PACE
    PACE = pace
    backend = models.AutoScalingBackend
    models.FakeAutoScalingGroup = Group
    begin = backend.__init__

    def init(self: Any, region_name: str, account_id: str) -> None:
        begin(self, region_name, account_id)
        self.autoscaling_groups = Groups()

    backend.__init__ = init
    backend.set_desired_capacity = _set_desired_capacity
    backend.terminate_instance = _terminate_instance
    backend.notify_terminate_instances = lambda self, instance_ids: None
    backend.update_attached_target_groups = lambda self, group_name: None
    AutoScalingResponse.describe_instance_refreshes = _describe_instance_refreshes
    AutoScalingResponse.describe_scaling_activities = _describe_scaling_activities


def all_groups(account: str, region: str) -> Iterator[Group]:
    yield from list(models.autoscaling_backends[account][region].autoscaling_groups.values())


def _set_desired_capacity(backend: Any, group_name: str, desired_capacity: int) -> None:
    group = backend.autoscaling_groups[group_name]
    for bound, word, broken in (
        (group.max_size, "above max", desired_capacity > group.max_size),
        (group.min_size, "below min", desired_capacity < group.min_size),
    ):
        if broken:
            raise ValidationError(
                f"New SetDesiredCapacity value {desired_capacity} is {word} value {bound} "
                "for the AutoScalingGroup."
            )
    group.set_desired_capacity(desired_capacity)


def _terminate_instance(backend: Any, instance_id: str, should_decrement: bool) -> Any:
    members = [
        member
        for group in backend.autoscaling_groups.values()
        for member in group.instance_states
        if member.instance.id == instance_id
    ]
    if not members:
        raise ValidationError(
            "Instance Id not found - No managed instance found for instance ID: " + instance_id
        )
    [member] = members
    group: Group = member.auto_scaling_group
    if member.lifecycle_state not in (*ALIVE, "Standby"):
        raise AutoscalingClientError(
            "ScalingActivityInProgress", f"Instance {instance_id} is {member.lifecycle_state}."
        )
    before = group.desired_capacity
    if should_decrement:
        if before - 1 < group.min_size:
            raise ValidationError(
                f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance "
                "without replacement will violate group's min size constraint. Either set "
                "shouldDecrementDesiredCapacity flag to false or lower group's min size."
            )
        group.desired_capacity = before - 1
    group.terminate(member, time.monotonic(), "a user request")
    return models.TerminateInstanceActivity(member.instance, before)


def _describe_instance_refreshes(self: AutoScalingResponse) -> ActionResult:
    self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")]
    return ActionResult({"InstanceRefreshes": []})


def _describe_scaling_activities(self: AutoScalingResponse) -> ActionResult:
    name = self._get_param("AutoScalingGroupName")
    groups = self.autoscaling_backend.autoscaling_groups
    found = [groups[name]] if name else list(groups.values())
    activities = [activity for group in found for activity in group.activities]
    return ActionResult({"Activities": activities[: self._get_int_param("MaxRecords", 100)]})


def _template_of(policy: dict[str, Any] | None) -> dict[str, str] | None:
    if not policy:
        return None
    template: dict[str, str] = policy["LaunchTemplate"]["LaunchTemplateSpecification"]
    return template


def _set_state(instance: Instance, name: str, code: int) -> None:
    instance._state.name = name
    instance._state.code = code
