// The table of client paths. /v1 may be left out everywhere. Gemini's paths hold the model, with
// the operation behind a colon: /v1beta/models/NAME:streamGenerateContent?alt=sse.
#include "ngx_llm_module/request/endpoints.hpp"

namespace llm {
namespace {

struct Row {
    std::string_view path;
    Operation operation;
    std::optional<DialectId> dialect;
    std::string_view allow;
};

constexpr std::string_view kPost = "POST";
constexpr std::string_view kGet = "GET, HEAD";

constexpr Row kRows[] = {
    {"/chat/completions", Operation::chat, DialectId::openai, kPost},
    {"/messages", Operation::chat, DialectId::anthropic, kPost},
    {"/messages/count_tokens", Operation::count_tokens, DialectId::anthropic, kPost},
    {"/responses", Operation::chat, DialectId::responses, kPost},
    {"/responses/input_tokens", Operation::count_tokens, DialectId::responses, kPost},
    {"/completions", Operation::chat, DialectId::completions, kPost},
    {"/models", Operation::list_models, {}, kGet},
    {"/health/liveliness", Operation::liveness, {}, kGet},
    {"/health/liveness", Operation::liveness, {}, kGet},
    {"/health/readiness", Operation::readiness, {}, kGet},
    {"/health", Operation::readiness, {}, kGet},
    {"/", Operation::root, {}, kGet},
    {"", Operation::root, {}, kGet},
};

struct GeminiRow {
    std::string_view name;
    Operation operation;
    bool is_stream;
};

constexpr GeminiRow kGeminiRows[] = {
    {"generateContent", Operation::chat, false},
    {"streamGenerateContent", Operation::chat, true},
    {"countTokens", Operation::count_tokens, false},
};

// What can be done with an answer that a provider keeps: what follows its name.
struct KeptRow {
    std::string_view rest;
    std::string_view allow;
};

constexpr KeptRow kKeptRows[] = {
    {"", "GET, HEAD, DELETE"},
    {"/cancel", kPost},
    {"/input_items", kGet},
};

constexpr std::string_view kResponsesPrefix = "/responses/";
constexpr std::string_view kModelPrefix = "/models/";
constexpr std::string_view kGeminiVersions[] = {"/v1beta", "/v1alpha", "/v1beta1"};

bool has_argument(std::string_view query, std::string_view wanted) {
    while (!query.empty()) {
        std::string_view one = query.substr(0, query.find('&'));
        if (one == wanted) {
            return true;
        }
        query.remove_prefix(one.size() == query.size() ? one.size() : one.size() + 1);
    }
    return false;
}

ClientEndpoint as_other(const OtherEndpoint &other) {
    ClientEndpoint found;
    found.operation = Operation::other;
    found.dialect = other.client;
    found.allow = kPost;
    found.other = &other;
    return found;
}

// What follows /models/: NAME:OPERATION. A name may have colons and slashes of its own.
ClientEndpoint find_gemini(std::string_view name, std::string_view query) {
    size_t colon = name.rfind(':');
    if (colon == std::string_view::npos) {
        return {};
    }
    for (const GeminiRow &row : kGeminiRows) {
        if (row.name == name.substr(colon + 1)) {
            ClientEndpoint found;
            found.operation = row.operation;
            found.dialect = DialectId::gemini;
            found.allow = kPost;
            found.model = name.substr(0, colon);
            found.has_path_model = true;
            found.is_stream = row.is_stream;
            found.is_json_array = row.is_stream && !has_argument(query, "alt=sse");
            return found;
        }
    }
    if (const OtherEndpoint *other = find_gemini_endpoint(name.substr(colon + 1))) {
        ClientEndpoint found = as_other(*other);
        found.model = name.substr(0, colon);
        found.has_path_model = true;
        return found;
    }
    return {};
}

// What follows /responses/: a name and what is to be done with it.
ClientEndpoint find_kept(std::string_view name, std::string_view query) {
    size_t slash = name.find('/');
    std::string_view rest = slash == std::string_view::npos ? "" : name.substr(slash);
    for (const KeptRow &row : kKeptRows) {
        if (row.rest == rest) {
            ClientEndpoint found;
            found.operation = Operation::kept;
            found.dialect = DialectId::responses;
            found.allow = row.allow;
            found.kept_id = name.substr(0, slash);
            found.kept_rest = rest;
            found.is_stream = has_argument(query, "stream=true");
            return found;
        }
    }
    return {};
}

}  // namespace

ClientEndpoint find_endpoint(std::string_view path, std::string_view query) {
    std::optional<DialectId> dialect;
    if (path.starts_with("/v1/")) {
        path.remove_prefix(3);
    }
    for (std::string_view version : kGeminiVersions) {
        if (path.starts_with(version) && path.substr(version.size()).starts_with("/models")) {
            path.remove_prefix(version.size());
            dialect = DialectId::gemini;
        }
    }
    if (path.size() > 1 && path.back() == '/') {
        path.remove_suffix(1);
    }
    for (const Row &row : kRows) {
        if (row.path == path) {
            ClientEndpoint found;
            found.operation = row.operation;
            found.dialect = row.dialect ? row.dialect : dialect;
            found.allow = row.allow;
            return found;
        }
    }
    if (const OtherEndpoint *other = find_other_endpoint(path)) {
        return as_other(*other);
    }
    if (path.size() > kResponsesPrefix.size() && path.starts_with(kResponsesPrefix)) {
        return find_kept(path.substr(kResponsesPrefix.size()), query);
    }
    if (path.size() > kModelPrefix.size() && path.starts_with(kModelPrefix)) {
        path.remove_prefix(kModelPrefix.size());
        ClientEndpoint found = find_gemini(path, query);
        if (found.operation == Operation::unknown) {
            found.operation = Operation::show_model;
            found.dialect = dialect;
            found.model = path;
        }
        return found;
    }
    return {};
}

}  // namespace llm
