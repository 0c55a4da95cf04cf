// See outgoing_head.hpp.
#include "ngx_llm_module/upstream/outgoing_head.hpp"

#include <algorithm>
#include <optional>

#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/upstream/credentials.hpp"
#include "ngx_llm_module/upstream/outgoing_path.hpp"
#include "ngx_llm_module/upstream/worker.hpp"
#include "translators/dialect/anthropic_beta.hpp"
#include "translators/provider/request_head.hpp"
#include "translators/provider/sigv4.hpp"

namespace llm {
namespace {

// The client's headers that go on to a provider of its own dialect.
// Those with a dialect go to providers of that dialect only.
struct Forwarded {
    std::string_view name;
    std::optional<DialectId> only;
};

constexpr Forwarded kForwarded[] = {
    {kAnthropicVersion, DialectId::anthropic},
    {"openai-beta", DialectId::openai},
    {"idempotency-key", {}},
    {"traceparent", {}},
    {"tracestate", {}},
};

// Where the version and the flags of an API are members of the body.
bool goes_in_body(std::string_view name, const Speech &speech) {
    return (speech.carrier == Carrier::bedrock && name.starts_with("anthropic-")) ||
           (speech.carrier == Carrier::vertex && name == kAnthropicVersion);
}

// Those that go on with what is forwarded unread: which part is wanted, and when.
constexpr std::string_view kConditions[] = {
    "range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since",
};

constexpr std::string_view kBeta = "anthropic-beta";

// The client's header lines that go on, repeated ones too: flags may be spread over several.
std::vector<HeaderLine> forwarded_headers(const Call &call) {
    std::vector<HeaderLine> lines;
    DialectId spoken = call.speech.dialect->id;
    for (ngx_list_part_t *part = &call.r->headers_in.headers.part; part != nullptr;
         part = part->next) {
        auto *headers = static_cast<ngx_table_elt_t *>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            for (const auto &[name, only] : kForwarded) {
                if (headers[i].hash != 0 && wire::same_name(view(headers[i].key), name) &&
                    only.value_or(spoken) == spoken && !goes_in_body(name, call.speech) &&
                    !(name == kAnthropicVersion && view(headers[i].value) == kUsualVersion)) {
                    lines.push_back({name, view(headers[i].value)});
                }
            }
        }
    }
    if (!call.beta_flags.empty() && !goes_in_body(kBeta, call.speech)) {
        lines.push_back({kBeta, call.beta_flags});
    }
    return lines;
}

// Adds what proves that the head and the body are ours; both are complete otherwise. `target` is
// what stands in the request line.
void sign_request(const Call &call, std::string_view method, std::string_view target,
                  std::string_view host, OutgoingRequest &out) {
    ngx_http_request_t *r = call.r;
    const AwsAccount &aws = call.provider.aws;
    size_t question = target.find('?');
    SigV4Request request;
    request.method = method;
    request.host = host;
    request.path = target.substr(0, question);
    request.query = question == std::string_view::npos ? "" : target.substr(question + 1);
    request.payload = out.body;
    request.key_id = aws.id.get(r);
    request.secret = aws.secret.get(r);
    request.session_token = aws.token.get(r);
    request.region = call.provider.variable("region");
    request.service = call.provider.auth.service;
    request.time = int64_t(ngx_time());
    for (const SigV4Header &line : sign_sigv4(request)) {
        add_header_line(line.name, line.value, out.head);
    }
}

// The lines of a head and what they are made of. The key was chosen.
class Head {
  public:
    explicit Head(const Call &call) : call_(call) {
        for (const ProviderHeader &header : call.provider.headers) {
            // Without a client there is nothing that variables could tell.
            if (call.r != nullptr || header.value.variable == nullptr) {
                configured_.push_back({header.name, header.value.get(call.r)});
            }
        }
        if (call.is_unread) {
            std::string_view accept = client_header(call.r, "accept");
            content_.push_back({"content-type", client_header(call.r, "content-type")});
            content_.push_back({"content-encoding", client_header(call.r, "content-encoding")});
            content_.push_back({"accept", accept.empty() ? "*/*" : accept});
            for (std::string_view name : kConditions) {
                if (std::string_view value = client_header(call.r, name); !value.empty()) {
                    content_.push_back({name, value});
                }
            }
        }
        parts_.base_path = call.endpoint.path;
        parts_.host = call.endpoint.host_header;
        parts_.user_agent = "ngx_http_llm_module";
        parts_.dialect = call.speech.dialect;
        parts_.carrier = call.speech.carrier;
        parts_.is_stream = call.is_stream;
        parts_.auth = call.provider.auth;
        if (!call.provider.api_keys.empty()) {
            parts_.key = call.provider.api_keys[call.key].get(call.r);
        }
        parts_.configured = configured_;
        parts_.content = content_;
        if (call.provider.preset != nullptr) {
            parts_.fixed = call.provider.preset->headers;
        }
    }
    Head(const Head &) = delete;
    Head &operator=(const Head &) = delete;

