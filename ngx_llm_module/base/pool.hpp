// C++ objects owned by nginx pools: the destructor runs when the pool goes, on every path.
#pragma once

#include <new>
#include <utility>

#include "ngx_llm_module/base/guard.hpp"

namespace llm {

template <class T>
void pool_destroy(void *data) {
    static_cast<T *>(data)->~T();
}

template <class T, class... Args>
T *pool_new(ngx_pool_t *pool, Args &&...args) {
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(pool, sizeof(T));
    if (cleanup == nullptr) {
        return nullptr;
    }
    T *object = new (cleanup->data) T(std::forward<Args>(args)...);
    cleanup->handler = guard<pool_destroy<T>>;
    return object;
}

// Memory of large objects that come and go all the time: what was used last, and is still in the
// processor's cache, is used next. A pool would take another block from the system for each.
template <class T>
class Recycled {
  public:
    static void *take() { return count_ > 0 ? free_[--count_] : ::operator new(sizeof(T)); }
    static void give(void *memory) {
        if (count_ < kMost) {
            free_[count_++] = memory;
        } else {
            ::operator delete(memory);
        }
    }

  private:
#if defined(__SANITIZE_ADDRESS__)
    static constexpr size_t kMost = 0;  // a use after the end is to be seen
#else
    static constexpr size_t kMost = 64;
#endif
    static inline void *free_[kMost + 1];
    static inline size_t count_ = 0;
};

template <class T>
void pool_recycle(void *data) {
    static_cast<T *>(data)->~T();
    Recycled<T>::give(data);
}

// As pool_new, with memory of its own.
template <class T, class... Args>
T *pool_new_recycled(ngx_pool_t *pool, Args &&...args) {
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(pool, 0);
    if (cleanup == nullptr) {
        return nullptr;
    }
    void *memory = Recycled<T>::take();
    T *object = new (memory) T(std::forward<Args>(args)...);
    cleanup->data = object;
    cleanup->handler = guard<pool_recycle<T>>;
    return object;
}

// The latest object of this type in the pool. A request's contexts are wiped by an internal
// redirect, its pool stays.
template <class T>
T *pool_find(const ngx_pool_t *pool) {
    for (ngx_pool_cleanup_t *cleanup = pool->cleanup; cleanup != nullptr; cleanup = cleanup->next) {
        if (cleanup->handler == guard<pool_destroy<T>> ||
            cleanup->handler == guard<pool_recycle<T>>) {
            return static_cast<T *>(cleanup->data);
        }
    }
    return nullptr;
}

}  // namespace llm
