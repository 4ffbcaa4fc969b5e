// A container from its plan to its exit record.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "supervisor.h"

struct container *container_find(const char *id) {
  struct container *c = pod.containers;
  while (c && (strcmp(c->id, id) != 0 || c->failed)) c = c->next;
  return c;
}

void container_describe(const struct container *c, struct pod_event *event) {
  *event = (struct pod_event){
    .kind = POD_CONTAINER, .state = c->state, .pid = c->pid, .exit_code = c->exit_code, .signal = c->signal,
    .oom_killed = c->oom_killed, .started_ns = c->started_ns, .finished_ns = c->finished_ns,
  };
  copy_text(event->container, sizeof event->container, c->id);
}

void container_free(struct container *c) {
  for (struct container **p = &pod.containers; *p; p = &(*p)->next) if (*p == c) { *p = c->next; break; }
  while (c->attachments) attach_end(c->attachments);
  stream_finish(&c->output);
  stream_finish(&c->errors);
  source_close(&c->input);
  source_close(&c->sync);
  log_close(&c->log);
  if (c->pidfd >= 0) close(c->pidfd);
  if (c->cgroup >= 0) close(c->cgroup);
  free(c->input_pending);
  free(c);
}

// Whether memory.events says that the kernel killed for memory in this cgroup.
static bool was_oom_killed(const struct container *c) {
  if (c->cgroup < 0) return false;
  int file = openat(c->cgroup, "memory.events", O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  char text[512];
  ssize_t n = read(file, text, sizeof text - 1);
  close(file);
  if (n <= 0) return false;
  text[n] = 0;
  const char *count = strstr(text, "oom_kill ");
  return count && count[9] != '0';
}

static bool kill_cgroup(const struct container *c) {
  if (c->cgroup < 0) return false;
  int file = openat(c->cgroup, "cgroup.kill", O_WRONLY | O_CLOEXEC);
  if (file < 0) return false;
  bool done = write(file, "1", 1) == 1;
  close(file);
  return done;
}

void container_kill_all(struct container *c) {
  if (!c->reaped && c->pidfd >= 0) syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0);
  if (!(c->flags & POD_OWN_PID_NAMESPACE)) kill_cgroup(c);
}

int container_signal(const struct pod_request *request) {
  if (request->exec) {
    struct exec *e = exec_find(request->exec, request->container);
    if (!e) return -ESRCH;
    return syscall(SYS_pidfd_send_signal, e->pidfd, request->signal, NULL, 0) < 0 ? -errno : 0;
  }
  struct container *c = container_find(request->container);
  if (!c || c->reaped) return -ESRCH;
  if (request->flags & POD_SIGNAL_ALL) { container_kill_all(c); return 0; }
  return syscall(SYS_pidfd_send_signal, c->pidfd, request->signal, NULL, 0) < 0 ? -errno : 0;
}

static void answer_start(struct container *c) {
  struct pod_event event = {.kind = POD_REPLY, .tag = c->start_tag, .pid = c->pid, .started_ns = c->started_ns};
  if (c->failed) {
    event.result = -(c->error ? c->error : ECHILD);
    event.stage = c->stage;
    copy_text(event.detail, sizeof event.detail, c->detail);
  }
  copy_text(event.container, sizeof event.container, c->id);
  event_send(c->start_connection, &event, -1);
  c->start_connection = NULL;
}

static void start_ended(struct container *c) {
  source_close(&c->sync);
  if (!c->failed && !c->about_to_exec) { c->failed = true; c->stage = POD_STAGE_DIED; }
  if (!c->failed) {
    c->state = POD_RUNNING;
    c->started_ns = clock_ns();
    record_started(c);
    if (c->output.open) source_watch(&c->output.source, EPOLLIN);
    if (c->errors.open) source_watch(&c->errors.source, EPOLLIN);
  }
  answer_start(c);
}

static void warn(const struct container *c, const struct sync_message *message) {
  struct pod_event event = {.kind = POD_WARNING, .result = -message->error, .stage = message->stage};
  copy_text(event.container, sizeof event.container, c->id);
  copy_text(event.detail, sizeof event.detail, message->detail);
  event_send(c->start_connection, &event, -1);
}

