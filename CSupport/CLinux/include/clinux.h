// System calls and constants that Swift's view of glibc lacks.
// One convention: a value >= 0, or -errno. Nothing here allocates, and nothing here touches errno's value for the caller.
#ifndef CLINUX_H
#define CLINUX_H
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// openat2(2). `resolve` takes RESOLVE_* flags below.
enum { CL_RESOLVE_NO_XDEV = 1, CL_RESOLVE_NO_MAGICLINKS = 2, CL_RESOLVE_NO_SYMLINKS = 4, CL_RESOLVE_BENEATH = 8, CL_RESOLVE_IN_ROOT = 16 };
int cl_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);

// The mount API by descriptor.
int cl_open_tree(int dirfd, const char *path, unsigned flags);
int cl_move_mount(int from_fd, const char *from_path, int to_fd, const char *to_path, unsigned flags);
int cl_fsopen(const char *fstype, unsigned flags);
int cl_fsconfig(int fd, unsigned cmd, const char *key, const void *value, int aux);
int cl_fsmount(int fd, unsigned flags, unsigned attr_flags);
int cl_mount_setattr(int dirfd, const char *path, unsigned flags, uint64_t attr_set, uint64_t attr_clr, uint64_t propagation);

// Processes.
int cl_pidfd_open(pid_t pid, unsigned flags);
int cl_pidfd_send_signal(int pidfd, int sig);
int cl_pidfd_getfd(int pidfd, int targetfd);
int cl_setns(int fd, int nstype);
int cl_unshare(int flags);
int cl_close_range(unsigned first, unsigned last, unsigned flags);

enum { CL_FDS_MAX = 250 };  // in one message; the kernel allows 253
// Messages with descriptors over a Unix socket (SOCK_SEQPACKET or SOCK_STREAM). At most CL_FDS_MAX descriptors.
ssize_t cl_sendmsg_fds(int sock, const void *data, size_t len, const int *fds, size_t nfds, int flags);
// *nfds: in, room in fds; out, how many came. The descriptors are close-on-exec.
ssize_t cl_recvmsg_fds(int sock, void *data, size_t len, int *fds, size_t *nfds, int flags);

#endif
