#!/usr/bin/env python3
"""The habits of the repository, as tests. Standard library only; no build needed.

    python3 Tests/Repository/repository_test.py [-v]

Every exception stands here with its reason, so that it is seen. A ceiling may only go down.
"""
import os, re, subprocess, sys, unittest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from rooms import LAYERS, ROOT, count_lines, edges, imports, package_targets, read, test_targets

LINES_MAX = 400
COLUMNS_MAX = 160

# Files that may be longer, and why.
LONG_FILES = {
    "LICENSE": "a legal text",
    "Sources/Decisions/APIMachinery/Schemas/CoreV1.swift": "data: the schema text of core/v1, one line for each field",
    "Tests/APIMachineryTests/ValidationTests.swift": "data: a table of objects and of what is wrong with them",
}

# Lines over COLUMNS_MAX in Swift sources. To be brought down to none, file by file.
LONG_LINES_CEILING = int(read("Tests/Repository/long-lines-ceiling"))

# Modules that are not ours and have no effects of their own, as Model and Decisions use them.
PURE_MODULES = {
    "FoundationEssentials": "dates and encodings",
    "Synchronization": "a Mutex around tables that are made once",
    "Glibc": "strtod and the like; the next test says where",
}
LIBC_ALLOWED = {
    "Sources/Model/": "number and time conversion only",
    "Sources/Decisions/Scheduling/Scoring.swift": "log(), as upstream weighs topologies by it",
}

# Imports that Package.swift does not declare. To be brought down to none.
UNDECLARED = {}

# Rooms where fewer than half of the offered types have a doc comment: how many lack one now. To be brought down to none.
UNDESCRIBED = {"ContainerRuntime": 9}

# Targets without a test target of their own, and what tests them meanwhile.
WITHOUT_TESTS = {
    "CLinux": "C border, tested through LinuxKernel, CgroupV2, Netlink and ContainerRuntime",
    "CZlib": "C border, tested through RemoteStreams",
    "CArchive": "C border, tested through ContainerImages",
    "CSeccomp": "C border, tested through ContainerRuntime",
    "CContainerInit": "runs between clone3 and execve, tested through ContainerRuntime",
    "CSimulation": "the virtual clock's C border, tested through SimulatorTests",
    "PodSupervisor": "a program of its own, tested through ContainerRuntime and end to end",
    "swiftlet": "command line and wiring, tested end to end",
}


def tracked(*patterns):
    out = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-co", "--exclude-standard", "--", *patterns], cwd=ROOT, check=True,
                         capture_output=True, text=True)
    return [p for p in out.stdout.split("\n") if p and os.path.isfile(os.path.join(ROOT, p))]


def is_text(path):
    with open(os.path.join(ROOT, path), "rb") as f:
        return b"\0" not in f.read(4096)


class Layers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.targets = package_targets()
        cls.by_name = {t.name: t for t in cls.targets}

    def rank(self, name):
        return LAYERS.index(self.by_name[name].layer)

    def test_the_package_was_understood(self):
        self.assertGreater(len(self.targets), 20)
        for t in self.targets:
            self.assertIn(t.layer, LAYERS, t.name)
            self.assertTrue(t.files, f"{t.name} has no files at {t.path}")
        for layer in os.listdir(os.path.join(ROOT, "Sources")):
            for name in os.listdir(os.path.join(ROOT, "Sources", layer)):
                self.assertIn(name, self.by_name, f"Sources/{layer}/{name} is no target of Package.swift")
        self.assertGreater(len(edges(self.targets)), 20)

    def test_imports_go_down(self):
        for a, b in edges(self.targets):
            self.assertLessEqual(self.rank(b), self.rank(a), f"{self.by_name[a].imports[b]}: {a} ({self.by_name[a].layer}) imports {b}, which lies above")
            self.assertNotEqual(self.by_name[b].layer, "Executables", f"{a} imports a program")

    def test_declared_dependencies_go_down(self):
        for t in self.targets:
            for d in t.dependencies:
                if d in self.by_name:
                    self.assertLessEqual(self.rank(d), self.rank(t.name), f"Package.swift: {t.name} depends on {d}")

    def test_imports_are_declared(self):
        """SwiftPM lets a module see what its dependencies depend on; a wall that is not written down is no wall."""
        for a, b in edges(self.targets):
            if (a, b) in UNDECLARED:
                continue
            self.assertIn(b, self.by_name[a].dependencies, f"{self.by_name[a].imports[b]}: {a} imports {b} without saying so in Package.swift")

    def test_model_and_decisions_have_no_effects(self):
        for t in self.targets:
            if t.layer not in ("Model", "Decisions"):
                continue
            for module, where in t.imports.items():
                if module in self.by_name:
                    self.assertIn(self.by_name[module].layer, ("Model", "Decisions"), f"{where}: {t.name} imports {module}")
                else:
                    self.assertIn(module, PURE_MODULES, f"{where}: {t.name} imports {module}, which can act")
                if module in ("Glibc", "Musl"):
                    self.assertTrue(where.startswith(tuple(LIBC_ALLOWED)), f"{where}: the C library in {t.name}")

    def test_the_map_is_fresh(self):
        p = subprocess.run([sys.executable, "scripts/map", "--check"], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)

    def test_the_page_of_differences_is_fresh(self):
        p = subprocess.run([sys.executable, "scripts/compatibility", "--check"], cwd=ROOT, capture_output=True, text=True)
        self.assertEqual(p.returncode, 0, p.stdout + p.stderr)


