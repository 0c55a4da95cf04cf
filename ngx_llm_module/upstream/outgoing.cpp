// Builds the request for a provider. Same dialect: the client's bytes with a few edits, as slices
// of the one body. Another dialect: rendered from the IR. Nothing of the client's credentials is
// ever looked at here, so nothing of them can travel on.
#include "ngx_llm_module/upstream/outgoing.hpp"

#include <algorithm>
#include <map>

#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/upstream/outgoing_head.hpp"
#include "ngx_llm_module/upstream/outgoing_path.hpp"
#include "ngx_llm_module/upstream/worker.hpp"
#include "translators/dialect/anthropic_invoke.hpp"
#include "translators/dialect/chat_parameters.hpp"
#include "translators/dialect/client_state.hpp"
#include "translators/provider/path.hpp"

namespace llm {
namespace {

// Default members of the provider's configuration, for what the request does not say: put in behind
// the opening brace of the body, or of an object in it (HOLDER.NAME).
class MissingParams {
  public:
    MissingParams(const Provider &provider, json::Value root) : root_(root) {
        for (const ProviderParam &param : provider.params) {
            size_t dot = param.name.find('.');
            if (dot == std::string::npos) {
                add(root, param.name, param.json);
            } else {
                add_in(param.name.substr(0, dot), param.name.substr(dot + 1), param.json);
            }
        }
        for (const auto &[holder, members] : new_holders_) {
            add(root, holder, "{" + members + "}");
        }
    }

    // Among the others, in order; not into what one of them replaces.
    void add_to(std::vector<Edit> &edits) const {
        for (const auto &[object, members] : put_in_) {
            uint32_t at = object + 1;
            auto next = std::find_if(edits.begin(), edits.end(),
                                     [at](const Edit &edit) { return edit.end >= at; });
            if (next == edits.end() || next->begin >= at) {
                edits.insert(next, Edit{at, at, members});
            }
        }
    }

  private:
    void add(json::Value object, std::string_view name, std::string_view json) {
        if (!object.find(name).absent()) {
            return;
        }
        std::string &members = put_in_[object.offset()];
        if (object.size() > 0) {
            append(members, name, json).append(",");
        } else {
            append(members.append(members.empty() ? "" : ","), name, json);
        }
    }

    void add_in(const std::string &holder, std::string_view name, std::string_view json) {
        json::Value object = root_.find(holder);
        if (object.is_object()) {
            add(object, name, json);
        } else if (object.absent()) {
            std::string &members = new_holders_[holder];
            append(members.append(members.empty() ? "" : ","), name, json);
        }
    }

    static std::string &append(std::string &to, std::string_view name, std::string_view json) {
        return to.append("\"").append(name).append("\":").append(json);
    }

