/* Preloaded into a process that writes files: keeps a trace of what it does to one directory, and lets calls fail.
 *
 * ROLECORE_SHIM_DIR: only files in this directory are looked at. ROLECORE_SHIM_TRACE: where the trace goes, if anywhere.
 * A record is a head of six little-endian 64-bit numbers (kind, inode, offset, length of data, length of name, error)
 * and then the data and the name. A power cut is made from it afterwards, at any record: see disk_trace.py.
 *
 * What a program says on standard output is in the trace too, in its place among the writes and syncs.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE = 2, SYNC = 3, CREATE = 4, UNLINK = 5, RENAME = 6, SYNC_DIRECTORY = 7, SAY = 8 };
/* What can fail: the n-th sync, write, truncate, unlink, open, read. */
enum { F_SYNC = 0, F_WRITE = 1, F_TRUNCATE = 2, F_UNLINK = 3, F_OPEN = 4, F_READ = 5, F_KINDS = 6 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int trace_fd = -1;
static char directory[4096];
static size_t directory_length;
static int is_ready;

static int armed_kind = -1, armed_errno, armed_times, armed_short;
static long armed_at;
static long seen[F_KINDS];

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_pread)(int, void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_open)(const char *, int, ...);
static int (*real_unlink)(const char *);
static int (*real_rename)(const char *, const char *);

