/* Preloaded into the program under test: makes one system call on the files below one folder fail,
 * or end the process, or lose what was never synced. Inert without FAULT_UNDER.
 *
 *   FAULT_UNDER   absolute path of the folder; calls on anything else are not counted
 *   FAULT_CALL    write, pwrite64, fsync, fdatasync, rename, unlink or ftruncate
 *   FAULT_AT      which call of that name, from 1; 0: none, only count
 *   FAULT_ACTION  kill      SIGKILL in place of the call
 *                 torn      half of the bytes are written, then SIGKILL
 *                 power     everything written since its last sync is undone, then SIGKILL
 *                 lose      EIO, and what the file's writes since its last sync wrote is undone
 *                 EIO, ENOSPC    the call fails once; EIO+, ENOSPC+ from that one on
 *   FAULT_REPORT  a file for the counts, one "name count" a line, written when the process ends
 *
 * Names are taken to be durable at once, contents only when synced: the harder of the two orders
 * for a program that renames what it has written.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum call { WRITE, PWRITE, FSYNC, FDATASYNC, RENAME, UNLINK, FTRUNCATE, CALLS };
static const char *const names[CALLS] = {"write", "pwrite64", "fsync", "fdatasync",
                                         "rename", "unlink", "ftruncate"};
enum verdict { PROCEED, FAIL, TEAR };

/* One change of a file that has not been synced: how to undo it. */
struct change {
  struct change *older;
  dev_t device;
  ino_t inode;
  int descriptor;
  off_t size, offset;
  size_t length;
  unsigned char *bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct change *newest;
static long counts[CALLS];
static char under[4096];
static int wanted = -1;
static long at;
static const char *action = "";

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);
static int (*real_ftruncate)(int, off_t);

__attribute__((constructor)) static void start(void) {
  real_write = dlsym(RTLD_NEXT, "write");
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_rename = dlsym(RTLD_NEXT, "rename");
  real_unlink = dlsym(RTLD_NEXT, "unlink");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
  const char *folder = getenv("FAULT_UNDER");
  if (!folder || strlen(folder) >= sizeof under) return;
  strcpy(under, folder);
  const char *call = getenv("FAULT_CALL");
  for (int i = 0; call && i < CALLS; i++)
    if (!strcmp(call, names[i])) wanted = i;
  if (getenv("FAULT_AT")) at = atol(getenv("FAULT_AT"));
  if (getenv("FAULT_ACTION")) action = getenv("FAULT_ACTION");
}

__attribute__((destructor)) static void finish(void) {
  const char *path = getenv("FAULT_REPORT");
  long total = 0;
  for (int i = 0; i < CALLS; i++) total += counts[i];
  /* Processes that the program starts inherit all of this and write nothing there. */
  FILE *file = path && total ? fopen(path, "w") : NULL;
  if (!file) return;
  for (int i = 0; i < CALLS; i++) fprintf(file, "%s %ld\n", names[i], counts[i]);
  fclose(file);
}

static int is_ours(const char *path) {
  size_t length = strlen(under);
  return length && !strncmp(path, under, length) && (path[length] == '/' || !path[length]);
}

static int is_our_file(int descriptor) {
  char link[64], path[4096];
  if (!*under) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  return is_ours(path);
}

static int reopened(int descriptor) {
  /* Never closed: closing any descriptor of a file drops the process's locks on it. */
  struct stat file, kept;
  fstat(descriptor, &file);
  for (struct change *one = newest; one; one = one->older)
    if (one->device == file.st_dev && one->inode == file.st_ino) return one->descriptor;
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  int again = open(link, O_RDWR | O_CLOEXEC);
  return again >= 0 && !fstat(again, &kept) ? again : -1;
}

static void remember(int descriptor, off_t offset, size_t length) {
  struct stat file;
  int own = reopened(descriptor);
  if (own < 0 || fstat(own, &file)) return;
  struct change *change = calloc(1, sizeof *change);
  change->older = newest;
  change->device = file.st_dev;
  change->inode = file.st_ino;
  change->descriptor = own;
  change->size = file.st_size;
  change->offset = offset;
  change->bytes = malloc(length ? length : 1);
  ssize_t read = pread(own, change->bytes, length, offset);
  change->length = read > 0 ? (size_t)read : 0;
  newest = change;
}

