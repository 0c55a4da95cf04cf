// The zone's memory and the lock of its state file: two descriptors that live in the master and are
// handed on to its workers, and to a new binary. They are marked so (no FD_CLOEXEC) only when the
// configuration that made them is in use: a new binary must not find those of one that was refused.
#include "ngx_llm_module/state/zone_memory.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <utility>

namespace llm {
namespace {

// Far from where the system puts anything by itself: free in the next process, too.
constexpr uintptr_t kPlace = sizeof(void *) == 8 ? uintptr_t(1) << 45 : 0;
constexpr uintptr_t kStep = sizeof(void *) == 8 ? uintptr_t(1) << 36 : 0;
constexpr int kPlaces = 16;
constexpr int kMostDescriptors = 4096;
// As patient as nginx is with a port that is still in use.
constexpr int kLockTries = 5;
constexpr ngx_msec_t kLockPause = 500;

class Descriptor {
  public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() { reset(); }
    Descriptor(Descriptor &&from) noexcept : fd_(std::exchange(from.fd_, -1)) {}
    Descriptor &operator=(Descriptor &&from) noexcept {
        if (this != &from) {
            reset();
            fd_ = std::exchange(from.fd_, -1);
        }
        return *this;
    }

    int get() const { return fd_; }
    bool is_open() const { return fd_ >= 0; }
    void reset() {
        if (fd_ >= 0) {
            ::close(std::exchange(fd_, -1));
        }
    }
    void hand_on() const {
        if (fd_ >= 0) {
            fcntl(fd_, F_SETFD, 0);
        }
    }

  private:
    int fd_ = -1;
};

struct Memory {
    void *at = nullptr;
    Descriptor file;
};

struct StateLock {
    std::string path;
    Descriptor file;
};

// Of the configuration in use, and of one that is being read.
Memory memory, next_memory;
StateLock lock, next_lock;
bool was_looked_for = false;
bool is_upgrade = false;

bool read_pool(int file, ngx_slab_pool_t &pool, size_t &size) {
    struct stat info;
    if (fcntl(file, F_GET_SEALS) < 0 || fstat(file, &info) != 0) {
        return false;  // no memory
    }
    size = size_t(info.st_size);
    return pread(file, &pool, sizeof(pool), 0) == ssize_t(sizeof(pool)) &&
           pool.end == static_cast<u_char *>(pool.addr) + size && pool.data != nullptr;
}

void *map(int file, uintptr_t place, size_t size) {
    void *at = mmap(reinterpret_cast<void *>(place), size, PROT_READ | PROT_WRITE,
                    MAP_SHARED | (place != 0 ? MAP_FIXED_NOREPLACE : 0), file, 0);
    if (at == MAP_FAILED) {
        return nullptr;
    }
    if (place != 0 && at != reinterpret_cast<void *>(place)) {
        munmap(at, size);  // a kernel that does not know the flag
        return nullptr;
    }
    return at;
}

void put_in_place(ngx_shm_zone_t &shm_zone, void *at) {
    ngx_shm_free(&shm_zone.shm);
    shm_zone.shm.addr = static_cast<u_char *>(at);
}

bool is_same_file(int fd, const std::string &path) {
    struct stat one, other;
    return fd >= 0 && fstat(fd, &one) == 0 && stat(path.c_str(), &other) == 0 &&
           one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

// The old binary's: one lock, of both.
Descriptor inherited_lock(const std::string &path) {
    for (int fd = 3; is_upgrade && fd < kMostDescriptors; fd++) {
        if (is_same_file(fd, path) && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            return Descriptor(fd);
        }
    }
    return {};
}

bool lock_file(int fd, int tries) {
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) {
            return true;  // a file system without locks
        }
        if (--tries <= 0) {
            return false;
        }
        ngx_msleep(kLockPause);
    }
    return true;
}

}  // namespace

