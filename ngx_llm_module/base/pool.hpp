// C++ objects owned by nginx pools: the destructor runs when the pool goes, on every path.
#pragma once

#include <new>
#include <utility>

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

template <class T, class... Args>
T *pool_new(ngx_pool_t *pool, Args &&...args) {
    ngx_pool_cleanup_t *cleanup = ngx_pool_cleanup_add(pool, sizeof(T));
    if (cleanup == nullptr) {
        return nullptr;
    }
    T *object = new (cleanup->data) T(std::forward<Args>(args)...);
    cleanup->handler = [](void *data) noexcept { static_cast<T *>(data)->~T(); };
    return object;
}

}  // namespace llm
