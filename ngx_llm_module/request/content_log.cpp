// Writing of the content log. A key must not be in it: those that this request brought, those of
// our providers, and what looks like one.
#include "ngx_llm_module/request/content_log.hpp"

#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"

namespace llm {
namespace {

constexpr std::string_view kRedacted = "[key]";

// What keys begin with, and how much must follow.
struct KeyForm {
    std::string_view prefix;
    size_t least;
};

constexpr KeyForm kKeyForms[] = {
    {"sk-", 12},  {"sk_", 16},         {"rk-", 16},   {"AIza", 30}, {"AKIA", 16},
    {"ASIA", 16}, {"gsk_", 16},        {"hf_", 16},   {"xai-", 16}, {"pplx-", 16},
    {"ghp_", 20}, {"github_pat_", 20}, {"xoxb-", 16}, {"eyJ", 40},  {"Bearer ", 8},
};

constexpr std::string_view kKeyHeaders[] = {"authorization", "x-api-key", "api-key",
                                            "x-goog-api-key"};
constexpr size_t kLeastSecret = 6;

bool is_key_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '+' || c == '=' || c == '/';
}

void replace_all(std::string &text, std::string_view secret) {
    if (secret.size() < kLeastSecret) {
        return;
    }
    for (size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at)) {
        text.replace(at, secret.size(), kRedacted);
        at += kRedacted.size();
    }
}

std::string clean(const LlmRequest &request, std::string text) {
    for (std::string_view name : kKeyHeaders) {
        std::string_view secret = client_header(request.r, name);
        size_t blank = secret.rfind(' ');
        replace_all(text, blank == std::string_view::npos ? secret : secret.substr(blank + 1));
    }
    for (const auto &provider : request.config.providers) {
        for (const Value &key : provider->api_keys) {
            replace_all(text, key.fixed);
        }
    }
    return redact_keys(text);
}

// As nginx does for its access logs: on a disk that is full the log of errors may stand as well.
void say_failed(const LlmRequest &request, const ngx_open_file_t &file, ngx_err_t error) {
    constexpr time_t kPause = 60;
    static time_t said = 0;
    if (said == 0 || ngx_time() - said >= kPause) {
        said = ngx_time();
        ngx_log_error(NGX_LOG_ALERT, request.r->connection->log, error,
                      "llm: writing to \"%V\" failed", &file.name);
    }
}

}  // namespace

std::string redact_keys(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    size_t at = 0;
    while (at < text.size()) {
        // Only at the begin of a word.
        bool is_begin =
            at == 0 || !is_key_char(text[at - 1]) || text[at - 1] == '=' || text[at - 1] == '/';
        size_t taken = 0;
        for (const KeyForm &form : kKeyForms) {
            if (!is_begin || !text.substr(at).starts_with(form.prefix)) {
                continue;
            }
            size_t end = at + form.prefix.size();
            while (end < text.size() && is_key_char(text[end])) {
                end++;
            }
            if (end - at - form.prefix.size() >= form.least) {
                taken = end - at;
                break;
            }
        }
        if (taken > 0) {
            out.append(kRedacted);
            at += taken;
        } else {
            out.push_back(text[at++]);
        }
    }
    return out;
}

void ContentLog::write(LlmRequest &request) {
    ngx_open_file_t *file = request.loc.content_log;
    if (file == nullptr || file->fd == NGX_INVALID_FILE) {
        return;
    }
    ngx_str_t now = {ngx_cached_http_log_iso8601.len, ngx_cached_http_log_iso8601.data};
    ByteBuffer out;
    json::Writer w(out);
    w.object().key("time").plain(view(now)).key("id").plain(request.id);
    w.key("key").plain(request.identity.key != nullptr ? request.identity.key->hash
                                                       : std::string_view());
    w.key("model").plain(request.model).key("outcome").plain(name(request.ledger.outcome));
    w.key("request").plain(clean(request, std::move(asked_.text)));
    w.key("request_bytes").number(int64_t(asked_.size));
    w.key("answer").plain(clean(request, std::move(answered_.text)));
    w.key("answer_bytes").number(int64_t(answered_.size)).end();
    out.append("\n");
    std::string_view line = out.view();
    // One call: lines of several workers do not mix.
    ssize_t written = ngx_write_fd(file->fd, const_cast<char *>(line.data()), line.size());
    if (written != ssize_t(line.size())) {
        say_failed(request, *file, written == -1 ? ngx_errno : 0);
    }
}

}  // namespace llm
