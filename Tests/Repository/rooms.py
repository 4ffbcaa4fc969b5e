"""The rooms of the package, as Package.swift and the sources tell: targets, layers, sizes, who imports whom. Standard library only."""
import os, re

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))

# From the bottom up: a layer may import itself and what lies before it.
LAYERS = ["CSupport", "Model", "Decisions", "Kernel", "Storage", "Transport", "Client", "Node", "ControlPlane", "Executables"]


class Target:
    def __init__(self, name, layer, path, dependencies):
        self.name, self.layer, self.path, self.dependencies = name, layer, path, dependencies
        self.files = sources(path)
        self.lines = sum(count_lines(f) for f in self.files)
        self.imports = {}                                    # module: first "file:line" that imports it
        for file in self.files:
            for number, module in imports(file):
                self.imports.setdefault(module, f"{file}:{number}")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        return f.read()


def count_lines(path):
    return read(path).count("\n")


def sources(path):
    out = []
    for base, _, names in os.walk(os.path.join(ROOT, path)):
        out += [os.path.relpath(os.path.join(base, n), ROOT) for n in names if n.endswith((".swift", ".c", ".h"))]
    return sorted(out)


IMPORT = re.compile(r"^\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:package|public|internal|private|fileprivate)\s+)?import\s+"
                    r"(?:(?:struct|class|enum|protocol|func|typealias|let|var|actor)\s+)?(\w+)", re.M)


def imports(path):
    if not path.endswith(".swift"):
        return []
    text = read(path)
    return [(text.count("\n", 0, m.start(1)) + 1, m.group(1)) for m in IMPORT.finditer(text)]


def package_targets():
    """Every target of our own that is neither a test nor a benchmark, in layer order."""
    text = re.sub(r"^\s*//.*$", "", read("Package.swift"), flags=re.M)
    body = r"\[((?:[^\[\]])*)\]"
    names = lambda block: re.findall(r'"(\w+)"', block or "")
    targets = []
    for m in re.finditer(r'room\(\s*"(\w+)",\s*"(\w+)"\s*(?:,\s*' + body + r')?\s*\)', text):
        targets.append(Target(m[2], m[1], f"Sources/{m[1]}/{m[2]}", names(m[3])))
    for m in re.finditer(r'\.(?:target|executableTarget)\(\s*name:\s*"(\w+)"(.*?)path:\s*"([^"]+)"', text, re.S):
        layer = m[3].split("/")[0] if m[3].startswith("CSupport") else m[3].split("/")[1]
        if m[3].startswith(("Benchmarks", "Tests")):
            continue
        block = re.search(r"dependencies:\s*" + body, m[2])
        targets.append(Target(m[1], layer, m[3], names(block[1]) if block else []))
    # C that SwiftPM does not build: the supervisor, which scripts/build-supervisor makes.
    built = {t.path for t in targets}
    for name in sorted(os.listdir(os.path.join(ROOT, "CSupport"))):
        if f"CSupport/{name}" not in built and sources(f"CSupport/{name}"):
            targets.append(Target(name, "CSupport", f"CSupport/{name}", []))
    return sorted(targets, key=lambda t: (LAYERS.index(t.layer) if t.layer in LAYERS else 99, t.name.lower()))


def test_targets():
    text = re.sub(r"^\s*//.*$", "", read("Package.swift"), flags=re.M)
    return sorted(set(re.findall(r'tests\(\s*"(\w+)"', text)) | set(re.findall(r'\.testTarget\(\s*name:\s*"(\w+)"', text)))


def edges(targets):
    """(target, imported target) for every import of one of our own modules."""
    own = {t.name for t in targets}
    return sorted((t.name, m) for t in targets for m in t.imports if m in own and m != t.name)
