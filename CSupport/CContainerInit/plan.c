// The one place where a plan's lengths and offsets are believed, after they were checked.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include "containerinit.h"

static int slice_ok(const struct pod_plan *plan, struct pod_slice slice, uint64_t element) {
  if (slice.count == 0) return 1;
  uint64_t length = (uint64_t)slice.count * element;  // 2^32 * 32 at most: no overflow
  return slice.offset >= sizeof *plan && slice.offset % 8 == 0 && slice.offset <= plan->size && length <= plan->size - slice.offset;
}

static int string_ok(const struct pod_plan *plan, uint32_t offset) { return offset >= sizeof *plan && offset < plan->size; }

static int strings_ok(const struct plan *plan, struct pod_slice slice) {
  if (!slice_ok(plan->header, slice, sizeof(uint32_t))) return 0;
  const uint32_t *offsets = plan_array(plan, slice);
  for (uint32_t i = 0; i < slice.count; i++) if (!string_ok(plan->header, offsets[i])) return 0;
  return 1;
}

static int fd_ok(const struct plan *plan, int32_t index) { return index == -1 || (index >= 0 && (uint32_t)index < plan->fds_count); }

int plan_check(struct plan *plan, const void *bytes, uint64_t size, const int *fds, uint32_t fds_count) {
  const struct pod_plan *p = bytes;
  if (size < sizeof *p + 1 || size > POD_PLAN_SIZE_MAX) return -EMSGSIZE;
  if (p->magic != POD_PLAN_MAGIC || p->version != POD_PROTOCOL_VERSION) return -EPROTO;
  if (p->size != size || ((const char *)bytes)[size - 1] != 0) return -EBADMSG;
  *plan = (struct plan){.header = p, .bytes = bytes, .fds = fds, .fds_count = fds_count};

  if (!memchr(p->id, 0, sizeof p->id)) return -EBADMSG;
  if (!string_ok(p, p->cwd) || !string_ok(p, p->hostname) || (p->log_name && !string_ok(p, p->log_name))) return -EBADMSG;
  if (p->log_name && (strchr(plan_string(plan, p->log_name), '/') || strlen(plan_string(plan, p->log_name)) > 200)) return -EINVAL;
  if (!strings_ok(plan, p->argv) || !strings_ok(plan, p->environment) || !strings_ok(plan, p->masked) ||
      !strings_ok(plan, p->readonly) || !strings_ok(plan, p->sysctls) || p->sysctls.count % 2)
    return -EBADMSG;
  if (!slice_ok(p, p->groups, sizeof(uint32_t)) || !slice_ok(p, p->rlimits, sizeof(struct pod_rlimit)) ||
      !slice_ok(p, p->mounts, sizeof(struct pod_mount)) || !slice_ok(p, p->devices, sizeof(struct pod_device)))
    return -EBADMSG;
  const struct pod_mount *mounts = plan_array(plan, p->mounts);
  for (uint32_t i = 0; i < p->mounts.count; i++)
    if (!string_ok(p, mounts[i].target) || mounts[i].fd >= fds_count) return -EBADMSG;
  const struct pod_device *devices = plan_array(plan, p->devices);
  for (uint32_t i = 0; i < p->devices.count; i++) if (!string_ok(p, devices[i].path)) return -EBADMSG;
  if (!fd_ok(plan, p->fd_rootfs) || !fd_ok(plan, p->fd_cgroup) || !fd_ok(plan, p->fd_seccomp) || !fd_ok(plan, p->fd_log) ||
      !fd_ok(plan, p->fd_stdin) || !fd_ok(plan, p->fd_stdout) || !fd_ok(plan, p->fd_stderr))
    return -EBADMSG;
  if (p->kind != POD_PLAN_SANDBOX && p->argv.count == 0) return -EINVAL;
  if (p->kind == POD_PLAN_CONTAINER && p->fd_rootfs < 0) return -EINVAL;
  return 0;
}
