#define _GNU_SOURCE
#include "clinux.h"
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESULT(call) ({ long r_ = (call); r_ < 0 ? -errno : r_; })

struct cl_open_how { uint64_t flags, mode, resolve; };
struct cl_mount_attr { uint64_t attr_set, attr_clr, propagation, userns_fd; };

int cl_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct cl_open_how how = {flags, mode, resolve};
  return (int)RESULT(syscall(SYS_openat2, dirfd, path, &how, sizeof how));
}
int cl_open_tree(int dirfd, const char *path, unsigned flags) { return (int)RESULT(syscall(SYS_open_tree, dirfd, path, flags)); }
int cl_move_mount(int ffd, const char *fp, int tfd, const char *tp, unsigned flags) {
  return (int)RESULT(syscall(SYS_move_mount, ffd, fp, tfd, tp, flags));
}
int cl_fsopen(const char *fstype, unsigned flags) { return (int)RESULT(syscall(SYS_fsopen, fstype, flags)); }
int cl_fsconfig(int fd, unsigned cmd, const char *key, const void *value, int aux) {
  return (int)RESULT(syscall(SYS_fsconfig, fd, cmd, key, value, aux));
}
int cl_fsmount(int fd, unsigned flags, unsigned attr) { return (int)RESULT(syscall(SYS_fsmount, fd, flags, attr)); }
int cl_mount_setattr(int dirfd, const char *path, unsigned flags, uint64_t set, uint64_t clr, uint64_t propagation) {
  struct cl_mount_attr attr = {set, clr, propagation, 0};
  return (int)RESULT(syscall(SYS_mount_setattr, dirfd, path, flags, &attr, sizeof attr));
}
int cl_pidfd_open(pid_t pid, unsigned flags) { return (int)RESULT(syscall(SYS_pidfd_open, pid, flags)); }
int cl_pidfd_send_signal(int pidfd, int sig) { return (int)RESULT(syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0)); }
int cl_pidfd_getfd(int pidfd, int fd) { return (int)RESULT(syscall(SYS_pidfd_getfd, pidfd, fd, 0)); }
int cl_setns(int fd, int nstype) { return (int)RESULT(setns(fd, nstype)); }
int cl_unshare(int flags) { return (int)RESULT(unshare(flags)); }
int cl_close_range(unsigned first, unsigned last, unsigned flags) { return (int)RESULT(syscall(SYS_close_range, first, last, flags)); }

ssize_t cl_sendmsg_fds(int sock, const void *data, size_t len, const int *fds, size_t nfds, int flags) {
  if (nfds > CL_FDS_MAX) return -EINVAL;
  struct iovec iov = {(void *)data, len};
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(CL_FDS_MAX * sizeof(int))];
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
  if (nfds) {
    msg.msg_control = control;
    msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
    memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
  }
  ssize_t r;
  do r = sendmsg(sock, &msg, flags | MSG_NOSIGNAL); while (r < 0 && errno == EINTR);
  return r < 0 ? -errno : r;
}

ssize_t cl_recvmsg_fds(int sock, void *data, size_t len, int *fds, size_t *nfds, int flags) {
  struct iovec iov = {data, len};
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(CL_FDS_MAX * sizeof(int))];
  struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  size_t room = *nfds;
  *nfds = 0;
  ssize_t r;
  do r = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC); while (r < 0 && errno == EINTR);
  if (r < 0) return -errno;
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const int *got = (const int *)CMSG_DATA(c);
    for (size_t i = 0; i < n; i++) {
      if (*nfds < room) fds[(*nfds)++] = got[i];
      else close(got[i]);
    }
  }
  return r;
}
