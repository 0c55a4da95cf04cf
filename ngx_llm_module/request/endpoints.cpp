// The table of client paths. /v1 may be left out everywhere. Gemini's paths hold the model, with
// the operation behind a colon: /v1beta/models/NAME:streamGenerateContent?alt=sse.
#include "ngx_llm_module/request/endpoints.hpp"

namespace llm {
namespace {

struct Row {
    std::string_view path;
    Operation operation;
    std::optional<DialectId> dialect;
    bool is_post;
};

constexpr Row kRows[] = {
    {"/chat/completions", Operation::chat, DialectId::openai, true},
    {"/messages", Operation::chat, DialectId::anthropic, true},
    {"/messages/count_tokens", Operation::count_tokens, DialectId::anthropic, true},
    {"/responses", Operation::chat, DialectId::responses, true},
    {"/completions", Operation::chat, DialectId::completions, true},
    {"/models", Operation::list_models, {}, false},
    {"/health/liveliness", Operation::liveness, {}, false},
    {"/health/liveness", Operation::liveness, {}, false},
    {"/health/readiness", Operation::readiness, {}, false},
    {"/health", Operation::readiness, {}, false},
    {"/", Operation::root, {}, false},
    {"", Operation::root, {}, false},
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
            found.is_post = true;
            found.model = name.substr(0, colon);
            found.has_path_model = true;
            found.is_stream = row.is_stream;
            found.is_json_array = row.is_stream && !has_argument(query, "alt=sse");
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
            found.is_post = row.is_post;
            return found;
        }
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
