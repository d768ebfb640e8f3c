"""A small web server whose every page is a function of the test: it may answer properly or misbehave."""

import contextlib
import functools
import http.server
import threading


@contextlib.contextmanager
def serve(**pages):
    """A server on this machine; yields (its address, the list of requests it got).

    pages: {name: function of the request handler}; the page is at address/name. A request is (name, its headers).
    """
    requests = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.lstrip("/")
            requests.append((name, dict(self.headers)))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the client may have left
                pages[name](self)

        def log_message(self, *args):
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def folder_server(folder):
    """A server of a folder's files; yields its address. Nothing may be cached: each page is weighed as the first."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self):
            self.send_header("Cache-Control", "no-store")
            super().end_headers()

        def log_message(self, *args):
            """Silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def respond(handler, content, status=200, length=None, **headers):
    """Send one response; `length` is what Content-Length claims where that is not the content's."""
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(content)


def good(content, etag='"one"'):
    """A page that sends `content`, knows ranges and If-Range."""

    def page(handler):
        wanted = handler.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start and handler.headers.get("If-Range", etag) == etag:
            if start >= len(content):
                respond(handler, b"", 416, Content_Range=f"bytes */{len(content)}")
            else:
                extent = f"bytes {start}-{len(content) - 1}/{len(content)}"
                respond(handler, content[start:], 206, Content_Range=extent, ETag=etag)
        else:
            respond(handler, content, ETag=etag)

    return page


def cut_short(content, after, etag='"one"'):
    """A page whose connection breaks off after some bytes, from where a range begins."""

    def page(handler):
        wanted = handler.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        extent = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        rest = content[start:]
        respond(handler, rest[:after], 206 if start else 200, len(rest), ETag=etag, **extent)

    return page


def html(status=200):
    return lambda handler: respond(handler, b"\n<!DOCTYPE html><html>Sign in</html>", status, Content_Type="text/html")


def redirect(to):
    return lambda handler: respond(handler, b"", 302, Location=to)


def in_turn(*pages):
    """A page that is one thing at the first request and another at the next; the last one stays."""
    rest = list(pages)
    return lambda handler: (rest.pop(0) if len(rest) > 1 else rest[0])(handler)
