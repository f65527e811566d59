/* Sleeps before every fsync and fdatasync of a process that is started with this in LD_PRELOAD: a slower disk.
   SYNC_DELAY_MICROSECONDS says for how long. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static struct timespec delay;

__attribute__((constructor)) static void read_delay(void) {
    const char *text = getenv("SYNC_DELAY_MICROSECONDS");
    long microseconds = text ? atol(text) : 0;
    delay.tv_sec = microseconds / 1000000;
    delay.tv_nsec = microseconds % 1000000 * 1000;
}

int fsync(int file) {
    nanosleep(&delay, NULL);
    return (int)syscall(SYS_fsync, file);
}

int fdatasync(int file) {
    nanosleep(&delay, NULL);
    return (int)syscall(SYS_fdatasync, file);
}
