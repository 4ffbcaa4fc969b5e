// The container's view of the file system. Everything is built detached or by descriptor, so that nothing a container
// does to a shared volume can change where a mount lands.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "containerinit.h"

void init_root(struct init *init) {
  // Directories of the supervisor's own tmpfs root: a place to pivot from, and what every container gets a clone of.
  int place = open("/r", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (place < 0) init_fail(init, POD_STAGE_ROOTFS, errno, "supervisor root");
  init->shm = sys_open_tree(AT_FDCWD, "/shm");
  init->empty = sys_open_tree(AT_FDCWD, "/empty");
  if (init->shm < 0 || init->empty < 0) init_fail(init, POD_STAGE_ROOTFS, -(init->shm < 0 ? init->shm : init->empty), "open_tree");

  int rootfs = plan_fd(&init->plan, init->plan.header->fd_rootfs);
  int r = sys_move_mount(rootfs, place);
  if (r < 0) init_fail(init, POD_STAGE_ROOTFS, -r, "move_mount");
  if (fchdir(rootfs) < 0) init_fail(init, POD_STAGE_ROOTFS, errno, "fchdir");
  if (syscall(SYS_pivot_root, ".", ".") < 0) init_fail(init, POD_STAGE_ROOTFS, errno, "pivot_root");
  // pivot_root(2): the old root now lies on top of the new one, and goes.
  if (umount2(".", MNT_DETACH) < 0) init_fail(init, POD_STAGE_ROOTFS, errno, "umount old root");
  if (chdir("/") < 0) init_fail(init, POD_STAGE_ROOTFS, errno, "chdir");
  init->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (init->root < 0) init_fail(init, POD_STAGE_ROOTFS, errno, "/");
}

// A directory of the image directly below the root, created when missing. A link or a file in its place is refused.
static int system_directory(struct init *init, uint32_t stage, const char *name) {
  int fd = sys_openat2(init->root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  if (fd == -ENOENT) {
    if (mkdirat(init->root, name, 0755) < 0) init_fail(init, stage, errno, name);
    fd = sys_openat2(init->root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  }
  if (fd < 0) init_fail(init, stage, -fd, name);
  return fd;
}

static void attach(struct init *init, uint32_t stage, int mount, int target, const char *what) {
  if (mount < 0) init_fail(init, stage, -mount, what);
  if (target < 0) init_fail(init, stage, -target, what);
  int r = sys_move_mount(mount, target);
  if (r < 0) init_fail(init, stage, -r, what);
}

enum { LOCKED = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };

static void mount_proc(struct init *init) {
  int target = system_directory(init, POD_STAGE_PROC, "proc");
  init->proc = sys_mount("proc", NULL, LOCKED);
  attach(init, POD_STAGE_PROC, init->proc, target, "/proc");
  close(target);
}

static int mount_sys(struct init *init) {
  unsigned readonly = init->plan.header->flags & POD_SYS_WRITABLE ? 0 : MOUNT_ATTR_RDONLY;
  int target = system_directory(init, POD_STAGE_SYS, "sys");
  int sys = sys_mount("sysfs", NULL, LOCKED | readonly);
  attach(init, POD_STAGE_SYS, sys, target, "/sys");
  close(target);
  if (init->plan.header->flags & POD_MOUNT_CGROUP) {
    int place = sys_openat2(sys, "fs/cgroup", O_PATH | O_DIRECTORY | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    if (place >= 0) {
      int cgroup = sys_mount("cgroup2", NULL, LOCKED | readonly);
      attach(init, POD_STAGE_CGROUP, cgroup, place, "/sys/fs/cgroup");
      close(cgroup);
      close(place);
    }
  }
  return sys;
}

static void make_node(struct init *init, const char *name, mode_t mode, unsigned major, unsigned minor) {
  if (mknodat(init->dev, name, mode, makedev(major, minor)) < 0) init_fail(init, POD_STAGE_DEV, errno, name);
}

static void make_link(struct init *init, const char *target, const char *name) {
  if (symlinkat(target, init->dev, name) < 0) init_fail(init, POD_STAGE_DEV, errno, name);
}

static void make_planned_devices(struct init *init) {
  const struct pod_device *devices = plan_array(&init->plan, init->plan.header->devices);
  for (uint32_t i = 0; i < init->plan.header->devices.count; i++) {
    const char *path = plan_string(&init->plan, devices[i].path);
    // /dev is still detached and ours: parents are plain directories.
    const char *slash = strrchr(path, '/');
    if (slash) {
      char parent[256];
      size_t n = (size_t)(slash - path);
      if (n >= sizeof parent) init_fail(init, POD_STAGE_DEV, ENAMETOOLONG, path);
      memcpy(parent, path, n);
      parent[n] = 0;
      int made = path_make(init->dev, parent, 1);
      if (made < 0) init_fail(init, POD_STAGE_DEV, -made, path);
      close(made);
    }
    if (mknodat(init->dev, path, devices[i].mode, makedev(devices[i].major, devices[i].minor)) < 0 && errno != EEXIST)
      init_warn(init, POD_STAGE_DEV, errno, path);
    else if (fchownat(init->dev, path, devices[i].uid, devices[i].gid, AT_SYMLINK_NOFOLLOW) < 0)
      init_warn(init, POD_STAGE_DEV, errno, path);
  }
}

static void mount_dev(struct init *init) {
  int target = system_directory(init, POD_STAGE_DEV, "dev");
  static const char *const options[][2] = {{"mode", "755"}, {"size", "65536k"}, {NULL, NULL}};
  init->dev = sys_mount("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_STRICTATIME);
  if (init->dev < 0) init_fail(init, POD_STAGE_DEV, -init->dev, "tmpfs");

  umask(0);
  make_node(init, "null", S_IFCHR | 0666, 1, 3);
  make_node(init, "zero", S_IFCHR | 0666, 1, 5);
  make_node(init, "full", S_IFCHR | 0666, 1, 7);
  make_node(init, "random", S_IFCHR | 0666, 1, 8);
  make_node(init, "urandom", S_IFCHR | 0666, 1, 9);
  make_node(init, "tty", S_IFCHR | 0666, 5, 0);
  make_link(init, "/proc/self/fd", "fd");
  make_link(init, "/proc/self/fd/0", "stdin");
  make_link(init, "/proc/self/fd/1", "stdout");
  make_link(init, "/proc/self/fd/2", "stderr");
  make_link(init, "/proc/kcore", "core");
  make_link(init, "pts/ptmx", "ptmx");
  static const char *const directories[] = {"pts", "shm", "mqueue"};
  for (int i = 0; i < 3; i++)
    if (mkdirat(init->dev, directories[i], 0755) < 0) init_fail(init, POD_STAGE_DEV, errno, directories[i]);
  make_planned_devices(init);
  if (init->plan.header->flags & POD_TTY) {
    int console = openat(init->dev, "console", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0620);
    if (console < 0) init_fail(init, POD_STAGE_DEV, errno, "console");
    close(console);
  }
  umask(022);
  attach(init, POD_STAGE_DEV, init->dev, target, "/dev");
  close(target);

  init->null = openat(init->dev, "null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (init->null < 0) init_fail(init, POD_STAGE_DEV, errno, "null");

  static const char *const pts[][2] = {{"ptmxmode", "0666"}, {"mode", "0620"}, {"gid", "5"}, {NULL, NULL}};
  init->pts = sys_mount("devpts", pts, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
  int place = openat(init->dev, "pts", O_PATH | O_DIRECTORY | O_CLOEXEC);
  attach(init, POD_STAGE_DEV, init->pts, place < 0 ? -errno : place, "/dev/pts");
  close(place);

  int queue = sys_mount("mqueue", NULL, LOCKED);
  place = openat(init->dev, "mqueue", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (queue == -ENODEV) { if (place >= 0) close(place); }  // a kernel without POSIX message queues
  else {
    attach(init, POD_STAGE_DEV, queue, place < 0 ? -errno : place, "/dev/mqueue");
    close(queue);
    close(place);
  }
}

// The pod's /dev/shm is one tmpfs for all its containers; the supervisor holds it, each container gets a clone.
static void mount_shm(struct init *init) {
  int place = openat(init->dev, "shm", O_PATH | O_DIRECTORY | O_CLOEXEC);
  attach(init, POD_STAGE_DEV, init->shm, place < 0 ? -errno : place, "/dev/shm");
  close(init->shm);
  close(place);
}

static int starts_with(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

// A path of the plan below one of the two mounts we made ourselves: resolved there and not from "/", without links,
// so that no fake procfs can stand between.
static int open_in(struct init *init, int sys, const char *path) {
  int base;
  if (starts_with(path, "/proc/")) base = init->proc, path += 6;
  else if (starts_with(path, "/sys/")) base = sys, path += 5;
  else return -EINVAL;
  return sys_openat2(base, path, O_PATH | O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
}

static void mask_paths(struct init *init, int sys) {
  const struct pod_plan *p = init->plan.header;
  const uint32_t *masked = plan_array(&init->plan, p->masked);
  struct stat status;
  int empty_placed = 0;  // the first directory gets the empty one itself: Linux before 6.15 clones only what is attached
  for (uint32_t i = 0; i < p->masked.count; i++) {
    const char *path = plan_string(&init->plan, masked[i]);
    int target = open_in(init, sys, path);
    if (target == -ENOENT || target == -ENOTDIR) continue;
    if (target < 0) init_fail(init, POD_STAGE_MASK, -target, path);
    if (fstat(target, &status) < 0) init_fail(init, POD_STAGE_MASK, errno, path);
    if (S_ISDIR(status.st_mode) && !empty_placed) {
      int r = sys_mount_setattr(init->empty, MOUNT_ATTR_RDONLY | LOCKED, 0);
      if (r < 0) init_fail(init, POD_STAGE_MASK, -r, path);
      attach(init, POD_STAGE_MASK, init->empty, target, path);
      empty_placed = 1;
    } else {
      int cover = sys_open_tree(S_ISDIR(status.st_mode) ? init->empty : init->null, "");
      attach(init, POD_STAGE_MASK, cover, target, path);
      close(cover);
    }
    close(target);
  }
  const uint32_t *readonly = plan_array(&init->plan, p->readonly);
  for (uint32_t i = 0; i < p->readonly.count; i++) {
    const char *path = plan_string(&init->plan, readonly[i]);
    int target = open_in(init, sys, path);
    if (target == -ENOENT || target == -ENOTDIR) continue;
    if (target < 0) init_fail(init, POD_STAGE_MASK, -target, path);
    int clone = sys_open_tree(target, "");
    if (clone < 0) init_fail(init, POD_STAGE_MASK, -clone, path);
    int r = sys_mount_setattr(clone, MOUNT_ATTR_RDONLY | LOCKED, 0);
    if (r < 0) init_fail(init, POD_STAGE_MASK, -r, path);
    attach(init, POD_STAGE_MASK, clone, target, path);
    close(clone);
    close(target);
  }
}

void init_system_mounts(struct init *init) {
  mount_proc(init);
  int sys = mount_sys(init);
  mount_dev(init);
  mount_shm(init);
  mask_paths(init, sys);
  close(sys);
  close(init->empty);
}

// A mount of the plan must not land inside a procfs, where links lead anywhere and files are the kernel's, unless it is
// itself one (a hostPath of /proc).
static int lands_in_proc(int target, int mount) {
  struct statfs at, from;
  if (fstatfs(target, &at) < 0) return -errno;
  if (at.f_type != PROC_SUPER_MAGIC) return 0;
  if (fstatfs(mount, &from) < 0) return -errno;
  return from.f_type == PROC_SUPER_MAGIC ? 0 : -EPERM;
}

void init_plan_mounts(struct init *init) {
  const struct pod_mount *mounts = plan_array(&init->plan, init->plan.header->mounts);
  for (uint32_t i = 0; i < init->plan.header->mounts.count; i++) {
    const char *path = plan_string(&init->plan, mounts[i].target);
    int mount = plan_fd(&init->plan, (int32_t)mounts[i].fd);
    int target = path_make(init->root, path, mounts[i].directory != 0);
    if (target < 0) init_fail(init, POD_STAGE_MOUNT, -target, path);
    int r = lands_in_proc(target, mount);
    if (r < 0) init_fail(init, POD_STAGE_MOUNT, -r, path);
    attach(init, POD_STAGE_MOUNT, mount, target, path);
    close(target);
  }
}

void init_seal_root(struct init *init) {
  if (!(init->plan.header->flags & POD_READONLY_ROOTFS)) return;
  int r = sys_mount_setattr(init->root, MOUNT_ATTR_RDONLY, 0);
  if (r < 0) init_fail(init, POD_STAGE_ROOTFS, -r, "read-only");
}
