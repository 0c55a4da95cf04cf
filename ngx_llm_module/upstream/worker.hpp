// What one worker keeps between requests: addresses, TLS sessions and idle connections of every
// endpoint, the JSON reader, and the buffer that provider bytes are read into. Made when the
// worker starts, freed when it exits.
#pragma once

#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ngx_llm_module/base/resolve.hpp"
#include "ngx_llm_module/conf/config.hpp"
#include "ngx_llm_module/upstream/keepalive.hpp"
#include "translators/json/reader.hpp"

namespace llm {

class CredentialSource;
class LlmRequest;

struct EndpointState {
    explicit EndpointState(const Endpoint &of) : addresses(of), idle(of) {}
    ~EndpointState();

    Addresses addresses;
    IdleConnections idle;
    ngx_ssl_session_t *session = nullptr;  // the latest that the provider gave
};

// The lines of a request's head that are the same for all requests for answers of this kind.
struct KnownHead {
    const Speech *speech = nullptr;
    const Endpoint *endpoint = nullptr;
    std::string model;
    bool is_stream = false;
    unsigned key = 0;
    std::string lines;

    bool is_of(const Speech &spoken, const Endpoint &at, std::string_view name, bool stream,
               unsigned with_key) const {
        return speech == &spoken && endpoint == &at && is_stream == stream && key == with_key &&
               model == name;
    }
};

class Worker {
  public:
    explicit Worker(const Config &config);
    ~Worker();

    EndpointState &state(const Endpoint &endpoint) { return *endpoints_[endpoint.index]; }
    // None: the provider needs nothing that has to be fetched.
    CredentialSource *credentials(const Provider &provider) {
        return provider.token_endpoint == nullptr
                   ? nullptr
                   : credentials_[provider.token_endpoint->index].get();
    }
    uint64_t next_id();  // unpredictable, not secret
    // Each model whose price is not known is told of once.
    bool is_first_unpriced(const std::string &model);
    // find_price for names that clients choose, remembered.
    Price price(const Config &config, const Deployment &deployment, std::string_view model);

    // The place where such a head is remembered; another may stand there.
    KnownHead &known_head(const Endpoint &endpoint, std::string_view model, bool is_stream) {
        size_t last = model.empty() ? 0 : static_cast<unsigned char>(model.back());
        return heads_[(endpoint.index * 7 + model.size() * 3 + last * 2 + is_stream) % kHeads];
    }

    // One document at a time: a Value lives until the next parse.
    Result<json::Value> parse(std::string_view bytes, const json::Limits &limits = {});
    Result<json::Value> parse_unpadded(std::string_view bytes) {
        parsed_for_ = nullptr;
        return reader_.parse_unpadded(bytes);
    }
    // A request's body. It is needed twice in the same turn, to understand and to send it: the
    // second time comes for nothing unless something else was parsed in between.
    Result<json::Value> parse_body(const LlmRequest &request, bool is_first = false);

    // Where bytes of providers are received, one read at a time: nothing of it is kept across a
    // return to the event loop.
    static constexpr size_t kReadSize = 16 * 1024;
    char read_buffer[kReadSize + json::kPadding];

  private:
    std::vector<std::unique_ptr<EndpointState>> endpoints_;
    std::vector<std::unique_ptr<CredentialSource>> credentials_;  // by token endpoint; few
    static constexpr size_t kHeads = 128;
    KnownHead heads_[kHeads];
    std::unordered_set<std::string> unpriced_;
    std::unordered_map<std::string, Price> prices_;  // by deployment and model
    json::Reader reader_;
    const LlmRequest *parsed_for_ = nullptr;
    json::Value parsed_body_;
    uint64_t id_state_;
};

// Of this process; made by start_worker.
Worker &worker();

bool start_worker(const Config &config);
void stop_worker();

}  // namespace llm
