#ifndef CSIMULATION_H
#define CSIMULATION_H
#include <stdbool.h>
#include <stdint.h>

/// What a program that links this target gets: while a simulation runs, every clock of the process shows virtual time,
/// the kernel's random numbers come from a seed, and Swift's tasks and their sleeps come to the simulator instead of to
/// a pool of threads. All of it is for one thread: the one that calls `csim_begin` and runs the jobs.

/// A job that is ready (`deadline` 0) or is to run at a virtual time, in nanoseconds.
typedef void (*csim_enqueue)(void *job, uint64_t deadline);

/// From now on time stands still at `now` (nanoseconds since 1970) until `csim_set_time`, and random numbers follow `seed`.
void csim_begin(uint64_t now, uint64_t seed, csim_enqueue enqueue);
void csim_set_time(uint64_t now);
/// Runs a job until it suspends or ends.
void csim_run(void *job);

#endif
