// swiftlet-pod: one thread, one epoll, no decisions. See podprotocol.h for what it is told and what it answers.
#ifndef SUPERVISOR_H
#define SUPERVISOR_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>
#include "containerinit.h"

enum {
  CONNECTIONS_MAX = 8,
  CONTAINERS_MAX = 512,
  ATTACHMENTS_MAX = 16,           // of one container
  LINE_MAX_BYTES = 16 << 10,      // longer lines become P records
  CHUNK_BYTES = 16 << 10,         // one read of output
  DRAIN_MS = 1000,                // how long a finished container's output may stay open in another process
  LOG_RETRY_MS = 1000,            // after ENOSPC and the like
  ATTACHMENT_STALL_MS = 10000,    // an attached reader that takes nothing for so long is let go
  STATE_FILE_MAX = 64 << 10,
};

// Something epoll tells about. `ready` may free the source: the loop takes one event at a time.
struct source {
  int fd;
  uint32_t events;  // registered; 0: not in epoll
  void (*ready)(struct source *source, uint32_t events);
};
#define CONTAINER_OF(pointer, type, member) ((type *)((char *)(pointer) - offsetof(type, member)))

struct container;

struct stream {
  struct source source;
  struct container *container;
  const char *name;  // "stdout", "stderr"
  char *line;        // an unfinished line; NULL when empty
  uint32_t line_length;
  bool open;
};

struct attachment {
  struct source input, output, error;  // fd -1: not wanted
  struct container *container;
  struct attachment *next;
  // Output its reader has not taken: the container's output waits for it.
  char *pending[2];
  uint32_t pending_length[2];
  int64_t stalled_since;  // ms; 0: not
};

struct log {
  int directory, file;
  char name[208];
  uint64_t size, size_max;
  uint32_t files_max;
  char *pending;  // what the disk did not take
  uint32_t pending_length;
  int64_t retry_at;
};

struct container {
  struct container *next;
  char id[POD_ID_SIZE];
  uint32_t state, flags;
  pid_t pid;
  int pidfd, cgroup;
  struct source sync;
  bool about_to_exec, failed, reaped;
  uint32_t stage;
  int error;
  char detail[POD_DETAIL_SIZE];
  uint64_t start_tag;
  struct source *start_connection;
  struct stream output, errors;  // a tty has only output: the pty's master
  struct source input;           // write end of stdin; for a tty a duplicate of the master
  char *input_pending;
  uint32_t input_length;
  bool close_input;  // stdinOnce: when input_pending is written
  struct attachment *attachments;
  struct log log;
  int exit_code, signal;
  bool oom_killed;
  int64_t started_ns, finished_ns, drain_until;
};

struct exec {
  struct exec *next;
  uint64_t id, tag;
  char container[POD_ID_SIZE];
  pid_t pid;
  int pidfd, master;
  struct source sync;
  struct source *connection;  // NULL: the agent that asked is gone
  bool about_to_exec, failed, replied;
  uint32_t stage;
  int error;
  char detail[POD_DETAIL_SIZE];
};

struct supervisor {
  int epoll, run_directory;
  struct source signals, listener;
  struct source *connections[CONNECTIONS_MAX];
  struct container *containers;
  struct exec *execs;
  pid_t pause_pid;
  int pause_pidfd;   // shared PID namespace
  int own_pidfd;
  int state_file;
  int score_file;          // our own oom_score_adj; -1 where we may not lower it
  uint64_t state_size;
  bool shutting_down;
  uint64_t shutdown_tag;
  struct source *shutdown_connection;
};
extern struct supervisor pod;

// main.c
void source_watch(struct source *source, uint32_t events);
void source_close(struct source *source);
int64_t clock_ms(void);
int64_t clock_ns(void);
size_t copy_text(char *to, size_t room, const char *from);
void shutdown_if_done(void);

// requests.c
void connection_open(int fd);
void event_send(struct source *connection, struct pod_event *event, int fd);
void event_broadcast(struct pod_event *event);
void reply(struct source *connection, uint64_t tag, int result);

// containers.c
struct container *container_find(const char *id);
int container_start(struct source *connection, const struct pod_request *request, const int *fds, uint32_t fds_count);
void container_reaped(struct container *container, int status);
void container_tick(struct container *container, int64_t now);
int64_t container_deadline(const struct container *container);
void container_describe(const struct container *container, struct pod_event *event);
void container_free(struct container *container);
void container_connection_gone(struct source *connection);
int container_signal(const struct pod_request *request);
void container_kill_all(struct container *container);
void container_drained(struct container *container);

// execs.c
int exec_start(struct source *connection, const struct pod_request *request, const int *fds, uint32_t fds_count);
struct exec *exec_by_pid(pid_t pid);
struct exec *exec_find(uint64_t id, const char *container);
void exec_reaped(struct exec *exec, int status);
void exec_connection_gone(struct source *connection);

// spawn.c
struct mapped_plan { struct plan plan; void *bytes; size_t size; };
int plan_map(struct mapped_plan *mapped, const int *fds, uint32_t fds_count);
void plan_unmap(struct mapped_plan *mapped);
pid_t spawn(int cgroup, uint64_t flags, int *pidfd);

// Our own oom_score_adj: never chosen, and what a child is born with until its plan's score is set.
#define SCORE_PROTECTED "-1000"
#define SCORE_CHILD "0"
bool score_set(const char *score);
int receive_sync(int fd, struct sync_message *message, int *passed);  // 1: message, 0: end, -1: not yet

// output.c
void stream_open(struct stream *stream, struct container *container, int fd, const char *name);
void stream_ready(struct source *source, uint32_t events);
void stream_drain(struct stream *stream);   // reads what is there
void stream_finish(struct stream *stream);  // last line out, closed
void output_pause(struct container *container);
void output_resume(struct container *container);

// log.c
int log_open(struct log *log);
void log_write(struct log *log, const char *stream, const char *bytes, size_t length, bool full);
void log_flush(struct log *log);
void log_retry(struct log *log);
int log_reopen(struct log *log);
void log_close(struct log *log);

// attach.c
int attach_start(struct container *container, uint32_t flags, int *fds, uint32_t fds_count);
void attach_output(struct container *container, int which, const char *bytes, size_t length);
void attach_end(struct attachment *attachment);
void attach_tick(struct container *container, int64_t now);
void input_flush(struct container *container);

// record.c
void record_started(const struct container *container);
void record_exited(const struct container *container);

#endif
