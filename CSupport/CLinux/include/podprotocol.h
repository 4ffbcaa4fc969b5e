// What the agent and swiftlet-pod say to each other, shared by both languages.
//
// Requests and events are records of fixed size over a SOCK_SEQPACKET Unix socket. What has no fixed size (a container's
// or an exec's plan, the sandbox's own) is a flat blob in a memfd, sent along with the other descriptors by SCM_RIGHTS.
// In a plan every reference is a 32-bit offset into the same blob, every string ends in NUL, the last byte of the blob is
// NUL, and nothing is a pointer; the receiver checks all of it once (pod_plan_check) before it forks.
#ifndef PODPROTOCOL_H
#define PODPROTOCOL_H
#include <stdint.h>

enum {
  POD_PROTOCOL_VERSION = 1,
  POD_PLAN_MAGIC = 0x53574c50,
  POD_ID_SIZE = 72,        // container id: at most 71 characters and NUL
  POD_DETAIL_SIZE = 192,   // the path or name a failure is about, cut
  POD_FDS_MAX = 250,       // descriptors in one message (the kernel's own limit is 253)
  POD_PLAN_SIZE_MAX = 8 << 20,
  POD_MASKS_MAX = 64,
};

// Descriptors that swiftlet-pod finds open when it starts.
enum {
  POD_FD_AGENT = 3,     // a connected SOCK_SEQPACKET socket: the first agent
  POD_FD_LISTENER = 4,  // <run-dir>/pods/<sandbox>/supervisor.sock
  POD_FD_RUN_DIR = 5,   // <run-dir>/pods/<sandbox>
  POD_FD_PLAN = 6,      // the sandbox plan
  POD_FD_END = 7,
};

enum pod_request_kind {
  POD_HELLO = 1,    // -> POD_CONTAINER for each known container, then POD_REPLY (result: protocol version)
  POD_START,        // fds: plan, then what it names -> POD_REPLY when execve succeeded or a stage failed
  POD_EXEC,         // as START; `exec` names it. POD_REPLY carries the pty master for a tty
  POD_SIGNAL,       // `signal` to the container's init, or to exec `exec`; POD_SIGNAL_ALL: SIGKILL to every process
  POD_ATTACH,       // fds: stdin read end, stdout write end, stderr write end, as POD_ATTACH_* flags say
  POD_RESIZE,       // terminal of the container: rows, columns
  POD_REOPEN_LOG,
  POD_ACKNOWLEDGE,  // the exit of `container` is written down; the supervisor may forget it
  POD_SHUTDOWN,     // kill and reap everything, reply, exit
};
enum { POD_SIGNAL_ALL = 1, POD_ATTACH_STDIN = 2, POD_ATTACH_STDOUT = 4, POD_ATTACH_STDERR = 8 };

struct pod_request {
  uint32_t kind;
  uint32_t flags;
  uint64_t tag;  // comes back in the reply
  uint64_t exec;
  int32_t signal;
  uint16_t rows, columns;
  char container[POD_ID_SIZE];
};

enum pod_event_kind { POD_READY = 1, POD_REPLY, POD_CONTAINER, POD_EXEC_EXITED, POD_WARNING };
enum pod_container_state { POD_STARTING = 1, POD_RUNNING, POD_EXITED };

struct pod_event {
  uint32_t kind;
  uint32_t state;   // POD_CONTAINER
  uint64_t tag;     // POD_REPLY
  uint64_t exec;    // POD_EXEC_EXITED
  int32_t result;   // POD_REPLY, POD_WARNING: >= 0, or -errno
  uint32_t stage;   // where it failed
  int32_t pid;      // in the supervisor's (the host's) PID namespace
  int32_t exit_code;  // 0...255; 128 + signal when killed
  int32_t signal;     // 0 when it exited by itself
  uint32_t oom_killed;
  int64_t started_ns, finished_ns;  // since the epoch
  char container[POD_ID_SIZE];
  char detail[POD_DETAIL_SIZE];
};

