/* A file layer for test_power.py, loaded with LD_PRELOAD: it writes down, before each write to a file whose
   path begins with UNSYNCED_PREFIX, what was there, and each sync. After a kill the test undoes what was not
   synced, as a power failure may. One record a line of text, then the old bytes:
     w PATH OFFSET OLD_SIZE LENGTH\n<bytes>   before a write or a truncation: the old bytes from OFFSET on
     s PATH\n                                 after a sync
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int undo = -1;
static const char *prefix;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static ssize_t (*real_write)(int, const void *, size_t);

__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    prefix = getenv("UNSYNCED_PREFIX");
    const char *log = getenv("UNSYNCED_LOG");
    if (prefix && log) undo = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
}

static int tracked(int fd, char *path, size_t size) {
    char link[64];
    if (undo < 0 || fd == undo) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return strncmp(path, prefix, strlen(prefix)) == 0 && !strstr(path, "-shm");
}

static void before(int fd, off_t offset, size_t length) {
    char path[4096], head[4400];
    struct stat there;
    if (!tracked(fd, path, sizeof path) || fstat(fd, &there)) return;
    size_t old = offset >= there.st_size ? 0 : (size_t)(there.st_size - offset);
    if (old > length) old = length;
    int size = snprintf(head, sizeof head, "w %s %lld %lld %zu\n", path, (long long)offset,
                        (long long)there.st_size, old);
    char *record = malloc(size + old);
    memcpy(record, head, size);
    if (old && pread(fd, record + size, old, offset) != (ssize_t)old) abort();
    if (real_write(undo, record, size + old) != (ssize_t)(size + old)) abort();
    free(record);
}

static void after_sync(int fd) {
    char path[4096], head[4400];
    if (!tracked(fd, path, sizeof path)) return;
    int size = snprintf(head, sizeof head, "s %s\n", path);
    if (real_write(undo, head, size) != size) abort();
}

#define REAL(name, type, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, name)
#define WRITES(name, type, offset, length, call, ...) { REAL(name, type, __VA_ARGS__); \
    pthread_mutex_lock(&lock); before(fd, offset, length); type done = call; pthread_mutex_unlock(&lock); return done; }

ssize_t write(int fd, const void *data, size_t n) WRITES("write", ssize_t, lseek(fd, 0, SEEK_CUR), n, real(fd, data, n), int, const void *, size_t)
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) WRITES("pwrite", ssize_t, at, n, real(fd, data, n, at), int, const void *, size_t, off_t)
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) WRITES("pwrite64", ssize_t, at, n, real(fd, data, n, at), int, const void *, size_t, off64_t)
int ftruncate(int fd, off_t to) WRITES("ftruncate", int, to, (size_t)-1 >> 1, real(fd, to), int, off_t)
int ftruncate64(int fd, off64_t to) WRITES("ftruncate64", int, to, (size_t)-1 >> 1, real(fd, to), int, off64_t)

#define SYNCS(name) { REAL(name, int, int); pthread_mutex_lock(&lock); int done = real(fd); \
    if (!done) after_sync(fd); pthread_mutex_unlock(&lock); return done; }
int fsync(int fd) SYNCS("fsync")
int fdatasync(int fd) SYNCS("fdatasync")
