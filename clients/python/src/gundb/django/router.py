"""The router: no migration touches what is gundb's."""

from __future__ import annotations

from typing import Any


class Router:
    """For ``DATABASE_ROUTERS``. Says nothing of models that are not gundb's."""

    def allow_migrate(self, db: str, app_label: str, model_name: str | None = None, **hints: Any) -> bool | None:
        from gundb.django.models import ReadOnlyModel

        if app_label == "gundb":
            return False
        model = hints.get("model")
        if model is None and model_name is not None:
            model = _model(app_label, model_name)
        # Of a historical model the bases are what a migration wrote down; the model of now knows.
        if model is not None and not issubclass(model, ReadOnlyModel):
            model = _model(app_label, model._meta.model_name)
        return False if model is not None and issubclass(model, ReadOnlyModel) else None


def _model(app_label: str, name: str) -> Any:
    from django.apps import apps

    try:
        return apps.get_model(app_label, name)
    except LookupError:
        return None
