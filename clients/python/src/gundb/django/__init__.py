"""Django beside gundb: models of streams and views that Django reads and never makes, changes or drops.

    INSTALLED_APPS = [..., "gundb.django"]
    DATABASE_ROUTERS = ["gundb.django.Router"]

The app brings a check that such models are unmanaged, and an ``inspectdb`` that leaves out what is gundb's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gundb.django.router import Router

if TYPE_CHECKING:
    from gundb.django.models import StreamModel, ViewModel

__all__ = ["Router", "StreamModel", "ViewModel"]


def __getattr__(name: str) -> Any:
    # Models can be imported only once the apps are there.
    if name in ("StreamModel", "ViewModel"):
        from gundb.django import models

        return getattr(models, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
