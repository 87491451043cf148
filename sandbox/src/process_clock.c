/* A clock for one process, controlled by a test: preloaded in front of the C library's functions (LD_PRELOAD).
 *
 * TEST_CLOCK names a file with one 64-bit number, by which the wall clock is off in milliseconds, at once when the file
 * changes. TEST_CLOCK_SPEED makes every clock run this many times as fast from the start on. Waiting for sockets and
 * timers (epoll_wait) takes that much less time, so that to the process only the world around it seems slow. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BILLION 1000000000LL

static volatile int64_t *offset_ms;
static int64_t speed = 1;
static int64_t began[2];

static int64_t real_time(clockid_t clock) {
    struct timespec now;
    syscall(SYS_clock_gettime, clock, &now);
    return now.tv_sec * BILLION + now.tv_nsec;
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TEST_CLOCK"), *factor = getenv("TEST_CLOCK_SPEED");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file >= 0) {
        void *mapped = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
        offset_ms = mapped == MAP_FAILED ? NULL : mapped;
        close(file);
    }
    began[0] = real_time(CLOCK_REALTIME);
    began[1] = real_time(CLOCK_MONOTONIC);
    speed = factor ? atoll(factor) : 1;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int is_wall = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (!is_wall && clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE && clock != CLOCK_BOOTTIME) {
        return syscall(SYS_clock_gettime, clock, now);
    }
    int64_t passed = real_time(CLOCK_MONOTONIC) - began[1];
    int64_t time = (is_wall ? began[0] : began[1]) + passed * speed;
    if (is_wall && offset_ms) {
        time += *offset_ms * 1000000;
    }
    now->tv_sec = time / BILLION;
    now->tv_nsec = time % BILLION;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec precise;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) {
        *into = now.tv_sec;
    }
    return now.tv_sec;
}

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
    if (timeout > 0) {
        timeout = (timeout + speed - 1) / speed;
    }
    return syscall(SYS_epoll_pwait, epoll, events, most, timeout, NULL, 8);
}
