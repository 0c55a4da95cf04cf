// See client_state.hpp. Only the Responses dialect has such members.
#include "translators/dialect/client_state.hpp"

namespace llm {

namespace {

constexpr std::string_view kStateful[] = {"previous_response_id", "conversation", "prompt",
                                          "background"};

bool is_unset(RawJson value) {
    return value.empty() || value.bytes == "null" || value.bytes == "false" ||
           value.bytes == "\"\"";
}

}  // namespace

Status check_state(const ir::Request &request, DialectId target) {
    if (request.dialect != DialectId::responses || target == DialectId::responses) {
        return {};
    }
    for (const ir::Extra &extra : request.extra) {
        for (std::string_view name : kStateful) {
            if (json::equals(extra.name, name) && !is_unset(extra.value)) {
                return unsupported("only the provider that keeps it could look it up", name);
            }
        }
    }
    for (const ir::Turn &turn : request.turns) {
        for (const ir::Part &part : turn.parts) {
            const auto *opaque = std::get_if<ir::Opaque>(&part.is);
            if (opaque != nullptr && json::equals(opaque->type, "item_reference")) {
                return unsupported("only the provider that keeps it could look it up",
                                   "item_reference");
            }
        }
    }
    return {};
}

}  // namespace llm
