"""Target groups whose targets take their time: moto's are healthy at once and gone at once.

A target is `initial` for seconds, then as healthy as its probe says; deregistered it is `draining`
for seconds, then not there. A probe is what an instance answers to the health check; an instance
without one is always well.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from moto.elbv2 import models as elbv2

from .settings import Pace

Target = dict[str, Any]


class Targets:
    """The life of all targets, by ARN of the group and id of the instance."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._healthy_at: dict[tuple[str, str], float] = {}
        self._was_healthy: set[tuple[str, str]] = set()
        self._draining: dict[tuple[str, str], tuple[float, Target]] = {}
        self.probes: dict[str, Callable[[], bool]] = {}

    def install(self) -> None:
        """Teaches moto's target groups. Called once, before the server starts."""
        register = elbv2.FakeTargetGroup.register
        deregister = elbv2.FakeTargetGroup.deregister
        life = self

        def registers(group: elbv2.FakeTargetGroup, targets: list[Target]) -> None:
            new = [target["Id"] for target in targets if target["Id"] not in group.targets]
            register(group, targets)
            for target in new:
                life._begin(group.arn, target)

        def deregisters(group: elbv2.FakeTargetGroup, targets: list[Target]) -> None:
            for target in targets:
                if known := group.targets.get(target["Id"]):
                    life._draining[group.arn, target["Id"]] = (time.monotonic(), known)
                elif (group.arn, target["Id"]) in life._draining:
                    continue
                deregister(group, [target])

        def gone(group: elbv2.FakeTargetGroup, instances: list[str]) -> None:
            deregisters(group, [{"Id": each} for each in instances if each in group.targets])

        def describe(
            backend: elbv2.ELBv2Backend, target_group_arn: str, targets: list[Target]
        ) -> list[elbv2.FakeHealthStatus]:
            group = backend.target_groups.get(target_group_arn)
            if group is None:
                raise elbv2.TargetGroupNotFoundError()
            wanted = targets or [*group.targets.values(), *life._leaving(group.arn)]
            return [life._health(group, backend, target) for target in wanted]

        elbv2.FakeTargetGroup.register = registers
        elbv2.FakeTargetGroup.deregister = deregisters
        elbv2.FakeTargetGroup.deregister_terminated_instances = gone
        elbv2.ELBv2Backend.describe_target_health = describe

    def _begin(self, arn: str, target: str) -> None:
        self._healthy_at[arn, target] = time.monotonic() + self._pace.healthy
        self._was_healthy.discard((arn, target))
        self._draining.pop((arn, target), None)

    def _leaving(self, arn: str) -> list[Target]:
        ended = time.monotonic() - self._pace.drain
        return [
            target
            for (group, _), (since, target) in self._draining.items()
            if group == arn and since > ended
        ]

    def _health(
        self, group: elbv2.FakeTargetGroup, backend: elbv2.ELBv2Backend, target: Target
    ) -> elbv2.FakeHealthStatus:
        identity = target["Id"]
        known = group.targets.get(identity)
        if known is None:
            leaving = [each for each in self._leaving(group.arn) if each["Id"] == identity]
            if not leaving:
                answer: elbv2.FakeHealthStatus = group.health_for(target, backend.ec2_backend)
                return answer
            return _status(group, leaving[0], "draining", "Target.DeregistrationInProgress")
        state = self.state(group.arn, identity)
        reasons = {
            "initial": "Elb.RegistrationInProgress",
            "unhealthy": "Target.FailedHealthChecks",
        }
        return _status(group, known, state, reasons.get(state))

    def state(self, arn: str, identity: str) -> str:
        """The state of a registered target: initial, healthy or unhealthy."""
        now, healthy_at = time.monotonic(), self._healthy_at[arn, identity]
        if now < healthy_at:
            return "initial"
        if self.probes.get(identity, lambda: True)():
            self._was_healthy.add((arn, identity))
            return "healthy"
        failed = (arn, identity) in self._was_healthy or now > healthy_at + 10 * self._pace.healthy
        return "unhealthy" if failed else "initial"


def _status(
    group: elbv2.FakeTargetGroup, target: Target, state: str, reason: str | None
) -> elbv2.FakeHealthStatus:
    return elbv2.FakeHealthStatus(
        target["Id"], target["Port"], group.health_check_port, state, reason, None
    )
