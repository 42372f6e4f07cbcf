"""A Django server with a session and CSRF protection: see django.md. Run with: python django-server.py PORT FOLDER"""

import sys
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.csrf import get_token
from django.urls import path

FOLDER = Path(sys.argv[2])
settings.configure(
    SECRET_KEY="not a secret",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
)
django.setup()


def login(request: HttpRequest) -> HttpResponse:
    if request.method == "GET":
        token = get_token(request)  # sets the cookie csrftoken
        return HttpResponse(
            f'<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="{token}"></form>'
        )
    request.session["user"] = request.POST["user"]
    return HttpResponseRedirect("/")


def upload(request: HttpRequest) -> HttpResponse:
    if "user" not in request.session:
        return HttpResponseRedirect("/login")
    photo = request.FILES["photo"]
    (FOLDER / f"{request.POST['station']}-{request.POST['form']}-{request.POST['page']}.jpg").write_bytes(photo.read())
    return HttpResponse("<p>Thank you</p>")


urlpatterns = [path("login", login), path("upload", upload)]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128


class Handler(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


make_server("127.0.0.1", int(sys.argv[1]), get_wsgi_application(), Server, Handler).serve_forever()
