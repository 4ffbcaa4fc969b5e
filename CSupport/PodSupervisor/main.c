// The supervisor's own life: namespaces, the loop, reaping, the end.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "supervisor.h"

struct supervisor pod = {.epoll = -1, .pause_pidfd = -1, .own_pidfd = -1, .state_file = -1, .score_file = -1};

int64_t clock_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t clock_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

size_t copy_text(char *to, size_t room, const char *from) {
  size_t n = strnlen(from, room - 1);
  memcpy(to, from, n);
  to[n] = 0;
  return n;
}

void source_watch(struct source *source, uint32_t events) {
  if (source->fd < 0 || source->events == events) return;
  struct epoll_event event = {.events = events, .data.ptr = source};
  // Without events of interest the descriptor leaves epoll: a hang-up would otherwise wake the loop for ever.
  int operation = events == 0 ? EPOLL_CTL_DEL : source->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  if (epoll_ctl(pod.epoll, operation, source->fd, &event) == 0) source->events = events;
}

void source_close(struct source *source) {
  if (source->fd < 0) return;
  source_watch(source, 0);
  close(source->fd);
  source->fd = -1;
  source->events = 0;
}

static void setup_failed(uint32_t stage, int error, const char *detail) {
  struct pod_event event = {.kind = POD_READY, .result = -error, .stage = stage};
  copy_text(event.detail, sizeof event.detail, detail);
  send(POD_FD_AGENT, &event, sizeof event, MSG_NOSIGNAL);
  _exit(1);
}

// A file system of its own with three directories and nothing of the host's: containers copy one mount instead of the
// host's table, and a volume unmounted on the host is not held here.
static void own_mounts(const struct plan *plan) {
  if (unshare(CLONE_NEWNS) < 0) setup_failed(POD_STAGE_NAMESPACE, errno, "unshare mount");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) setup_failed(POD_STAGE_ROOTFS, errno, "private /");
  static const char *const options[][2] = {{"mode", "700"}, {"size", "64k"}, {NULL, NULL}};
  int root = sys_mount("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (root < 0) setup_failed(POD_STAGE_ROOTFS, -root, "tmpfs");
  if (mkdirat(root, "r", 0700) < 0 || mkdirat(root, "shm", 0700) < 0 || mkdirat(root, "empty", 0755) < 0)
    setup_failed(POD_STAGE_ROOTFS, errno, "mkdir");
  int place = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);  // any directory will do: it is private
  if (place < 0) setup_failed(POD_STAGE_ROOTFS, errno, "/proc");
  int r = sys_move_mount(root, place);
  if (r < 0) setup_failed(POD_STAGE_ROOTFS, -r, "move_mount");
  if (fchdir(root) < 0 || syscall(SYS_pivot_root, ".", ".") < 0) setup_failed(POD_STAGE_ROOTFS, errno, "pivot_root");
  if (umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) setup_failed(POD_STAGE_ROOTFS, errno, "umount");
  close(place);
  close(root);

  char size[24];
  uint64_t value = plan->header->shm_size ? plan->header->shm_size : 64 << 20;
  char *p = size + sizeof size - 1;
  *p = 0;
  do *--p = (char)('0' + value % 10); while (value /= 10);
  const char *const shm_options[][2] = {{"mode", "1777"}, {"size", p}, {NULL, NULL}};
  int shm = sys_mount("tmpfs", shm_options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (shm < 0) setup_failed(POD_STAGE_DEV, -shm, "shm");
  place = open("/shm", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (place < 0 || sys_move_mount(shm, place) < 0) setup_failed(POD_STAGE_DEV, errno, "shm");
  close(place);
  close(shm);
}

static void set_sysctls(const struct plan *plan) {
  uint32_t count = plan->header->sysctls.count;
  if (count == 0) return;
  int proc = sys_mount("proc", NULL, 0);
  if (proc < 0) setup_failed(POD_STAGE_SYSCTL, -proc, "proc");
  int base = sys_openat2(proc, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 8 /* RESOLVE_BENEATH */);
  if (base < 0) setup_failed(POD_STAGE_SYSCTL, -base, "/proc/sys");
  const uint32_t *strings = plan_array(plan, plan->header->sysctls);
  for (uint32_t i = 0; i < count; i += 2) {
    const char *name = plan_string(plan, strings[i]), *value = plan_string(plan, strings[i + 1]);
    char path[256];
    size_t n = copy_text(path, sizeof path, name);
    for (size_t j = 0; j < n; j++) path[j] = path[j] == '.' ? '/' : path[j] == '/' ? '.' : path[j];
    int file = sys_openat2(base, path, O_WRONLY | O_CLOEXEC, 0, 8 | 4 /* beneath, no links */);
    if (file < 0) setup_failed(POD_STAGE_SYSCTL, -file, name);
    if (write(file, value, strlen(value)) < 0) setup_failed(POD_STAGE_SYSCTL, errno, name);
    close(file);
  }
  close(base);
  close(proc);
}

// Process 1 of a pod whose containers share their PID namespace: it reaps what nobody else does.
static _Noreturn void pause_main(void) {
  prctl(PR_SET_NAME, "pause");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setsid();
  sys_close_range(0, ~0U, 0);
  sigset_t children;
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_SETMASK, &children, NULL);
  for (;;) {
    while (waitpid(-1, NULL, WNOHANG) > 0) {}
    siginfo_t info;
    while (sigwaitinfo(&children, &info) < 0 && errno == EINTR) {}
  }
}

