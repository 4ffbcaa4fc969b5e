// libarchive: reads tar in all its dialects. What leaves it are entries; where they go is decided by our own openat2.
#ifndef CARCHIVE_H
#define CARCHIVE_H
#include <archive.h>
#include <archive_entry.h>
#include <stdint.h>
#include <sys/types.h>

// One convention: a value >= 0, or -errno.

// Removes a file or a whole tree below an open directory; never follows a symbolic link, never leaves the file system tree it
// starts in by name. Any depth: deep subtrees are moved up before they are emptied. A missing name is no error.
int ca_remove_tree(int dirfd, const char *name);

// What fchmodat(AT_SYMLINK_NOFOLLOW) should do and old kernels cannot: the mode of exactly this name, not of a link's target.
int ca_chmod_nofollow(int dirfd, const char *name, mode_t mode);

// What Swift's view of glibc lacks.
int ca_fsetxattr(int fd, const char *key, const void *value, size_t size);
ssize_t ca_fgetxattr(int fd, const char *key, void *value, size_t size);
int ca_syncfs(int fd);

// Gives the calling thread the C locale, so that libarchive passes names through byte for byte.
void ca_thread_locale_c(void);
#endif
