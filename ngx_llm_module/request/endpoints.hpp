// The HTTP surface of `llm_pass models`: which path is which operation, in which dialect.
#pragma once

#include <optional>
#include <string_view>

#include "translators/dialect/dialect.hpp"

namespace llm {

enum class Operation : uint8_t {
    chat,          // a request for an answer, in the dialect of its path
    count_tokens,  // how long such a request is
    list_models,
    show_model,  // one of them: what follows the path is its name
    liveness,
    readiness,
    root,  // somebody looks whether there is anything here
    unknown,
};

struct ClientEndpoint {
    Operation operation = Operation::unknown;
    std::optional<DialectId> dialect;  // none: told by the headers
    bool is_post = false;              // else GET and HEAD
    std::string_view model;            // named in the path; show_model: always
    // Gemini: its path says whether a stream is wanted, and the query in which form.
    bool has_path_model = false;
    bool is_stream = false;
    bool is_json_array = false;

    bool takes_body() const {
        return operation == Operation::chat || operation == Operation::count_tokens;
    }
};

// `path` is what follows the location's prefix; `query` without its question mark.
ClientEndpoint find_endpoint(std::string_view path, std::string_view query);

}  // namespace llm
