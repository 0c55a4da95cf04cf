// The addresses of one endpoint, looked up while the worker runs and without blocking. Old
// addresses stay in use until newer ones are known: a name server that is away breaks nothing
// that worked before.
#pragma once

#include <string>
#include <vector>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// Told once when a lookup that it waits for is over.
class AddressWaiter {
  public:
    virtual void on_addresses() = 0;

  protected:
    ~AddressWaiter() = default;
};

class Addresses {
  public:
    explicit Addresses(const Endpoint &endpoint);
    ~Addresses();
    Addresses(const Addresses &) = delete;
    Addresses &operator=(const Addresses &) = delete;

    // False: not known yet, `waiter` will be told. Starts a refresh where one is due.
    bool ready(ngx_resolver_t *resolver, AddressWaiter &waiter);
    void forget(AddressWaiter &waiter);

    size_t count() const { return known_.size(); }
    // The next one in turn; sockaddr bytes. Valid until the next lookup ends.
    const std::string &take();
    const char *why_none() const { return failure_; }

  private:
    void start_lookup(ngx_resolver_t *resolver);
    static void on_resolved(ngx_resolver_ctx_t *ctx);
    void finish_lookup(ngx_resolver_ctx_t *ctx);

    const Endpoint &endpoint_;
    std::vector<std::string> known_;
    std::vector<AddressWaiter *> waiters_;
    ngx_resolver_ctx_t *lookup_ = nullptr;
    const char *failure_ = "the host is not known";
    size_t next_ = 0;
    time_t expires_ = 0;
};

}  // namespace llm
