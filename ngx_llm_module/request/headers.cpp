// Which headers reach the client. A provider's own ones do not, except those that carry its id of
// the request: they tell organisation names, limits of our account, cookies.
#include "ngx_llm_module/request/headers.hpp"

#include <charconv>
#include <span>

#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/pricing.hpp"

namespace llm {
namespace {

// As the client sees them: what stands behind the prefix is the provider's own name.
constexpr std::string_view kCacheControl = "cache-control";

constexpr std::string_view kOwnPrefix = "llm-provider-";
constexpr std::string_view kRequestIdHeaders[] = {
    "llm-provider-x-request-id",      "llm-provider-request-id",
    "llm-provider-apim-request-id",   "llm-provider-x-amzn-requestid",
    "llm-provider-x-goog-request-id", "llm-provider-mistral-correlation-id",
    "llm-provider-x-debug-trace-id",
};

// Of an answer that is forwarded unread, these come through as they are.
constexpr std::string_view kRawHeaders[] = {
    // what the body is
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-range",
    // whether it can be kept, or asked for in parts
    "accept-ranges",
    "cache-control",
    "etag",
    "expires",
    "last-modified",
    // what to ask next
    "allow",
    "location",
    "retry-after",
    "retry-after-ms",
};

bool is_one_of(std::string_view name, std::span<const std::string_view> list) {
    for (std::string_view known : list) {
        if (wire::same_name(name, known)) {
            return true;
        }
    }
    return false;
}

// What a provider lets caches do, for one caller: whoever has no key must not get it from them.
std::string without_sharing(std::string_view control) {
    std::string own = "private";
    while (!control.empty()) {
        std::string_view word = control.substr(0, control.find(','));
        control.remove_prefix(std::min(control.size(), word.size() + 1));
        word = trim(word);
        std::string_view name = word.substr(0, word.find('='));
        if (!word.empty() && !wire::same_name(name, "public") &&
            !wire::same_name(name, "private") && !wire::same_name(name, "s-maxage")) {
            own.append(", ").append(word);
        }
    }
    return own;
}

std::string_view find_header(const ngx_list_t &list, std::string_view name) {
    for (const ngx_list_part_t *part = &list.part; part != nullptr; part = part->next) {
        auto *headers = static_cast<const ngx_table_elt_t *>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (headers[i].hash != 0 && wire::same_name(view(headers[i].key), name)) {
                return view(headers[i].value);
            }
        }
    }
    return {};
}

bool put_header(ngx_http_request_t *r, std::string_view name, ngx_str_t value) {
    ngx_table_elt_t *header =
        value.data != nullptr ? push_header(&r->headers_out.headers) : nullptr;
    if (header == nullptr) {
        return false;
    }
    header->hash = 1;
    header->key = str(name);
    header->value = value;
    return true;
}

// A value that lives as long as the request.
void add_lasting(ngx_http_request_t *r, std::string_view name, std::string_view value) {
    if (!wire::has_control(value)) {
        put_header(r, name, str(value));
    }
}

void add_number(ngx_http_request_t *r, std::string_view name, uint64_t number) {
    char text[NGX_INT64_LEN];
    char *end = std::to_chars(text, text + sizeof(text), number).ptr;
    put_header(r, name, copy_str(r->pool, {text, size_t(end - text)}));
}

}  // namespace

std::string_view trim(std::string_view text) {
    while (!text.empty() && text.front() == ' ') {
        text.remove_prefix(1);
    }
    while (!text.empty() && text.back() == ' ') {
        text.remove_suffix(1);
    }
    return text;
}

bool add_header(ngx_http_request_t *r, std::string_view name, std::string_view value) {
    if (wire::has_control(value)) {
        return true;  // would be another header line: left out
    }
    return put_header(r, name, copy_str(r->pool, value));
}

// It was made for one key, which may stand where no cache looks for it.
void forbid_caching(ngx_http_request_t *r) {
    if (find_header(r->headers_out.headers, kCacheControl).empty()) {
        add_lasting(r, kCacheControl, "no-store");
    }
}

void add_answer_headers(LlmRequest &request) {
    ngx_http_request_t *r = request.r;
    forbid_caching(r);
    add_lasting(r, "x-llm-request-id", request.id);
    if (!request.model.empty()) {
        add_lasting(r, "x-llm-model", request.model);
    }
    request.limits.add_headers();
    if (request.next_candidate == 0) {
        return;
    }
    const Deployment &deployment = *request.candidate().deployment;
    add_lasting(r, "x-llm-provider", deployment.provider->name);
    add_lasting(r, "x-llm-deployment", deployment.id);
    add_number(r, "x-llm-attempts", request.ledger.attempts);
    add_number(r, "x-llm-fallbacks", request.ledger.fallbacks);
    add_number(r, "x-llm-overhead-ms", overhead_ms(request));
    // A length is known of whole answers: all that they cost is known, too, but where the bytes
    // that are still to come may tell it.
    bool is_told = !request.answer.is_unread() || request.ledger.units.are_given;
    if (r->headers_out.content_length_n >= 0 && is_told && !request.is_raw && !request.is_count() &&
        !request.is_kept()) {
        book_cost(request);
        add_header(r, "x-llm-cost", dollars(request.ledger.cost));
    }
    for (const auto &[name, value] : request.ledger.provider_headers) {
        add_header(r, name, value);
    }
    if (!request.notes.dropped.empty()) {
        std::string names;
        for (std::string_view name : request.notes.dropped) {
            if (names.size() > 1024) {
                break;
            }
            names.append(names.empty() ? "" : ", ").append(name);
        }
        add_header(r, "x-llm-dropped-params", names);
    }
}

void note_provider_headers(LlmRequest &request, const wire::HttpHead &head) {
    auto &kept = request.ledger.provider_headers;
    kept.clear();
    for (const wire::HttpHeader &header : head.headers()) {
        for (std::string_view name : kRequestIdHeaders) {
            if (wire::same_name(header.name, name.substr(kOwnPrefix.size())) && kept.size() < 8) {
                kept.emplace_back(name, header.value);
            }
        }
    }
    // On a good answer it says nothing about failure.
    request.ledger.retry_after =
        head.status() >= 400 ? std::string(head.find("retry-after")) : std::string();
}

bool commit_raw(LlmRequest &request, const wire::HttpHead &head) {
    for (const wire::HttpHeader &header : head.headers()) {
        if (wire::same_name(header.name, kCacheControl) && request.config.has_keys()) {
            add_header(request.r, kCacheControl, without_sharing(header.value));
        } else if (is_one_of(header.name, kRawHeaders)) {
            ngx_str_t name = copy_str(request.r->pool, header.name);
            add_header(request.r, view(name), header.value);
        }
    }
    std::string_view length = head.find("content-length");
    off_t size = length.empty() ? -1 : ngx_atoof((u_char *)length.data(), length.size());
    request.ledger.first_content = ngx_current_msec;
    return request.downstream.begin_raw(head.status(), head.find("content-type"), size);
}

std::string_view client_header(ngx_http_request_t *r, std::string_view name) {
    return find_header(r->headers_in.headers, name);
}

}  // namespace llm
