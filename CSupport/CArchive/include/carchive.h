// libarchive: reads tar in all its dialects. What leaves it are entries; where they go is decided by our own openat2.
#ifndef CARCHIVE_H
#define CARCHIVE_H
#include <archive.h>
#include <archive_entry.h>
#endif
