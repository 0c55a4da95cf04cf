#include "ngx_llm_module/request/authorize.hpp"

#include "ngx_llm_module/policy/model_access.hpp"
#include "ngx_llm_module/policy/record_cache.hpp"
#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/upstream/worker.hpp"

namespace llm {
namespace {

constexpr size_t kMaxCustomer = 256;

// Paths whose body says the model at its top: what is forwarded unread is looked at there. All
// others may name a model in a place that we do not know.
constexpr std::string_view kModelInBody[] = {
    "/embeddings", "/moderations", "/images/generations",   "/audio/speech",
    "/rerank",     "/v2/rerank",   "/messages/count_tokens"};

bool says_model_in_body(std::string_view path) {
    if (path.starts_with("/v1/")) {
        path.remove_prefix(3);
    }
    for (std::string_view known : kModelInBody) {
        if (path == known) {
            return true;
        }
    }
    return false;
}

// The model of a request that is forwarded unread; empty: it cannot be told for sure.
std::string model_of_raw(LlmRequest &request) {
    if (request.endpoint.has_path_model) {
        return std::string(request.endpoint.model);
    }
    std::string_view coding = client_header(request.r, "content-encoding");
    if (!says_model_in_body(request.raw_path) || request.r->method != NGX_HTTP_POST ||
        !(coding.empty() || wire::same_name(coding, "identity"))) {
        return {};
    }
    Result<json::Value> root = worker().parse_body(request, true);
    if (!root || !root->is_object() || !json::duplicate_key(*root).empty()) {
        return {};
    }
    return std::string(json::unescape((*root)["model"].text(), request.arena));
}

constexpr std::string_view kNoModel = "key_model_access_denied";

bool refuse(LlmRequest &request, std::string_view word, std::string_view message,
            std::string_view param) {
    ApiError error;
    error.error_class = ErrorClass::permission;
    error.own = word;
    error.message = json::escape(message, request.arena);
    error.param = json::escape(param, request.arena);
    reply_error(request, error);
    return false;
}

bool may_use_raw(LlmRequest &request) {
    const Provider &provider = *request.only_provider;
    if (may_use_all_of(request.identity, provider)) {
        return true;
    }
    std::string model = model_of_raw(request);
    return !model.empty() && may_use(request.config, request.identity, provider.name + "/" + model);
}

bool is_name(std::string_view text) {
    return !text.empty() && !wire::has_control(text) && text.size() <= kMaxCustomer;
}

// The first of the places where clients say it.
std::string customer_of(LlmRequest &request) {
    for (std::string_view name : {"x-litellm-customer-id", "x-litellm-end-user-id"}) {
        if (std::string_view value = client_header(request.r, name); is_name(value)) {
            return std::string(value);
        }
    }
    if (request.is_raw) {
        return {};
    }
    Result<json::Value> root = worker().parse_body(request);
    if (!root) {
        return {};
    }
    for (json::Value value : {(*root)["user"], (*root)["litellm_metadata"]["user"],
                              (*root)["metadata"]["user_id"], (*root)["safety_identifier"]}) {
        std::string_view text = json::unescape(value.text(), request.arena);
        if (is_name(text)) {
            return std::string(text);
        }
    }
    return {};
}

}  // namespace

bool authorize(LlmRequest &request) {
    Identity &identity = request.identity;
    request.target_model = own_alias(identity, request.model);
    bool is_limited = identity.key != nullptr;
    if (is_limited && request.is_raw && !may_use_raw(request)) {
        return refuse(request, kNoModel,
                      "the API key may not use this model, or not all models here", "model");
    }
    if (is_limited && !request.is_raw) {
        bool is_allowed = request.only_provider != nullptr
                              ? may_use(request.config, identity,
                                        request.only_provider->name + "/" + request.target_model)
                              : may_use(request.config, identity, request.target_model);
        if (!is_allowed) {
            return refuse(request, kNoModel, "the API key may not use this model", "model");
        }
        // OpenRouter's fallbacks: names of its own, which no list of ours has.
        if (request.names_others && !may_use_all(identity)) {
            return refuse(request, kNoModel, "the API key may not leave the model to the provider",
                          "models");
        }
    }
    if (identity.is_master || (identity.key != nullptr && identity.key->may_name_customer)) {
        identity.customer_id = customer_of(request);
        identity.customer = find_customer(request.config, identity.customer_id);
        if (identity.customer != nullptr && identity.customer->is_blocked) {
            return refuse(request, "customer_blocked", "the customer is blocked", "user");
        }
    }
    return true;
}

}  // namespace llm