// Reads what the child says; true when it has said all.
static bool start_progress(struct container *c) {
  struct sync_message message;
  int passed, r;
  while ((r = receive_sync(c->sync.fd, &message, &passed)) == 1) {
    if (message.kind == SYNC_TERMINAL && passed >= 0) {
      fcntl(passed, F_SETFL, O_RDWR | O_NONBLOCK);
      stream_open(&c->output, c, passed, "stdout");
      if (c->flags & POD_STDIN) c->input.fd = fcntl(passed, F_DUPFD_CLOEXEC, POD_FD_END);
      passed = -1;
    } else if (message.kind == SYNC_WARNING) {
      warn(c, &message);
    } else if (message.kind == SYNC_EXEC) {
      c->about_to_exec = true;
    } else if (message.kind == SYNC_FAILED) {
      c->failed = true;
      c->stage = message.stage;
      c->error = message.error;
      copy_text(c->detail, sizeof c->detail, message.detail);
    }
    if (passed >= 0) close(passed);
  }
  return r == 0;
}

static void sync_ready(struct source *source, uint32_t events) {
  (void)events;
  struct container *c = CONTAINER_OF(source, struct container, sync);
  if (!start_progress(c)) return;
  start_ended(c);
  if (c->failed && c->reaped) container_free(c);
}

static void input_ready(struct source *source, uint32_t events) {
  (void)events;
  input_flush(CONTAINER_OF(source, struct container, input));
}

static void decode_status(struct container *c, int status) {
  if (WIFSIGNALED(status)) {
    c->signal = WTERMSIG(status);
    c->exit_code = 128 + c->signal;
  } else {
    c->exit_code = WEXITSTATUS(status);
  }
}

void container_drained(struct container *c) {
  if (!c->reaped || c->state == POD_EXITED) return;
  stream_finish(&c->output);
  stream_finish(&c->errors);
  if (c->log.pending) return;  // the disk has to take it first
  c->state = POD_EXITED;
  while (c->attachments) attach_end(c->attachments);
  source_close(&c->input);
  log_close(&c->log);
  record_exited(c);
  struct pod_event event;
  container_describe(c, &event);
  event_broadcast(&event);
}

void container_reaped(struct container *c, int status) {
  c->finished_ns = clock_ns();
  c->reaped = true;
  if (c->state == POD_STARTING && c->sync.fd >= 0) {
    start_progress(c);
    start_ended(c);
  }
  if (c->failed) { container_free(c); return; }
  decode_status(c, status);
  c->oom_killed = c->exit_code != 0 && was_oom_killed(c);  // one that lost a child and ended well was not killed
  if (!(c->flags & POD_OWN_PID_NAMESPACE)) kill_cgroup(c);
  source_close(&c->input);
  stream_drain(&c->output);
  stream_drain(&c->errors);
  if (c->output.open || c->errors.open) c->drain_until = clock_ms() + DRAIN_MS;
  else container_drained(c);
}

int64_t container_deadline(const struct container *c) {
  int64_t deadline = 0;
  if (c->log.retry_at) deadline = c->log.retry_at;
  if (c->reaped && c->state != POD_EXITED && c->drain_until && (!deadline || c->drain_until < deadline)) deadline = c->drain_until;
  for (struct attachment *a = c->attachments; a; a = a->next) {
    int64_t d = a->stalled_since ? a->stalled_since + ATTACHMENT_STALL_MS : 0;
    if (d && (!deadline || d < deadline)) deadline = d;
  }
  return deadline;
}

void container_tick(struct container *c, int64_t now) {
  if (c->log.retry_at && now >= c->log.retry_at) {
    log_retry(&c->log);
    if (!c->log.pending) output_resume(c);
  }
  attach_tick(c, now);
  if (c->reaped && c->state != POD_EXITED && c->drain_until && now >= c->drain_until) {
    c->drain_until = now + DRAIN_MS;
    container_drained(c);
  }
}

void container_connection_gone(struct source *connection) {
  for (struct container *c = pod.containers; c; c = c->next) if (c->start_connection == connection) c->start_connection = NULL;
}

struct pipes { int child[3], ours[3], sync[2]; };

static void pipes_close(int *fds, int count) {
  for (int i = 0; i < count; i++) if (fds[i] >= 0) close(fds[i]);
}

