// DNS for providers and stores, by nginx's own resolver. A lookup is started by the first request
// that finds the addresses missing or past their time to live; nothing runs while nobody asks.
#include "ngx_llm_module/base/resolve.hpp"

#include <algorithm>

#include "ngx_llm_module/base/guard.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kLookupTimeout = 5000;
constexpr time_t kRetryAfterFailure = 5;
// So long may expired addresses serve while a refresh is under way; older ones wait for it.
constexpr time_t kStaleGrace = 300;

}  // namespace

bool read_ip_literal(Host &host) {
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    ngx_memzero(&v4, sizeof(v4));
    ngx_memzero(&v6, sizeof(v6));
    if (inet_pton(AF_INET, host.host.c_str(), &v4.sin_addr) == 1) {
        v4.sin_family = AF_INET;
        v4.sin_port = htons(host.port);
        host.fixed_addresses.assign(1, {reinterpret_cast<const char *>(&v4), sizeof(v4)});
        return true;
    }
    if (inet_pton(AF_INET6, host.host.c_str(), &v6.sin6_addr) == 1) {
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(host.port);
        host.fixed_addresses.assign(1, {reinterpret_cast<const char *>(&v6), sizeof(v6)});
        return true;
    }
    return false;
}

Addresses::Addresses(const Host &host) : host_(host) {
    known_ = host.fixed_addresses;
    if (!known_.empty()) {
        next_ = size_t(ngx_random()) % known_.size();
    }
}

Addresses::~Addresses() {
    if (lookup_ != nullptr) {
        ngx_resolve_name_done(lookup_);
    }
}

bool Addresses::ready(ngx_resolver_t *resolver, AddressWaiter &waiter) {
    if (!host_.fixed_addresses.empty()) {
        return true;
    }
    time_t now = ngx_time();
    if (now < expires_) {
        return true;
    }
    bool can_wait = known_.empty() || now >= expires_ + kStaleGrace;
    if (lookup_ == nullptr) {
        start_lookup(resolver);
    }
    if (lookup_ == nullptr || !can_wait) {  // answered from the cache, failed, or good enough
        return true;
    }
    waiters_.push_back(&waiter);
    return false;
}

void Addresses::forget(AddressWaiter &waiter) {
    std::erase(waiters_, &waiter);
}

const std::string &Addresses::take() {
    next_ = (next_ + 1) % known_.size();
    return known_[next_];
}

void Addresses::start_lookup(ngx_resolver_t *resolver) {
    expires_ = ngx_time() + kRetryAfterFailure;
    if (resolver == nullptr) {
        failure_ = "no name server is configured";
        return;
    }
    ngx_resolver_ctx_t *ctx = ngx_resolve_start(resolver, nullptr);
    if (ctx == nullptr || ctx == NGX_NO_RESOLVER) {
        failure_ = "no name server is configured";
        return;
    }
    ctx->name = str(host_.host);
    ctx->handler = guard<on_resolved>;
    ctx->data = this;
    ctx->timeout = kLookupTimeout;
    ctx->cancelable = 1;
    lookup_ = ctx;
    if (ngx_resolve_name(ctx) != NGX_OK) {  // frees ctx by itself
        lookup_ = nullptr;
        failure_ = "the name server cannot be asked";
    }
}

void Addresses::on_resolved(ngx_resolver_ctx_t *ctx) {
    static_cast<Addresses *>(ctx->data)->finish_lookup(ctx);
}

void Addresses::finish_lookup(ngx_resolver_ctx_t *ctx) {
    lookup_ = nullptr;
    if (ctx->state == NGX_OK && ctx->naddrs > 0) {
        known_.clear();
        for (ngx_uint_t i = 0; i < ctx->naddrs; i++) {
            std::string address(reinterpret_cast<const char *>(ctx->addrs[i].sockaddr),
                                ctx->addrs[i].socklen);
            ngx_inet_set_port(reinterpret_cast<struct sockaddr *>(address.data()), host_.port);
            known_.push_back(std::move(address));
        }
        next_ = size_t(ngx_random()) % known_.size();
        expires_ = std::max(ctx->valid, ngx_time() + 1);
    } else {
        failure_ = ngx_resolver_strerror(ctx->state);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "llm: host \"%s\" could not be resolved: %s%s", host_.host.c_str(), failure_,
                      known_.empty() ? "" : ", the old addresses stay in use");
        expires_ = ngx_time() + kRetryAfterFailure;
    }
    ngx_resolve_name_done(ctx);

    // A waiter may ask again at once, or be gone after its neighbour was told.
    while (!waiters_.empty()) {
        AddressWaiter *waiter = waiters_.back();
        waiters_.pop_back();
        waiter->on_addresses();
    }
}

}  // namespace llm
