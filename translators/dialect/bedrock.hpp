// Bedrock's Converse, a dialect of providers only, inside: what its files share. Users go through
// kBedrock in dialect.hpp. Requests: bedrock_request, bedrock_turns, bedrock_tools,
// bedrock_documents. Answers: bedrock_answer. Streams: bedrock_decoder, bedrock_exception.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "translators/dialect/dialect.hpp"

namespace llm::bedrock {

// --- requests -------------------------------------------------------------------------------

Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes);
Status render_count(const ir::Request &request, const Target &target, Arena &arena,
                    json::Writer &writer, Notes &notes);
std::optional<int64_t> parse_count(json::Value root);

// --- answers --------------------------------------------------------------------------------

constexpr uint32_t kMaxBlocks = 4096;

Status parse_response(json::Value root, Arena &arena, ir::Response &response);
std::unique_ptr<Decoder> make_decoder();

// `has_calls`: of tools that the client runs; a reason that speaks of calls without any is none.
ir::Finish finish_of(JsonText stop_reason, bool has_calls);
// Replaces what is known where `usage` is an object.
void read_usage(json::Value usage, Usage &into);
// A toolUse that the service itself answers.
bool is_server_tool(json::Value tool_use);
ir::Citation read_citation(json::Value citation);
// The same call id twice in a turn, or none, is replaced.
JsonText replace_call_id(JsonText id, JsonText name, uint32_t ordinal, Arena &arena);

// redactedContent is a blob, its base64 one layer more than the messages API has: what the client
// gets is the text inside, and gets back into its wrapping here. A blob that is no text keeps it.
JsonText unwrap_redacted(JsonText blob, Arena &arena);
JsonText wrap_redacted(JsonText data, Arena &arena);

}  // namespace llm::bedrock
