import CLinux
import CSeccomp
import LinuxKernel
import Synchronization
import SystemPackage

#if canImport(Glibc)
  import Glibc
#endif

/// The default profile: what programs in containers need is allowed; what only administers a machine is refused with
/// EPERM; what this list does not know, so what is newer than it, answers ENOSYS, which C libraries understand.
enum SeccompProfile {
  /// Compiled filters by the capabilities that open more calls: each is compiled once.
  private static let compiled = Mutex<[UInt64: SharedDescriptor]>([:])

  /// BPF instructions in a sealed memfd.
  static func runtimeDefault(capabilities: CapabilitySet) throws -> SharedDescriptor {
    let relevant = capabilities.bits & CapabilitySet(names: callsByCapability.map(\.capability)).bits
    if let known = compiled.withLock({ $0[relevant] }) { return known }
    let made = SharedDescriptor(try compile(CapabilitySet(bits: relevant)))
    return compiled.withLock { cache in
      if let other = cache[relevant] { return other }
      cache[relevant] = made
      return made
    }
  }

  private static func compile(_ capabilities: CapabilitySet) throws -> OwnedDescriptor {
    guard let filter = cs_filter(cs_action_errno(ENOSYS)) else { throw KernelError("seccomp_init", errno: .noMemory) }
    defer { seccomp_release(filter) }
    var allowed = Set(words(allowedCalls))
    for (capability, calls) in callsByCapability where capabilities.contains(capability) { allowed.formUnion(words(calls)) }
    for call in allowed.sorted() { try check(call, cs_rule(filter, 0x7fff_0000 /* SCMP_ACT_ALLOW */, call)) }
    for call in words(refusedCalls) where !allowed.contains(call) { try check(call, cs_rule(filter, cs_action_errno(EPERM), call)) }
    if !capabilities.contains("SYS_ADMIN") {
      // New namespaces are refused: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. clone3 keeps its flags in
      // memory, where a filter cannot look, so it is left to the default, ENOSYS, and libraries fall back to clone.
      try check("clone", cs_allow_masked(filter, "clone", 0, 0x7E02_0000, 0))
    }
    // Every family but AF_ALG (38) and AF_VSOCK (40): the kernel's ciphers and the hypervisor.
    for family in UInt64(0)...46 where family != 38 && family != 40 {
      try check("socket", cs_allow_masked(filter, "socket", 0, 0xffff_ffff, family))
    }
    for personality in [0, 8, 0x20000, 0x20008, 0xffff_ffff] as [UInt64] {
      try check("personality", cs_allow_masked(filter, "personality", 0, 0xffff_ffff, personality))
    }
    return try export(filter)
  }

  static func export(_ filter: scmp_filter_ctx) throws -> OwnedDescriptor {
    let scratch = OwnedDescriptor(owning: try KernelError.check("memfd_create", "seccomp", cl_memfd_open("seccomp")))
    try KernelError.check("seccomp_export_bpf", "", seccomp_export_bpf(filter, scratch.rawValue))
    let size = lseek(scratch.rawValue, 0, SEEK_END)
    var bytes = [UInt8](repeating: 0, count: Int(size))
    guard pread(scratch.rawValue, &bytes, bytes.count, 0) == bytes.count else { throw KernelError("pread", "seccomp", errno: .ioError) }
    return try Files.memory("seccomp", bytes)
  }

  private static func check(_ call: String, _ result: Int32) throws {
    if result < 0 { throw KernelError("seccomp_rule_add", call, errno: Errno(rawValue: -result)) }
  }

  private static func words(_ text: String) -> [String] { text.split(whereSeparator: \.isWhitespace).map(String.init) }

  static let allowedCalls = """
    accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown chown32 clock_adjtime
    clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 close
    close_range connect copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
    epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync
    fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake futimesat get_robust_list get_thread_area getcpu getcwd
    getdents getdents64 getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid
    getpgrp getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit getrusage getsid
    getsockname getsockopt gettid gettimeofday getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup io_submit ioctl ioprio_get
    ioprio_set ipc kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lchown32 lgetxattr link linkat
    listen listmount listxattr listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise map_shadow_stack
    membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mmap2 modify_ldt mprotect
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal
    msgctl msgget msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect open openat
    openat2 pause pidfd_open pidfd_send_signal pidfd_getfd pipe pipe2 pkey_alloc pkey_free pkey_mprotect poll ppoll ppoll_time64
    prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv process_vm_writev pselect6 pselect6_time64 ptrace
    pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction
    rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
    rt_tgsigqueueinfo sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
    sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield seccomp select semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64
    sendmmsg sendmsg sendto set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid setfsuid32 setgid
    setgid32 setgroups setgroups32 setitimer setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32
    setreuid setreuid32 setrlimit setsid setsockopt setuid setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown
    sigaltstack signalfd signalfd4 sigpending sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64
    statmount statx symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate truncate64 ugetrlimit umask uname unlink unlinkat
    uretprobe utime utimensat utimensat_time64 utimes vfork vmsplice wait4 waitid waitpid write writev
    arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls
    """

  /// Known, and not for containers without the capability: EPERM, so that programs report what they lack.
  static let refusedCalls = """
    acct add_key bpf chroot clock_settime clock_settime64 create_module delete_module fanotify_init finit_module fsconfig fsmount
    fsopen fspick get_kernel_syms get_mempolicy init_module io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp
    kexec_file_load kexec_load keyctl lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mbind migrate_pages mount
    mount_setattr move_mount move_pages nfsservctl nice open_by_handle_at open_tree perf_event_open pivot_root process_madvise
    query_module quotactl quotactl_fd reboot request_key set_mempolicy set_mempolicy_home_node setdomainname sethostname setns
    settimeofday stime swapoff swapon sysfs _sysctl syslog umount umount2 unshare uselib userfaultfd ustat vhangup vm86 vm86old
    """

  static let callsByCapability: [(capability: String, calls: String)] = [
    (
      "SYS_ADMIN",
      """
      bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
      lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open pivot_root quotactl quotactl_fd setdomainname
      sethostname setns syslog umount umount2 unshare
      """
    ),
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module init_module finit_module"),
    ("SYS_PACCT", "acct"),
    ("SYS_PTRACE", "kcmp process_madvise"),
    ("SYS_RAWIO", "iopl ioperm"),
    ("SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYS_NICE", "get_mempolicy mbind nice set_mempolicy set_mempolicy_home_node migrate_pages move_pages"),
    ("SYSLOG", "syslog"),
    ("BPF", "bpf"),
    ("PERFMON", "perf_event_open"),
  ]
}
