#define _GNU_SOURCE
#include "clruntime.h"
#include "clinux.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <linux/bpf.h>
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESULT(call) ({ long r_ = (call); r_ < 0 ? -errno : r_; })
enum { FIRST_FD = 3, PARKED_FD = 200, SPAWN_FDS_MAX = 16, TREE_DEPTH_MAX = 4096 };

// clone3 inline: with shared memory the child runs on this very frame, so there must be no return address between the
// call and the two ways on: always inline, also without optimization.
static inline __attribute__((always_inline)) long clone3_inline(struct clone_args *args, size_t size) {
#if defined(__x86_64__)
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "0"((long)SYS_clone3), "D"(args), "S"(size) : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = SYS_clone3;
  register long x0 __asm__("x0") = (long)args;
  register long x1 __asm__("x1") = (long)size;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1) : "memory");
  return x0;
#else
#error "clone3 for this processor"
#endif
}

static _Noreturn __attribute__((noinline)) void spawn_child(int program, const char *const *argv, const int *fds, size_t nfds) {
  static char *const no_environment[] = {NULL};
  int parked[SPAWN_FDS_MAX];
  setsid();
  int file = fcntl(program, F_DUPFD_CLOEXEC, PARKED_FD);
  int null = open("/dev/null", O_RDWR);
  for (size_t i = 0; i < nfds; i++) parked[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, PARKED_FD);
  for (int i = 0; i < 3; i++) if (null != i) dup2(null, i);
  for (size_t i = 0; i < nfds; i++) if (dup2(parked[i], FIRST_FD + (int)i) < 0) _exit(126);
  syscall(SYS_execveat, file, "", argv, no_environment, AT_EMPTY_PATH);
  _exit(127);
}

__attribute__((noinline)) int cl_spawn(int program, const char *const *argv, const int *fds, size_t nfds, int cgroup, int *pidfd) {
  if (nfds > SPAWN_FDS_MAX) return -EINVAL;
  *pidfd = -1;
  struct clone_args args = {
    .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | (cgroup >= 0 ? 0x200000000ULL /* CLONE_INTO_CGROUP */ : 0),
    .pidfd = (uint64_t)(uintptr_t)pidfd,
    .exit_signal = SIGCHLD,
    .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
  };
  // No handler of ours may run in the child, which still has our memory; the supervisor opens its own mask.
  sigset_t all, old;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &old);
  long pid = clone3_inline(&args, sizeof args);
  if (pid == 0) spawn_child(program, argv, fds, nfds);
  pthread_sigmask(SIG_SETMASK, &old, NULL);
  return (int)pid;
}

int cl_wait_pidfd(int pidfd, int timeout_ms) {
  struct pollfd p = {.fd = pidfd, .events = POLLIN};
  int r;
  do r = poll(&p, 1, timeout_ms); while (r < 0 && errno == EINTR);
  if (r == 0) return -ETIMEDOUT;
  siginfo_t info;
  waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | WNOHANG);  // ECHILD where it is not ours
  return 0;
}

int cl_memfd(const char *name, const void *bytes, size_t length) {
  int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return -errno;
  for (size_t done = 0; done < length;) {
    ssize_t n = write(fd, (const char *)bytes + done, length - done);
    if (n < 0) { int e = errno; close(fd); return -e; }
    done += (size_t)n;
  }
  fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
  return fd;
}

int cl_memfd_open(const char *name) { return (int)RESULT(memfd_create(name, MFD_CLOEXEC)); }
int cl_pipe(int fds[2]) { return (int)RESULT(pipe2(fds, O_CLOEXEC)); }
int cl_socketpair_seqpacket(int fds[2]) { return (int)RESULT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)); }

static void address_of(struct sockaddr_un *address, int dir, const char *name) {
  *address = (struct sockaddr_un){.sun_family = AF_UNIX};
  snprintf(address->sun_path, sizeof address->sun_path, "/proc/self/fd/%d/%s", dir, name);
}

int cl_listen_seqpacket(int dir, const char *name, int backlog) {
  struct sockaddr_un address;
  address_of(&address, dir, name);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -errno;
  unlinkat(dir, name, 0);
  // The mode of the socket's inode becomes that of its file: never wider, not even for a moment.
  if (fchmod(fd, 0600) < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || fchmodat(dir, name, 0600, 0) < 0 || listen(fd, backlog) < 0) {
    int e = errno;
    close(fd);
    return -e;
  }
  return fd;
}

int cl_connect_seqpacket(int dir, const char *name) {
  struct sockaddr_un address;
  address_of(&address, dir, name);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) { int e = errno; close(fd); return -e; }
  return fd;
}

static int remove_tree(int dir, const char *name, int depth) {
  if (unlinkat(dir, name, 0) == 0 || errno == ENOENT) return 0;
  if (errno != EISDIR && errno != EPERM) return -errno;
  if (depth > TREE_DEPTH_MAX) return -ELOOP;
  int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  DIR *list = fdopendir(fd);
  if (!list) { int e = errno; close(fd); return -e; }
  int result = 0;
  struct dirent *entry;
  while (result == 0 && (entry = readdir(list))) {
    if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
    result = remove_tree(fd, entry->d_name, depth + 1);
  }
  closedir(list);
  if (result == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT) result = -errno;
  return result;
}