// Where between clone3 and execve something failed.
enum pod_stage {
  POD_STAGE_NONE = 0,
  POD_STAGE_PLAN,
  POD_STAGE_CLONE,
  POD_STAGE_NAMESPACE,
  POD_STAGE_ROOTFS,
  POD_STAGE_PROC,
  POD_STAGE_SYS,
  POD_STAGE_CGROUP,
  POD_STAGE_DEV,
  POD_STAGE_MASK,
  POD_STAGE_MOUNT,
  POD_STAGE_TERMINAL,
  POD_STAGE_STDIO,
  POD_STAGE_SYSCTL,
  POD_STAGE_HOSTNAME,
  POD_STAGE_OOM_SCORE,
  POD_STAGE_RLIMIT,
  POD_STAGE_CWD,
  POD_STAGE_USER,
  POD_STAGE_CAPABILITIES,
  POD_STAGE_SECCOMP,
  POD_STAGE_EXEC,
  POD_STAGE_LOG,
  POD_STAGE_DIED,  // the process ended before it reached execve
};

enum pod_plan_kind { POD_PLAN_SANDBOX = 1, POD_PLAN_CONTAINER, POD_PLAN_EXEC };

enum pod_plan_flags {
  POD_TTY = 1 << 0,
  POD_STDIN = 1 << 1,
  POD_STDIN_ONCE = 1 << 2,
  POD_READONLY_ROOTFS = 1 << 3,
  POD_NO_NEW_PRIVILEGES = 1 << 4,
  POD_SYS_WRITABLE = 1 << 5,     // /sys and /sys/fs/cgroup read-write (privileged)
  POD_MOUNT_CGROUP = 1 << 6,     // a cgroup2 hierarchy is there to be mounted
  POD_OWN_CGROUP_NAMESPACE = 1 << 7,
  POD_SET_OOM_SCORE = 1 << 8,
  POD_OWN_PID_NAMESPACE = 1 << 9,  // container: a PID namespace of its own
  // Sandbox plan.
  POD_OWN_NETWORK = 1 << 16,
  POD_OWN_IPC = 1 << 17,
  POD_OWN_UTS = 1 << 18,
  POD_SHARED_PID_NAMESPACE = 1 << 19,
};

struct pod_slice { uint32_t offset, count; };  // count elements from offset on
struct pod_rlimit { uint32_t resource, reserved; uint64_t soft, hard; };
struct pod_mount {
  uint32_t fd;         // index among the message's descriptors
  uint32_t target;     // string: absolute, no "..", resolved inside the root file system
  uint32_t directory;  // 1: the target is a directory, 0: a file
};
struct pod_device { uint32_t path, mode, major, minor, uid, gid; };  // path below /dev; mode with its S_IF bits

struct pod_plan {
  uint32_t magic, version;
  uint32_t size;  // of the whole blob
  uint32_t kind, flags;
  uint32_t uid, gid, umask;
  int32_t oom_score_adj;
  uint32_t cwd;       // string
  uint32_t hostname;  // string (sandbox)
  uint32_t log_name;  // string: file below fd_log; 0: no log
  uint32_t log_files_max;  // kept files with the current one
  uint64_t log_size_max;   // bytes; 0: no rotation
  uint64_t shm_size;       // bytes (sandbox)
  char id[POD_ID_SIZE];
  struct pod_slice argv, environment;  // uint32_t string offsets
  struct pod_slice groups;             // uint32_t
  struct pod_slice rlimits;            // struct pod_rlimit
  struct pod_slice mounts;             // struct pod_mount
  struct pod_slice devices;            // struct pod_device: beyond the usual nodes
  struct pod_slice masked, readonly;   // uint32_t string offsets, "/proc/..." or "/sys/..."
  struct pod_slice sysctls;            // uint32_t string offsets: name, value, name, value (sandbox)
  uint64_t cap_effective, cap_permitted, cap_inheritable, cap_bounding, cap_ambient;
  uint64_t device_program;  // reserved
  uint16_t rows, columns;
  // Indexes among the message's descriptors, -1 for none.
  int32_t fd_rootfs;   // detached mount
  int32_t fd_cgroup;   // v2 directory, O_DIRECTORY (not O_PATH)
  int32_t fd_seccomp;  // BPF instructions
  int32_t fd_log;      // directory of the log file
  int32_t fd_stdin, fd_stdout, fd_stderr;  // exec
  int32_t fd_user_namespace;  // reserved: user namespaces come later
};

#endif
