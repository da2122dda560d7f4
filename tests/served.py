"""A local server of files, which looks like the Hugging Face hub to its clients."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileHandler(BaseHTTPRequestHandler):
    """Serves `server.files`, content by path; `server.cut` breaks so many answers half-way.

    GET of a path in `server.moved` is redirected; `server.headers` keeps what clients sent.
    """

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        self.server.asked.append((self.command, self.path))
        self.server.headers.append(self.headers)
        if body and self.path in self.server.moved:
            self.send_response(302)
            self.send_header("Location", self.server.url + self.server.moved[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.server.files.get(self.path.partition("?")[0])
        if content is None:
            self.send_error(404)
            return
        start = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        tag = self.server.tag or hashlib.sha256(content).hexdigest()
        self.send_header("ETag", f'"{tag}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content) - start))
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        if body:
            cut = self.server.cut > 0
            self.server.cut -= cut
            self.wfile.write(
                content[start : (start + len(content)) // 2] if cut else content[start:]
            )
            self.close_connection = cut

    def log_message(self, *args):
        pass


@contextmanager
def serve(files):
    """Yield a server of these files (content by path) with its address in `url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), FileHandler)
    server.files, server.asked, server.cut, server.tag = files, [], 0, None
    server.moved, server.headers = {}, []
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
