// Attached readers and writers: copies of output to them, their input to the container.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "supervisor.h"

enum { INPUT_BYTES = 16 << 10 };

void attach_end(struct attachment *a) {
  struct container *c = a->container;
  for (struct attachment **p = &c->attachments; *p; p = &(*p)->next) if (*p == a) { *p = a->next; break; }
  source_close(&a->input);
  source_close(&a->output);
  source_close(&a->error);
  free(a->pending[0]);
  free(a->pending[1]);
  free(a);
}

static void end_and_resume(struct attachment *a) {
  struct container *c = a->container;
  attach_end(a);
  if (!c->reaped || c->state != POD_EXITED) output_resume(c);
}

// The container's input, drained: the next piece may be read, or the end passed on.
static void input_drained(struct container *c) {
  free(c->input_pending);
  c->input_pending = NULL;
  c->input_length = 0;
  if (c->close_input) { source_close(&c->input); return; }
  source_watch(&c->input, 0);
  for (struct attachment *a = c->attachments; a; a = a->next) if (a->input.fd >= 0) source_watch(&a->input, EPOLLIN);
}

void input_flush(struct container *c) {
  size_t done = 0;
  while (done < c->input_length) {
    ssize_t n = write(c->input.fd, c->input_pending + done, c->input_length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) { source_close(&c->input); done = c->input_length; break; }  // nobody reads any more
    done += (size_t)n;
  }
  if (done == c->input_length) { input_drained(c); return; }
  memmove(c->input_pending, c->input_pending + done, c->input_length - done);
  c->input_length -= (uint32_t)done;
  source_watch(&c->input, EPOLLOUT);
}

static void input_ended(struct attachment *a) {
  struct container *c = a->container;
  source_close(&a->input);
  // Without stdinOnce the container's stdin stays open for the next one who attaches.
  if (c->flags & POD_STDIN_ONCE && !(c->flags & POD_TTY)) {
    c->close_input = true;
    if (!c->input_pending) source_close(&c->input);
  }
}

static void input_ready(struct source *source, uint32_t events) {
  (void)events;
  struct attachment *a = CONTAINER_OF(source, struct attachment, input);
  struct container *c = a->container;
  if (c->input_pending) { source_watch(source, 0); return; }
  char *piece = malloc(INPUT_BYTES);
  if (!piece) return;
  ssize_t n = read(source->fd, piece, INPUT_BYTES);
  if (n > 0 && c->input.fd >= 0) {
    c->input_pending = piece;
    c->input_length = (uint32_t)n;
    input_flush(c);
    if (c->input_pending) for (struct attachment *b = c->attachments; b; b = b->next) source_watch(&b->input, 0);
    return;
  }
  free(piece);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) input_ended(a);
}

// True when all of it is gone.
static bool push(struct attachment *a, int which, struct source *source) {
  size_t done = 0;
  while (done < a->pending_length[which]) {
    ssize_t n = write(source->fd, a->pending[which] + done, a->pending_length[which] - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) { source_close(source); done = a->pending_length[which]; break; }
    done += (size_t)n;
  }
  a->pending_length[which] -= (uint32_t)done;
  if (done) a->stalled_since = 0;
  if (a->pending_length[which] == 0) {
    free(a->pending[which]);
    a->pending[which] = NULL;
    return true;
  }
  memmove(a->pending[which], a->pending[which] + done, a->pending_length[which]);
  if (!a->stalled_since) a->stalled_since = clock_ms();
  return false;
}

static void written(struct attachment *a, int which, struct source *source, uint32_t events) {
  if (!a->pending[which]) {  // only an error or a hang-up wakes us here: the reader has gone
    if (events & (EPOLLERR | EPOLLHUP)) source_close(source);
  } else if (push(a, which, source) && source->fd >= 0) {
    source_watch(source, EPOLLERR);
  }
  if (a->output.fd < 0 && a->error.fd < 0) { end_and_resume(a); return; }
  if (!a->pending[0] && !a->pending[1]) { a->stalled_since = 0; output_resume(a->container); }
}

static void output_ready(struct source *source, uint32_t events) {
  written(CONTAINER_OF(source, struct attachment, output), 0, source, events);
}
static void error_ready(struct source *source, uint32_t events) {
  written(CONTAINER_OF(source, struct attachment, error), 1, source, events);
}

// Called with a piece just read, while nothing of this container is pending.
void attach_output(struct container *c, int which, const char *bytes, size_t length) {
  for (struct attachment *a = c->attachments; a; a = a->next) {
    struct source *source = which ? &a->error : &a->output;
    if (source->fd < 0) continue;
    ssize_t n = a->pending[which] ? 0 : write(source->fd, bytes, length);
    if (n < 0 && errno != EAGAIN && errno != EINTR) continue;  // epoll reports the reader's end
    size_t done = n < 0 ? 0 : (size_t)n;
    if (done == length) continue;
    char *all = realloc(a->pending[which], a->pending_length[which] + length - done);
    if (!all) continue;
    memcpy(all + a->pending_length[which], bytes + done, length - done);
    a->pending[which] = all;
    a->pending_length[which] += (uint32_t)(length - done);
    if (!a->stalled_since) a->stalled_since = clock_ms();
    source_watch(source, EPOLLOUT);
  }
}

void attach_tick(struct container *c, int64_t now) {
  for (struct attachment *a = c->attachments, *next; a; a = next) {
    next = a->next;
    if (a->stalled_since && now >= a->stalled_since + ATTACHMENT_STALL_MS) end_and_resume(a);
  }
}

static int take(int *fds, uint32_t count, uint32_t *at, bool wanted) {
  if (!wanted || *at >= count) return -1;
  int fd = fds[*at];
  fds[(*at)++] = -1;
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return fd;
}

int attach_start(struct container *c, uint32_t flags, int *fds, uint32_t fds_count) {
  uint32_t known = 0;
  for (struct attachment *a = c->attachments; a; a = a->next) known++;
  if (known >= ATTACHMENTS_MAX) return -EMFILE;
  struct attachment *a = calloc(1, sizeof *a);
  if (!a) return -ENOMEM;
  uint32_t at = 0;
  a->container = c;
  a->input = (struct source){.fd = take(fds, fds_count, &at, flags & POD_ATTACH_STDIN), .ready = input_ready};
  a->output = (struct source){.fd = take(fds, fds_count, &at, flags & POD_ATTACH_STDOUT), .ready = output_ready};
  a->error = (struct source){.fd = take(fds, fds_count, &at, flags & POD_ATTACH_STDERR), .ready = error_ready};
  a->next = c->attachments;
  c->attachments = a;
  if (!c->input_pending) source_watch(&a->input, EPOLLIN);
  source_watch(&a->output, EPOLLERR);
  source_watch(&a->error, EPOLLERR);
  return 0;
}
