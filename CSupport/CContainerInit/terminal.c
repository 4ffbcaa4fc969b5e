// A pty of the container's own devpts, so that its name means the same inside and no path decides which device it is.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "containerinit.h"

static int open_master(struct init *init) {
  if (init->pts >= 0) {
    int master = openat(init->pts, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    return master < 0 ? -errno : master;
  }
  // exec: what lies at /dev/pts now is the container's word; check it.
  int master = sys_openat2(init->root, "dev/pts/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
  if (master < 0) return master;
  struct statfs fs;
  struct stat status;
  if (fstatfs(master, &fs) < 0 || fstat(master, &status) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC ||
      !S_ISCHR(status.st_mode) || status.st_rdev != makedev(5, 2)) {
    close(master);
    return -ENOTTY;
  }
  return master;
}

void init_terminal(struct init *init) {
  if (!(init->plan.header->flags & POD_TTY)) return;
  int master = open_master(init);
  if (master < 0) init_fail(init, POD_STAGE_TERMINAL, -master, "/dev/pts/ptmx");
  int unlock = 0;
  if (ioctl(master, TIOCSPTLCK, &unlock) < 0) init_fail(init, POD_STAGE_TERMINAL, errno, "unlock");
  int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) init_fail(init, POD_STAGE_TERMINAL, errno, "peer");
  if (fchown(slave, init->plan.header->uid, (gid_t)-1) < 0) init_fail(init, POD_STAGE_TERMINAL, errno, "chown");
  if (init->plan.header->rows && init->plan.header->columns) {
    struct winsize size = {.ws_row = init->plan.header->rows, .ws_col = init->plan.header->columns};
    ioctl(master, TIOCSWINSZ, &size);
  }
  if (init->dev >= 0) {
    int console = openat(init->dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    int clone = sys_open_tree(slave, "");
    if (console < 0) init_fail(init, POD_STAGE_TERMINAL, errno, "/dev/console");
    int r = clone < 0 ? clone : sys_move_mount(clone, console);
    if (r < 0) init_fail(init, POD_STAGE_TERMINAL, -r, "/dev/console");
    close(clone);
    close(console);
  }
  init_send_terminal(init, master);
  close(master);
  for (int i = 0; i < 3; i++) init->standard[i] = slave;
}
