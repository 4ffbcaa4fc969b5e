#define _GNU_SOURCE
#include "carchive.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

// Directories open at the same time while a tree is removed.
enum { REMOVE_DEPTH_MAX = 32 };

static int remove_below(int topfd, int dirfd, const char *name, int depth, unsigned *moved);

static int empty_directory(int topfd, int fd, int depth, unsigned *moved) {
  DIR *dir = fdopendir(fd);
  if (!dir) {
    int e = errno;
    close(fd);
    return -e;
  }
  int result = 0;
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(dir);
    if (!entry) {
      if (errno) result = -errno;
      break;
    }
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    result = remove_below(topfd, dirfd(dir), entry->d_name, depth + 1, moved);
    if (result < 0) break;
  }
  closedir(dir);
  return result;
}

static int remove_below(int topfd, int dirfd, const char *name, int depth, unsigned *moved) {
  // A file system may skip entries while a directory shrinks, hence the repetition; it ends because each round removes.
  for (int round = 0; round < 64; round++) {
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT) return 0;
    if (errno != EISDIR && errno != EPERM) return -errno;
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT) return 0;
    if (errno != ENOTEMPTY && errno != EEXIST) return -errno;
    if (depth > REMOVE_DEPTH_MAX) {
      char away[64];
      snprintf(away, sizeof away, ".deep-%d-%u", (int)getpid(), (*moved)++);
      if (renameat(dirfd, name, topfd, away) < 0) return -errno;
      int r = remove_below(topfd, topfd, away, 0, moved);
      return r;
    }
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return -errno;
    int r = empty_directory(topfd, fd, depth, moved);
    if (r < 0) return r;
  }
  return -ENOTEMPTY;
}

int ca_remove_tree(int dirfd, const char *name) {
  unsigned moved = 0;
  return remove_below(dirfd, dirfd, name, 0, &moved);
}

int ca_chmod_nofollow(int dirfd, const char *name, mode_t mode) {
  int fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return -errno;
  char path[64];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int r = chmod(path, mode) < 0 ? -errno : 0;
  close(fd);
  return r;
}

int ca_fsetxattr(int fd, const char *key, const void *value, size_t size) { return fsetxattr(fd, key, value, size, 0) < 0 ? -errno : 0; }

ssize_t ca_fgetxattr(int fd, const char *key, void *value, size_t size) {
  ssize_t r = fgetxattr(fd, key, value, size);
  return r < 0 ? -errno : r;
}

int ca_syncfs(int fd) { return syncfs(fd) < 0 ? -errno : 0; }

void ca_thread_locale_c(void) {
  // The object is made once and lives as long as the process: a locale in use must not be freed.
  static locale_t c_locale;
  locale_t mine = __atomic_load_n(&c_locale, __ATOMIC_ACQUIRE);
  if (!mine) {
    mine = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t none = (locale_t)0;
    if (!__atomic_compare_exchange_n(&c_locale, &none, mine, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
      freelocale(mine);
      mine = none;
    }
  }
  if (mine) uselocale(mine);
}
