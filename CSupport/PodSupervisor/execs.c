// Processes that join a running container. Their output is the agent's own: pipes it passed, or a pty it gets.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "supervisor.h"

struct exec *exec_by_pid(pid_t pid) {
  struct exec *e = pod.execs;
  while (e && e->pid != pid) e = e->next;
  return e;
}

struct exec *exec_find(uint64_t id, const char *container) {
  struct exec *e = pod.execs;
  while (e && (e->id != id || strcmp(e->container, container) != 0)) e = e->next;
  return e;
}

static void exec_free(struct exec *e) {
  for (struct exec **p = &pod.execs; *p; p = &(*p)->next) if (*p == e) { *p = e->next; break; }
  source_close(&e->sync);
  if (e->pidfd >= 0) close(e->pidfd);
  if (e->master >= 0) close(e->master);
  free(e);
}

void exec_connection_gone(struct source *connection) {
  for (struct exec *e = pod.execs; e; e = e->next) if (e->connection == connection) e->connection = NULL;
}

static bool progress(struct exec *e) {
  struct sync_message message;
  int passed, r;
  while ((r = receive_sync(e->sync.fd, &message, &passed)) == 1) {
    if (message.kind == SYNC_TERMINAL && passed >= 0) { e->master = passed; passed = -1; }
    else if (message.kind == SYNC_EXEC) e->about_to_exec = true;
    else if (message.kind == SYNC_FAILED) {
      e->failed = true;
      e->stage = message.stage;
      e->error = message.error;
      copy_text(e->detail, sizeof e->detail, message.detail);
    }
    if (passed >= 0) close(passed);
  }
  return r == 0;
}

static void ended(struct exec *e) {
  source_close(&e->sync);
  if (!e->failed && !e->about_to_exec) { e->failed = true; e->stage = POD_STAGE_DIED; e->error = ECHILD; }
  struct pod_event event = {.kind = POD_REPLY, .tag = e->tag, .exec = e->id, .pid = e->pid};
  if (e->failed) {
    event.result = -e->error;
    event.stage = e->stage;
    copy_text(event.detail, sizeof event.detail, e->detail);
  }
  copy_text(event.container, sizeof event.container, e->container);
  event_send(e->connection, &event, e->failed ? -1 : e->master);
  if (e->master >= 0) close(e->master);  // the agent has it now: when it goes, the terminal hangs up
  e->master = -1;
  e->replied = true;
}

static void sync_ready(struct source *source, uint32_t events) {
  (void)events;
  struct exec *e = CONTAINER_OF(source, struct exec, sync);
  if (progress(e)) ended(e);
}

void exec_reaped(struct exec *e, int status) {
  if (!e->replied) {
    progress(e);
    ended(e);
  }
  if (!e->failed) {
    struct pod_event event = {.kind = POD_EXEC_EXITED, .exec = e->id, .pid = e->pid, .finished_ns = clock_ns()};
    event.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    event.exit_code = event.signal ? 128 + event.signal : WEXITSTATUS(status);
    copy_text(event.container, sizeof event.container, e->container);
    event_send(e->connection, &event, -1);
  }
  exec_free(e);
}

// clone3 puts the child into the container's cgroup at once, and into its PID namespace because ours for children is
// that one for the moment.
static pid_t spawn_into(const struct container *c, int *pidfd) {
  bool own = c->flags & POD_OWN_PID_NAMESPACE;
  if (own && setns(c->pidfd, CLONE_NEWPID) < 0) return -errno;
  pid_t pid = spawn(c->cgroup, 0, pidfd);
  if (pid != 0 && own && setns(pod.own_pidfd, CLONE_NEWPID) < 0) abort();  // all later containers would land in this one
  return pid;
}

int exec_start(struct source *connection, const struct pod_request *request, const int *fds, uint32_t fds_count) {
  struct container *c = container_find(request->container);
  if (!c || c->state != POD_RUNNING || c->reaped) return -ESRCH;
  if (request->exec == 0 || exec_find(request->exec, request->container)) return -EEXIST;
  struct mapped_plan mapped;
  int r = plan_map(&mapped, fds, fds_count);
  if (r < 0) return r;
  const struct pod_plan *p = mapped.plan.header;
  struct exec *e = p->kind == POD_PLAN_EXEC ? calloc(1, sizeof *e) : NULL;
  int sync[2];
  if (!e || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sync) < 0) {
    free(e);
    plan_unmap(&mapped);
    return e ? -errno : -EINVAL;
  }
  *e = (struct exec){.id = request->exec, .tag = request->tag, .pidfd = -1, .master = -1, .connection = connection};
  copy_text(e->container, sizeof e->container, c->id);
  pid_t pid = spawn_into(c, &e->pidfd);
  if (pid == 0) {
    struct init init = {.plan = mapped.plan, .sync = sync[1], .container_pid = c->pidfd, .shm = -1, .empty = -1};
    init.standard[0] = plan_fd(&mapped.plan, p->fd_stdin);
    init.standard[1] = plan_fd(&mapped.plan, p->fd_stdout);
    init.standard[2] = plan_fd(&mapped.plan, p->fd_stderr);
    init_exec(&init);
  }
  close(sync[1]);
  plan_unmap(&mapped);
  if (pid < 0) {
    close(sync[0]);
    free(e);
    return pid;
  }
  e->pid = pid;
  e->sync = (struct source){.fd = sync[0], .ready = sync_ready};
  e->next = pod.execs;
  pod.execs = e;
  source_watch(&e->sync, EPOLLIN);
  return 0;
}
