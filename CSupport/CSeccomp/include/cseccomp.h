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
#endif
