// Credentials that have to be fetched and expire: Google's access tokens. One source for each
// provider that needs one, in every worker. A token is used until shortly before its end; from
// then on a newer one is fetched beside the traffic. Only where there is none yet, or none any
// more, do requests wait for it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ngx_llm_module/conf/config.hpp"
#include "ngx_llm_module/upstream/net_attempt.hpp"

namespace llm {

class Hedge;

// Told once when the fetch that it waits for is over, well or not.
class CredentialWaiter {
  public:
    virtual void on_credential() = 0;

  protected:
    ~CredentialWaiter() = default;
};

class CredentialSource final : private AnswerSink {
  public:
    CredentialSource(const Provider &provider, ngx_resolver_t *resolver);
    ~CredentialSource();

    // True: token() is good. Otherwise `waiter` will be told. Starts a fetch where one is due.
    bool ready(CredentialWaiter &waiter);
    void forget(CredentialWaiter &waiter);
    // Empty: there is none, and the latest fetch failed.
    std::string_view token() const { return has_token() ? std::string_view(token_) : ""; }
    // The provider does not take it: the next request fetches another.
    void reject() { expires_ = refresh_at_ = 0; }

  private:
    bool has_token() const { return ngx_time() < expires_; }
    void fetch();
    void over(const char *why);  // null: there is a token

    bool on_head(const wire::HttpHead &head) override;
    bool on_body(std::string_view bytes) override;
    bool on_pause() override { return true; }
    void on_end() override;
    void on_broken(Broken why) override;
    void on_stale() override;
    void on_event(const ir::StreamEvent &) override {}
    void on_response(const ir::Response &) override {}
    void on_error(const ApiError &) override {}
    bool wants_more() const override { return true; }

    const Provider &provider_;
    ngx_resolver_t *const resolver_;
    std::unique_ptr<Attempt> exchange_;
    std::string answer_;
    uint16_t status_ = 0;
    std::string token_;
    time_t expires_ = 0;
    time_t refresh_at_ = 0;
    time_t not_before_ = 0;  // after a failure
    std::vector<CredentialWaiter *> waiters_;
    bool may_reuse_ = true;
};

// Waits for a credential in place of an attempt, then lets the request's attempt begin.
class CredentialWait final : public Attempt, private CredentialWaiter {
  public:
    CredentialWait(LlmRequest &request, CredentialSource &source, Hedge *hedge)
        : request_(request), source_(source), hedge_(hedge) {}
    ~CredentialWait() override { source_.forget(*this); }

    // False: the credential is there, nothing needs to wait.
    bool is_needed() { return !source_.ready(*this); }
    void start() override {}
    void resume() override {}
    void on_first_content() override {}
    bool was_asked() const override { return false; }
    void finish() override {}

  private:
    void on_credential() override;

    LlmRequest &request_;
    CredentialSource &source_;
    Hedge *const hedge_;  // whose attempt this is; none: the request's own
};

}  // namespace llm