int cl_remove_tree(int dir, const char *name) {
  int result = -ENOTEMPTY;
  // Somebody may still be adding a last file.
  for (int i = 0; i < 3 && result == -ENOTEMPTY; i++) result = remove_tree(dir, name, 0);
  return result;
}

int cl_make_directories(const char *path, mode_t mode) {
  char copy[4096];
  size_t n = strlen(path);
  if (n >= sizeof copy) return -ENAMETOOLONG;
  memcpy(copy, path, n + 1);
  if (mkdir(copy, mode) == 0 || errno == EEXIST) return 0;
  if (errno != ENOENT) return -errno;
  for (char *p = copy + 1; *p; p++) {
    if (*p != '/') continue;
    *p = 0;
    if (mkdir(copy, mode) < 0 && errno != EEXIST) return -errno;
    *p = '/';
  }
  return mkdir(copy, mode) < 0 && errno != EEXIST ? -errno : 0;
}

struct overlay_create { int context; const char *lowerdir; int result; };

static void *overlay_create(void *argument) {
  struct overlay_create *c = argument;
  c->result = (int)RESULT(unshare(CLONE_FS));
  if (c->result >= 0) c->result = (int)RESULT(chdir("/proc/self/fd"));
  // Names are looked up here from Linux 6.5 on, before at the creation.
  if (c->result >= 0) c->result = cl_fsconfig(c->context, CL_FSCONFIG_SET_STRING, "lowerdir", c->lowerdir, 0);
  if (c->result >= 0) c->result = cl_fsconfig(c->context, CL_FSCONFIG_CMD_CREATE, NULL, NULL, 0);
  return NULL;
}

int cl_overlay_create(int context, const char *lowerdir) {
  struct overlay_create c = {.context = context, .lowerdir = lowerdir};
  pthread_t thread;
  int error = pthread_create(&thread, NULL, overlay_create, &c);
  if (error) return -error;
  pthread_join(thread, NULL);
  return c.result;
}

static struct bpf_insn insn(uint8_t code, uint8_t dst, uint8_t src, int16_t off, int32_t imm) {
  return (struct bpf_insn){.code = code, .dst_reg = dst, .src_reg = src, .off = off, .imm = imm};
}

// The kernel's context: access_type = (access << 16) | type, major, minor (linux/bpf.h, struct bpf_cgroup_dev_ctx).
int cl_device_program(const struct cl_device_rule *rules, size_t count) {
  struct bpf_insn *code = calloc(count * 8 + 8, sizeof *code);
  if (!code) return -ENOMEM;
  size_t n = 0;
  code[n++] = insn(BPF_LDX | BPF_MEM | BPF_W, 2, 1, 0, 0);
  code[n++] = insn(BPF_ALU | BPF_MOV | BPF_X, 3, 2, 0, 0);
  code[n++] = insn(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);  // r2: type
  code[n++] = insn(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);      // r3: access
  code[n++] = insn(BPF_LDX | BPF_MEM | BPF_W, 4, 1, 4, 0);       // r4: major
  code[n++] = insn(BPF_LDX | BPF_MEM | BPF_W, 5, 1, 8, 0);       // r5: minor
  for (size_t i = 0; i < count; i++) {
    const struct cl_device_rule *r = &rules[i];
    size_t first = n;
    if (r->type != 3) code[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, 2, 0, 0, (int32_t)r->type);
    if (r->access != 7) {
      code[n++] = insn(BPF_ALU | BPF_MOV | BPF_X, 1, 3, 0, 0);
      code[n++] = insn(BPF_ALU | BPF_AND | BPF_K, 1, 0, 0, (int32_t)(~r->access & 7));
      code[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, 1, 0, 0, 0);
    }
    if (r->major >= 0) code[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, 4, 0, 0, r->major);
    if (r->minor >= 0) code[n++] = insn(BPF_JMP | BPF_JNE | BPF_K, 5, 0, 0, r->minor);
    code[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
    code[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    for (size_t j = first; j < n; j++)
      if (code[j].code == (BPF_JMP | BPF_JNE | BPF_K)) code[j].off = (int16_t)(n - j - 1);
  }
  code[n++] = insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
  code[n++] = insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = (uint64_t)(uintptr_t)code;
  attr.insn_cnt = (uint32_t)n;
  attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
  int fd = (int)RESULT(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr));
  free(code);
  return fd;
}

int cl_device_attach(int cgroup, int program) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.target_fd = (uint32_t)cgroup;
  attr.attach_bpf_fd = (uint32_t)program;
  attr.attach_type = BPF_CGROUP_DEVICE;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  return (int)RESULT(syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr));
}

int cl_set_window_size(int fd, uint16_t rows, uint16_t columns) {
  struct winsize size = {.ws_row = rows, .ws_col = columns};
  return (int)RESULT(ioctl(fd, TIOCSWINSZ, &size));
}

void cl_disk_usage(const char *path, int64_t *bytes, int64_t *inodes) {
  *bytes = 0;
  *inodes = 0;
  char *const paths[] = {(char *)path, NULL};
  FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_XDEV | FTS_NOCHDIR, NULL);
  if (!walk) return;
  for (FTSENT *entry; (entry = fts_read(walk));) {
    // A directory comes twice: before and after what is in it.
    if (entry->fts_info == FTS_DP || entry->fts_info == FTS_NS || entry->fts_info == FTS_ERR) continue;
    *bytes += (int64_t)entry->fts_statp->st_blocks * 512;
    *inodes += 1;
  }
  fts_close(walk);
}
