"""Objects that lie encrypted in the database, as an EncryptionConfiguration says: the files are searched for what was written."""
import base64, glob, json, os, secrets
from harness import *
from failures import refused
from roles import Split

DEFINITION = dict(apiVersion="apiextensions.k8s.io/v1", kind="CustomResourceDefinition", metadata=dict(name="vaults.enc.e2e.example.com"), spec=dict(
    group="enc.e2e.example.com", scope="Namespaced", names=dict(plural="vaults", singular="vault", kind="Vault", listKind="VaultList"), versions=[
        dict(name="v1", served=True, storage=True, schema=dict(openAPIV3Schema={"type": "object", "x-kubernetes-preserve-unknown-fields": True}))]))


def configuration(*entries):
    """Entries of (resources, providers); a provider is `identity` or (kind, key's name, its bytes)."""
    provider = lambda p: {"identity": {}} if p == "identity" else {p[0]: dict(keys=[dict(name=p[1], secret=base64.b64encode(p[2]).decode())])}
    return json.dumps(dict(apiVersion="apiserver.config.k8s.io/v1", kind="EncryptionConfiguration", resources=[
        dict(resources=resources, providers=[provider(p) for p in providers]) for resources, providers in entries]))


def found_on_disk(server, word):
    """Whether any file of the database has a text in it, as it is or in base64 at any of its three places."""
    forms = [word.encode()] + [base64.b64encode(b"x" * i + word.encode())[4 if i else 0:-4] for i in range(3)]
    return any(form in open(path, "rb").read() for path in glob.glob(f"{server.data}/state.db*") for form in forms)


class Encrypted(Split):
    """A control plane alone, with the options that are under test."""

    more = ()

    def launch(self, node, *command):
        super().launch(node, *command, *self.more)

    def restart(self, *more):
        self.server.stop()
        self.more = more
        self.start_server()


@test
def objects_lie_encrypted(_):
    split = Encrypted(8)
    server = split.server
    try:
        first, second, own = secrets.token_bytes(32), secrets.token_bytes(32), secrets.token_bytes(32)
        path, keys = f"{server.dir}/enc.yaml", f"{server.dir}/keys"
        word = lambda what: f"canary-{what}-written-{server.port}"

        def write(*entries):
            with open(path, "w") as file:
                file.write(configuration(*entries))

        def read(kind, name):
            text = server.out("get", kind, name, "-o", "json")
            return base64.b64decode(json.loads(text)["data"]["word"]).decode() if kind == "secret" else json.loads(text)["data"]["word"]

        # The own key file first: its values are read beside and after the other one.
        with open(keys, "w") as file:
            file.write(f"own {base64.b64encode(own).decode()}\n")
        split.restart("--encryption-key-file", keys)
        server.out("create", "secret", "generic", "old", f"--from-literal=word={word('old')}")
        write((["secrets", "configmaps"], [("aescbc", "k1", first), "identity"]), (["*.enc.e2e.example.com"], [("aesgcm", "k1", first)]))
        split.restart("--encryption-provider-config", path, "--encryption-key-file", keys)
        expect(read("secret", "old") == word("old"), "what the key file wrote is not read")
        server.out("create", "secret", "generic", "new", f"--from-literal=word={word('secret')}")
        server.out("create", "configmap", "hidden", f"--from-literal=word={word('map')}")
        server.apply(DEFINITION)
        eventually("vaults are served", lambda: server.kubectl("get", "vaults", check=False)[0] == 0)
        server.apply(dict(apiVersion="enc.e2e.example.com/v1", kind="Vault", metadata=dict(name="v"), data=dict(word=word("vault"))))
        server.out("create", "serviceaccount", word("plain"))
        server.stop()
        for what in ("old", "secret", "map", "vault"):
            expect(not found_on_disk(server, word(what)), f"the {what} lies there as it is")
        expect(found_on_disk(server, word("plain")), "nothing is found at all")
        # The old key goes, another one comes, and configmaps are to be plain again.
        write((["secrets"], [("aesgcm", "k2", second), ("aescbc", "k1", first)]), (["configmaps"], ["identity", ("aescbc", "k1", first)]),
              (["vaults.enc.e2e.example.com"], [("aescbc", "k3", second), ("aesgcm", "k1", first)]))
        split.restart("--encryption-provider-config", path)
        write((["*.enc.e2e.example.com"], [("aescbc", "k3", second)]), (["secrets"], [("aesgcm", "k2", second)]))
        split.restart("--encryption-provider-config", path)
        expect(read("secret", "old") == word("old") and read("secret", "new") == word("secret") and read("configmap", "hidden") == word("map"), "an object changed")
        expect(server.json("get", "vault", "v")["data"]["word"] == word("vault"), "the custom resource changed")
        server.stop()
        expect(not found_on_disk(server, word("secret")) and not found_on_disk(server, word("vault")), "a rotation showed something")
        expect(found_on_disk(server, word("map")), "the map is still encrypted")
        # What is wrong is one line with the place in the file; a key that is missed is named, and nothing is lost.
        command = lambda: [f"{BIN}/swiftlet", "server", *server.options()[:4], "--listen", f"127.0.0.1:{server.port}", "--advertise-address", "127.0.0.1",
                           "--kubeconfig", server.kubeconfig, *split.ranges, "--encryption-provider-config", path]
        write((["secrets"], [("aesgcm", "k2", b"short")]))
        refused(server, path, "resources[0].providers[0].aesgcm.keys[0].secret", "5 bytes", command=command())
        write((["secrets"], [("aesgcm", "k9", first)]))
        refused(server, "encrypted with the key k2", "add it again", command=command())
        write((["secrets"], [("aesgcm", "k2", second)]), (["*.enc.e2e.example.com"], [("aescbc", "k3", second)]))
        split.restart("--encryption-provider-config", path)
        expect(read("secret", "new") == word("secret"), "the secret changed")
    finally:
        split.end()
