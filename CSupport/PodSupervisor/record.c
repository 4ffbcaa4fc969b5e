// A small file of what started and ended, for the day when this process is gone and only its run directory is left.
// One line each: "S <id> <pid> <started ns>" and "E <id> <exit code> <signal> <oom> <started ns> <finished ns>".
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "supervisor.h"

static char *put_text(char *p, const char *text) {
  size_t n = strlen(text);
  memcpy(p, text, n);
  return p + n;
}

static char *put_number(char *p, int64_t value) {
  char digits[24];
  int n = 0;
  uint64_t v = value < 0 ? 0 : (uint64_t)value;
  do digits[n++] = (char)('0' + v % 10); while (v /= 10);
  *p++ = ' ';
  while (n) *p++ = digits[--n];
  return p;
}

static size_t started_line(const struct container *c, char *line) {
  char *p = put_text(put_text(line, "S "), c->id);
  p = put_number(put_number(p, c->pid), c->started_ns);
  *p++ = '\n';
  return (size_t)(p - line);
}

static size_t exited_line(const struct container *c, char *line) {
  char *p = put_text(put_text(line, "E "), c->id);
  p = put_number(put_number(put_number(p, c->exit_code), c->signal), c->oom_killed);
  p = put_number(put_number(p, c->started_ns), c->finished_ns);
  *p++ = '\n';
  return (size_t)(p - line);
}

static void append(const char *line, size_t length) {
  if (pod.state_file < 0) pod.state_file = openat(pod.run_directory, "state", O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (pod.state_file < 0) return;
  // One write per line: a reader sees whole lines.
  if (write(pod.state_file, line, length) == (ssize_t)length) pod.state_size += length;
}

// Rewrites the file with what is still known, when acknowledged lines have piled up.
static void compact(void) {
  if (pod.state_size < STATE_FILE_MAX) return;
  int file = openat(pod.run_directory, "state.new", O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return;
  char line[512];  // two records: an id is at most 71 bytes, a number 20
  uint64_t size = 0;
  for (struct container *c = pod.containers; c; c = c->next) {
    if (c->failed || c->state == POD_STARTING) continue;
    size_t n = started_line(c, line);
    if (c->state == POD_EXITED) n += exited_line(c, line + n);
    if (write(file, line, n) != (ssize_t)n) { close(file); return; }
    size += n;
  }
  close(file);
  if (renameat(pod.run_directory, "state.new", pod.run_directory, "state") < 0) return;
  close(pod.state_file);
  pod.state_file = -1;
  pod.state_size = size;
}

void record_started(const struct container *c) {
  char line[256];
  append(line, started_line(c, line));
}

void record_exited(const struct container *c) {
  char line[256];
  append(line, exited_line(c, line));
  compact();
}
