// From the prepared file system to execve: who the process is and what it may do.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "containerinit.h"

enum { CAPABILITIES = 64, ENV_PATH_MAX = 4096 };

static void set_oom_score(struct init *init) {
  const struct pod_plan *p = init->plan.header;
  if (!(p->flags & POD_SET_OOM_SCORE)) return;
  int proc = init->proc;
  if (proc < 0) proc = sys_mount("proc", NULL, 0);  // exec: not the container's /proc, which may be a fake
  if (proc < 0) { init_warn(init, POD_STAGE_OOM_SCORE, -proc, "proc"); return; }
  int file = sys_openat2(proc, "self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS);
  char text[8];
  int n = 0, value = p->oom_score_adj < 0 ? -p->oom_score_adj : p->oom_score_adj;
  if (value > 1000) value = 1000;
  char digits[5];
  int d = 0;
  do digits[d++] = (char)('0' + value % 10); while (value /= 10);
  if (p->oom_score_adj < 0) text[n++] = '-';
  while (d) text[n++] = digits[--d];
  int error = file < 0 ? -file : write(file, text, (size_t)n) < 0 ? errno : 0;
  // Lowering the score takes CAP_SYS_RESOURCE: without it the container runs all the same.
  if (error) init_warn(init, POD_STAGE_OOM_SCORE, error, "oom_score_adj");
  if (file >= 0) close(file);
  if (proc != init->proc) close(proc);
}

static void set_rlimits(struct init *init) {
  const struct pod_rlimit *limits = plan_array(&init->plan, init->plan.header->rlimits);
  for (uint32_t i = 0; i < init->plan.header->rlimits.count; i++) {
    struct rlimit limit = {limits[i].soft, limits[i].hard};
    if (setrlimit((int)limits[i].resource, &limit) == 0) continue;
    if (errno == EPERM) init_warn(init, POD_STAGE_RLIMIT, errno, "raising needs CAP_SYS_RESOURCE");
    else init_fail(init, POD_STAGE_RLIMIT, errno, "setrlimit");
  }
}

static void set_stdio(struct init *init) {
  // Above 2 first: the numbers that come may themselves be 0, 1 or 2 in another order.
  int from[3];
  for (int i = 0; i < 3; i++) {
    int fd = init->standard[i];
    if (fd < 0) {
      int null = init->dev >= 0 ? openat(init->dev, "null", (i ? O_WRONLY : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW)
                                : open("/dev/null", (i ? O_WRONLY : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW);
      struct stat status;
      if (null < 0) init_fail(init, POD_STAGE_STDIO, errno, "/dev/null");
      if (fstat(null, &status) < 0 || !S_ISCHR(status.st_mode) || status.st_rdev != 0x103) init_fail(init, POD_STAGE_STDIO, ENODEV, "/dev/null");
      fd = null;
    } else {
      // A pipe is reopened as /dev/stdout by its user. Anything else that came belongs to somebody.
      struct stat status;
      if (fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode) && fchown(fd, init->plan.header->uid, (gid_t)-1) < 0)
        init_warn(init, POD_STAGE_STDIO, errno, "fchown");
    }
    from[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (from[i] < 0) init_fail(init, POD_STAGE_STDIO, errno, "dup");
  }
  for (int i = 0; i < 3; i++)
    if (dup2(from[i], i) < 0) init_fail(init, POD_STAGE_STDIO, errno, "dup2");
  if (init->plan.header->flags & POD_TTY && ioctl(0, TIOCSCTTY, 0) < 0) init_fail(init, POD_STAGE_TERMINAL, errno, "controlling terminal");
}

static void set_cwd(struct init *init) {
  const char *path = plan_string(&init->plan, init->plan.header->cwd);
  if (*path == 0) path = "/";
  // Without magic links: /proc/self/fd/N never becomes a way out.
  int fd = init->container_pid < 0 ? path_make(init->root, path, 1) : path_open(init->root, path, O_PATH | O_DIRECTORY);
  if (fd < 0) init_fail(init, POD_STAGE_CWD, -fd, path);
  if (fchdir(fd) < 0) init_fail(init, POD_STAGE_CWD, errno, path);
  close(fd);
  char where[PATH_MAX];
  long n = syscall(SYS_getcwd, where, sizeof where);
  if (n < 0) init_fail(init, POD_STAGE_CWD, errno, path);
  if (where[0] != '/') init_fail(init, POD_STAGE_CWD, EXDEV, path);  // "(unreachable)": outside the root
}

static void load_seccomp(struct init *init) {
  int fd = plan_fd(&init->plan, init->plan.header->fd_seccomp);
  if (fd < 0) return;
  struct stat status;
  if (fstat(fd, &status) < 0) init_fail(init, POD_STAGE_SECCOMP, errno, "fstat");
  size_t size = (size_t)status.st_size;
  if (size == 0 || size % sizeof(struct sock_filter) || size / sizeof(struct sock_filter) > BPF_MAXINSNS)
    init_fail(init, POD_STAGE_SECCOMP, EINVAL, "size");
  void *code = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (code == MAP_FAILED) init_fail(init, POD_STAGE_SECCOMP, errno, "mmap");
  struct sock_fprog program = {.len = (unsigned short)(size / sizeof(struct sock_filter)), .filter = code};
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0) init_fail(init, POD_STAGE_SECCOMP, errno, "seccomp");
}

static void set_capabilities(struct init *init, uint64_t permitted, uint64_t effective, uint64_t inheritable) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  for (int i = 0; i < 2; i++) {
    data[i].permitted = (uint32_t)(permitted >> (32 * i));
    data[i].effective = (uint32_t)(effective >> (32 * i));
    data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
  }
  if (syscall(SYS_capset, &header, data) < 0) init_fail(init, POD_STAGE_CAPABILITIES, errno, "capset");
}

static uint64_t own_capabilities(struct init *init) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &header, data) < 0) init_fail(init, POD_STAGE_CAPABILITIES, errno, "capget");
  return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static void set_user(struct init *init) {
  const struct pod_plan *p = init->plan.header;
  // A capability that we lack ourselves (CAP_SYS_RESOURCE in some machines) cannot be given.
  uint64_t own = own_capabilities(init);
  for (int c = 0; c < CAPABILITIES; c++) {
    if (p->cap_bounding >> c & 1) continue;
    if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0) {
      if (errno == EINVAL) break;  // past the kernel's last
      init_fail(init, POD_STAGE_CAPABILITIES, errno, "bounding set");
    }
  }
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) init_fail(init, POD_STAGE_USER, errno, "keepcaps");
  if (syscall(SYS_setgroups, p->groups.count, plan_array(&init->plan, p->groups)) < 0) init_fail(init, POD_STAGE_USER, errno, "setgroups");
  if (syscall(SYS_setresgid, p->gid, p->gid, p->gid) < 0) init_fail(init, POD_STAGE_USER, errno, "setresgid");
  if (syscall(SYS_setresuid, p->uid, p->uid, p->uid) < 0) init_fail(init, POD_STAGE_USER, errno, "setresuid");
  if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0) init_fail(init, POD_STAGE_USER, errno, "keepcaps");
  set_capabilities(init, p->cap_permitted & own, p->cap_effective & own, p->cap_inheritable & own);
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) init_fail(init, POD_STAGE_CAPABILITIES, errno, "ambient");
  for (int c = 0; c < CAPABILITIES; c++)
    if ((p->cap_ambient & own) >> c & 1 && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0) < 0)
      init_fail(init, POD_STAGE_CAPABILITIES, errno, "ambient");
}

