// The HTTP surface of `llm_pass models`: which path is which operation, in which dialect.
#pragma once

#include <string_view>

#include "translators/dialect/dialect.hpp"

namespace llm {

enum class Operation : uint8_t {
    chat,  // a request for an answer, in the dialect of its path
    list_models,
    show_model,  // one of them: what follows the path is its name
    liveness,
    readiness,
    root,  // somebody looks whether there is anything here
    unknown,
};

struct ClientEndpoint {
    Operation operation = Operation::unknown;
    const Dialect *dialect = nullptr;  // nullptr: told by the headers
    bool is_post = false;              // else GET and HEAD
    std::string_view rest;             // show_model: the name, still percent-encoded
};

// `path` is what follows the location's prefix.
ClientEndpoint find_endpoint(std::string_view path);

}  // namespace llm
