// Messages on other carriers than the API's own: which beta flags they take, and what of a body
// they take. Bedrock refuses a whole request for one flag or member that it does not know.
#pragma once

#include <string>
#include <string_view>

#include "translators/dialect/dialect.hpp"

namespace llm::anthropic {

// The flags to send for those that a client sent (comma separated; several header lines joined by
// commas), in their order, without repetition. Where they go: the header anthropic-beta, but for
// Carrier::bedrock the body (Target::beta_flags).
std::string beta_flags_for(std::string_view flags, Carrier carrier, bool is_official);

// `anthropic_version` of the body; empty where the carrier has it in a header.
std::string_view version_of(Carrier carrier);
// The member anthropic_beta, where an object is open; nothing without flags.
void write_beta_flags(const Target &target, json::Writer &writer);

// Top-level members that the carrier decides about: what a client wrote there goes.
bool belongs_to_carrier(std::string_view name, const Target &target);
// False: the carrier refuses this top-level member, or the flag that opens it is not among the
// target's.
bool takes_member(std::string_view name, const Target &target);
// The same for a member of a tool.
bool takes_tool_member(std::string_view name, const Target &target);

}  // namespace llm::anthropic
