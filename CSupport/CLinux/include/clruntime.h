// What the container runtime needs of the kernel beyond clinux.h: starting supervisors, sockets by directory, memfds,
// device programs, removing trees. A value >= 0, or -errno.
#ifndef CLRUNTIME_H
#define CLRUNTIME_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
  CL_OPEN_TREE_CLONE = 1, CL_OPEN_TREE_CLOEXEC = 02000000, CL_AT_RECURSIVE = 0x8000, CL_AT_EMPTY_PATH = 0x1000,
  CL_AT_SYMLINK_NOFOLLOW = 0x100, CL_O_PATH = 010000000, CL_FSOPEN_CLOEXEC = 1, CL_FSMOUNT_CLOEXEC = 1,
  CL_FSCONFIG_SET_FLAG = 0, CL_FSCONFIG_SET_STRING = 1, CL_FSCONFIG_SET_FD = 5, CL_FSCONFIG_CMD_CREATE = 6,
  CL_MOUNT_ATTR_RDONLY = 1, CL_MOUNT_ATTR_NOSUID = 2, CL_MOUNT_ATTR_NODEV = 4, CL_MOUNT_ATTR_NOEXEC = 8,
};
#define CL_MS_PRIVATE ((uint64_t)1 << 18)
#define CL_MS_SLAVE ((uint64_t)1 << 19)
#define CL_MS_SHARED ((uint64_t)1 << 20)

// Sets overlayfs' `lowerdir` to names that are relative to /proc/self/fd, that is to numbers of open descriptors, and creates the
// file system. 0. It takes a thread with a working directory of its own: the process keeps the one it has.
int cl_overlay_create(int context, const char *lowerdir);

// Starts a program from an open file as a session of its own, with fds[i] as descriptor 3 + i and /dev/null as 0, 1, 2;
// in the v2 cgroup `cgroup` where it is >= 0. The caller's memory is shared until execve (as vfork does), so its size costs
// nothing. Returns the process id and its pidfd.
int cl_spawn(int program, const char *const *argv, const int *fds, size_t nfds, int cgroup, int *pidfd);
// Waits for the end of a child, or, for a process that is none, until its pidfd reports the end. 0, or -errno.
int cl_wait_pidfd(int pidfd, int timeout_ms);

// Sealed, with these bytes; and an empty one to be written.
int cl_memfd(const char *name, const void *bytes, size_t length);
int cl_memfd_open(const char *name);
int cl_pipe(int fds[2]);
int cl_socketpair_seqpacket(int fds[2]);
// `name` in directory `dir`: paths may be longer than sun_path. The socket file gets mode 0600.
int cl_listen_seqpacket(int dir, const char *name, int backlog);
int cl_connect_seqpacket(int dir, const char *name);

// Removes a tree below `dir` without following links or leaving the file system's directory structure; 0 where there is none.
int cl_remove_tree(int dir, const char *name);
// Creates a directory and its parents, mode for those created. 0.
// Bytes of blocks and number of files of a tree, without other file systems mounted in it. What cannot be read counts nothing.
void cl_disk_usage(const char *path, int64_t *bytes, int64_t *inodes);
int cl_make_directories(const char *path, mode_t mode);

struct cl_device_rule { uint32_t type /* 1 block, 2 char, 3 both */, access /* 1 mknod, 2 read, 4 write */; int32_t major, minor; /* -1: any */ };
// A program that allows exactly these; then attached to a v2 cgroup directory.
int cl_device_program(const struct cl_device_rule *rules, size_t count);
int cl_device_attach(int cgroup, int program);

int cl_set_window_size(int fd, uint16_t rows, uint16_t columns);
#endif