// NULL-terminated pointers into the blob: an anonymous mapping, because the heap is off limits here.
static char **string_list(struct init *init, struct pod_slice slice) {
  size_t size = ((size_t)slice.count + 1) * sizeof(char *);
  char **list = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (list == MAP_FAILED) init_fail(init, POD_STAGE_EXEC, errno, "mmap");
  const uint32_t *offsets = plan_array(&init->plan, slice);
  for (uint32_t i = 0; i < slice.count; i++) list[i] = (char *)plan_string(&init->plan, offsets[i]);
  return list;
}

static _Noreturn void execute(struct init *init, char **argv, char **environment) {
  const char *program = argv[0];
  if (*program == 0) init_fail(init, POD_STAGE_EXEC, ENOENT, program);
  if (strchr(program, '/')) {
    execve(program, argv, environment);
    init_fail(init, POD_STAGE_EXEC, errno, program);
  }
  const char *search = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (char **e = environment; *e; e++) if (strncmp(*e, "PATH=", 5) == 0) { search = *e + 5; break; }
  int error = ENOENT;
  char path[ENV_PATH_MAX];
  size_t length = strlen(program);
  for (const char *p = search;; p++) {
    size_t n = strcspn(p, ":");
    if (n + length + 2 <= sizeof path) {
      memcpy(path, p, n);
      size_t at = n;
      if (n == 0) path[at++] = '.';
      path[at++] = '/';
      memcpy(path + at, program, length + 1);
      execve(path, argv, environment);
      if (errno != ENOENT && errno != ENOTDIR) error = errno;
      if (errno != ENOENT && errno != ENOTDIR && errno != EACCES) break;
    }
    p += n;
    if (*p == 0) break;
  }
  init_fail(init, POD_STAGE_EXEC, error, program);
}

void init_process(struct init *init) {
  const struct pod_plan *p = init->plan.header;
  char **argv = string_list(init, p->argv), **environment = string_list(init, p->environment);
  set_oom_score(init);
  set_rlimits(init);
  set_stdio(init);
  set_cwd(init);
  if (init->container_pid < 0) init_seal_root(init);
  int early = !(p->flags & POD_NO_NEW_PRIVILEGES);
  if (early) load_seccomp(init);  // takes CAP_SYS_ADMIN, which goes next
  set_user(init);
  umask(p->umask);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0) init_fail(init, POD_STAGE_USER, errno, "pdeathsig");
  if (!early) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) init_fail(init, POD_STAGE_SECCOMP, errno, "no_new_privs");
    load_seccomp(init);
  }
  struct sync_message ready = {.kind = SYNC_EXEC};
  if (write(init->sync, &ready, sizeof ready) < 0) _exit(127);
  // Nothing but 0, 1 and 2 crosses execve, whatever was inherited.
  sys_close_range(3, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);
  execute(init, argv, environment);
}
