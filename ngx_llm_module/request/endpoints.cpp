// The table of client paths. /v1 may be left out everywhere.
#include "ngx_llm_module/request/endpoints.hpp"

namespace llm {
namespace {

struct Row {
    std::string_view path;
    Operation operation;
    const Dialect *dialect;
    bool is_post;
};

constexpr Row kRows[] = {
    {"/chat/completions", Operation::chat, &kOpenAi, true},
    {"/messages", Operation::chat, &kAnthropic, true},
    {"/models", Operation::list_models, nullptr, false},
    {"/health/liveliness", Operation::liveness, nullptr, false},
    {"/health/liveness", Operation::liveness, nullptr, false},
    {"/health/readiness", Operation::readiness, nullptr, false},
    {"/health", Operation::readiness, nullptr, false},
    {"/", Operation::root, nullptr, false},
    {"", Operation::root, nullptr, false},
};

constexpr std::string_view kModelPrefix = "/models/";

}  // namespace

ClientEndpoint find_endpoint(std::string_view path) {
    if (path.starts_with("/v1/")) {
        path.remove_prefix(3);
    }
    if (path.size() > 1 && path.back() == '/') {
        path.remove_suffix(1);
    }
    for (const Row &row : kRows) {
        if (row.path == path) {
            return {row.operation, row.dialect, row.is_post, {}};
        }
    }
    if (path.size() > kModelPrefix.size() && path.starts_with(kModelPrefix)) {
        return {Operation::show_model, nullptr, false, path.substr(kModelPrefix.size())};
    }
    return {};
}

}  // namespace llm