static void prepare(void) {
    if (is_ready) return;
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_pread = dlsym(RTLD_NEXT, "pread64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_open = dlsym(RTLD_NEXT, "open64");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
    real_rename = dlsym(RTLD_NEXT, "rename");
    const char *where = getenv("ROLECORE_SHIM_DIR");
    if (where != NULL && strlen(where) < sizeof directory) {
        strcpy(directory, where);
        directory_length = strlen(where);
    }
    const char *trace = getenv("ROLECORE_SHIM_TRACE");
    if (trace != NULL) trace_fd = real_open(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    is_ready = 1;
}

__attribute__((constructor)) static void at_load(void) { prepare(); }

/* The name of a file in the directory, or NULL; shared memory is no file: it is made anew after a power cut. */
static const char *name_in_directory(const char *path) {
    if (directory_length == 0 || strncmp(path, directory, directory_length) != 0) return NULL;
    if (path[directory_length] != '/') return NULL;
    const char *name = path + directory_length + 1;
    size_t length = strlen(name);
    if (length >= 4 && strcmp(name + length - 4, "-shm") == 0) return NULL;
    return name;
}

/* 0: not in the directory; 1: a file in it; 2: the directory itself. */
static int where_is(int fd, uint64_t *inode) {
    char link[64], path[4096];
    char digits[16];
    int at = sizeof digits - 1, number = fd;
    if (directory_length == 0 || fd < 0) return 0;
    digits[at] = 0;
    do digits[--at] = (char)('0' + number % 10); while ((number /= 10) > 0);
    strcpy(link, "/proc/self/fd/");
    strcat(link, digits + at);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    struct stat about;
    if (strcmp(path, directory) == 0) return 2;
    if (name_in_directory(path) == NULL || fstat(fd, &about) != 0) return 0;
    *inode = about.st_ino;
    return 1;
}

static void note(uint64_t kind, uint64_t inode, uint64_t offset, const void *data, uint64_t n, const char *name, int error) {
    if (trace_fd < 0) return;
    uint64_t head[6] = {kind, inode, offset, n, name == NULL ? 0 : strlen(name), (uint64_t)error};
    real_write(trace_fd, head, sizeof head);
    if (n > 0) real_write(trace_fd, data, n);
    if (name != NULL) real_write(trace_fd, name, strlen(name));
}

/* Whether this call is to fail. */
static int fails(int kind) {
    long at = ++seen[kind];
    if (kind != armed_kind || at < armed_at || at >= armed_at + armed_times) return 0;
    errno = armed_errno;
    return 1;
}

/* Let the n-th call of a kind from now on fail, and so many after it; returns nothing, counts from 0. */
void rolecore_shim_arm(int kind, long at, int error, int times, int is_short) {
    pthread_mutex_lock(&lock);
    memset(seen, 0, sizeof seen);
    armed_kind = kind, armed_at = at, armed_errno = error, armed_times = times, armed_short = is_short;
    pthread_mutex_unlock(&lock);
}

/* How many calls of a kind there were since. */
long rolecore_shim_seen(int kind) { return seen[kind]; }

static ssize_t write_at(int fd, const void *data, size_t n, off_t offset, int is_positioned) {
    uint64_t inode = 0;
    int is_ours = where_is(fd, &inode) == 1;
    if (!is_ours && fd != 1) return is_positioned ? real_pwrite(fd, data, n, offset) : real_write(fd, data, n);
    pthread_mutex_lock(&lock);
    ssize_t done;
    if (!is_ours) {
        /* Before it is heard: what was said after a sync is noted after it, never before. */
        note(SAY, 0, 0, data, n, NULL, 0);
        done = real_write(fd, data, n);
    } else {
        if (!is_positioned) offset = lseek(fd, 0, SEEK_CUR);
        int failed = fails(F_WRITE);
        int error = errno;
        if (failed && (!armed_short || n < 2)) {
            done = -1;
        } else {
            if (failed) n /= 2;
            done = is_positioned ? real_pwrite(fd, data, n, offset) : real_write(fd, data, n);
            if (done > 0) note(WRITE, inode, (uint64_t)offset, data, (uint64_t)done, NULL, 0);
            error = errno;
            /* A disk that took half of it takes nothing more. */
            if (failed) armed_short = 0, armed_times += 1;
        }
        errno = error;
    }
    pthread_mutex_unlock(&lock);
    return done;
}

ssize_t write(int fd, const void *data, size_t n) { prepare(); return write_at(fd, data, n, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t offset) { prepare(); return write_at(fd, data, n, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t offset) { prepare(); return write_at(fd, data, n, offset, 1); }

static ssize_t read_at(int fd, void *data, size_t n, off_t offset) {
    uint64_t inode;
    prepare();
    if (armed_kind == F_READ && where_is(fd, &inode) == 1) {
        pthread_mutex_lock(&lock);
        int failed = fails(F_READ);
        pthread_mutex_unlock(&lock);
        if (failed) return -1;
    }
    return real_pread(fd, data, n, offset);
}

ssize_t pread(int fd, void *data, size_t n, off_t offset) { return read_at(fd, data, n, offset); }
ssize_t pread64(int fd, void *data, size_t n, off64_t offset) { return read_at(fd, data, n, offset); }

static int truncate_to(int fd, off_t length) {
    uint64_t inode;
    prepare();
    if (where_is(fd, &inode) != 1) return real_ftruncate(fd, length);
    pthread_mutex_lock(&lock);
    int done = fails(F_TRUNCATE) ? -1 : real_ftruncate(fd, length);
    int error = errno;
    if (done == 0) note(TRUNCATE, inode, (uint64_t)length, NULL, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int ftruncate(int fd, off_t length) { return truncate_to(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncate_to(fd, length); }

static int sync_it(int fd, int (*real)(int)) {
    uint64_t inode = 0;
    int where = where_is(fd, &inode);
    if (where == 0) return real(fd);
    pthread_mutex_lock(&lock);
    /* The trace is the disk: a real sync would only take time. */
    int done = fails(F_SYNC) ? -1 : 0;
    int error = errno;
    note(where == 1 ? SYNC : SYNC_DIRECTORY, inode, 0, NULL, 0, NULL, done == 0 ? 0 : error);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int fsync(int fd) { prepare(); return sync_it(fd, real_fsync); }
int fdatasync(int fd) { prepare(); return sync_it(fd, real_fdatasync); }

static int open_it(const char *path, int flags, mode_t mode) {
    prepare();
    const char *name = name_in_directory(path);
    if (name == NULL) return real_open(path, flags, mode);
    pthread_mutex_lock(&lock);
    int is_new = (flags & O_CREAT) && access(path, F_OK) != 0;
    int fd = fails(F_OPEN) ? -1 : real_open(path, flags, mode);
    int error = errno;
    struct stat about;
    if (fd >= 0 && (is_new || (flags & O_TRUNC)) && fstat(fd, &about) == 0) {
        if (is_new) note(CREATE, about.st_ino, 0, NULL, 0, name, 0);
        else note(TRUNCATE, about.st_ino, 0, NULL, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define OPEN_WITH(call)                                                                                                \
    mode_t mode = 0;                                                                                                   \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                                               \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode = va_arg(more, mode_t);                                                                                   \
        va_end(more);                                                                                                  \
    }                                                                                                                  \
    return call

int open(const char *path, int flags, ...) { OPEN_WITH(open_it(path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPEN_WITH(open_it(path, flags, mode)); }

int unlink(const char *path) {
    prepare();
    const char *name = name_in_directory(path);
    if (name == NULL) return real_unlink(path);
    pthread_mutex_lock(&lock);
    int done = fails(F_UNLINK) ? -1 : real_unlink(path);
    int error = errno;
    if (done == 0) note(UNLINK, 0, 0, NULL, 0, name, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}

int rename(const char *from, const char *to) {
    prepare();
    const char *old = name_in_directory(from), *name = name_in_directory(to);
    if (old == NULL || name == NULL) return real_rename(from, to);
    pthread_mutex_lock(&lock);
    int done = real_rename(from, to);
    int error = errno;
    if (done == 0) note(RENAME, 0, 0, old, strlen(old), name, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