static void forget(int descriptor) {
  struct stat file;
  if (fstat(descriptor, &file)) return;
  for (struct change **place = &newest; *place;) {
    struct change *one = *place;
    if (one->device != file.st_dev || one->inode != file.st_ino) {
      place = &one->older;
      continue;
    }
    *place = one->older;
    free(one->bytes);
    free(one);
  }
}

static void undo(int descriptor) { /* -1: of every file */
  struct stat file = {0};
  if (descriptor >= 0 && fstat(descriptor, &file)) return;
  for (struct change *one = newest; one; one = one->older) {
    if (descriptor >= 0 && (one->device != file.st_dev || one->inode != file.st_ino)) continue;
    if (real_pwrite(one->descriptor, one->bytes, one->length, one->offset) < 0) abort();
    if (real_ftruncate(one->descriptor, one->size)) abort();
  }
  if (descriptor >= 0) forget(descriptor);
}

/* What another thread has mapped may be cut off under it: it waits there for the end. */
static void rest(int signal) {
  (void)signal;
  for (;;) pause();
}

static void die(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

static enum verdict reach(enum call call, int descriptor) {
  long count = ++counts[call];
  int for_ever = strchr(action, '+') != NULL;
  if ((int)call != wanted || !at || (for_ever ? count < at : count != at)) return PROCEED;
  if (!strcmp(action, "torn") && (call == WRITE || call == PWRITE)) return TEAR;
  if (!strcmp(action, "power")) {
    signal(SIGBUS, rest);
    undo(-1);
  }
  if (!strcmp(action, "lose")) undo(descriptor);
  if (!strcmp(action, "kill") || !strcmp(action, "torn") || !strcmp(action, "power")) die();
  errno = strncmp(action, "ENOSPC", 6) ? EIO : ENOSPC;
  return FAIL;
}

static ssize_t change_bytes(enum call call, int fd, const void *data, size_t length, off_t offset) {
  pthread_mutex_lock(&lock);
  enum verdict verdict = reach(call, fd);
  if (verdict == PROCEED) remember(fd, offset, length);
  ssize_t done = verdict == FAIL ? -1
                 : call == WRITE ? real_write(fd, data, verdict == TEAR ? length / 2 : length)
                                 : real_pwrite(fd, data, verdict == TEAR ? length / 2 : length, offset);
  if (verdict == TEAR) die();
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

ssize_t write(int fd, const void *data, size_t length) {
  if (!is_our_file(fd)) return real_write(fd, data, length);
  struct stat file;
  int appends = fcntl(fd, F_GETFL) & O_APPEND;
  off_t offset = appends && !fstat(fd, &file) ? file.st_size : lseek(fd, 0, SEEK_CUR);
  return change_bytes(WRITE, fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) {
  if (!is_our_file(fd)) return real_pwrite(fd, data, length, offset);
  return change_bytes(PWRITE, fd, data, length, offset);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
  return pwrite64(fd, data, length, offset);
}

static int sync_file(enum call call, int fd, int (*real)(int)) {
  if (!is_our_file(fd)) return real(fd);
  pthread_mutex_lock(&lock);
  int done = reach(call, fd) == FAIL ? -1 : real(fd);
  int error = errno;
  if (!done) forget(fd);
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

int fsync(int fd) { return sync_file(FSYNC, fd, real_fsync); }
int fdatasync(int fd) { return sync_file(FDATASYNC, fd, real_fdatasync); }

int ftruncate64(int fd, off_t size) {
  if (!is_our_file(fd)) return real_ftruncate(fd, size);
  struct stat file;
  pthread_mutex_lock(&lock);
  int done = -1;
  if (reach(FTRUNCATE, fd) != FAIL) {
    if (!fstat(fd, &file)) remember(fd, size, file.st_size > size ? file.st_size - size : 0);
    done = real_ftruncate(fd, size);
  }
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int rename(const char *from, const char *to) {
  if (!is_ours(from) && !is_ours(to)) return real_rename(from, to);
  pthread_mutex_lock(&lock);
  int failed = reach(RENAME, -1) == FAIL;
  pthread_mutex_unlock(&lock);
  return failed ? -1 : real_rename(from, to);
}

int unlink(const char *path) {
  if (!is_ours(path)) return real_unlink(path);
  pthread_mutex_lock(&lock);
  int failed = reach(UNLINK, -1) == FAIL;
  pthread_mutex_unlock(&lock);
  return failed ? -1 : real_unlink(path);
}