// The pod's memory limit counts us too: where the pod as a whole is full, a container has to go, not the one who tells of it.
// Only now: a limit that leaves no room even for us has to end here instead of in a page fault that nothing can serve.
static void protect(int score) {
  if (score < 0) return;
  pod.score_file = fcntl(score, F_DUPFD_CLOEXEC, POD_FD_END);
  close(score);
  // Lowering the score takes CAP_SYS_RESOURCE: without it we are as mortal as everybody.
  if (score_set(SCORE_PROTECTED)) return;
  close(pod.score_file);
  pod.score_file = -1;
}

static void setup(const struct plan *plan) {
  const struct pod_plan *p = plan->header;
  prctl(PR_SET_NAME, "swiftlet-pod");
  prctl(PR_SET_DUMPABLE, 0);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) setup_failed(POD_STAGE_NAMESPACE, errno, "subreaper");
  int score = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);  // the last look at the host's /proc
  int flags = (p->flags & POD_OWN_NETWORK ? CLONE_NEWNET : 0) | (p->flags & POD_OWN_IPC ? CLONE_NEWIPC : 0) |
              (p->flags & POD_OWN_UTS ? CLONE_NEWUTS : 0);
  if (flags && unshare(flags) < 0) setup_failed(POD_STAGE_NAMESPACE, errno, "unshare");
  const char *hostname = plan_string(plan, p->hostname);
  if (p->flags & POD_OWN_UTS && *hostname && sethostname(hostname, strlen(hostname)) < 0) setup_failed(POD_STAGE_HOSTNAME, errno, hostname);
  set_sysctls(plan);
  own_mounts(plan);
  pod.own_pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
  if (pod.own_pidfd < 0) setup_failed(POD_STAGE_NAMESPACE, errno, "pidfd_open");
  if (p->flags & POD_SHARED_PID_NAMESPACE) {
    pod.pause_pid = spawn(-1, CLONE_NEWPID, &pod.pause_pidfd);
    if (pod.pause_pid == 0) pause_main();
    if (pod.pause_pid < 0) setup_failed(POD_STAGE_CLONE, -pod.pause_pid, "pause");
    if (setns(pod.pause_pidfd, CLONE_NEWPID) < 0) setup_failed(POD_STAGE_NAMESPACE, errno, "pod pid");
  }
  protect(score);
}

static void reap(void) {
  int status;
  pid_t pid;
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    struct container *c;
    for (c = pod.containers; c && (c->pid != pid || c->reaped); c = c->next) {}
    struct exec *e;
    if (c) container_reaped(c, status);
    else if ((e = exec_by_pid(pid))) exec_reaped(e, status);
    else if (pid == pod.pause_pid) pod.pause_pid = 0;
  }
}

static void kill_everything(void);

static void signals_ready(struct source *source, uint32_t events) {
  (void)events;
  struct signalfd_siginfo info[4];
  ssize_t n;
  while ((n = read(source->fd, info, sizeof info)) > 0)
    for (size_t i = 0; i < (size_t)n / sizeof info[0]; i++)
      if (info[i].ssi_signo == SIGTERM) {
        pod.shutting_down = true;
        kill_everything();
      }
  reap();
}

static void listener_ready(struct source *source, uint32_t events) {
  (void)events;
  int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd >= 0) connection_open(fd);
}

