// The addresses of one host, looked up while the worker runs and without blocking. Old
// addresses stay in use until newer ones are known: a name server that is away breaks nothing
// that worked before.
#pragma once

#include <string>
#include <vector>

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

struct Host {
    std::string host;  // without brackets, or unix:path, which has no port
    in_port_t port = 0;
    std::vector<std::string> fixed_addresses;  // known without DNS: sockaddr bytes

    // For messages.
    std::string text() const { return port == 0 ? host : host + ":" + std::to_string(port); }
};

// Fills fixed_addresses when the name is an IP literal; false when it is another.
bool read_ip_literal(Host &host);

// Told once when a lookup that it waits for is over.
class AddressWaiter {
  public:
    virtual void on_addresses() = 0;

  protected:
    ~AddressWaiter() = default;
};

class Addresses {
  public:
    explicit Addresses(const Host &host);
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

    const Host &host_;
    std::vector<std::string> known_;
    std::vector<AddressWaiter *> waiters_;
    ngx_resolver_ctx_t *lookup_ = nullptr;
    const char *failure_ = "the host is not known";
    size_t next_ = 0;
    time_t expires_ = 0;
};

}  // namespace llm
