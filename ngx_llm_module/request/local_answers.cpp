// GET /v1/models in the form of the caller's dialect, health, and the bare root that some clients
// look at before they begin.
#include "ngx_llm_module/request/local_answers.hpp"

#include <unordered_set>

#include "ngx_llm_module/policy/model_access.hpp"
#include "ngx_llm_module/redis/client.hpp"
#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/state/inflight.hpp"

namespace llm {
namespace {

// What the caller may use, each name once: it stands for the model that a request by it is for.
// Patterns are no names that a client could ask for.
template <class Visit>
void for_each_name(const LlmRequest &request, Visit visit_new) {
    const Config &config = request.config;
    const Identity &identity = request.identity;
    std::unordered_set<std::string_view> seen;
    auto visit = [&](const Model &model, const std::string &name) {
        if (seen.insert(name).second) {
            visit_new(model, name);
        }
    };
    if (identity.key != nullptr) {
        for (const auto &[name, target] : identity.key->aliases) {
            std::string_view suffix;
            const Model *model = find_model(config, target, suffix);
            if (model != nullptr && may_use(config, identity, target)) {
                visit(*model, name);
            }
            seen.insert(name);
        }
    }
    for (const auto &model : config.models) {
        if (!may_use(config, identity, model->name)) {
            continue;
        }
        if (!model->is_wildcard()) {
            visit(*model, model->name);
        }
        for (const auto &[alias, place] : model->aliases) {
            visit(*model, alias);
        }
    }
}

// The models do not say when they were made; a fixed date keeps the list stable.
constexpr int64_t kCreated = 1700000000;
constexpr std::string_view kCreatedText = "2023-11-14T22:13:20Z";

void write_openai_model(json::Writer &w, const Model &model, std::string_view name) {
    w.object().key("id").plain(name).key("object").plain("model");
    w.key("created").number(kCreated);
    w.key("owned_by").plain(model.deployments[0].provider->name).end();
}

void write_anthropic_model(json::Writer &w, std::string_view name) {
    w.object().key("type").plain("model").key("id").plain(name);
    w.key("display_name").plain(name).key("created_at").plain(kCreatedText).end();
}

void write_gemini_model(json::Writer &w, std::string_view name) {
    w.object().key("name").plain(std::string("models/").append(name));
    w.key("displayName").plain(name).key("supportedGenerationMethods").array();
    w.plain("generateContent").plain("countTokens").end().end();
}

void write_gemini_models(LlmRequest &request, json::Writer &w) {
    w.object().key("models").array();
    for_each_name(request,
                  [&](const Model &, const std::string &name) { write_gemini_model(w, name); });
    w.end().end();
}

void write_model_list(LlmRequest &request, json::Writer &w) {
    if (request.client->id == DialectId::gemini) {
        write_gemini_models(request, w);
        return;
    }
    bool is_anthropic = request.client->id == DialectId::anthropic;
    std::string first, last;
    w.object();
    if (!is_anthropic) {
        w.key("object").plain("list");
    }
    w.key("data").array();
    for_each_name(request, [&](const Model &model, const std::string &name) {
        if (is_anthropic) {
            write_anthropic_model(w, name);
        } else {
            write_openai_model(w, model, name);
        }
        first = first.empty() ? name : first;
        last = name;
    });
    w.end();
    if (is_anthropic) {
        w.key("has_more").boolean(false);
        w.key("first_id");
        first.empty() ? w.null() : w.plain(first);
        w.key("last_id");
        last.empty() ? w.null() : w.plain(last);
    }
    w.end();
}

bool write_model(LlmRequest &request, json::Writer &w) {
    // nginx has decoded the path already.
    std::string_view wanted = request.endpoint.model;
    bool is_found = false;
    for_each_name(request, [&](const Model &model, const std::string &name) {
        if (name == wanted && !is_found) {
            is_found = true;
            if (request.client->id == DialectId::anthropic) {
                write_anthropic_model(w, name);
            } else if (request.client->id == DialectId::gemini) {
                write_gemini_model(w, name);
            } else {
                write_openai_model(w, model, name);
            }
        }
    });
    return is_found;
}

void write_readiness(LlmRequest &request, json::Writer &w) {
    RedisClient *store = redis();
    bool is_degraded = store != nullptr && !store->is_up();
    if (store != nullptr) {
        store->prove();  // a worker that has no requests would say for long what was true once
    }
    w.object().key("status").plain(ngx_exiting ? "draining" : is_degraded ? "degraded" : "ready");
    if (request.config.has_keys() && request.identity.is_nobody()) {
        w.end();  // without a key only whether it is ready
        return;
    }
    if (store != nullptr) {
        w.key("store").object().key("kind").plain("redis");
        w.key("state").plain(is_degraded ? "away" : "ready");
        w.key("on_outage").plain(name(store->config().on_outage)).end();
    }
    w.key("in_flight").number(count_in_flight(request.config).total);
    w.key("deployments").array();
    for (const auto &model : request.config.models) {
        for (const Deployment &deployment : model->deployments) {
            w.object().key("id").plain(deployment.id).key("model").plain(model->name);
            InFlight count = count_in_flight(request.config, deployment.slot);
            w.key("in_flight").number(count.of_slot).end();
        }
    }
    w.end().end();
}

}  // namespace

bool can_count(const LlmRequest &request) {
    for (const Candidate &candidate : request.candidates) {
        const Provider &provider = *candidate.deployment->provider;
        if (!provider.is_mock() && !provider.speech_for(*request.client).count_path.empty()) {
            return true;
        }
    }
    return false;
}

// Over all that was sent: messages, system text and tools.
void answer_estimated_count(LlmRequest &request) {
    ByteBuffer out;
    json::Writer w(out);
    request.client->render_counted(estimate_tokens(request.ledger.request_bytes), w);
    add_header(request.r, "x-llm-token-count", "estimated");
    request.ledger.outcome = Outcome::ok;
    request.downstream.send_whole(NGX_HTTP_OK, "application/json", std::move(out));
}

void answer_locally(LlmRequest &request) {
    ByteBuffer out;
    json::Writer w(out);
    ngx_uint_t status = NGX_HTTP_OK;
    switch (request.endpoint.operation) {
        case Operation::list_models:
            write_model_list(request, w);
            break;
        case Operation::show_model:
            if (!write_model(request, w)) {
                reply_error(request, ErrorClass::not_found, "the model does not exist",
                            "model_not_found");
                return;
            }
            break;
        case Operation::liveness:
            w.object().key("status").plain("alive").end();
            break;
        case Operation::readiness:
            write_readiness(request, w);
            status = ngx_exiting ? NGX_HTTP_SERVICE_UNAVAILABLE : NGX_HTTP_OK;
            break;
        case Operation::root:
        case Operation::chat:
        case Operation::count_tokens:
        case Operation::kept:
        case Operation::other:
        case Operation::admin:
        case Operation::unknown:
            w.object().key("status").plain("ok").end();
            break;
    }
    request.ledger.outcome = Outcome::ok;
    request.downstream.send_whole(status, "application/json", std::move(out));
}

}  // namespace llm
