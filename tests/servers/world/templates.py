"""Launch templates: moto forgets `SourceVersion`, on which a new version is to be based."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from moto.ec2.models import launch_templates as models
from moto.ec2.responses.launch_templates import LaunchTemplates

_SOURCE: ContextVar[str | None] = ContextVar("source version", default=None)


def install() -> None:
    """Teaches moto's launch templates. Called once, before the server starts."""
    answer = LaunchTemplates.create_launch_template_version
    create = models.LaunchTemplate.create_version

    def answers(self: Any) -> Any:
        token = _SOURCE.set(self._get_param("SourceVersion"))
        try:
            return answer(self)
        finally:
            _SOURCE.reset(token)

    def creates(template: Any, data: dict[str, Any], description: str) -> Any:
        source = _SOURCE.get()
        base = template.get_version(source).data if source else {}
        return create(template, {**base, **data}, description)

    LaunchTemplates.create_launch_template_version = answers
    models.LaunchTemplate.create_version = creates
