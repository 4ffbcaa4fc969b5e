"""The API as a typed client uses it: requests over one connection, watches beside it, without kubectl between."""
import base64, http.client, json, ssl, tempfile, threading, time, urllib.parse
from harness import Failed, expect, eventually

PROTOBUF = "application/vnd.kubernetes.protobuf"
MERGE, STRATEGIC, JSON_PATCH, APPLY = ("application/merge-patch+json", "application/strategic-merge-patch+json",
                                       "application/json-patch+json", "application/apply-patch+yaml")


class Answer:
    def __init__(self, code, headers, data):
        self.code, self.headers, self.data = code, headers, data

    @property
    def json(self):
        return json.loads(self.data)

    @property
    def message(self):
        try:
            return self.json.get("message", "")
        except ValueError:
            return self.data.decode(errors="replace")


class Wire:
    """An administrator's connection, or that of whoever has `token`; nobody's where `token` is empty."""

    def __init__(self, node, token=None):
        config = json.loads(node.out("config", "view", "--raw", "-o", "json"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.address = urllib.parse.urlsplit(cluster["server"])
        self.context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        if token is None:
            with tempfile.NamedTemporaryFile(dir=node.dir) as file:
                for part in ("client-certificate-data", "client-key-data"):
                    file.write(base64.b64decode(user[part]))
                file.flush()
                self.context.load_cert_chain(file.name)
        self.connection = None

    def connect(self, timeout=60):
        return http.client.HTTPSConnection(self.address.hostname, self.address.port, context=self.context, timeout=timeout)

    def ask(self, method, path, body=None, kind="application/json", accept="application/json", **headers):
        """The answer, whatever its code. `body`: an object, text or bytes."""
        data = body if body is None or isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = dict(self.headers, Accept=accept, **({"Content-Type": kind} if data is not None else {}),
                       **{name.replace("_", "-"): value for name, value in headers.items()})
        for attempt in (1, 2):
            try:
                self.connection = self.connection or self.connect()
                self.connection.request(method, path, data, headers)
                response = self.connection.getresponse()
                return Answer(response.status, response.headers, response.read())
            except (http.client.HTTPException, OSError):
                # The server closes connections that were idle.
                self.connection = None
                if attempt == 2:
                    raise

    def do(self, method, path, body=None, kind="application/json", **headers):
        """The object that a successful request is answered with."""
        answer = self.ask(method, path, body, kind, **headers)
        if answer.code >= 300:
            raise Failed(f"{method} {path}: {answer.code} {answer.message}")
        return answer.json

    def refused(self, code, text, method, path, body=None, kind="application/json", **headers):
        answer = self.ask(method, path, body, kind, **headers)
        expect(answer.code == code and text in answer.message, f"{method} {path}: {answer.code} {answer.message}, not {code} {text}")
        return answer.json

    def get(self, path):
        return self.do("GET", path)

    def post(self, path, body):
        return self.do("POST", path, body)

    def put(self, path, body):
        return self.do("PUT", path, body)

    def patch(self, path, body, kind=MERGE):
        return self.do("PATCH", path, body, kind)

    def delete(self, path, body=None):
        return self.do("DELETE", path, body)

    def changed(self, path, change):
        """Reads, changes and writes until nobody was faster, as clients' RetryOnConflict."""
        for _ in range(20):
            thing = self.get(path)
            change(thing)
            answer = self.ask("PUT", path, thing)
            if answer.code != 409:
                expect(answer.code == 200, f"PUT {path}: {answer.code} {answer.message}")
                return answer.json
        raise Failed(f"PUT {path}: always a conflict")

    def watch(self, path, version=None, **query):
        query = dict(query, watch="true", **({"resourceVersion": version} if version is not None else {}))
        return Watch(self, path + ("&" if "?" in path else "?") + urllib.parse.urlencode(query))


class Watch:
    """Events of a watch, gathered by a thread of its own."""

    def __init__(self, wire, path):
        self.events, self.ended, self.taken = [], False, 0
        self.connection = wire.connect()
        self.connection.request("GET", path, headers=dict(wire.headers, Accept="application/json"))
        self.response = self.connection.getresponse()
        if self.response.status != 200:
            raise Failed(f"watch {path}: {self.response.status} {self.response.read()}")
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            for line in self.response:
                self.events.append(json.loads(line))
        except (OSError, ValueError, http.client.HTTPException, AttributeError):
            pass
        self.ended = True

    def until(self, what, true, timeout=20):
        """The next event for which `true(type, object)` holds; those before it are passed over."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            while self.taken < len(self.events):
                event = self.events[self.taken]
                self.taken += 1
                if true(event["type"], event["object"]):
                    return event
            time.sleep(0.01)
        raise Failed(f"{what}: no such event within {timeout} s; there were {[(e['type'], e['object'].get('metadata', {}).get('name')) for e in self.events]}")

    def next(self, what, kind, timeout=20):
        event = self.until(what, lambda *_: True, timeout)
        expect(event["type"] == kind, f"{what}: {event}")
        return event["object"]

    def none(self, seconds=1):
        time.sleep(seconds)
        expect(self.taken == len(self.events), f"events that should not be: {self.events[self.taken:]}")

    def close(self):
        try:
            self.connection.sock and self.connection.sock.shutdown(2)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def grows(before, after, what):
    a, b = before["metadata"]["resourceVersion"], after["metadata"]["resourceVersion"]
    expect(a.isdigit() and b.isdigit() and int(a) < int(b), f"{what}: the version {a} became {b}")
