// Paths inside a root file system that a stranger wrote.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/openat2.h>
#include <linux/mount.h>
#include "containerinit.h"

enum { RETRIES_MAX = 64 };  // openat2 answers EAGAIN when somebody renames below it

int sys_openat2(int dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve) {
  struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
  for (int i = 0;; i++) {
    int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0) return fd;
    if ((errno != EAGAIN && errno != EINTR) || i == RETRIES_MAX) return -errno;
  }
}

int path_open(int root, const char *path, uint64_t flags) {
  return sys_openat2(root, path, flags | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

static int has_dotdot(const char *path) {
  for (const char *p = path; *p;) {
    while (*p == '/') p++;
    if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == 0)) return 1;
    while (*p && *p != '/') p++;
  }
  return 0;
}

int path_make(int root, const char *path, int directory) {
  uint64_t flags = O_PATH | (directory ? O_DIRECTORY : 0);
  int fd = path_open(root, path, flags);
  if (fd != -ENOENT) return fd;
  // Only names that we may create: going up again is for links that exist.
  size_t length = strlen(path);
  if (has_dotdot(path) || length >= PATH_MAX) return -EINVAL;

  char prefix[PATH_MAX];
  size_t at = 0;
  int parent = path_open(root, "/", O_PATH | O_DIRECTORY);
  if (parent < 0) return parent;
  const char *p = path;
  for (;;) {
    while (*p == '/') p++;
    size_t n = strcspn(p, "/");
    if (n == 0) return parent;
    if (n > NAME_MAX) { close(parent); return -ENAMETOOLONG; }
    prefix[at++] = '/';
    memcpy(prefix + at, p, n);
    const char *name = prefix + at;
    at += n;
    prefix[at] = 0;
    p += n;
    const char *rest = p;
    while (*rest == '/') rest++;
    int last = *rest == 0;
    uint64_t want = O_PATH | (last && !directory ? 0 : O_DIRECTORY);
    int next = path_open(root, prefix, want);
    if (next == -ENOENT) {
      int made;
      if (last && !directory) {
        made = openat(parent, name, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (made >= 0) close(made);
      } else {
        made = mkdirat(parent, name, 0755);
      }
      if (made < 0) { int e = errno; close(parent); return e == EEXIST ? -ELOOP /* a dangling link */ : -e; }
      next = path_open(root, prefix, want);
    }
    close(parent);
    if (next < 0 || last) return next;
    parent = next;
  }
}

int sys_mount(const char *type, const char *const options[][2], unsigned attributes) {
  int fs = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
  if (fs < 0) return -errno;
  syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, "source", type, 0);  // only a name in /proc/mounts
  for (int i = 0; options && options[i][0]; i++) {
    long r = options[i][1] ? syscall(SYS_fsconfig, fs, FSCONFIG_SET_STRING, options[i][0], options[i][1], 0)
                           : syscall(SYS_fsconfig, fs, FSCONFIG_SET_FLAG, options[i][0], NULL, 0);
    if (r < 0) { int e = errno; close(fs); return -e; }
  }
  int mount = -1;
  if (syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0)
    mount = (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, attributes);
  int e = errno;
  close(fs);
  return mount < 0 ? -e : mount;
}

int sys_move_mount(int from, int to) {
  return syscall(SYS_move_mount, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0 ? -errno : 0;
}

int sys_open_tree(int dir, const char *path) {
  int fd = (int)syscall(SYS_open_tree, dir, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
  return fd < 0 ? -errno : fd;
}

int sys_mount_setattr(int mount, uint64_t set, int recursive) {
  struct mount_attr attr = {.attr_set = set};
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  return syscall(SYS_mount_setattr, mount, "", flags, &attr, sizeof attr) < 0 ? -errno : 0;
}

int sys_close_range(unsigned first, unsigned last, unsigned flags) {
  return syscall(SYS_close_range, first, last, flags) < 0 ? -errno : 0;
}
