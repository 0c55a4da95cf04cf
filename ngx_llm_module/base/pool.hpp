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

// The latest object of this type in the pool. A request's contexts are wiped by an internal
// redirect, its pool stays.
template <class T>
T *pool_find(const ngx_pool_t *pool) {
    for (ngx_pool_cleanup_t *cleanup = pool->cleanup; cleanup != nullptr; cleanup = cleanup->next) {
        if (cleanup->handler == guard<pool_destroy<T>>) {
            return static_cast<T *>(cleanup->data);
        }
    }
    return nullptr;
}

}  // namespace llm