    json::Value root_;
    std::map<uint32_t, std::string> put_in_;          // by where the object stands
    std::map<std::string, std::string> new_holders_;  // objects that the body lacks
};

Target make_target(LlmRequest &request, const Candidate &candidate, const Speech &speech) {
    Target target =
        target_of(*candidate.deployment, candidate.upstream_model, speech, request.arena);
    target.drop_params = request.drop_params();
    target.previous_id = request.kept_id;
    target.without_reasoning = request.is_without_reasoning;
    return target;
}

// The body around the edits. The texts of all edits in one buffer, so that the pieces stay where
// they are; behind the body, where that was made here.
void put_together(std::string_view body, const std::vector<Edit> &edits, OutgoingRequest &out) {
    bool is_made = !body.empty() && body.data() == out.made.view().data();
    size_t made = out.made.size();
    for (const Edit &edit : edits) {
        out.made.append(edit.text);
    }
    std::string_view all = out.made.view();
    body = is_made ? all.substr(0, body.size()) : body;
    size_t at = 0;
    out.body.reserve(2 * edits.size() + 1);
    for (const Edit &edit : edits) {
        out.body.push_back(body.substr(at, edit.begin - at));
        out.body.push_back(all.substr(made, edit.text.size()));
        made += edit.text.size();
        at = edit.end;
    }
    out.body.push_back(body.substr(at));
}

// Client and provider speak the same: slices of the client's bytes around the edits.
Status splice(LlmRequest &request, const Target &target, const Provider &provider,
              OutgoingRequest &out) {
    std::string_view body = request.body.view();
    Result<json::Value> root = worker().parse_body(request);
    if (!root) {
        return root.error();
    }
    std::vector<Edit> edits;
    LLM_TRY(request.client->splice_request(*root, request.envelope, target, edits, request.notes));
    // Counters know no parameters of answers.
    if (!provider.params.empty() && !request.is_count()) {
        MissingParams(provider, *root).add_to(edits);
    }
    put_together(body, edits, out);
    return {};
}

Status splice_other_body(LlmRequest &request, std::string_view model, OutgoingRequest &out) {
    std::string_view body = request.body.view();
    std::vector<Edit> edits;
    if (std::string_view field = request.model_field; !field.empty()) {
        auto begin = uint32_t(field.data() - body.data());
        edits.push_back({begin, begin + uint32_t(field.size()), std::string(model)});
    } else {
        Result<json::Value> root = worker().parse_body(request);
        if (!root) {
            return root.error();
        }
        LLM_TRY(splice_other(*request.endpoint.other, *root, model, edits));
    }
    put_together(body, edits, out);
    return {};
}

Status parse_for_translation(LlmRequest &request) {
    if (request.ir) {
        return {};
    }
    Result<json::Value> root = worker().parse_body(request);
    if (!root) {
        return root.error();
    }
    request.ir.emplace();
    Status parsed = request.client->parse_request(*root, request.arena, *request.ir);
    if (!parsed) {
        request.ir.reset();
        return parsed;
    }
    request.ir->stream = request.is_stream();  // Gemini's clients say it in the path
    return {};
}

// The text that a broken stream had so far, as a last turn of the assistant for one attempt.
class Prefilled {
  public:
    Prefilled(ir::Request &request, std::string_view text, Arena &arena) : request_(request) {
        is_there_ = !text.empty();
        if (is_there_) {
            ir::Turn &turn = request.turns.emplace_back();
            turn.role = ir::Role::assistant;
            turn.parts.push_back({ir::Text{json::escape(text, arena), {}, {}}});
        }
    }
    ~Prefilled() {
        if (is_there_) {
            request_.turns.pop_back();
        }
    }
    Prefilled(const Prefilled &) = delete;
    Prefilled &operator=(const Prefilled &) = delete;

