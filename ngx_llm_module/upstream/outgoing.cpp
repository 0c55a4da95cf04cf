// Builds the request for a provider. Same dialect: the client's bytes with a few edits, as slices
// of the one body. Another dialect: rendered from the IR. Nothing of the client's credentials is
// ever looked at here, so nothing of them can travel on.
#include "ngx_llm_module/upstream/outgoing.hpp"

#include <optional>

#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/upstream/worker.hpp"
#include "translators/dialect/client_state.hpp"
#include "translators/provider/model_traits.hpp"

namespace llm {
namespace {

// The client's headers that go on to a provider of its own dialect.
// Those with a dialect go to providers of that dialect only.
struct Forwarded {
    std::string_view name;
    std::optional<DialectId> only;
};

constexpr std::string_view kVersion = "anthropic-version";

constexpr Forwarded kForwarded[] = {
    {kVersion, DialectId::anthropic},
    {"anthropic-beta", DialectId::anthropic},
    {"openai-beta", DialectId::openai},
    {"idempotency-key", {}},
    {"traceparent", {}},
    {"tracestate", {}},
};

void add_line(std::string &head, std::string_view name, std::string_view value) {
    for (unsigned char c : value) {
        if (c < 0x20 || c == 0x7f) {
            return;  // would be another header line
        }
    }
    head.append(name).append(": ").append(value).append("\r\n");
}

AuthKind auth_kind(const Provider &provider) {
    if (provider.preset != nullptr) {
        return provider.preset->auth;
    }
    return provider.dialect->id == DialectId::anthropic ? AuthKind::x_api_key : AuthKind::bearer;
}

void add_credentials(LlmRequest &request, const Provider &provider, std::string &head) {
    if (provider.api_keys.empty()) {
        return;
    }
    size_t turn =
        provider.api_keys.size() == 1 ? 0 : size_t(worker().next_id() % provider.api_keys.size());
    std::string_view key = provider.api_keys[turn].get(request.r);
    if (key.empty()) {
        return;
    }
    if (auth_kind(provider) == AuthKind::x_api_key) {
        add_line(head, "x-api-key", key);
    } else {
        add_line(head, "authorization", std::string("Bearer ").append(key));
    }
}

// What the operator set for a provider, with nothing of ours beside it.
bool is_set(LlmRequest &request, const Provider &provider, std::string_view name) {
    for (const ProviderHeader &header : provider.headers) {
        if (wire::same_name(header.name, name) && !header.value.get(request.r).empty()) {
            return true;
        }
    }
    return false;
}

// The client's header lines that go on, repeated ones too: flags may be spread over several.
// `has_version` tells whether it named the API's version.
void forward_headers(LlmRequest &request, const Provider &provider, std::string &head,
                     bool &has_version) {
    for (ngx_list_part_t *part = &request.r->headers_in.headers.part; part != nullptr;
         part = part->next) {
        auto *headers = static_cast<ngx_table_elt_t *>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            for (const auto &[name, only] : kForwarded) {
                if (headers[i].hash == 0 || !wire::same_name(view(headers[i].key), name) ||
                    only.value_or(provider.dialect->id) != provider.dialect->id ||
                    is_set(request, provider, name)) {
                    continue;
                }
                add_line(head, name, view(headers[i].value));
                has_version = has_version || name == kVersion;
            }
        }
    }
}

void build_head(LlmRequest &request, const Provider &provider, const Endpoint &endpoint,
                std::string_view method, std::string_view path, size_t body_size, bool same_dialect,
                std::string &head) {
    head.reserve(512);
    head.append(method).append(" ").append(endpoint.path).append(path).append(" HTTP/1.1\r\n");
    for (const ProviderHeader &header : provider.headers) {
        std::string_view value = header.value.get(request.r);
        if (!value.empty()) {
            add_line(head, header.name, value);
        }
    }
    auto add_own = [&](std::string_view name, std::string_view value) {
        if (!value.empty() && !is_set(request, provider, name)) {
            add_line(head, name, value);
        }
    };
    add_own("host", endpoint.host_header);
    if (request.is_raw) {
        std::string_view accept = client_header(request.r, "accept");
        add_own("content-type", client_header(request.r, "content-type"));
        add_own("content-encoding", client_header(request.r, "content-encoding"));
        add_own("accept", accept.empty() ? "*/*" : accept);
    } else {
        add_own("content-type", "application/json");
        add_own("accept", request.is_stream() ? "text/event-stream" : "application/json");
    }
    add_own("accept-encoding", "identity");
    add_own("user-agent", "ngx_http_llm_module");
    if (body_size > 0 || method != "GET") {
        head.append("content-length: ").append(std::to_string(body_size)).append("\r\n");
    }
    if (!is_set(request, provider, "authorization") && !is_set(request, provider, "x-api-key")) {
        add_credentials(request, provider, head);
    }
    bool has_version = false;
    if (same_dialect) {
        forward_headers(request, provider, head, has_version);
    }
    if (provider.preset != nullptr) {
        for (const FixedHeader &header : provider.preset->headers) {
            if (header.name != kVersion || !has_version) {
                add_own(header.name, header.value);
            }
        }
    } else if (provider.dialect->id == DialectId::anthropic && !has_version) {
        add_own(kVersion, "2023-06-01");
    }
    head.append("\r\n");
}

size_t size_of(const std::vector<std::string_view> &pieces) {
    size_t size = 0;
    for (std::string_view piece : pieces) {
        size += piece.size();
    }
    return size;
}

// Default members of the provider's configuration, for what the request does not say: put in
// behind the opening brace.
std::string missing_params(const Provider &provider, json::Value root) {
    std::string text;
    for (const ProviderParam &param : provider.params) {
        if (root.find(param.name).absent()) {
            text.append("\"").append(param.name).append("\":").append(param.json).append(",");
        }
    }
    if (!text.empty() && root.size() == 0) {
        text.pop_back();
    }
    return text;
}

Target make_target(const LlmRequest &request, const Candidate &candidate) {
    const Provider &provider = *candidate.deployment->provider;
    Target target;
    target.model = candidate.upstream_model;
    target.traits = provider.preset != nullptr
                        ? preset_traits(*provider.preset, candidate.upstream_model)
                        : model_traits(provider.dialect->id, candidate.upstream_model, false);
    target.drop_params = request.drop_params();
    return target;
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
    LLM_TRY(request.client->splice_request(*root, request.envelope, target, edits));
    std::string params = missing_params(provider, *root);
    if (!params.empty()) {
        uint32_t behind_brace = root->offset() + 1;
        edits.insert(edits.begin(), Edit{behind_brace, behind_brace, std::move(params)});
    }
    // The texts of all edits in one string, so that the pieces stay where they are.
    for (const Edit &edit : edits) {
        out.made.insert(out.made.end(), edit.text.begin(), edit.text.end());
    }
    size_t at = 0;
    size_t made = 0;
    out.body.reserve(2 * edits.size() + 1);
    for (const Edit &edit : edits) {
        out.body.push_back(body.substr(at, edit.begin - at));
        out.body.emplace_back(out.made.data() + made, edit.text.size());
        made += edit.text.size();
        at = edit.end;
    }
    out.body.push_back(body.substr(at));
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
    }
    return parsed;
}