static int pipes_open(struct pipes *pipes, uint32_t flags) {
  *pipes = (struct pipes){{-1, -1, -1}, {-1, -1, -1}, {-1, -1}};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pipes->sync) < 0) return -errno;
  for (int i = 0; i < 3 && !(flags & POD_TTY); i++) {
    if (i == 0 && !(flags & POD_STDIN)) continue;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
      int e = errno;
      pipes_close(pipes->child, 3);
      pipes_close(pipes->ours, 3);
      pipes_close(pipes->sync, 2);
      return -e;
    }
    pipes->child[i] = ends[i ? 1 : 0];
    pipes->ours[i] = ends[i ? 0 : 1];
    fcntl(pipes->ours[i], F_SETFL, O_NONBLOCK | (i ? O_RDONLY : O_WRONLY));
  }
  return 0;
}

static struct container *container_new(const struct plan *plan) {
  const struct pod_plan *p = plan->header;
  struct container *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  copy_text(c->id, sizeof c->id, p->id);
  c->state = POD_STARTING;
  c->flags = p->flags;
  c->pidfd = c->cgroup = c->sync.fd = c->input.fd = c->output.source.fd = c->errors.source.fd = -1;
  c->sync.ready = sync_ready;
  c->input.ready = input_ready;
  c->log.directory = c->log.file = -1;
  int cgroup = plan_fd(plan, p->fd_cgroup);
  if (cgroup >= 0) c->cgroup = fcntl(cgroup, F_DUPFD_CLOEXEC, POD_FD_END);
  return c;
}

static int open_log(struct container *c, const struct plan *plan) {
  const struct pod_plan *p = plan->header;
  int directory = plan_fd(plan, p->fd_log);
  if (directory < 0 || p->log_name == 0) return 0;
  c->log.directory = fcntl(directory, F_DUPFD_CLOEXEC, POD_FD_END);
  copy_text(c->log.name, sizeof c->log.name, plan_string(plan, p->log_name));
  c->log.size_max = p->log_size_max;
  c->log.files_max = p->log_files_max;
  return log_open(&c->log);
}

int container_start(struct source *connection, const struct pod_request *request, const int *fds, uint32_t fds_count) {
  struct mapped_plan mapped;
  int r = plan_map(&mapped, fds, fds_count);
  if (r < 0) return r;
  const struct pod_plan *p = mapped.plan.header;
  uint32_t known = 0;
  for (struct container *c = pod.containers; c; c = c->next) known++;
  struct container *c = NULL;
  struct pipes pipes;
  if (p->kind != POD_PLAN_CONTAINER) r = -EINVAL;
  else if (known >= CONTAINERS_MAX) r = -EMFILE;
  else if (container_find(p->id)) r = -EEXIST;
  else if (!(c = container_new(&mapped.plan))) r = -ENOMEM;
  else if ((r = open_log(c, &mapped.plan)) == 0) r = pipes_open(&pipes, p->flags);
  if (r < 0) {
    if (c) container_free(c);
    plan_unmap(&mapped);
    return r;
  }

  uint64_t flags = CLONE_NEWNS | (p->flags & POD_OWN_PID_NAMESPACE ? CLONE_NEWPID : 0);
  pid_t pid = spawn(c->cgroup, flags, &c->pidfd);
  if (pid == 0) {
    struct init init = {.plan = mapped.plan, .sync = pipes.sync[1]};
    memcpy(init.standard, pipes.child, sizeof init.standard);
    init_container(&init);
  }
  pipes_close(pipes.child, 3);
  close(pipes.sync[1]);
  plan_unmap(&mapped);
  if (pid < 0) {
    pipes_close(pipes.ours, 3);
    close(pipes.sync[0]);
    container_free(c);
    return pid;
  }
  c->pid = pid;
  c->start_tag = request->tag;
  c->start_connection = connection;
  c->sync.fd = pipes.sync[0];
  c->input.fd = pipes.ours[0];
  if (pipes.ours[1] >= 0) stream_open(&c->output, c, pipes.ours[1], "stdout");
  if (pipes.ours[2] >= 0) stream_open(&c->errors, c, pipes.ours[2], "stderr");
  c->next = pod.containers;
  pod.containers = c;
  source_watch(&c->sync, EPOLLIN);
  return 0;
}
