#include "cseccomp.h"
#include <errno.h>
#include <string.h>

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

int cs_action(const char *name, unsigned error, uint32_t *action) {
  static const struct { const char *name; uint32_t action; } actions[] = {
    {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW}, {"SCMP_ACT_LOG", SCMP_ACT_LOG}, {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
    {"SCMP_ACT_KILL", SCMP_ACT_KILL}, {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD}, {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
  };
  if (strcmp(name, "SCMP_ACT_ERRNO") == 0) { *action = SCMP_ACT_ERRNO(error); return 0; }
  if (strcmp(name, "SCMP_ACT_TRACE") == 0) { *action = SCMP_ACT_TRACE(error); return 0; }
  for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
    if (strcmp(name, actions[i].name) == 0) { *action = actions[i].action; return 0; }
  return -EINVAL;
}

int cs_comparison(const char *name) {
  static const char *const names[] = {
    [SCMP_CMP_NE] = "SCMP_CMP_NE", [SCMP_CMP_LT] = "SCMP_CMP_LT", [SCMP_CMP_LE] = "SCMP_CMP_LE", [SCMP_CMP_EQ] = "SCMP_CMP_EQ",
    [SCMP_CMP_GE] = "SCMP_CMP_GE", [SCMP_CMP_GT] = "SCMP_CMP_GT", [SCMP_CMP_MASKED_EQ] = "SCMP_CMP_MASKED_EQ",
  };
  for (size_t i = 1; i < sizeof names / sizeof names[0]; i++)
    if (strcmp(name, names[i]) == 0) return (int)i;
  return -EINVAL;
}

int cs_rule_where(scmp_filter_ctx filter, uint32_t action, const char *call, const struct cs_condition *conditions, size_t count) {
  int number = number_of(call);
  if (number == __NR_SCMP_ERROR) return 1;
  if (count > 6) return -EINVAL;
  struct scmp_arg_cmp compare[6];
  for (size_t i = 0; i < count; i++)
    compare[i] = (struct scmp_arg_cmp){conditions[i].argument, (enum scmp_compare)conditions[i].comparison, conditions[i].value, conditions[i].second};
  int r = seccomp_rule_add_array(filter, action, number, (unsigned)count, compare);
  // The default action, said again.
  return r == -EDOM || r == -EACCES ? 1 : r;
}