Status translate(LlmRequest &request, const Target &target, const Provider &provider,
                 OutgoingRequest &out) {
    LLM_TRY(parse_for_translation(request));
    LLM_TRY(check_state(*request.ir, provider.dialect->id));
    ByteBuffer rendered;
    rendered.reserve(request.body.view().size() + 512);
    json::Writer writer(rendered);
    LLM_TRY(provider.dialect->render_request(*request.ir, target, request.arena, writer,
                                             request.notes));
    std::string_view body = rendered.view();
    out.made.assign(body.begin(), body.end());
    if (!provider.params.empty()) {
        Result<json::Value> root = worker().parse_unpadded(body);
        std::string params = root ? missing_params(provider, *root) : std::string();
        out.made.insert(out.made.begin() + 1, params.begin(), params.end());
    }
    out.body.emplace_back(out.made.data(), out.made.size());
    return {};
}

// The client's query, but for ?key=, which is a credential.
void append_query(const LlmRequest &request, std::string &target) {
    std::string_view args = view(request.r->args);
    char separator = '?';
    while (!args.empty()) {
        std::string_view one = args.substr(0, args.find('&'));
        args.remove_prefix(one.size() == args.size() ? one.size() : one.size() + 1);
        if (!one.empty() && !one.starts_with("key=")) {
            target.append(1, separator).append(one);
            separator = '&';
        }
    }
}

std::string raw_target(const LlmRequest &request, const Endpoint &endpoint) {
    std::string_view path = request.raw_path;
    // Clients append /v1 to what they think is the host; base URLs often end in it already.
    if (endpoint.path.ends_with("/v1") && (path == "/v1" || path.starts_with("/v1/"))) {
        path.remove_prefix(3);
    }
    std::string target;
    uintptr_t extra =
        2 * ngx_escape_uri(nullptr, (u_char *)path.data(), path.size(), NGX_ESCAPE_URI);
    target.resize(path.size() + extra);
    ngx_escape_uri((u_char *)target.data(), (u_char *)path.data(), path.size(), NGX_ESCAPE_URI);
    append_query(request, target);
    return target;
}

const Endpoint &choose_endpoint(const Provider &provider) {
    size_t count = provider.endpoints.size();
    return provider.endpoints[count == 1 ? 0 : size_t(worker().next_id() % count)];
}

}  // namespace

Status build_request(LlmRequest &request, const Candidate &candidate, OutgoingRequest &out) {
    const Provider &provider = *candidate.deployment->provider;
    if (provider.is_mock()) {
        return parse_for_translation(request);
    }
    const Endpoint &endpoint = choose_endpoint(provider);
    out.endpoint = &endpoint;
    if (request.is_raw) {
        if (!request.body.view().empty()) {
            out.body.push_back(request.body.view());
        }
        out.is_head = request.r->method == NGX_HTTP_HEAD;
        build_head(request, provider, endpoint, view(request.r->method_name),
                   raw_target(request, endpoint), request.body.view().size(), true, out.head);
        return {};
    }
    Target target = make_target(request, candidate);
    bool same_dialect = provider.dialect == request.client;
    if (same_dialect) {
        LLM_TRY(splice(request, target, provider, out));
    } else {
        LLM_TRY(translate(request, target, provider, out));
    }
    std::string path(provider.dialect->chat_path);
    if (same_dialect && request.only_provider != nullptr) {
        append_query(request, path);  // such a location is the provider's own address
    }
    build_head(request, provider, endpoint, "POST", path, size_of(out.body), same_dialect,
               out.head);
    return {};
}

}  // namespace llm
