#define _GNU_SOURCE
#include "csimulation.h"
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <time.h>

// The definitions below take the places of libc's in the whole process: the program's own symbols come first when the
// dynamic linker looks for them.

static bool running;
// True on the thread that runs the simulation: libdispatch has threads and timers of its own.
static _Thread_local bool simulates;
static uint64_t virtual_now;
static uint64_t random_state;
static csim_enqueue enqueue_job;

// A system call without libc, whose `syscall` is defined here.
static long raw(long n, long a, long b, long c, long d, long e, long f) {
#if defined(__x86_64__)
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return result;
#elif defined(__aarch64__)
  register long x8 __asm__("x8") = n;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
  return x0;
#else
#error "the simulator knows x86_64 and aarch64"
#endif
}

// SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators).
static uint64_t next_random(void) {
  uint64_t z = random_state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static void fill_random(unsigned char *out, size_t count) {
  while (count > 0) {
    uint64_t word = next_random();
    size_t n = count < 8 ? count : 8;
    memcpy(out, &word, n);
    out += n;
    count -= n;
  }
}

int clock_gettime(clockid_t clock, struct timespec *ts) {
  if (running) {
    ts->tv_sec = (time_t)(virtual_now / 1000000000u);
    ts->tv_nsec = (long)(virtual_now % 1000000000u);
    return 0;
  }
  long r = raw(SYS_clock_gettime, clock, (long)ts, 0, 0, 0, 0);
  if (r < 0) { errno = (int)-r; return -1; }
  return 0;
}

int gettimeofday(struct timeval *tv, void *zone) {
  (void)zone;
  struct timespec ts;
  if (clock_gettime(CLOCK_REALTIME, &ts) < 0) return -1;
  tv->tv_sec = ts.tv_sec;
  tv->tv_usec = ts.tv_nsec / 1000;
  return 0;
}

ssize_t getrandom(void *out, size_t count, unsigned flags) {
  if (running) { fill_random(out, count); return (ssize_t)count; }
  long r = raw(SYS_getrandom, (long)out, (long)count, flags, 0, 0, 0);
  if (r < 0) { errno = (int)-r; return -1; }
  return r;
}

long syscall(long number, ...) {
  va_list args;
  va_start(args, number);
  long a[6];
  for (int i = 0; i < 6; i++) a[i] = va_arg(args, long);
  va_end(args);
  if (number == SYS_getrandom) return getrandom((void *)a[0], (size_t)a[1], (unsigned)a[2]);
  long r = raw(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (r < 0 && r > -4096) { errno = (int)-r; return -1; }
  return r;
}

// Swift's runtime asks these hooks before it uses its own executor (stdlib/public/Concurrency/ExecutorHooks.cpp).
#define SWIFT __attribute__((swiftcall))
extern void *swift_task_enqueueGlobal_hook;
extern void *swift_task_enqueueGlobalWithDelay_hook;
extern void *swift_task_enqueueGlobalWithDeadline_hook;
extern void *swift_task_enqueueMainExecutor_hook;
extern SWIFT void swift_job_run(void *job, void *identity, void *implementation);

static SWIFT void on_enqueue(void *job, void *original) {
  (void)original;
  enqueue_job(job, 0);
}

static SWIFT void on_delay(uint64_t nanoseconds, void *job, void *original) {
  (void)original;
  enqueue_job(job, virtual_now + nanoseconds);
}

static SWIFT void on_deadline(long long s, long long ns, long long ts, long long tns, int clock, void *job, void *original) {
  (void)ts, (void)tns, (void)clock, (void)original;
  enqueue_job(job, (uint64_t)s * 1000000000u + (uint64_t)ns);
}

// Since 6.2 the runtime's own executor gives sleeps to libdispatch: `dispatch_after_f`, or a timer where the sleep has a
// tolerance. A function to be called later stands in the queue under an odd address.
struct later {
  void (*function)(void *);
  void *context;
};

static void enqueue_later(uint64_t when, void (*function)(void *), void *context) {
  struct later *later = malloc(sizeof *later);
  if (!later) abort();
  later->function = function;
  later->context = context;
  // The two highest bits say which clock is meant; here all show the same.
  enqueue_job((void *)((uintptr_t)later | 1), when & ~(3ull << 62));
}

static void *next_symbol(const char *name) {
  void *symbol = dlsym(RTLD_NEXT, name);
  if (!symbol) abort();
  return symbol;
}
#define ORIGINAL(type, name, ...) ((type)next_symbol(name))(__VA_ARGS__)

void dispatch_after_f(uint64_t when, void *queue, void *context, void (*function)(void *)) {
  if (simulates) return enqueue_later(when, function, context);
  ORIGINAL(void (*)(uint64_t, void *, void *, void (*)(void *)), "dispatch_after_f", when, queue, context, function);
}

#define TIMERS_MAX 65536
static struct timer {
  uint64_t when;
  void *context;
  bool used;
} timers[TIMERS_MAX];
static size_t timer_hint;

static struct timer *as_timer(void *object) {
  struct timer *timer = object;
  return timer >= timers && timer < timers + TIMERS_MAX ? timer : NULL;
}

void *dispatch_source_create(const void *type, uintptr_t handle, uintptr_t mask, void *queue) {
  if (!simulates || type != dlsym(RTLD_DEFAULT, "_dispatch_source_type_timer"))
    return ORIGINAL(void *(*)(const void *, uintptr_t, uintptr_t, void *), "dispatch_source_create", type, handle, mask, queue);
  for (size_t i = 0; i < TIMERS_MAX; i++) {
    struct timer *timer = &timers[timer_hint++ % TIMERS_MAX];
    if (timer->used) continue;
    timer->used = true;
    return timer;
  }
  abort();
}

void dispatch_source_set_timer(void *source, uint64_t start, uint64_t interval, uint64_t leeway) {
  struct timer *timer = as_timer(source);
  if (timer) timer->when = start;
  else ORIGINAL(void (*)(void *, uint64_t, uint64_t, uint64_t), "dispatch_source_set_timer", source, start, interval, leeway);
}

void dispatch_set_context(void *object, void *context) {
  struct timer *timer = as_timer(object);
  if (timer) timer->context = context;
  else ORIGINAL(void (*)(void *, void *), "dispatch_set_context", object, context);
}

void dispatch_source_set_event_handler_f(void *source, void (*function)(void *)) {
  struct timer *timer = as_timer(source);
  // The context is set by now, and the timer begins at once.
  if (timer) enqueue_later(timer->when, function, timer->context);
  else ORIGINAL(void (*)(void *, void (*)(void *)), "dispatch_source_set_event_handler_f", source, function);
}

void dispatch_activate(void *object) {
  if (!as_timer(object)) ORIGINAL(void (*)(void *), "dispatch_activate", object);
}

void dispatch_release(void *object) {
  struct timer *timer = as_timer(object);
  if (timer) timer->used = false;
  else ORIGINAL(void (*)(void *), "dispatch_release", object);
}

void csim_begin(uint64_t now, uint64_t seed, csim_enqueue enqueue) {
  virtual_now = now;
  random_state = seed;
  enqueue_job = enqueue;
  swift_task_enqueueGlobal_hook = (void *)on_enqueue;
  swift_task_enqueueGlobalWithDelay_hook = (void *)on_delay;
  swift_task_enqueueGlobalWithDeadline_hook = (void *)on_deadline;
  swift_task_enqueueMainExecutor_hook = (void *)on_enqueue;
  running = true;
  simulates = true;
}

void csim_set_time(uint64_t now) { virtual_now = now; }

void csim_run(void *job) {
  if (((uintptr_t)job & 1) == 0) return swift_job_run(job, 0, 0);
  struct later later = *(struct later *)((uintptr_t)job & ~(uintptr_t)1);
  free((void *)((uintptr_t)job & ~(uintptr_t)1));
  later.function(later.context);
}
