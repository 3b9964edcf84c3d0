"""The app: its label is gundb, and it has no tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig, apps
from django.core import checks


class GundbConfig(AppConfig):
    name = "gundb.django"
    label = "gundb"
    verbose_name = "gundb"

    def ready(self) -> None:
        checks.register(check_unmanaged, checks.Tags.models)


def check_unmanaged(app_configs: Sequence[AppConfig] | None, **_: Any) -> list[checks.CheckMessage]:
    """That Django does not take the table of a stream or view for its own."""
    from gundb.django.models import ReadOnlyModel

    within = apps.get_app_configs() if app_configs is None else app_configs
    return [
        checks.Error(
            f"{model.__name__} is of gundb, and Django would make and drop its table.",
            hint="class Meta(StreamModel.Meta), class Meta(ViewModel.Meta), or managed = False.",
            obj=model,
            id="gundb.E001",
        )
        for app in within
        for model in app.get_models()
        if issubclass(model, ReadOnlyModel) and model._meta.managed
    ]
