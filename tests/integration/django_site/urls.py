"""Views that log in and out, change users, and publish."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import authenticate, login, logout, update_session_auth_hash
from django.db import transaction
from django.http import HttpResponse
from django.urls import path

from odac.contrib.django import publisher


def log_in(request: Any) -> HttpResponse:
    login(request, authenticate(request, email=request.GET["email"], password="secret"))
    return HttpResponse("in")


def log_out(request: Any) -> HttpResponse:
    logout(request)
    return HttpResponse("out")


def password(request: Any) -> HttpResponse:
    request.user.set_password("secret")
    request.user.save()
    update_session_auth_hash(request, request.user)
    return HttpResponse("changed")


def deactivate(request: Any) -> HttpResponse:
    request.user.is_active = False
    request.user.save()
    return HttpResponse("deactivated")


def order(request: Any, number: int, fails: int) -> HttpResponse:
    try:
        with transaction.atomic():
            publisher.to_room("orders", {"order": number})
            publisher.user(request.user).send({"yours": number})
            if fails:
                raise ValueError
    except ValueError:
        return HttpResponse("rolled back")
    return HttpResponse("committed")


async def announce(request: Any) -> HttpResponse:
    publisher.broadcast({"announcement": request.GET["text"]})
    return HttpResponse("announced")


urlpatterns = [
    path("login", log_in),
    path("logout", log_out),
    path("password", password),
    path("deactivate", deactivate),
    path("order/<int:number>/<int:fails>", order),
    path("announce", announce),
]