    Status write(std::string_view method, std::string_view path, std::optional<size_t> body_size,
                 std::span<const HeaderLine> forwarded, OutgoingRequest &out);

    // Without what differs from one request to the next.
    std::string lines(std::string_view path) {
        std::string text;
        parts_.path = path;
        append_lines(parts_, text);
        return text;
    }

  private:
    const Call &call_;
    std::vector<HeaderLine> configured_;
    std::vector<HeaderLine> content_;
    RequestHead parts_;
};

Status Head::write(std::string_view method, std::string_view path, std::optional<size_t> body_size,
                   std::span<const HeaderLine> forwarded, OutgoingRequest &out) {
    if (CredentialSource *source = worker().credentials(call_.provider)) {
        if (source->token().empty()) {
            return Error{Errc::internal, "there is no access token for the provider"};
        }
        parts_.key = source->token();
    }
    parts_.method = method;
    parts_.path = path;
    parts_.body_size = body_size;
    parts_.forwarded = forwarded;
    append_head(parts_, out.head);
    if (parts_.auth.kind == AuthKind::sigv4 && !is_configured(configured_, "authorization")) {
        sign_request(call_, method, std::string(parts_.base_path).append(path), head_host(parts_),
                     out);
    }
    out.head.append("\r\n");
    return {};
}

// Do all lines stand in the configuration?
bool is_constant(const Call &call) {
    auto is_variable = [](const Value &value) { return value.variable != nullptr; };
    return call.provider.auth.kind != AuthKind::sigv4 &&
           worker().credentials(call.provider) == nullptr &&
           std::none_of(call.provider.api_keys.begin(), call.provider.api_keys.end(),
                        is_variable) &&
           std::none_of(call.provider.headers.begin(), call.provider.headers.end(),
                        [&](const ProviderHeader &header) { return is_variable(header.value); });
}

}  // namespace

std::string_view beta_flags(LlmRequest &request, const Provider &provider, const Speech &speech) {
    if (speech.dialect->id != DialectId::anthropic) {
        return {};
    }
    std::string flags;
    for (ngx_list_part_t *part = &request.r->headers_in.headers.part; part != nullptr;
         part = part->next) {
        auto *headers = static_cast<ngx_table_elt_t *>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (headers[i].hash != 0 && wire::same_name(view(headers[i].key), kBeta)) {
                flags.append(flags.empty() ? "" : ",").append(view(headers[i].value));
            }
        }
    }
    if (flags.empty()) {
        return {};
    }
    bool is_official = provider.preset != nullptr && provider.preset->is_official;
    return request.arena.copy(anthropic::beta_flags_for(flags, speech.carrier, is_official));
}

Status build_head(const Call &call, std::string_view method, std::string_view path,
                  std::optional<size_t> body_size, OutgoingRequest &out) {
    std::vector<HeaderLine> forwarded;
    if (call.same_dialect) {
        forwarded = forwarded_headers(call);
    }
    return Head(call).write(method, path, body_size, forwarded, out);
}

Status build_chat_head(const Call &call, const LlmRequest &request, std::string_view model,
                       size_t body_size, OutgoingRequest &out) {
    std::vector<HeaderLine> forwarded;
    if (call.same_dialect) {
        forwarded = forwarded_headers(call);
    }
    if (!forwarded.empty() || request.is_count() || request.only_provider != nullptr ||
        !is_constant(call)) {
        return Head(call).write("POST", chat_target(request, call.speech, model), body_size,
                                forwarded, out);
    }
    KnownHead &known = worker().known_head(call.endpoint, model, call.is_stream);
    if (!known.is_of(call.speech, call.endpoint, model, call.is_stream, call.key)) {
        known = {&call.speech, &call.endpoint, std::string(model), call.is_stream, call.key, {}};
        known.lines = Head(call).lines(chat_target(request, call.speech, model));
    }
    out.head.reserve(known.lines.size() + 64);
    out.head.append(known.lines);
    append_content_length(body_size, out.head);
    out.head.append("\r\n");
    return {};
}

}  // namespace llm
