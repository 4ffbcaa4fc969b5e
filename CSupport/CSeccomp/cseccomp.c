#include "cseccomp.h"
#include <errno.h>

uint32_t cs_action_errno(int error) { return SCMP_ACT_ERRNO((unsigned)error); }

static int number_of(const char *call) { return seccomp_syscall_resolve_name(call); }

int cs_allow_masked(scmp_filter_ctx filter, const char *call, unsigned argument, uint64_t mask, uint64_t value) {
  int number = number_of(call);
  if (number == __NR_SCMP_ERROR) return 1;
  struct scmp_arg_cmp compare = {argument, SCMP_CMP_MASKED_EQ, mask, value};
  return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &compare);
}

int cs_rule(scmp_filter_ctx filter, uint32_t action, const char *call) {
  int number = number_of(call);
  if (number == __NR_SCMP_ERROR) return 1;
  int r = seccomp_rule_add_array(filter, action, number, 0, NULL);
  return r == -EDOM ? 1 : r;
}

scmp_filter_ctx cs_filter(uint32_t default_action) {
  scmp_filter_ctx filter = seccomp_init(default_action);
  if (!filter) return NULL;
  // A search tree over call numbers instead of a list.
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
#if defined(__x86_64__)
  if (seccomp_arch_add(filter, SCMP_ARCH_X86) < 0) { seccomp_release(filter); return NULL; }
#elif defined(__aarch64__)
  if (seccomp_arch_add(filter, SCMP_ARCH_ARM) < 0) { seccomp_release(filter); return NULL; }
#endif
  return filter;
}
