// The HTTP surface of `llm_pass models`: which path is which operation, in which dialect.
#pragma once

#include <optional>
#include <string_view>

#include "translators/dialect/dialect.hpp"
#include "translators/provider/other_endpoints.hpp"

namespace llm {

enum class Operation : uint8_t {
    chat,          // a request for an answer, in the dialect of its path
    count_tokens,  // how long such a request is
    kept,          // an answer that a provider keeps: read, cancelled, deleted
    other,         // an endpoint that is not translated
    list_models,
    show_model,  // one of them: what follows the path is its name
    liveness,
    readiness,
    root,   // somebody looks whether there is anything here
    admin,  // llm_admin
    unknown,
};

struct ClientEndpoint {
    Operation operation = Operation::unknown;
    std::optional<DialectId> dialect;      // none: told by the headers
    std::string_view allow = "GET, HEAD";  // methods
    std::string_view model;                // named in the path; show_model: always
    // Gemini: its path says whether a stream is wanted, and the query in which form.
    bool has_path_model = false;
    bool is_stream = false;
    bool is_json_array = false;
    // Kept answers: which one, and what follows its name.
    std::string_view kept_id;
    std::string_view kept_rest;
    const OtherEndpoint *other = nullptr;

    bool takes_body() const {
        return operation == Operation::chat || operation == Operation::count_tokens ||
               operation == Operation::other;
    }
    bool allows(std::string_view method) const {
        size_t at = allow.find(method);
        return at != std::string_view::npos && !method.empty() &&
               (at == 0 || allow[at - 1] == ' ') &&
               (at + method.size() == allow.size() || allow[at + method.size()] == ',');
    }
};

// `path` is what follows the location's prefix; `query` without its question mark.
ClientEndpoint find_endpoint(std::string_view path, std::string_view query);

}  // namespace llm
