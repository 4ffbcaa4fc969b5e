import CLinux
import LinuxKernel

/// Which devices the processes of a cgroup may make and open; the kernel asks a BPF program each time.
package struct DeviceFilter: ~Copyable, Sendable {
  package let program: OwnedDescriptor

  /// Everything may be made (a node alone does nothing), and these may be opened: what a container's /dev has.
  package init() throws(KernelError) {
    let mknod: UInt32 = 1
    let all: UInt32 = 7
    let character: UInt32 = 2
    let nodes: [(Int32, Int32)] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2)]
    var rules = [cl_device_rule(type: 3, access: mknod, major: -1, minor: -1)]
    rules += nodes.map { cl_device_rule(type: character, access: all, major: $0.0, minor: $0.1) }
    rules.append(cl_device_rule(type: character, access: all, major: 136, minor: -1))  // pseudo terminals
    program = OwnedDescriptor(owning: try KernelError.check("bpf(PROG_LOAD)", "devices", cl_device_program(rules, rules.count)))
  }

  /// Holds for the cgroup and everything below it until it is removed.
  package borrowing func attach(to cgroup: borrowing CgroupDirectory) throws(KernelError) {
    try KernelError.check("bpf(PROG_ATTACH)", "devices", cl_device_attach(cgroup.descriptor.rawValue, program.rawValue))
  }
}