bool take_over_memory(ngx_shm_zone_t &shm_zone, IsZoneKnown is_known) {
    if (ngx_inherited == 0 || was_looked_for) {
        return false;
    }
    was_looked_for = true;
    for (int fd = 3; fd < kMostDescriptors; fd++) {
        ngx_slab_pool_t pool;
        size_t size = 0;
        if (!read_pool(fd, pool, size)) {
            continue;
        }
        Descriptor file(fd);
        is_upgrade = true;
        if (size != shm_zone.shm.size || !is_known(fd, pool)) {
            continue;
        }
        if (void *at = map(fd, reinterpret_cast<uintptr_t>(pool.addr), size)) {
            put_in_place(shm_zone, at);
            next_memory = {at, std::move(file)};
            return true;
        }
    }
    if (is_upgrade) {
        ngx_log_error(
            NGX_LOG_WARN, shm_zone.shm.log, 0,
            "llm: zone \"%V\" of the old binary has another size or is of another version "
            "of this module: the new one begins with nothing",
            &shm_zone.shm.name);
    }
    return false;
}

ngx_slab_pool_t *init_pool(void *memory, size_t size) {
    auto *pool = static_cast<ngx_slab_pool_t *>(memory);
    pool->end = static_cast<u_char *>(memory) + size;
    pool->min_shift = 3;
    pool->addr = memory;
    (void)ngx_shmtx_create(&pool->mutex, &pool->lock, nullptr);
    ngx_slab_init(pool);
    return pool;
}

void make_memory(ngx_shm_zone_t &shm_zone) {
    size_t size = shm_zone.shm.size;
    Descriptor file(memfd_create("llm_zone", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    void *at = nullptr;
    // Whoever may not write so large a file would be killed for this one.
    struct rlimit most;
    bool is_allowed = getrlimit(RLIMIT_FSIZE, &most) != 0 || most.rlim_cur >= size;
    if (is_allowed && file.is_open() && ftruncate(file.get(), off_t(size)) == 0 &&
        fcntl(file.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0) {
        for (int i = 0; i < kPlaces && at == nullptr; i++) {
            at = map(file.get(), kPlace + uintptr_t(i) * kStep, size);
        }
        at = at != nullptr ? at : map(file.get(), 0, size);
    }
    if (at == nullptr) {
        ngx_log_error(NGX_LOG_WARN, shm_zone.shm.log, ngx_errno,
                      "llm: this system has no memory for zone \"%V\" that a new binary could "
                      "take over",
                      &shm_zone.shm.name);
        return;
    }
    put_in_place(shm_zone, at);
    (void)init_pool(at, size);
    next_memory = {at, std::move(file)};
}

bool own_state_file(const Config &config, ngx_log_t *log, bool is_new) {
    next_lock = {};
    std::string path = config.state_path + ".lock";
    if (lock.file.is_open() && is_same_file(lock.file.get(), path)) {
        if (is_new) {
            ngx_log_error(NGX_LOG_EMERG, log, 0,
                          "llm: the size of llm_zone with state= cannot change while nginx runs: "
                          "restart it instead of reloading it");
        }
        return !is_new;
    }
    // Where the state cannot be written the workers say so, and nobody can spoil it.
    Descriptor file;
    if (!is_new) {
        file = inherited_lock(path);
    }
    if (!file.is_open()) {
        file = Descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        bool is_start = ngx_is_init_cycle(ngx_cycle) && !is_upgrade;
        if (file.is_open() && !lock_file(file.get(), is_start ? kLockTries : 1)) {
            ngx_log_error(NGX_LOG_EMERG, log, 0,
                          is_upgrade
                              ? "llm: the state in \"%s\" is in use by the old binary, whose zone "
                                "this one cannot take over: another size of llm_zone, or another "
                                "version of the module; restart nginx instead"
                              : "llm: the state in \"%s\" is in use by another nginx, maybe one "
                                "that is about to end",
                          config.state_path.c_str());
            return false;
        }
    }
    next_lock = {std::move(path), std::move(file)};
    return true;
}

void keep_memory(const Config *config) {
    const void *at =
        config != nullptr && config->zone != nullptr ? config->zone->shm.addr : nullptr;
    if (next_memory.at != nullptr && next_memory.at == at) {
        memory = std::move(next_memory);
    } else if (memory.at != at) {
        memory = {};
    }
    next_memory = {};
    std::string path = config != nullptr && !config->state_path.empty()
                           ? config->state_path + ".lock"
                           : std::string();
    if (next_lock.file.is_open() && next_lock.path == path) {
        lock = std::move(next_lock);
    } else if (lock.path != path) {
        lock = {};
    }
    next_lock = {};
    memory.file.hand_on();
    lock.file.hand_on();
}

}  // namespace llm
