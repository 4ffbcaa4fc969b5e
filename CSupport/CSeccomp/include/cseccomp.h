// libseccomp, used once per profile to compile it to BPF. A value >= 0, or -errno.
#ifndef CSECCOMP_H
#define CSECCOMP_H
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

uint32_t cs_action_errno(int error);
// Allows a call when (argument & mask) == value: 32-bit arguments are compared without their upper half, as the kernel reads them.
int cs_allow_masked(scmp_filter_ctx filter, const char *call, unsigned argument, uint64_t mask, uint64_t value);
// Gives the call this action, whatever its arguments. 1 where this processor or libseccomp does not know it.
int cs_rule(scmp_filter_ctx filter, uint32_t action, const char *call);
// A filter with this default action for this machine, its 32-bit programs included.
scmp_filter_ctx cs_filter(uint32_t default_action);
// For profiles from files: an action by its name, with the error of SCMP_ACT_ERRNO; -EINVAL: no such action.
int cs_action(const char *name, unsigned error, uint32_t *action);
// The number of a comparison by its name; -EINVAL: no such comparison.
int cs_comparison(const char *name);
struct cs_condition { uint32_t argument; int32_t comparison; uint64_t value, second; };
// Like cs_rule, where all conditions (at most 6) hold.
int cs_rule_where(scmp_filter_ctx filter, uint32_t action, const char *call, const struct cs_condition *conditions, size_t count);
#endif