// Processes that outlived their parent came to us, the subreaper: without a cgroup nobody else knows them.
static void kill_children(void) {
  int proc = sys_mount("proc", NULL, 0);
  if (proc < 0) return;
  int file = sys_openat2(proc, "self/task", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, 8);
  int list = -1;
  if (file >= 0) {
    char path[32], *p = path + sizeof path - 1;
    static const char tail[] = "/children";
    p -= sizeof tail - 1;
    memcpy(p, tail, sizeof tail);
    for (int id = getpid(); id; id /= 10) *--p = (char)('0' + id % 10);
    list = openat(file, p, O_RDONLY | O_CLOEXEC);
    close(file);
  }
  close(proc);
  if (list < 0) return;
  char text[4096];
  ssize_t n = read(list, text, sizeof text - 1);
  close(list);
  if (n <= 0) return;
  text[n] = 0;
  for (char *p = text; *p;) {
    long id = strtol(p, &p, 10);
    if (id > 1) kill((pid_t)id, SIGKILL);  // our own unreaped child: the number cannot have been given away
    while (*p == ' ') p++;
  }
}

static void kill_everything(void) {
  for (struct exec *e = pod.execs; e; e = e->next) syscall(SYS_pidfd_send_signal, e->pidfd, SIGKILL, NULL, 0);
  for (struct container *c = pod.containers; c; c = c->next) container_kill_all(c);
  if (pod.pause_pid > 0) syscall(SYS_pidfd_send_signal, pod.pause_pidfd, SIGKILL, NULL, 0);
  kill_children();
}

void shutdown_if_done(void) {
  if (!pod.shutting_down) return;
  reap();
  for (struct container *c = pod.containers; c; c = c->next) if (!c->reaped) return;
  if (pod.pause_pid > 0) return;
  if (waitpid(-1, NULL, WNOHANG) == 0) { kill_children(); return; }
  if (pod.shutdown_connection) reply(pod.shutdown_connection, pod.shutdown_tag, 0);
  _exit(0);
}

static int next_timeout(void) {
  int64_t deadline = pod.shutting_down ? clock_ms() + 50 : 0;
  for (struct container *c = pod.containers; c; c = c->next) {
    int64_t d = container_deadline(c);
    if (d && (!deadline || d < deadline)) deadline = d;
  }
  if (!deadline) return -1;
  int64_t left = deadline - clock_ms();
  return left < 0 ? 0 : (int)left + 1;
}

static void loop(void) {
  for (;;) {
    // One event at a time: handling it may free the object another event points at.
    struct epoll_event event;
    int n = epoll_wait(pod.epoll, &event, 1, next_timeout());
    if (n == 1) {
      struct source *source = event.data.ptr;
      source->ready(source, event.events);
    }
    int64_t now = 0;
    for (struct container *c = pod.containers, *next; c; c = next) {
      next = c->next;
      if (!container_deadline(c)) continue;
      if (!now) now = clock_ms();
      container_tick(c, now);
    }
    if (pod.shutting_down) {
      static bool killed;
      if (!killed) { killed = true; kill_everything(); }
      shutdown_if_done();
    }
  }
}

int main(int argc, char **argv) {
  (void)argc;
  (void)argv;
  for (int s = 1; s < 65; s++) if (s != SIGKILL && s != SIGSTOP) signal(s, SIG_DFL);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  signal(SIGINT, SIG_IGN);
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigaddset(&mask, SIGTERM);
  sigprocmask(SIG_SETMASK, &mask, NULL);
  sys_close_range(3, POD_FD_END - 1, 4 /* CLOSE_RANGE_CLOEXEC */);
  sys_close_range(POD_FD_END, ~0U, 0);

  struct mapped_plan mapped;
  int fds[1] = {POD_FD_PLAN};
  int r = plan_map(&mapped, fds, 1);
  if (r < 0) setup_failed(POD_STAGE_PLAN, -r, "sandbox plan");
  if (mapped.plan.header->kind != POD_PLAN_SANDBOX) setup_failed(POD_STAGE_PLAN, EINVAL, "kind");
  close(POD_FD_PLAN);
  pod.run_directory = POD_FD_RUN_DIR;
  setup(&mapped.plan);
  plan_unmap(&mapped);

  pod.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (pod.epoll < 0) setup_failed(POD_STAGE_PLAN, errno, "epoll");
  pod.signals = (struct source){.fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK), .ready = signals_ready};
  pod.listener = (struct source){.fd = POD_FD_LISTENER, .ready = listener_ready};
  source_watch(&pod.signals, EPOLLIN);
  source_watch(&pod.listener, EPOLLIN);
  fcntl(POD_FD_AGENT, F_SETFL, O_RDWR | O_NONBLOCK);
  connection_open(POD_FD_AGENT);
  struct pod_event event = {.kind = POD_READY, .result = POD_PROTOCOL_VERSION, .pid = getpid()};
  if (pod.connections[0]) event_send(pod.connections[0], &event, -1);
  loop();
}
