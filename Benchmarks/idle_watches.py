"""Memory and CPU of ten thousand watches that nothing happens to, over HTTP/2 as client libraries open them."""
import json, socket, struct, threading, time
from table import BenchNode, Table, goal
from kubeapi import Client, Cluster
from node_memory import idle_cpu, memory

WATCHES = 10_000
PER_CONNECTION = 100  # what a client may open before it has heard of the server's own limit
DATA, HEADERS, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 4, 6, 7, 8
WINDOW = 1 << 30  # bytes that the server may send unasked: nothing here is about flow control
INITIAL_WINDOW_SIZE = 4


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field that is not indexed and not compressed (RFC 7541, 6.2.2)."""
    def text(words):
        data = words.encode()
        length = bytes([len(data)]) if len(data) < 127 else bytes([127, (len(data) - 127) & 127 | 128, (len(data) - 127) >> 7])
        return length + data
    return b"\x00" + text(name) + text(value)


class Streams:
    """One HTTP/2 connection with many watches; a thread reads, answers pings and counts the answers."""

    def __init__(self, cluster, path, count):
        context = cluster.tls
        context.set_alpn_protocols(["h2"])
        self.socket = context.wrap_socket(socket.create_connection((cluster.host, cluster.port)), server_hostname=cluster.host)
        self.answered, self.events, self.ended, self.writing = 0, 0, None, threading.Lock()
        head = b"".join(literal(n, v) for n, v in (
            (":method", "GET"), (":scheme", "https"), (":path", path), (":authority", cluster.host), ("accept", "application/json")))
        self.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, WINDOW))
                  + frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", WINDOW)))
        for number in range(count):
            self.send(frame(HEADERS, 0x5, 2 * number + 1, head))
        # From here on the thread alone uses the connection: a TLS connection is not for two.
        threading.Thread(target=self.read, daemon=True).start()

    def send(self, data):
        with self.writing:
            self.socket.sendall(data)

    def note(self, events):
        self.events += events

    def exactly(self, count):
        data = b""
        while len(data) < count:
            part = self.socket.recv(count - len(data))
            if not part:
                raise OSError("the server closed the connection")
            data += part
        return data

    def read(self):
        try:
            while True:
                head = self.exactly(9)
                length, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                payload = self.exactly(length)
                if kind == HEADERS:
                    self.answered += 1
                elif kind == DATA and length:
                    self.note(payload.count(b"\n"))
                elif kind == SETTINGS and not flags & 1:
                    self.send(frame(SETTINGS, 1, 0))
                elif kind == PING and not flags & 1:
                    self.send(frame(PING, 1, 0, payload))
                elif kind == GOAWAY:
                    raise OSError(f"GOAWAY, code {int.from_bytes(payload[4:8], 'big')} {payload[8:].decode(errors='replace')}")
        except OSError as error:
            self.ended = str(error)


def until(what, probe, connections, seconds=120):
    end = time.monotonic() + seconds
    while not probe():
        if ended := next((c.ended for c in connections if c.ended), None):
            raise RuntimeError(f"{what}: {ended}")
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


def run(options):
    watches = (options.rounds or WATCHES) // PER_CONNECTION * PER_CONNECTION
    with BenchNode() as bench:
        agent = bench.node.process.pid
        time.sleep(3)
        before = memory(agent)
        cluster = Cluster(bench.node.kubeconfig)
        client = Client(cluster)
        maps = "/api/v1/namespaces/default/configmaps"
        version = json.loads(client.call("GET", maps))["metadata"]["resourceVersion"]
        path = f"{maps}?watch=true&allowWatchBookmarks=true&timeoutSeconds=3600&resourceVersion={version}"
        second = Cluster(bench.node.kubeconfig)
        begin = time.monotonic()
        connections = []
        while len(connections) * PER_CONNECTION < watches:
            # One after the other: a handshake that waits for too long is cut off.
            connections.append(Streams(second, path, PER_CONNECTION))
            until("watches are answered", lambda: connections[-1].answered >= PER_CONNECTION, connections)
        opened = time.monotonic() - begin
        time.sleep(2)
        exact, ticks = idle_cpu([agent], options.seconds)
        with_watches = memory(agent)
        begin = time.monotonic()
        client.call("POST", maps, {"metadata": {"name": "news"}})
        until("all have heard", lambda: sum(c.events for c in connections) >= watches, connections)
        heard = time.monotonic() - begin
        for connection in connections:
            connection.socket.close()
        time.sleep(3)
        after = memory(agent)
    table = Table(f"{watches} idle watches on {len(connections)} connections", "", "PSS, MB", "anonymous, MB", "CPU, % of a core")
    for label, figures, cpu in (("before", before, ""), ("with them", with_watches, f"{max(exact, ticks):.2f}"), ("after", after, "")):
        table.row(label, f"{figures[1] / 1024:.1f}", f"{figures[2] / 1024:.1f}", cpu)
    each = (with_watches[1] - before[1]) / watches
    table.row("each watch, KiB", f"{each:.1f}", goal(each, 10, "KiB"))
    table.row("opened in, s", f"{opened:.1f}")
    table.row("one event to all in, s", f"{heard:.2f}")
    table.print()
