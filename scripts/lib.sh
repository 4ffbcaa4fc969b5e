# What the scripts share. Sourced, never run.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# A step a person can follow: what is being done, and afterwards how long it took.
step() { printf '\033[1m==>\033[0m %s\n' "$*"; }
note() { printf '    %s\n' "$*"; }
die() { printf '\n%s\n' "$*" >&2; exit 1; }

need_root() {
  [ "$(id -u)" = 0 ] || die "$0 makes namespaces, mounts and network links, which only root may. Run it with sudo:
  sudo $0 $*"
}

# need_packages PACKAGE...: installs Debian packages that are missing.
need_packages() {
  local missing=() p
  for p in "$@"; do dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  command -v apt-get >/dev/null || die "These packages are missing and there is no apt-get here: ${missing[*]}
Install your system's packages of the same purpose, then run this again."
  step "Installing ${missing[*]}"
  [ "$(id -u)" = 0 ] || die "Installing needs root. Either run this with sudo, or install them yourself: sudo apt-get install ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  local out; out=$(mktemp)
  apt-get update -qq >"$out" 2>&1 || { cat "$out" >&2; note "(apt-get update failed; going on with the lists that are here)"; }
  apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >"$out" 2>&1 || {
    tail -20 "$out" >&2; rm -f "$out"; die "apt-get could not install: ${missing[*]}"; }
  rm -f "$out"
}

# The libraries that the build needs.
build_packages=(gcc libc6-dev libstdc++-12-dev git ca-certificates pkg-config libsqlite3-dev libarchive-dev libseccomp-dev libcap-dev zlib1g-dev)
need_build_packages() {
  # The C++ library's version differs from release to release; any that is there will do.
  local p packages=()
  for p in "${build_packages[@]}"; do
    case $p in libstdc++-*) ls /usr/lib/gcc/*/*/libstdc++.so >/dev/null 2>&1 || packages+=(g++) ;; *) packages+=("$p") ;; esac
  done
  need_packages "${packages[@]}"
}

# Puts a Swift toolchain on the PATH, or says how to get one.
need_swift() {
  local d
  for d in "" /opt/swift/usr/bin /usr/local/swift/usr/bin "${HOME:-/root}/.local/share/swiftly/bin" /usr/libexec/swift/bin; do
    if [ -z "$d" ]; then command -v swift >/dev/null && break || continue; fi
    if [ -x "$d/swift" ]; then PATH=$d:$PATH; break; fi
  done
  if ! command -v swift >/dev/null && [ -n "${SUDO_USER:-}" ]; then
    d=$(getent passwd "$SUDO_USER" | cut -d: -f6)/.local/share/swiftly/bin
    [ -x "$d/swift" ] && PATH=$d:$PATH
  fi
  if ! command -v swift >/dev/null; then
    if [ "${SWIFTLET_INSTALL_SWIFT:-}" = 1 ]; then install_swift; else
      die "No Swift toolchain was found. Swiftlet needs Swift 6.2 or newer.
  Get one by hand:  https://www.swift.org/install/linux/  (swiftly install latest)
  or let this script get it:  sudo SWIFTLET_INSTALL_SWIFT=1 $0"
    fi
  fi
  local v; v=$(swift --version 2>/dev/null | sed -n 's/.*Swift version \([0-9]*\.[0-9]*\).*/\1/p' | head -n 1)
  case $v in [0-5].*|6.0|6.1) die "Swift $v is too old: Swiftlet needs 6.2 or newer (https://www.swift.org/install/linux/)." ;; esac
}

# The toolchain's own installer, swiftly.
install_swift() {
  step "Installing a Swift toolchain with swiftly"
  need_packages curl ca-certificates gnupg
  local d; d=$(mktemp -d)
  curl -fsSL "https://download.swift.org/swiftly/linux/swiftly-$(uname -m).tar.gz" | tar -xz -C "$d" || die "The download of swiftly failed. Without a network, install Swift by hand."
  "$d/swiftly" init --quiet-shell-followup --assume-yes || die "swiftly could not install Swift."
  rm -rf "$d"
  PATH=${HOME:-/root}/.local/share/swiftly/bin:$PATH
}

# build_release [PRODUCT...]: builds both programs, and what else is named, into .build/release.
build_release() {
  need_build_packages
  need_swift
  step "Building the pod supervisor (C, static)"
  mkdir -p .build
  scripts/build-supervisor .build/swiftlet-pod.new
  step "Building swiftlet (Swift, release; the first time takes about ten minutes on two cores)"
  local product
  for product in swiftlet "$@"; do
    swift build -c release --product "$product" -Xswiftc -gnone --static-swift-stdlib 2>&1 | build_progress
  done
  mv .build/swiftlet-pod.new .build/release/swiftlet-pod
  note ".build/release/swiftlet and .build/release/swiftlet-pod are ready"
}

# Shows one line of progress on a terminal, now and then a line elsewhere, and everything that is no progress.
build_progress() {
  local progress='^\\[[0-9]+\\/[0-9]+\\]|^(Fetch|Comput|Creating working copy|Working copy|Updat|Building for|Build complete)'
  if [ -t 1 ]; then
    awk -v progress="$progress" '$0 ~ progress { printf "\r    %-100.100s", $0; fflush(); next } /^warning: .swift-|unhandled; explicitly|checkouts/ { next } { printf "\n%s", $0 } END { print "" }'
  else
    awk -v progress="$progress" '$0 ~ progress { if (systime() - last >= 30) { print "    " $0; fflush(); last = systime() } next } /unhandled; explicitly|checkouts/ { next } { print "    " $0; fflush() }'
  fi
}
