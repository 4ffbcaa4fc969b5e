// Output of containers: from pipe or pty to the log, line by line, and to whoever is attached, byte by byte.
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "supervisor.h"

void stream_open(struct stream *stream, struct container *container, int fd, const char *name) {
  *stream = (struct stream){.source = {.fd = fd, .ready = stream_ready}, .container = container, .name = name, .open = true};
}

static void keep(struct stream *stream, const char *bytes, size_t length) {
  if (!stream->line) stream->line = malloc(LINE_MAX_BYTES);
  if (!stream->line) {  // no memory to wait for the line's end: out with what there is
    log_write(&stream->container->log, stream->name, bytes, length, false);
    return;
  }
  memcpy(stream->line + stream->line_length, bytes, length);
  stream->line_length += (uint32_t)length;
}

static void emit(struct stream *stream, const char *bytes, size_t length, bool full) {
  struct log *log = &stream->container->log;
  if (stream->line_length == 0) { log_write(log, stream->name, bytes, length, full); return; }
  keep(stream, bytes, length);
  log_write(log, stream->name, stream->line, stream->line_length, full);
  stream->line_length = 0;
  free(stream->line);
  stream->line = NULL;
}

static void lines(struct stream *stream, const char *bytes, size_t length) {
  while (length) {
    const char *end = memchr(bytes, '\n', length);
    size_t n = end ? (size_t)(end - bytes) : length;
    size_t room = LINE_MAX_BYTES - stream->line_length;
    if (n > room) {
      emit(stream, bytes, room, false);
      bytes += room;
      length -= room;
    } else if (end) {
      emit(stream, bytes, n, true);
      bytes += n + 1;
      length -= n + 1;
    } else {
      keep(stream, bytes, n);
      return;
    }
  }
}

static bool blocked(const struct container *c) {
  if (c->log.pending) return true;
  for (struct attachment *a = c->attachments; a; a = a->next) if (a->pending[0] || a->pending[1]) return true;
  return false;
}

// One read. 1: got some, 0: nothing now, -1: end.
static int pump(struct stream *stream) {
  static char chunk[CHUNK_BYTES];
  struct container *c = stream->container;
  ssize_t n = read(stream->source.fd, chunk, sizeof chunk);
  if (n < 0) return errno == EAGAIN || errno == EINTR ? 0 : -1;  // EIO: the pty's last slave is closed
  if (n == 0) return -1;
  attach_output(c, stream == &c->errors, chunk, (size_t)n);
  if (c->log.file >= 0) lines(stream, chunk, (size_t)n);
  return 1;
}

void output_pause(struct container *c) {
  if (c->output.open) source_watch(&c->output.source, 0);
  if (c->errors.open) source_watch(&c->errors.source, 0);
}

void output_resume(struct container *c) {
  if (blocked(c) || c->state == POD_STARTING) return;
  if (c->reaped) {
    stream_drain(&c->output);
    stream_drain(&c->errors);
    if (!c->output.open && !c->errors.open) { container_drained(c); return; }
    if (blocked(c)) return;
  }
  if (c->output.open) source_watch(&c->output.source, EPOLLIN);
  if (c->errors.open) source_watch(&c->errors.source, EPOLLIN);
}

void stream_ready(struct source *source, uint32_t events) {
  (void)events;
  struct stream *stream = CONTAINER_OF(source, struct stream, source);
  struct container *c = stream->container;
  int r = pump(stream);
  if (r < 0) stream_finish(stream);
  log_flush(&c->log);
  if (blocked(c)) output_pause(c);
  if (c->reaped && !c->output.open && !c->errors.open) container_drained(c);
}

void stream_drain(struct stream *stream) {
  int r = 1;
  while (stream->open && !blocked(stream->container) && r > 0) {
    r = pump(stream);
    log_flush(&stream->container->log);
  }
  if (stream->open && r < 0) stream_finish(stream);
}

void stream_finish(struct stream *stream) {
  if (!stream->open) return;
  stream->open = false;
  if (stream->line_length) emit(stream, "", 0, false);  // as it was written: without a line's end
  log_flush(&stream->container->log);
  free(stream->line);
  stream->line = NULL;
  source_close(&stream->source);
}
