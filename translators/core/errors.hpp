// Errors on the wire: what class a provider's refusal belongs to, and how each client dialect
// spells a class. error_map.def is the only place that knows statuses, types and codes.
#pragma once

#include <cstdint>
#include <string_view>

#include "translators/core/ir.hpp"
#include "translators/json/reader.hpp"

namespace llm {

using ir::ErrorClass;

// One row of error_map.def.
struct ErrorSpelling {
    ErrorClass error_class;
    std::string_view name;  // for logs and $llm_error
    uint16_t openai_status;
    std::string_view openai_type;
    std::string_view openai_code;  // empty: null
    uint16_t anthropic_status;
    std::string_view anthropic_type;
    uint16_t gemini_status;
    std::string_view gemini_name;  // google.rpc.Code
    bool elsewhere;                // another deployment may do better
};

const ErrorSpelling &spelling(ErrorClass error_class);

// An error on its way to the client. The views live as long as the body they were read from.
struct ApiError {
    ErrorClass error_class = ErrorClass::upstream;
    uint16_t status = 0;  // what the provider said; 0: the class decides
    JsonText message;     // at most 4 KiB, credentials removed
    JsonText code;        // the provider's own code, where it has one
    JsonText param;
    // A refusal of the gateway itself, in one word that is known to users of such gateways
    // (expired_key): OpenAI's type and code. Static text.
    std::string_view own;
};

// Class by status alone.
ErrorClass class_of_status(uint16_t status);

// Refine a class by the text of message, type and code (context window, bad key, quota ...), as
// spec'd for bodies whose status says less than their words. All plain, any may be empty.
ErrorClass refine_class(ErrorClass by_status, std::string_view message, std::string_view type,
                        std::string_view code);

// Read any provider's error body: JSON of all known shapes, text, HTML, nothing. Never fails.
// `status` is the HTTP status, or 0 for an error inside a 200 stream (then type and code decide).
// `root` is the parsed body, absent when it is not JSON; `body` its bytes.
ApiError read_error(uint16_t status, json::Value root, std::string_view body, Arena &arena);

// Does the error speak of reasoning of earlier turns that the provider could not read: a signature,
// encrypted content, a thinking block that is missing or too much?
bool is_about_reasoning(const ApiError &error);

// Mask what looks like a credential (sk-..., Bearer ..., key=...), cut at 4 KiB.
std::string_view redact(std::string_view message, Arena &arena);

}  // namespace llm
