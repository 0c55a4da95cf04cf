// One probe: a deployment is asked for a word, or its provider for the list of its models, and
// nobody waits for it. An ordinary exchange (NetAttempt) with the credentials that requests have.
#pragma once

#include <memory>
#include <string>

#include "ngx_llm_module/upstream/credentials.hpp"

namespace llm {

struct ProbeResult {
    enum class Kind : uint8_t {
        well,
        unclear,  // of an account, or of a list that is not there: requests will see
        failed,
    };
    Kind kind = Kind::well;
    Failure failure = Failure::server_error;
    std::string_view error;    // the class of it, empty when all went well
    std::string_view why;      // static text, where there was no answer
    unsigned status = 0;       // 0: no answer
    int64_t retry_after = -1;  // milliseconds
    int64_t tokens = 0;
};

class ProbeSink {
  public:
    virtual void on_probed(const Deployment &deployment, const ProbeResult &result) = 0;

  protected:
    ~ProbeSink() = default;
};

class Probe final : private AnswerSink, private CredentialWaiter {
  public:
    // `log` lasts as long as the sink, which is told once and may then destroy the probe.
    Probe(const Config &config, const Model &model, const Deployment &deployment, ngx_log_t *log,
          ProbeSink &sink);
    ~Probe();
    Probe(const Probe &) = delete;
    Probe &operator=(const Probe &) = delete;

    void start();

  private:
    Status build(OutgoingRequest &out);
    const Endpoint &choose_endpoint(const Speech &speech);
    void send();
    void play_mock();
    bool try_other_way(Failure failure);
    void judge_answer();
    void fail(ErrorClass error_class, Failure failure, std::string_view why = {});
    void end(const ProbeResult &result);

    void on_credential() override { send(); }
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

    const Config &config_;
    const Model &model_;
    const Deployment &deployment_;
    const Provider &provider_;
    ngx_log_t *const log_;
    ProbeSink &sink_;
    std::unique_ptr<Attempt> exchange_;
    std::string answer_;
    int64_t retry_after_ = -1;
    unsigned status_ = 0;
    unsigned key_ = 0;
    uint32_t failed_keys_ = 0;
    unsigned url_ = 0;
    unsigned failed_urls_ = 0;
    bool is_compressed_ = false;
    bool may_reuse_ = true;
};

}  // namespace llm
