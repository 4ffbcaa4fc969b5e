// libseccomp, used once at start to compile the default profile to BPF.
#ifndef CSECCOMP_H
#define CSECCOMP_H
#include <seccomp.h>
#endif
