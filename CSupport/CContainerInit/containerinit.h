// What runs between clone3 and execve. Async-signal-safe: system calls, the stack, and the plan's bytes; no allocation.
#ifndef CONTAINERINIT_H
#define CONTAINERINIT_H
#include <stdint.h>
#include <sys/types.h>
#include "podprotocol.h"

// A checked plan with the descriptors that came along.
struct plan {
  const struct pod_plan *header;
  const char *bytes;
  const int *fds;
  uint32_t fds_count;
};

// Everything in the blob points into the blob, and every descriptor index exists. 0, or -errno.
int plan_check(struct plan *plan, const void *bytes, uint64_t size, const int *fds, uint32_t fds_count);
static inline const char *plan_string(const struct plan *plan, uint32_t offset) { return plan->bytes + offset; }
static inline const void *plan_array(const struct plan *plan, struct pod_slice slice) { return plan->bytes + slice.offset; }
static inline int plan_fd(const struct plan *plan, int32_t index) { return index < 0 ? -1 : plan->fds[index]; }

// What the child says to the supervisor on its SOCK_SEQPACKET pair, which closes at execve.
enum sync_kind { SYNC_WARNING = 1, SYNC_FAILED, SYNC_TERMINAL /* carries the pty master */, SYNC_EXEC /* execve is next */ };
struct sync_message {
  uint32_t kind, stage;
  int32_t error;  // errno
  char detail[POD_DETAIL_SIZE];
};

// The child's state while it becomes the container.
struct init {
  struct plan plan;
  int sync;
  int standard[3];    // -1: /dev/null
  int container_pid;  // exec: pidfd of the container's init; else -1
  int shm, empty;     // clones of the supervisor's /shm and /empty, until they are used
  int root;           // O_PATH "/" of the container
  int proc;           // the procfs mount we made ourselves
  int dev;            // our own /dev
  int pts;            // our own devpts
  int null;           // char 1:3, checked
};

// Neither returns.
_Noreturn void init_container(struct init *init);
_Noreturn void init_exec(struct init *init);

// Between the files of this folder.
_Noreturn void init_fail(struct init *init, uint32_t stage, int error, const char *detail);
void init_warn(struct init *init, uint32_t stage, int error, const char *detail);
void init_send_terminal(struct init *init, int master);
void init_root(struct init *init);  // rootfs, pivot_root
void init_system_mounts(struct init *init);  // proc, sys, cgroup, dev, shm, masks
void init_plan_mounts(struct init *init);
void init_seal_root(struct init *init);  // read-only root file system, if asked for
void init_terminal(struct init *init);
void init_process(struct init *init);  // stdio, limits, user, capabilities, seccomp, execve

// Resolution inside the container's root: openat2 RESOLVE_IN_ROOT without magic links. An fd, or -errno.
int path_open(int root, const char *path, uint64_t flags);
// Creates what is missing, as root 0755. An O_PATH fd, or -errno.
int path_make(int root, const char *path, int directory);

// System calls that glibc lacks. -errno on failure.
int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int sys_mount(const char *type, const char *const options[][2], unsigned attributes);  // fsopen ... fsmount
int sys_move_mount(int from, int to);          // both by descriptor
int sys_open_tree(int dir, const char *path);  // a clone, not recursive
int sys_mount_setattr(int mount, uint64_t set, int recursive);
int sys_close_range(unsigned first, unsigned last, unsigned flags);

#endif
