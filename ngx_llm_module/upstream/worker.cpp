// The life of a worker's state.
#include "ngx_llm_module/upstream/worker.hpp"

#include "ngx_llm_module/base/large_blocks.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/upstream/credentials.hpp"

namespace llm {
namespace {

Worker *current = nullptr;

// Clients choose the names of models.
constexpr size_t kMaxNames = 1024;

}  // namespace

EndpointState::~EndpointState() {
    if (session != nullptr) {
        ngx_ssl_free_session(session);
    }
}

Worker::Worker(const Config &config) {
    endpoints_.resize(config.endpoint_count);
    for (const auto &provider : config.providers) {
        for (const Endpoint &endpoint : provider->endpoints) {
            endpoints_[endpoint.index] = std::make_unique<EndpointState>(endpoint);
        }
        if (provider->token_endpoint != nullptr) {
            credentials_.resize(config.endpoint_count);
            credentials_[provider->token_endpoint->index] =
                std::make_unique<CredentialSource>(*provider, config.resolver);
        }
    }
    ngx_memzero(read_buffer, sizeof(read_buffer));
    id_state_ = (uint64_t(ngx_random()) << 32) ^ uint64_t(ngx_random()) ^
                (uint64_t(ngx_pid) << 16) ^ (uint64_t(ngx_time()) << 20);
}

// Fetches first: they hold connections of endpoints.
Worker::~Worker() {
    credentials_.clear();
}

Result<json::Value> Worker::parse(std::string_view bytes, const json::Limits &limits) {
    parsed_for_ = nullptr;
    return reader_.parse(bytes, limits);
}

Result<json::Value> Worker::parse_body(const LlmRequest &request, bool is_first) {
    if (parsed_for_ == &request && !is_first) {
        return parsed_body_;
    }
    json::Limits limits;
    limits.has_no_backslash = !request.body.has_backslash();
    Result<json::Value> root = parse(request.body.view(), limits);
    if (root) {
        parsed_for_ = &request;
        parsed_body_ = *root;
    }
    return root;
}

// splitmix64
uint64_t Worker::next_id() {
    uint64_t z = (id_state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

Price Worker::price(const Config &config, const Deployment &deployment, std::string_view model) {
    static std::string key;  // its room is used again
    key.assign(deployment.id).append(1, '\n').append(model);
    auto [found, is_new] = prices_.try_emplace(key);
    if (is_new) {
        if (prices_.size() > kMaxNames) {
            prices_.clear();
            return find_price(config, deployment, model);
        }
        found->second = find_price(config, deployment, model);
    }
    return found->second;
}

bool Worker::is_first_unpriced(const std::string &model) {
    return unpriced_.size() < kMaxNames && unpriced_.insert(model).second;
}

Worker &worker() {
    return *current;
}

bool start_worker(const Config &config) {
    current = new Worker(config);
    start_large_blocks();
    return true;
}

void stop_worker() {
    delete current;
    current = nullptr;
    stop_large_blocks();
}

}  // namespace llm