  private:
    ir::Request &request_;
    bool is_there_;
};

// Of the parts, what a writer may borrow of the body.
size_t size_of_long_texts(const std::vector<ir::Part> &parts) {
    size_t size = 0;
    auto add = [&size](JsonText text) {
        size += text.bytes.size() < json::Writer::kLeastBorrowed ? 0 : text.bytes.size();
    };
    for (const ir::Part &part : parts) {
        if (const auto *text = std::get_if<ir::Text>(&part.is)) {
            add(text->text);
        } else if (const auto *image = std::get_if<ir::Image>(&part.is)) {
            add(image->source.data);
        } else if (const auto *document = std::get_if<ir::Document>(&part.is)) {
            add(document->source.data);
        } else if (const auto *result = std::get_if<ir::ToolResult>(&part.is)) {
            size += size_of_long_texts(result->parts);
        }
    }
    return size;
}

// Of a request as it will be written, more or less: memory for a body of megabytes is taken once.
size_t rendered_size(const ir::Request &request, size_t body_size, bool is_borrowing) {
    constexpr size_t kMembers = 512;
    constexpr size_t kFrame = 64;
    size_t frames = request.turns.size() + request.tools.size();
    size_t borrowed = 0;
    for (const ir::Turn &turn : request.turns) {
        frames += turn.parts.size();
        borrowed += is_borrowing ? size_of_long_texts(turn.parts) : 0;
    }
    return body_size - std::min(body_size, borrowed) + kMembers + kFrame * frames;
}

// What was made, and between it what stays in the client's bytes.
void put_pieces(ByteBuffer made, const std::vector<json::Borrowed> &borrowed,
                OutgoingRequest &out) {
    out.made = std::move(made);
    std::string_view all = out.made.view();
    size_t at = 0;
    out.body.reserve(2 * borrowed.size() + 1);
    for (const json::Borrowed &text : borrowed) {
        out.body.push_back(all.substr(at, text.at - at));
        out.body.push_back(text.bytes);
        at = text.at;
    }
    out.body.push_back(all.substr(at));
}

Status translate(LlmRequest &request, const Target &target, const Dialect &spoken,
                 const Provider &provider, std::string_view prefill, OutgoingRequest &out) {
    LLM_TRY(parse_for_translation(request));
    Prefilled prefilled(*request.ir, prefill, request.arena);
    LLM_TRY(check_state(*request.ir, spoken.id));
    if (target.without_reasoning) {
        for (ir::Turn &turn : request.ir->turns) {
            std::erase_if(turn.parts, [](const ir::Part &part) {
                return std::holds_alternative<ir::Reasoning>(part.is);
            });
        }
    }
    ByteBuffer rendered;
    // A body that is read again here has to be in one piece.
    bool is_borrowing = !request.is_count() && provider.params.empty();
    rendered.reserve(rendered_size(*request.ir, request.body.view().size(), is_borrowing));
    json::Writer writer(rendered);
    std::vector<json::Borrowed> borrowed;
    if (is_borrowing) {
        writer.borrow(request.body.view(), borrowed);
    }
    auto render = request.is_count() ? spoken.render_count : spoken.render_request;
    LLM_TRY(render(*request.ir, target, request.arena, writer, request.notes));
    if (is_borrowing) {
        put_pieces(std::move(rendered), borrowed, out);
        return {};
    }
    if (!request.is_count()) {
        put_made_body(std::move(rendered), provider, out);
        return {};
    }
    if (target.carrier == Carrier::bedrock) {
        json::Writer around(out.made);
        anthropic::render_invoke_count(rendered.view(), around);
    } else {
        out.made = std::move(rendered);
    }
    out.body.push_back(out.made.view());
    return {};
}

// In turn; after one that could not be reached, the next.
const Endpoint &choose_endpoint(LlmRequest &request, const Speech &speech) {
    Plan &plan = request.plan;
    const Tried &tried = plan.tried[request.next_candidate - 1];
    size_t count = speech.endpoints.size();
    plan.url_count = unsigned(count);
    if (count == 1) {
        return speech.endpoints[0];
    }
    plan.url = tried.failed_urls > 0 ? plan.url + 1 : unsigned(worker().next_id() % count);
    return speech.endpoints[plan.url % count];
}

// With a key that this request has not seen refused.
Call make_call(LlmRequest &request, const Provider &provider, const Speech &speech,
               const Endpoint &endpoint, bool same_dialect) {
    Plan &plan = request.plan;
    plan.key_count = unsigned(provider.api_keys.size());
    plan.key = 0;
    if (plan.key_count > 1) {
        plan.key = choose_key(request.config, *request.candidate().deployment,
                              plan.tried[request.next_candidate - 1].failed_keys);
    }
    Call call{provider, speech, endpoint};
    call.key = plan.key;
    call.r = request.r;
    call.is_stream = request.is_stream();
    call.is_unread = request.is_raw || request.is_other();
    call.same_dialect = same_dialect;
    return call;
}

// To the first of the provider's ways of speaking that has the endpoint.
Status build_other(LlmRequest &request, const Candidate &candidate, OutgoingRequest &out) {
    const Provider &provider = *candidate.deployment->provider;
    for (const Speech &speech : provider.speeches) {
        std::string path =
            other_path(*request.endpoint.other, speech.dialect->id, speech.chat_path);
        if (path.empty()) {
            continue;
        }
        const Endpoint &endpoint = choose_endpoint(request, speech);
        out.endpoint = &endpoint;
        LLM_TRY(splice_other_body(request, candidate.upstream_model, out));
        Call call = make_call(request, provider, speech, endpoint, true);
        return build_head(call, "POST", fill_model(path, candidate.upstream_model), body_size(out),
                          out);
    }
    return unsupported("the provider has no endpoint for such requests", "model");
}

// Of a body that is the client's own, as nginx's proxy does it: no word of the length where the
// client said none, and the length 0 where it did.
std::optional<size_t> stated_size(const LlmRequest &request) {
    size_t size = request.body.view().size();
    bool is_stated = size > 0 || request.r->headers_in.content_length_n >= 0;
    return is_stated ? std::optional(size) : std::nullopt;
}

// Reading, cancelling or deleting an answer by its keeper's name.
Status build_kept(LlmRequest &request, const Candidate &candidate, const Speech &speech,
                  const Endpoint &endpoint, OutgoingRequest &out) {
    if (speech.dialect != request.client) {
        return unsupported("the provider keeps no answers", "response_id");
    }
    std::string path = fill_model(speech.chat_path, candidate.upstream_model);
    std::string query = path.find('?') == std::string::npos ? "" : path.substr(path.find('?'));
    path.resize(path.size() - query.size());
    path.append("/");
    encode_path_segment(request.kept_id, path);
    path.append(request.endpoint.kept_rest).append(query);
    append_query(request, path);
    if (!request.body.view().empty()) {
        out.body.push_back(request.body.view());
    }
    out.is_head = request.r->method == NGX_HTTP_HEAD;
    Call call = make_call(request, *candidate.deployment->provider, speech, endpoint, true);
    bool is_post = request.r->method == NGX_HTTP_POST;  // some servers want to be told of nothing
    return build_head(call, view(request.r->method_name), path,
                      is_post ? body_size(out) : stated_size(request), out);
}

}  // namespace

Target target_of(const Deployment &deployment, std::string_view model, const Speech &speech,
                 Arena &arena) {
    const Provider &provider = *deployment.provider;
    Target target;
    target.traits = deployment.traits.empty()
                        ? provider.traits_of(speech.dialect->id, model)
                        : deployment.traits[size_t(&speech - provider.speeches.data())];
    target.model = sent_model(target.traits, model, arena);
    target.carrier = speech.carrier;
    return target;
}

void put_made_body(ByteBuffer body, const Provider &provider, OutgoingRequest &out) {
    out.made = std::move(body);
    std::vector<Edit> edits;
    if (!provider.params.empty()) {
        out.made.room(json::kPadding);
        if (Result<json::Value> root = worker().parse(out.made.view())) {
            MissingParams(provider, *root).add_to(edits);
        }
    }
    put_together(out.made.view(), edits, out);
}

size_t body_size(const OutgoingRequest &out) {
    size_t size = 0;
    for (std::string_view piece : out.body) {
        size += piece.size();
    }
    return size;
}

unsigned choose_key(const Config &config, const Deployment &deployment, uint32_t refused) {
    size_t count = deployment.provider->api_keys.size();
    uint32_t parked = parked_keys(config, deployment.slot);
    auto turn = size_t(worker().next_id() % count);
    auto chosen = unsigned(turn);
    for (uint32_t avoid : {refused, refused | parked}) {
        for (size_t i = 0; i < count; i++) {
            size_t key = (turn + i) % count;
            if (key >= 32 || (avoid >> key & 1) == 0) {
                chosen = unsigned(key);
                break;
            }
        }
    }
    return chosen;
}

Status build_request(LlmRequest &request, const Candidate &candidate, OutgoingRequest &out) {
    const Provider &provider = *candidate.deployment->provider;
    if (provider.is_mock()) {
        if (request.is_other() || request.is_kept()) {
            return unsupported("the mock has no such endpoint", "model");
        }
        return parse_for_translation(request);
    }
    if (request.is_raw) {
        const Speech &speech = provider.speeches.front();
        const Endpoint &endpoint = choose_endpoint(request, speech);
        out.endpoint = &endpoint;
        if (!request.body.view().empty()) {
            out.body.push_back(request.body.view());
        }
        out.is_head = request.r->method == NGX_HTTP_HEAD;
        Call call = make_call(request, provider, speech, endpoint, true);
        call.beta_flags = beta_flags(request, provider, speech);
        return build_head(call, view(request.r->method_name), raw_target(request, endpoint),
                          stated_size(request), out);
    }
    if (request.is_other()) {
        return build_other(request, candidate, out);
    }
    const Speech &speech = provider.speech_for(*request.client);
    const Endpoint &endpoint = choose_endpoint(request, speech);
    out.endpoint = &endpoint;
    if (request.keeper != nullptr && &provider != request.keeper) {
        return unsupported("only the provider that keeps it could look it up",
                           "previous_response_id");
    }
    if (request.is_kept()) {
        return build_kept(request, candidate, speech, endpoint, out);
    }
    if (request.is_count() && speech.count_path.empty()) {
        return unsupported("the provider does not count tokens", "model");
    }
    if (speech.dialect != request.client && !speech.dialect->is_provider()) {
        return unsupported("the provider has no endpoint for such requests", "model");
    }
    Call call = make_call(request, provider, speech, endpoint, speech.dialect == request.client);
    Target target = make_target(request, candidate, speech);
    if (call.same_dialect) {
        target.beta_flags = call.beta_flags = beta_flags(request, provider, speech);
    }
    // Other carriers' counters have forms of their own.
    std::string_view prefill = request.answer.prefill(*speech.dialect, target.traits);
    bool is_spliced = call.same_dialect && prefill.empty() &&
                      (!request.is_count() || speech.carrier == Carrier::direct);
    if (is_spliced) {
        LLM_TRY(splice(request, target, provider, out));
    } else {
        LLM_TRY(translate(request, target, *speech.dialect, provider, prefill, out));
    }
    return build_chat_head(call, request, candidate.upstream_model, body_size(out), out);
}

}  // namespace llm
