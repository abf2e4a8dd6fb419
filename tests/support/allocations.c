/* Counts what a process takes from the heap: preloaded, with the path of a shared file in ALLOCATIONS. The file is one
 * number, how often, and behind it the sizes of the last ones in a ring. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { RING = 64 };

struct tally {
    uint64_t count;
    uint64_t sizes[RING];
};

static struct tally nowhere;
static struct tally *tally = &nowhere;

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

__attribute__((constructor)) static void share(void) {
    const char *path = getenv("ALLOCATIONS");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    void *shared = mmap(NULL, sizeof *tally, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (shared != MAP_FAILED) {
        tally = shared;
    }
}

static void note(size_t bytes) {
    uint64_t before = __atomic_fetch_add(&tally->count, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&tally->sizes[before % RING], bytes, __ATOMIC_RELAXED);
}

void *malloc(size_t bytes) {
    note(bytes);
    return __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes) {
    note(count * bytes);
    return __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes) {
    note(bytes);
    return __libc_realloc(old, bytes);
}

void *memalign(size_t alignment, size_t bytes) {
    note(bytes);
    return __libc_memalign(alignment, bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    return memalign(alignment, bytes);
}

int posix_memalign(void **out, size_t alignment, size_t bytes) {
    void *taken = memalign(alignment, bytes);
    if (taken == NULL) {
        return ENOMEM;
    }
    *out = taken;
    return 0;
}
