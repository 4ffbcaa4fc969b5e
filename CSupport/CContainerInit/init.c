// The two ways into a container: becoming its first process, and joining it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include "containerinit.h"

static void tell(struct init *init, uint32_t kind, uint32_t stage, int error, const char *detail) {
  struct sync_message message = {.kind = kind, .stage = stage, .error = error};
  for (size_t i = 0; detail && detail[i] && i < sizeof message.detail - 1; i++) message.detail[i] = detail[i];
  while (write(init->sync, &message, sizeof message) < 0 && errno == EINTR) {}
}

_Noreturn void init_fail(struct init *init, uint32_t stage, int error, const char *detail) {
  tell(init, SYNC_FAILED, stage, error, detail);
  _exit(127);
}

void init_warn(struct init *init, uint32_t stage, int error, const char *detail) { tell(init, SYNC_WARNING, stage, error, detail); }

void init_send_terminal(struct init *init, int master) {
  struct sync_message message = {.kind = SYNC_TERMINAL};
  struct iovec part = {&message, sizeof message};
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  struct cmsghdr *c = CMSG_FIRSTHDR(&header);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(c), &master, sizeof(int));
  if (sendmsg(init->sync, &header, MSG_NOSIGNAL) < 0) init_fail(init, POD_STAGE_TERMINAL, errno, "pass");
}

static void fresh_signals(void) {
  sigset_t none;
  // What the supervisor ignores would stay ignored over execve; it handles nothing.
  signal(SIGPIPE, SIG_DFL);
  signal(SIGHUP, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

_Noreturn void init_container(struct init *init) {
  fresh_signals();
  init->container_pid = init->proc = init->dev = init->pts = init->null = init->root = -1;
  setsid();
  umask(022);
  if (init->plan.header->flags & POD_OWN_CGROUP_NAMESPACE && unshare(CLONE_NEWCGROUP) < 0)
    init_fail(init, POD_STAGE_NAMESPACE, errno, "cgroup");
  init_root(init);
  init_system_mounts(init);
  init_plan_mounts(init);
  init_terminal(init);
  init_process(init);
  _exit(127);
}

_Noreturn void init_exec(struct init *init) {
  fresh_signals();
  init->proc = init->dev = init->pts = init->null = init->root = -1;
  setsid();
  // The PID namespace and the cgroup came with clone3; network, IPC and UTS are the supervisor's own.
  if (setns(init->container_pid, CLONE_NEWNS) < 0) init_fail(init, POD_STAGE_NAMESPACE, errno, "mount");
  if (init->plan.header->flags & POD_OWN_CGROUP_NAMESPACE && setns(init->container_pid, CLONE_NEWCGROUP) < 0)
    init_fail(init, POD_STAGE_NAMESPACE, errno, "cgroup");
  init->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (init->root < 0) init_fail(init, POD_STAGE_NAMESPACE, errno, "/");
  init_terminal(init);
  init_process(init);
  _exit(127);
}
