// Requests that lean on what a provider keeps: an earlier answer, a conversation, a stored prompt.
#pragma once

#include "translators/core/ir.hpp"
#include "translators/core/result.hpp"

namespace llm {

// Refuses, by its name, what only a provider of the client's own dialect could look up. To be
// asked before a request is rendered for `target`: leaving such a member out would answer another
// question than the client's, so drop_params has no say in it.
Status check_state(const ir::Request &request, DialectId target);

}  // namespace llm
