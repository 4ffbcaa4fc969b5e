// Agents: who they are, what they ask, what they are told.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "supervisor.h"

static void connection_close(struct source *connection) {
  for (int i = 0; i < CONNECTIONS_MAX; i++) if (pod.connections[i] == connection) pod.connections[i] = NULL;
  if (pod.shutdown_connection == connection) pod.shutdown_connection = NULL;
  container_connection_gone(connection);
  exec_connection_gone(connection);
  source_close(connection);
  free(connection);
}

void event_send(struct source *connection, struct pod_event *event, int fd) {
  if (!connection || connection->fd < 0) return;
  struct iovec part = {event, sizeof *event};
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    struct cmsghdr *c = CMSG_FIRSTHDR(&header);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
  }
  // An agent that reads nothing for a socket buffer's worth of events is cut off; it learns all when it comes back.
  if (sendmsg(connection->fd, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EINTR) shutdown(connection->fd, SHUT_RDWR);
}

void event_broadcast(struct pod_event *event) {
  for (int i = 0; i < CONNECTIONS_MAX; i++) event_send(pod.connections[i], event, -1);
}

void reply(struct source *connection, uint64_t tag, int result) {
  struct pod_event event = {.kind = POD_REPLY, .tag = tag, .result = result};
  if (result < 0) event.stage = POD_STAGE_PLAN;
  event_send(connection, &event, -1);
}

static void hello(struct source *connection, uint64_t tag) {
  for (struct container *c = pod.containers; c; c = c->next) {
    if (c->state == POD_STARTING || c->failed) continue;
    struct pod_event event;
    container_describe(c, &event);
    event_send(connection, &event, -1);
  }
  struct pod_event event = {.kind = POD_REPLY, .tag = tag, .result = POD_PROTOCOL_VERSION, .pid = getpid()};
  event_send(connection, &event, -1);
}

static int resize(const struct pod_request *request) {
  struct container *c = container_find(request->container);
  if (!c || !(c->flags & POD_TTY) || !c->output.open) return -ENOTTY;
  struct winsize size = {.ws_row = request->rows, .ws_col = request->columns};
  return ioctl(c->output.source.fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

static int acknowledge(const struct pod_request *request) {
  struct container *c = container_find(request->container);
  if (!c) return 0;
  if (c->state != POD_EXITED) return -EBUSY;
  container_free(c);
  return 0;
}

static void handle(struct source *connection, const struct pod_request *request, int *fds, uint32_t count) {
  int r = -EINVAL;
  struct container *c;
  switch (request->kind) {
  case POD_HELLO: hello(connection, request->tag); return;
  case POD_START:
    r = pod.shutting_down ? -ESHUTDOWN : container_start(connection, request, fds, count);
    if (r == 0) return;  // the reply comes with execve
    break;
  case POD_EXEC:
    r = pod.shutting_down ? -ESHUTDOWN : exec_start(connection, request, fds, count);
    if (r == 0) return;
    break;
  case POD_SIGNAL: r = container_signal(request); break;
  case POD_ATTACH:
    c = container_find(request->container);
    r = c && c->state == POD_RUNNING ? attach_start(c, request->flags, fds, count) : -ESRCH;
    break;
  case POD_RESIZE: r = resize(request); break;
  case POD_REOPEN_LOG:
    c = container_find(request->container);
    r = c ? log_reopen(&c->log) : -ESRCH;
    break;
  case POD_ACKNOWLEDGE: r = acknowledge(request); break;
  case POD_SHUTDOWN:
    pod.shutting_down = true;
    pod.shutdown_tag = request->tag;
    pod.shutdown_connection = connection;
    return;
  }
  reply(connection, request->tag, r);
}

static void connection_ready(struct source *connection, uint32_t events) {
  (void)events;
  struct pod_request request;
  int fds[POD_FDS_MAX];
  uint32_t count = 0;
  struct iovec part = {&request, sizeof request};
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(POD_FDS_MAX * sizeof(int))];
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t n = recvmsg(connection->fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  for (struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&header) : NULL; c; c = CMSG_NXTHDR(&header, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    uint32_t got = (uint32_t)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(fds + count, CMSG_DATA(c), got * sizeof(int));
    count += got;
  }
  bool valid = n == sizeof request && !(header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) && memchr(request.container, 0, POD_ID_SIZE);
  if (valid) handle(connection, &request, fds, count);
  // Who keeps a descriptor (attach, log, cgroup) sets its place to -1 or has a duplicate.
  for (uint32_t i = 0; i < count; i++) if (fds[i] >= 0) close(fds[i]);
  if (!valid) connection_close(connection);
}

void connection_open(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  int place = 0;
  while (place < CONNECTIONS_MAX && pod.connections[place]) place++;
  struct source *connection = place < CONNECTIONS_MAX ? calloc(1, sizeof *connection) : NULL;
  if (!connection || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0) {
    free(connection);
    close(fd);
    return;
  }
  *connection = (struct source){.fd = fd, .ready = connection_ready};
  pod.connections[place] = connection;
  source_watch(connection, EPOLLIN);
}