class Habits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.files = [f for f in tracked() if is_text(f)]
        cls.swift = [f for f in cls.files if f.endswith(".swift")]

    def test_no_file_is_too_long(self):
        for f in self.files:
            if f.endswith((".svg", ".json", ".hex", ".txt")):
                continue
            n = count_lines(f)
            if f in LONG_FILES:
                continue
            self.assertLessEqual(n, LINES_MAX, f"{f} has {n} lines: two ideas share a room")
        for f in LONG_FILES:
            self.assertTrue(os.path.exists(os.path.join(ROOT, f)), f"{f} is gone: take it from LONG_FILES")

    def test_lines_are_not_too_wide(self):
        text = re.compile(r' *(== )?#?".*"#?[,)]*$')  # a message or a document on a line of its own is not broken
        wide = [f"{f}:{i}" for f in self.swift for i, l in enumerate(read(f).split("\n"), 1) if len(l) > COLUMNS_MAX and not text.match(l)]
        self.assertLessEqual(len(wide), LONG_LINES_CEILING, f"{len(wide)} lines over {COLUMNS_MAX} columns, the ceiling is {LONG_LINES_CEILING}; the last: "
                             + " ".join(wide[-8:]))

    def test_nothing_is_left_for_later(self):
        mark = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b")
        for f in self.files:
            for i, line in enumerate(read(f).split("\n"), 1):
                self.assertIsNone(mark.search(line), f"{f}:{i}: {line.strip()}")

    def test_no_forced_try(self):
        for f in self.swift:
            for i, line in enumerate(read(f).split("\n"), 1):
                code = line.split("//")[0]
                self.assertIsNone(re.search(r"\btry!", code) if f.startswith("Sources") else None, f"{f}:{i}: {line.strip()}")

    def test_unchecked_sendable_states_its_invariant(self):
        for f in self.swift:
            lines = read(f).split("\n")
            for i, line in enumerate(lines):
                if not re.search(r"@unchecked Sendable", line.split("//")[0]):
                    continue
                above = [l.strip() for l in lines[max(0, i - 3):i]]
                # A few lines that belong together may share one comment.
                self.assertTrue("//" in line or any(l.startswith(("//", "*", "/*")) for l in above), f"{f}:{i + 1}: what makes it safe? {line.strip()}")

    def test_nothing_built_is_kept(self):
        for f in subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split("\n"):
            self.assertNotEqual(os.path.basename(f), "Package.resolved", f)
            self.assertFalse(f.startswith(".build/") or f.endswith((".o", ".pyc", ".a")), f)

    def test_main_types_are_described(self):
        """In every room that offers types, at least half have a doc comment (views and plain values may speak for themselves)."""
        offered = re.compile(r"^(?:package|public) (?:final )?(?:indirect )?(?:struct|class|enum|actor|protocol)\b")
        for target in package_targets():
            described = total = 0
            for f in target.files:
                lines = read(f).split("\n")
                for i, line in enumerate(lines):
                    if not offered.match(line):
                        continue
                    total += 1
                    i -= 1
                    while i >= 0 and re.match(r"\s*[@#]", lines[i]):
                        i -= 1
                    described += lines[i].startswith("///")
            lacking = max(total // 2, UNDESCRIBED.get(target.name, 0))
            self.assertLessEqual(total - described, lacking, f"{target.name}: only {described} of {total} offered types have a doc comment")

    def test_scripts_can_be_run(self):
        for f in self.files:
            if f.startswith("scripts/") and f not in ("scripts/lib.sh", "scripts/swiftlet.service", "scripts/swiftlet-agent.service"):
                self.assertTrue(os.access(os.path.join(ROOT, f), os.X_OK), f"{f} is not executable")

    def test_decisions_are_listed(self):
        index = read("docs/decisions/README.md")
        for name in os.listdir(os.path.join(ROOT, "docs/decisions")):
            if name != "README.md":
                self.assertIn(f"({name})", index, f"docs/decisions/README.md does not list {name}")

    def test_links_between_pages_lead_somewhere(self):
        for f in self.files:
            if not f.endswith(".md"):
                continue
            for link in re.findall(r"\]\(([^)#\s]+)", read(f)):
                if "://" not in link:
                    self.assertTrue(os.path.exists(os.path.join(ROOT, os.path.dirname(f), link)), f"{f} links to {link}")


class Tests(unittest.TestCase):
    def test_every_room_has_tests(self):
        have = set(test_targets())
        names = {t.name for t in package_targets()}
        for name in names:
            if f"{name}Tests" in have:
                self.assertNotIn(name, WITHOUT_TESTS, f"{name} has tests now: take it from WITHOUT_TESTS")
            else:
                self.assertIn(name, WITHOUT_TESTS, f"{name} has no tests")
        for name in WITHOUT_TESTS:
            self.assertIn(name, names, f"{name} is gone: take it from WITHOUT_TESTS")
        missing = sorted(n for n, why in WITHOUT_TESTS.items() if why.startswith("MISSING"))
        if missing:
            print(f"    rooms without tests of their own: {', '.join(missing)}", file=sys.stderr)

    def test_every_test_folder_is_built(self):
        have = set(test_targets())
        for name in os.listdir(os.path.join(ROOT, "Tests")):
            if name.endswith("Tests"):
                self.assertIn(name, have, f"Tests/{name} is no target of Package.swift")

    def test_every_test_file_tests(self):
        for f in tracked("Tests/*Tests.swift"):
            self.assertRegex(read(f), r"@Test|import Testing", f)
            self.assertRegex(read(f), r"#expect|#require|Issue\.record|assert|throws", f"{f} cannot fail")


if __name__ == "__main__":
    unittest.main()
