/// Linux capabilities as a bit set (capabilities(7)).
package struct CapabilitySet: Sendable, Hashable {
  package var bits: UInt64
  package init(bits: UInt64 = 0) { self.bits = bits }

  /// Every capability that this version of Linux names.
  package static let all = CapabilitySet(bits: (1 << UInt64(names.count)) - 1)

  /// What a container has unless its pod says otherwise.
  package static let containerDefault = CapabilitySet(names: [
    "CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "SETGID", "SETUID", "SETPCAP", "NET_BIND_SERVICE", "KILL",
  ])

  /// Names with or without `CAP_`, in any case; `ALL` is all of them. Unknown ones are left out.
  package init(names: some Sequence<String>) {
    self.init()
    for name in names {
      if name.uppercased() == "ALL" { bits |= Self.all.bits } else if let bit = Self.bit(of: name) { bits |= 1 << bit }
    }
  }

  package static func bit(of name: String) -> UInt64? {
    var short = name.uppercased()
    if short.hasPrefix("CAP_") { short.removeFirst(4) }
    return names.firstIndex(of: short).map(UInt64.init)
  }

  package func contains(_ name: String) -> Bool { Self.bit(of: name).map { bits >> $0 & 1 == 1 } ?? false }

  /// In the order of their numbers (include/uapi/linux/capability.h).
  package static let names = [
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
    "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE",
  ]
}
