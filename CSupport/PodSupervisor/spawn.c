// Plans in, children out.
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "supervisor.h"

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

// fds[0] is the plan's memfd; the plan's own indexes count from it. A private copy: the sender cannot change it after the check.
int plan_map(struct mapped_plan *mapped, const int *fds, uint32_t fds_count) {
  if (fds_count == 0) return -EBADF;
  struct stat status;
  if (fstat(fds[0], &status) < 0) return -errno;
  if (status.st_size < (off_t)sizeof(struct pod_plan) || status.st_size > POD_PLAN_SIZE_MAX) return -EMSGSIZE;
  mapped->size = (size_t)status.st_size;
  mapped->bytes = mmap(NULL, mapped->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped->bytes == MAP_FAILED) return -errno;
  size_t done = 0;
  while (done < mapped->size) {
    ssize_t n = pread(fds[0], (char *)mapped->bytes + done, mapped->size - done, (off_t)done);
    if (n <= 0) { int e = n < 0 ? errno : EBADMSG; plan_unmap(mapped); return -e; }
    done += (size_t)n;
  }
  int r = plan_check(&mapped->plan, mapped->bytes, mapped->size, fds, fds_count);
  if (r < 0) plan_unmap(mapped);
  return r;
}

void plan_unmap(struct mapped_plan *mapped) {
  if (mapped->bytes && mapped->bytes != MAP_FAILED) munmap(mapped->bytes, mapped->size);
  mapped->bytes = NULL;
}

bool score_set(const char *score) { return pod.score_file >= 0 && pwrite(pod.score_file, score, strlen(score), 0) > 0; }

// A process id, 0 in the child, or -errno. The child inherits a score that lets the kernel kill it: one that is spared and meets
// its container's memory limit would spin in a page fault for ever.
pid_t spawn(int cgroup, uint64_t flags, int *pidfd) {
  struct clone_args args = {
    .flags = flags | CLONE_PIDFD | (cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
    .pidfd = (uint64_t)(uintptr_t)pidfd,
    .exit_signal = SIGCHLD,
    .cgroup = cgroup >= 0 ? (uint64_t)cgroup : 0,
  };
  score_set(SCORE_CHILD);
  long pid = syscall(SYS_clone3, &args, sizeof args);
  int error = errno;
  if (pid == 0) return 0;
  score_set(SCORE_PROTECTED);
  errno = error;
  return pid < 0 ? -errno : (pid_t)pid;
}

int receive_sync(int fd, struct sync_message *message, int *passed) {
  struct iovec part = {message, sizeof *message};
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  *passed = -1;
  ssize_t n;
  do n = recvmsg(fd, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT); while (n < 0 && errno == EINTR);
  if (n < 0) return errno == EAGAIN ? -1 : 0;
  struct cmsghdr *c = CMSG_FIRSTHDR(&header);
  if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) memcpy(passed, CMSG_DATA(c), sizeof(int));
  message->detail[sizeof message->detail - 1] = 0;
  return n == sizeof *message;
}
