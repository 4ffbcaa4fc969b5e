// CRI log files: "<RFC 3339, nanoseconds, UTC> stdout|stderr F|P <line>". Written here, rotated here, between records.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "supervisor.h"

enum { BUFFER_BYTES = 40 << 10, STAMP_BYTES = 30, HEADER_BYTES = STAMP_BYTES + 10, ROTATED_SAME_SECOND_MAX = 999 };

// Records of one log between two flushes. Always flushed before the loop turns to anything else.
static char buffer[BUFFER_BYTES];
static size_t buffered;

static void digits(char *to, int64_t value, int count) {
  while (count--) { to[count] = (char)('0' + value % 10); value /= 10; }
}

struct date { int year, month, day, hour, minute, second; };

// Howard Hinnant's "days to civil" calculation: gmtime without a time zone file.
static struct date date_of(int64_t seconds) {
  int64_t days = seconds / 86400, rest = seconds % 86400, z = days + 719468, era = z / 146097;
  int64_t doe = z - era * 146097, yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  int month = (int)(mp < 10 ? mp + 3 : mp - 9);
  return (struct date){(int)(yoe + era * 400 + (month <= 2)), month, (int)(doy - (153 * mp + 2) / 5 + 1),
                       (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60)};
}

static void stamp(char *to) {
  static char cached[STAMP_BYTES];
  static int64_t cached_second = -1;
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (now.tv_sec != cached_second) {
    struct date d = date_of(now.tv_sec);
    memcpy(cached, "0000-00-00T00:00:00.000000000Z", STAMP_BYTES);
    digits(cached, d.year, 4);
    digits(cached + 5, d.month, 2);
    digits(cached + 8, d.day, 2);
    digits(cached + 11, d.hour, 2);
    digits(cached + 14, d.minute, 2);
    digits(cached + 17, d.second, 2);
    cached_second = now.tv_sec;
  }
  digits(cached + 20, now.tv_nsec, 9);
  memcpy(to, cached, STAMP_BYTES);
}

int log_open(struct log *log) {
  int file = openat(log->directory, log->name, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0640);
  if (file < 0) return -errno;
  struct stat status;
  if (fstat(file, &status) < 0 || !S_ISREG(status.st_mode)) { close(file); return -EINVAL; }
  log->file = file;
  log->size = (uint64_t)status.st_size;
  return 0;
}

void log_close(struct log *log) {
  if (log->file >= 0) close(log->file);
  if (log->directory >= 0) close(log->directory);
  log->file = log->directory = -1;
  free(log->pending);
  log->pending = NULL;
  log->retry_at = 0;
}

// What could not be written waits in memory; the container's output stays in its pipe meanwhile.
static void set_aside(struct log *log, const char *bytes, size_t length) {
  char *all = realloc(log->pending, log->pending_length + length);
  if (!all) return;
  memcpy(all + log->pending_length, bytes, length);
  log->pending = all;
  log->pending_length += (uint32_t)length;
  if (!log->retry_at) log->retry_at = clock_ms() + LOG_RETRY_MS;
}

static size_t write_out(struct log *log, const char *bytes, size_t length) {
  size_t done = 0;
  while (done < length) {
    ssize_t n = write(log->file, bytes + done, length - done);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    done += (size_t)n;
    log->size += (uint64_t)n;
  }
  return done;
}

void log_flush(struct log *log) {
  if (buffered == 0) return;
  size_t done = log->pending ? 0 : write_out(log, buffer, buffered);
  if (done < buffered) set_aside(log, buffer + done, buffered - done);
  buffered = 0;
}

void log_retry(struct log *log) {
  log->retry_at = 0;
  if (!log->pending) return;
  size_t done = write_out(log, log->pending, log->pending_length);
  if (done == log->pending_length) {
    free(log->pending);
    log->pending = NULL;
    log->pending_length = 0;
    return;
  }
  memmove(log->pending, log->pending + done, log->pending_length - done);
  log->pending_length -= (uint32_t)done;
  log->retry_at = clock_ms() + LOG_RETRY_MS;
}

int log_reopen(struct log *log) {
  int old = log->file;
  if (old < 0) return -EBADF;
  int r = log_open(log);
  if (r < 0) log->file = old;
  else close(old);
  return r;
}

struct entry { uint64_t inode; int64_t offset; unsigned short length; unsigned char type; char name[]; };

// Deletes the oldest rotated files until `keep` are left. Their names sort by age.
static void prune(struct log *log, uint32_t keep) {
  size_t prefix = strlen(log->name);
  for (;;) {
    int directory = openat(log->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return;
    char oldest[256] = "";
    uint32_t count = 0;
    _Alignas(struct entry) char entries[4096];
    long n;
    while ((n = syscall(SYS_getdents64, directory, entries, sizeof entries)) > 0)
      for (long at = 0; at < n;) {
        struct entry *e = (struct entry *)(entries + at);
        at += e->length;
        if (strncmp(e->name, log->name, prefix) != 0 || e->name[prefix] != '.') continue;
        count++;
        if (oldest[0] == 0 || strcmp(e->name, oldest) < 0) copy_text(oldest, sizeof oldest, e->name);
      }
    close(directory);
    if (count <= keep || oldest[0] == 0 || unlinkat(log->directory, oldest, 0) < 0) return;
  }
}

static void rotate(struct log *log) {
  char name[256];
  size_t n = copy_text(name, sizeof name - 32, log->name);
  struct date d = date_of(clock_ns() / 1000000000);
  memcpy(name + n, ".00000000-000000", 17);
  digits(name + n + 1, d.year, 4);
  digits(name + n + 5, d.month, 2);
  digits(name + n + 7, d.day, 2);
  digits(name + n + 10, d.hour, 2);
  digits(name + n + 12, d.minute, 2);
  digits(name + n + 14, d.second, 2);
  for (int i = 0; i <= ROTATED_SAME_SECOND_MAX; i++) {
    if (i) {
      memcpy(name + n + 16, "-000", 5);
      digits(name + n + 17, i, 3);
    }
    if (syscall(SYS_renameat2, log->directory, log->name, log->directory, name, RENAME_NOREPLACE) == 0) {
      log_reopen(log);  // should it fail, the renamed file goes on: no line is lost
      prune(log, log->files_max > 1 ? log->files_max - 1 : 0);
      return;
    }
    if (errno != EEXIST) return;
  }
}

void log_write(struct log *log, const char *stream, const char *bytes, size_t length, bool full) {
  if (log->file < 0) return;
  size_t record = HEADER_BYTES + length + 1;
  if (buffered + record > sizeof buffer) log_flush(log);
  if (log->size_max && log->size + buffered + record > log->size_max && log->size + buffered > 0) {
    log_flush(log);
    if (!log->pending) rotate(log);
  }
  char *p = buffer + buffered;
  stamp(p);
  p += STAMP_BYTES;
  *p++ = ' ';
  memcpy(p, stream, 6);
  p += 6;
  memcpy(p, full ? " F " : " P ", 3);
  p += 3;
  memcpy(p, bytes, length);
  p[length] = '\n';
  buffered += record;
}
